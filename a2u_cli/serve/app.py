"""The routes: what is asked, who does it, and what is answered; `openapi.json` describes them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..images.writing import encode_image
from ..jobs.options import OUTPUTS
from . import drafts
from .bench import Job
from .refusals import Refused, refusal
from .saving import read_kinds
from .turns import Turn, Turns, Work
from .wishes import MEDIA, read_switch, read_whole, read_wish, require_known
from .workshop import Workshop

HERE = Path(__file__).parent
STATIC = HERE / "static"
JOBS = "/api/jobs"
PNG, LEFT = MEDIA["png"], 499  # a status that nobody reads: the client has left
Handler = Callable[[Request], Awaitable[Response]]


class Api:
    """What is answered to each request for a job."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop

    @property
    def routes(self) -> list[Route]:
        """List what can be asked."""
        return [
            _route("GET", "", self.list_jobs),
            _route("GET", "/{job}", self.get_job),
            _route("DELETE", "/{job}", self.delete_job),
            _route("PUT", "/{job}/image", self.put_image),
            _route("GET", "/{job}/preview", self.get_preview),
            _route("GET", "/{job}/trimap", self.get_trimap),
            _route("PUT", "/{job}/trimap", self.put_trimap),
            _route("PUT", "/{job}/mask", self.put_mask),
            _route("POST", "/{job}/box", self.post_box),
            _route("PUT", "/{job}/background", self.put_background),
            _route("DELETE", "/{job}/alpha", self.delete_alpha),
            *(
                _route("GET", f"/{{job}}/{kind}", partial(self.get_result, kind))
                for kind in OUTPUTS
            ),
            _route("GET", "/{job}/uncertain", self.get_uncertain),
            _route("GET", "/{job}/project", self.get_project),
            _route("PUT", "/{job}/project", self.put_project),
            _route("POST", "/{job}/save", self.post_save),
        ]

    async def list_jobs(self, request: Request) -> Response:
        """Tell of all pictures of the folder, and what the server is."""
        return JSONResponse(await self._read(request, lambda _: self.shop.overview()))

    async def put_image(self, request: Request) -> Response:
        """Begin a job with a picture, or begin it anew."""
        name = request.path_params["job"]
        require_known(request.query_params, ())
        self.shop.bench.require_free(name)
        image = await self.shop.uploads.picture(request)
        facts = await self._read(request, lambda _: self.shop.begin(Job(name, name, image)))
        return JSONResponse(facts, 201)

    async def get_job(self, request: Request) -> Response:
        """Tell of a job's picture, and what is done for it."""
        job = self._job(request)
        facts = await self._read(request, lambda _: self.shop.facts(job))
        return JSONResponse(facts | {"work": self.shop.work(job.name)})

    async def delete_job(self, request: Request) -> Response:
        """Forget a job."""
        self.shop.forget(self._job(request))
        return Response(status_code=204)

    async def get_preview(self, request: Request) -> Response:
        """Show a job's picture in 8 bits."""
        job, words = self._job(request), dict(request.query_params)
        require_known(words, ("side",))
        side = read_whole(words, "side")
        return Response(
            await self._read(request, lambda _: self.shop.desk.preview(job, side)), media_type=PNG
        )

    async def get_trimap(self, request: Request) -> Response:
        """Give a job's trimap."""
        job, desk = self._job(request), self.shop.desk
        data = await self._read(request, lambda _: encode_image(desk.trimap(job), "png", depth=8))
        return Response(data, media_type=PNG)

    async def put_trimap(self, request: Request) -> Response:
        """Take a drawn trimap."""
        job, easel = self._job(request), self.shop.easel
        require_known(request.query_params, ())
        file = await self.shop.uploads.picture(request)
        return JSONResponse(await self._read(request, lambda _: easel.take_trimap(job, file)))

    async def put_mask(self, request: Request) -> Response:
        """Take a mask to make a trimap from."""
        job, easel = self._job(request), self.shop.easel
        words = dict(request.query_params)
        file = await self.shop.uploads.picture(request)
        return JSONResponse(await self._read(request, lambda _: easel.take_mask(job, file, words)))

    async def post_box(self, request: Request) -> Response:
        """Find the object in a box, and make a trimap of that."""
        job, easel = self._job(request), self.shop.easel
        words = await self._words(request)
        return JSONResponse(await self._read(request, lambda _: easel.take_box(job, words)))

    async def put_background(self, request: Request) -> Response:
        """Take a picture to lay the cut-out on."""
        job, easel = self._job(request), self.shop.easel
        require_known(request.query_params, ())
        file = await self.shop.uploads.picture(request)
        return JSONResponse(await self._read(request, lambda _: easel.take_background(job, file)))

    async def get_result(self, kind: str, request: Request) -> Response:
        """Give a matte, or what is made with it, when its turn has come."""
        job, words = self._job(request), dict(request.query_params)
        if kind == "alpha" and read_switch(words, "draft"):
            return await self._get_draft(job, request)
        words.pop("draft", None)
        wish = read_wish(words, (kind,), job.background)
        data = await self._compute(
            request, job, kind, lambda watch: self.shop.desk.result(job, kind, wish, watch)
        )
        return Response(data, media_type=MEDIA[wish.options.format])

    async def _get_draft(self, job: Job, request: Request) -> Response:
        """Give a coarse matte, unless a later request for one overtakes this."""
        words, desk = dict(request.query_params), self.shop.desk
        require_known(words, ("draft", "sequence"))
        sequence = read_whole(words, "sequence")
        turn = self.shop.matting.take(
            job.name, "draft", lambda watch: desk.draft(job, watch), overtakes=True
        )
        data, (height, width) = await outcome(turn, self.shop.matting, request)
        headers = {"X-A2U-Size": f"{width}x{height}", "X-A2U-Sequence": str(sequence or 0)}
        return Response(data, headers=headers, media_type=PNG)

    async def delete_alpha(self, request: Request) -> Response:
        """Cancel what waits and runs for a job."""
        return JSONResponse({"cancelled": self.shop.matting.cancel_all(self._job(request).name)})

    async def get_uncertain(self, request: Request) -> Response:
        """Show where the network's views disagree, and say where to paint next."""
        job = self._job(request)
        require_known(request.query_params, ())
        data, place = await self._compute(
            request, job, "uncertain", lambda watch: self.shop.desk.doubt(job, watch)
        )
        headers = {"X-A2U-Next": f"{place[0]},{place[1]}"} if place else {}
        return Response(data, headers=headers, media_type=PNG)

    async def get_project(self, request: Request) -> Response:
        """Give the project that was kept of a picture."""
        job, shop = self._job(request), self.shop
        data = await self._read(request, lambda _: shop.drafts.load(shop.desk.hash_picture(job)))
        if data is None:
            return Response(status_code=204)
        return Response(data, media_type="application/json")

    async def put_project(self, request: Request) -> Response:
        """Keep a project."""
        job, shop = self._job(request), self.shop
        file = await shop.uploads.file(request, drafts.MOST)
        path = await self._read(request, lambda _: shop.keep_draft(job, file))
        return JSONResponse({"path": str(path)})

    async def post_save(self, request: Request) -> Response:
        """Save results of a folder's picture in the output folder."""
        job, words = self._job(request), await self._words(request)
        saver = self.shop.saver
        if not job.kept:
            raise Refused(409, f"{job.name} is no picture of the folder; GET its results instead")
        kinds, force = read_kinds(words.pop("kinds", self.shop.save)), words.pop("force", False)
        if type(force) is not bool:
            raise Refused(422, f"force is {force!r}, expected true or false")
        outputs = tuple(kind for kind in kinds if kind != "trimap")
        wish = read_wish(words, outputs, job.background)
        asked: dict[str, bool] = {"trimap": "trimap" in kinds, "force": force}
        paths = await self._compute(
            request, job, "save", lambda watch: saver.save(job, wish, watch=watch, **asked)
        )
        return JSONResponse({"paths": [str(path) for path in paths]})

    def _job(self, request: Request) -> Job:
        return self.shop.bench.get(request.path_params["job"])

    async def _words(self, request: Request) -> dict[str, Any]:
        """Take a JSON object."""
        data = await self.shop.uploads.words(request)
        try:
            words = json.loads(data or b"{}")
        except (ValueError, RecursionError):
            words = None
        if not isinstance(words, dict):
            raise Refused(400, "the body is no JSON object, expected one as in /openapi.json")
        return words

    async def _read(self, request: Request, work: Work) -> Any:
        """Do what takes no network, in its turn."""
        turn = self.shop.reading.take("", "work", work)
        return await outcome(turn, self.shop.reading, request)

    async def _compute(self, request: Request, job: Job, kind: str, work: Work) -> Any:
        """Do what takes the network, in its turn, and tell of it as the job's work."""
        turn = self.shop.matting.take(job.name, kind, work)
        return await outcome(turn, self.shop.matting, request)


async def outcome(turn: Turn, turns: Turns, request: Request) -> Any:
    """Wait for a turn; it is cancelled where the client leaves."""
    done = asyncio.wrap_future(turn.future)
    left = asyncio.create_task(_leave(request))
    try:
        await asyncio.wait({done, left}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        left.cancel()
        if not done.done():
            turns.cancel(turn)
    if not done.done():
        raise ClientDisconnect
    if isinstance(made := done.result(), Refused):
        raise made.anew()
    return made


async def _leave(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _route(method: str, path: str, handler: Handler) -> Route:
    """Make a route that answers every failure in words."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except ClientDisconnect:
            return Response(status_code=LEFT)
        except Exception as error:
            return refusal(error).response

    return Route(JOBS + path, answer, methods=[method])


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer in words where there is no such path, or another method is expected."""
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {request.url.path}"
    text = f"{asked} cannot be asked ({error.detail}), expected what /openapi.json describes"
    return Refused(error.status_code, text).response


def make_app(shop: Workshop) -> Starlette:
    """Make the app, without its guard."""

    async def index(_: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def description(_: Request) -> Response:
        return FileResponse(HERE / "openapi.json")

    return Starlette(
        routes=[
            Route("/", index),
            Route("/health", health),
            Route("/openapi.json", description),
            *Api(shop).routes,
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        exception_handlers={HTTPException: _refuse},
        lifespan=shop.lifespan,
    )
