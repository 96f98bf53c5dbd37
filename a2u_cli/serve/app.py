"""The routes: what is asked, who does it, and what is answered; `openapi.json` describes them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..images.previews import encode_preview
from ..images.writing import encode_image
from .bench import Job
from .refusals import Refused, refusal
from .saving import read_kinds
from .standins import doubt, draft, next_place
from .turns import Turn, Watch, Work
from .wishes import MEDIA, read_wish, require_known
from .workshop import Workshop

HERE = Path(__file__).parent
STATIC = HERE / "static"
RESULTS = ("alpha", "cutout", "foreground", "composite")
Handler = Callable[[Request], Awaitable[Response]]


class Api:
    """The handlers."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop

    def routes(self) -> list[Route]:
        """List what can be asked."""
        job = "/api/jobs/{job}"
        results = [
            Route(f"{job}/{kind}", told(partial(self.get_result, kind))) for kind in RESULTS
        ]
        return [
            Route("/api/jobs", told(self.list_jobs)),
            Route(job, told(self.get_job)),
            Route(job, told(self.delete_job), methods=["DELETE"]),
            Route(f"{job}/image", told(self.put_image), methods=["PUT"]),
            Route(f"{job}/preview", told(self.get_preview)),
            Route(f"{job}/trimap", told(self.get_trimap)),
            Route(f"{job}/trimap", told(self.put_trimap), methods=["PUT"]),
            Route(f"{job}/mask", told(self.put_mask), methods=["PUT"]),
            Route(f"{job}/box", told(self.post_box), methods=["POST"]),
            Route(f"{job}/alpha", told(self.delete_alpha), methods=["DELETE"]),
            *results,
            Route(f"{job}/uncertain", told(self.get_uncertain)),
            Route(f"{job}/project", told(self.get_project)),
            Route(f"{job}/project", told(self.put_project), methods=["PUT"]),
            Route(f"{job}/save", told(self.post_save), methods=["POST"]),
        ]

    def job(self, request: Request) -> Job:
        """Give the job that a request names."""
        return self.shop.bench.get(request.path_params["job"])

    async def list_jobs(self, request: Request) -> Response:
        """Tell of all pictures of the folder, and what the server is."""
        facts = await self.read(request, "", "list", lambda _: self.shop.overview())
        return JSONResponse(facts)

    async def put_image(self, request: Request) -> Response:
        """Take a picture."""
        name = request.path_params["job"]
        self.shop.bench.require_free(name)
        image = await self.shop.uploads.picture(request)

        def take(_: Watch) -> dict[str, Any]:
            self.shop.desk.picture(Job(name, name, image))  # refused before the old one is gone
            return self.shop.facts(self.shop.bench.put_image(name, image))

        return JSONResponse(await self.read(request, name, "image", take), 201)

    async def get_job(self, request: Request) -> Response:
        """Tell of a job, and what is done for it."""
        job = self.job(request)
        facts = await self.read(request, "", "facts", lambda _: self.shop.facts(job))
        return JSONResponse(facts | {"work": self.shop.work(job.name)})

    async def delete_job(self, request: Request) -> Response:
        """Forget a job."""
        name = self.job(request).name
        self.shop.bench.delete(name)
        self.shop.matting.forget(name)
        return Response(status_code=204)

    async def get_preview(self, request: Request) -> Response:
        """Show the picture in 8 bits."""
        job = self.job(request)
        require_known(request.query_params, ("side",))
        side = request.query_params.get("side")
        if side is not None and not (side.isdecimal() and 0 < int(side[:9]) < 1 << 20):
            raise Refused(422, f"side is {side!r}, expected a number of pixels")
        most = int(side) if side else None
        data = await self.read(
            request,
            job.name,
            "preview",
            lambda _: encode_preview(self.shop.desk.picture(job).image, most),
        )
        return Response(data, media_type=MEDIA["png"])

    async def get_trimap(self, request: Request) -> Response:
        """Give the trimap."""
        job = self.job(request)
        data = await self.read(
            request,
            job.name,
            "trimap",
            lambda _: encode_image(self.shop.desk.trimap(job), "png", depth=8),
        )
        return Response(data, media_type=MEDIA["png"])

    async def put_trimap(self, request: Request) -> Response:
        """Take a drawn trimap."""
        job = self.job(request)
        require_known(request.query_params, ())
        file = await self.shop.uploads.picture(request)
        easel = self.shop.easel
        facts = await self.read(
            request, job.name, "trimap", lambda _: easel.take_trimap(job, file)
        )
        return JSONResponse(facts)

    async def put_mask(self, request: Request) -> Response:
        """Take a mask."""
        job, words = self.job(request), dict(request.query_params)
        require_known(words, ("band", "inside", "outside", "invert"))
        band = words.get("band", "1.5%")
        sides = words.get("inside", band), words.get("outside", band)
        invert = words.get("invert", "0") in ("1", "true")
        file = await self.shop.uploads.picture(request)
        easel = self.shop.easel
        facts = await self.read(
            request, job.name, "mask", lambda _: easel.take_mask(job, file, *sides, invert=invert)
        )
        return JSONResponse(facts)

    async def post_box(self, request: Request) -> Response:
        """Find the object in a box."""
        job, words = self.job(request), await self.words(request)
        require_known(words, ("x", "y", "width", "height", "band"))
        box = tuple(words.get(side) for side in ("x", "y", "width", "height"))
        if not all(isinstance(side, int | float) for side in box):
            raise Refused(422, f"the box is {box}, expected numbers x, y, width, height")
        x, y, width, height = (round(side) for side in box)  # type: ignore[arg-type]
        band = str(words.get("band", "1.5%"))
        easel = self.shop.easel
        facts = await self.read(
            request, job.name, "box", lambda _: easel.take_box(job, (x, y, width, height), band)
        )
        return JSONResponse(facts)

    async def get_result(self, kind: str, request: Request) -> Response:
        """Give a matte, or what is made with it, when its turn has come."""
        job, words = self.job(request), dict(request.query_params)
        if kind == "alpha" and words.get("draft") == "1":
            return await self.get_draft(job, request)
        words.pop("draft", None)
        wish = read_wish(words, (kind,))
        shop = self.shop
        data = await self.compute(
            request,
            job.name,
            kind,
            lambda watch: shop.desk.result(job, kind, wish.options, wish.quality, watch),
        )
        return Response(data, media_type=MEDIA[wish.options.format])

    async def get_draft(self, job: Job, request: Request) -> Response:
        """Give a coarse matte, unless a later request for one overtakes this."""
        words = request.query_params
        require_known(words, ("draft", "sequence"))
        shop = self.shop

        def make(_: Watch) -> tuple[bytes, tuple[int, int]]:
            picture, trimap = shop.desk.picture(job), shop.desk.trimap(job)
            matter = shop.desk.matter(read_wish({}, ("alpha",)).options)
            return encode_preview(draft(matter, picture.image, trimap)), picture.size

        data, (height, width) = await self.compute(
            request, job.name, "draft", make, overtakes=True
        )
        headers = {"X-A2U-Size": f"{width}x{height}"}
        if "sequence" in words:
            headers["X-A2U-Sequence"] = words["sequence"][:20]
        return Response(data, headers=headers, media_type=MEDIA["png"])

    async def delete_alpha(self, request: Request) -> Response:
        """Cancel what waits and runs for a job."""
        return JSONResponse({"cancelled": self.shop.matting.cancel_all(self.job(request).name)})

    async def get_uncertain(self, request: Request) -> Response:
        """Show where the network's views disagree, and where to paint next."""
        job, shop = self.job(request), self.shop

        def look(_: Watch) -> tuple[bytes, tuple[int, int] | None]:
            picture, trimap = shop.desk.picture(job), shop.desk.trimap(job)
            matter = shop.desk.matter(read_wish({}, ("alpha",)).options)
            found = doubt(matter, picture.image, trimap)
            return encode_preview(found), next_place(found, trimap)

        data, place = await self.compute(request, job.name, "uncertain", look)
        headers = {"X-A2U-Next": f"{place[0]},{place[1]}"} if place else {}
        return Response(data, headers=headers, media_type=MEDIA["png"])

    async def get_project(self, request: Request) -> Response:
        """Give the project that the page kept by itself."""
        job, shop = self.job(request), self.shop
        data = await self.read(
            request, job.name, "project", lambda _: shop.drafts.load(shop.desk.hash(job.path))
        )
        if data is None:
            return Response(status_code=204)
        return Response(data, media_type="application/json")

    async def put_project(self, request: Request) -> Response:
        """Keep a project."""
        from .drafts import MOST

        job, shop = self.job(request), self.shop
        data = await shop.uploads.words(request, MOST)
        path = await self.read(
            request,
            job.name,
            "project",
            lambda _: shop.drafts.save(shop.desk.hash(job.path), job.path, data),
        )
        return JSONResponse({"path": str(path)})

    async def post_save(self, request: Request) -> Response:
        """Save results in the output folder."""
        job, words = self.job(request), await self.words(request)
        shop = self.shop
        if not job.kept or shop.saver is None:
            raise Refused(409, f"{job.name} is no picture of a folder; GET its results instead")
        kinds = read_kinds(words.pop("kinds", shop.save))
        force = words.pop("force", False) is True
        wish = read_wish(words, tuple(kind for kind in kinds if kind != "trimap"))
        saver = shop.saver
        paths = await self.compute(
            request, job.name, "save", lambda watch: saver.save(job, wish, force=force, watch=watch)
        )
        return JSONResponse({"paths": [str(path) for path in paths]})

    async def words(self, request: Request) -> dict[str, Any]:
        """Take a JSON object."""
        data = await self.shop.uploads.words(request)
        try:
            words = json.loads(data or b"{}")
        except (ValueError, RecursionError):
            words = None
        if not isinstance(words, dict):
            raise Refused(400, "the body is no JSON object, expected one as in /openapi.json")
        return words

    async def read(self, request: Request, name: str, kind: str, work: Work) -> Any:
        """Do what takes no network, in its turn."""
        return await outcome(self.shop.reading.take(name, kind, work), self.shop, request)

    async def compute(
        self, request: Request, name: str, kind: str, work: Work, *, overtakes: bool = False
    ) -> Any:
        """Do what takes the network, in its turn."""
        turn = self.shop.matting.take(name, kind, work, overtakes=overtakes)
        return await outcome(turn, self.shop, request)


async def outcome(turn: Turn, shop: Workshop, request: Request) -> Any:
    """Wait for a turn; it is cancelled where the client leaves."""
    done = asyncio.wrap_future(turn.future)
    done.add_done_callback(lambda future: future.cancelled() or future.exception())
    gone = asyncio.create_task(_left(request))
    try:
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not done.done():
            shop.cancel(turn)
    if not done.done():
        raise ClientDisconnect
    return done.result()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def told(handler: Handler) -> Handler:
    """Make a handler that answers every failure in words."""

    @wraps(handler)
    async def call(request: Request) -> Response:
        try:
            return await handler(request)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        except HTTPException:
            raise
        except Exception as error:
            return refuse(refusal(error))

    return call


def refuse(refused: Refused) -> Response:
    """Answer with a refusal."""
    headers = {} if refused.retry is None else {"Retry-After": str(refused.retry)}
    return JSONResponse({"error": str(refused), **refused.facts}, refused.status, headers)


async def _no_such(request: Request, error: Exception) -> Response:
    """Answer in words where there is no such path, or another method is expected."""
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path} cannot be asked"
    text = f"{what} ({error.detail}), expected one of the paths in /openapi.json"
    return JSONResponse({"error": text}, error.status_code, error.headers)


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
            *Api(shop).routes(),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        exception_handlers={HTTPException: _no_such},
        lifespan=shop.lifespan,
    )
