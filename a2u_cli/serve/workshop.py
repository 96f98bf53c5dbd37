"""All that a server holds: the jobs, the queue, the shelf, the spool, where it saves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__
from ..images.formats import FORMATS
from ..images.memory import free_memory
from ..images.reading import pixel_limit
from .bench import Bench, Job
from .desk import Desk, Load, hash_trimap
from .drafts import Drafts
from .gallery import Gallery
from .painting import Easel
from .saving import Saver
from .shelf import Shelf
from .spool import Spool
from .turns import Turn, Turns
from .uploads import Uploads

SWEEP = 60.0  # seconds between looks for jobs whose hour is over
SHARE = 0.1  # of the memory there is may be taken by what is kept at hand
ENDING = 10.0  # seconds that running work may take to end


@dataclass
class Workshop:
    """What the routes work with."""

    bench: Bench
    desk: Desk
    drafts: Drafts
    weights: str = ""
    saver: Saver | None = None
    folder: Path | None = None
    save: tuple[str, ...] = ("alpha",)
    spool: Spool = field(default_factory=Spool)
    matting: Turns = field(default_factory=lambda: Turns("the network"))
    reading: Turns = field(default_factory=lambda: Turns("reading and writing pictures"))

    def __post_init__(self) -> None:
        self.uploads = Uploads(self.spool)
        self.easel = Easel(self.bench, self.desk, self.spool)

    def overview(self) -> dict[str, Any]:
        """Tell of the folder's pictures, and what the server is."""
        pictures = [self._row(job) for job in self.bench.kept]
        return {"pictures": pictures, "facts": self._server()}

    def _row(self, job: Job) -> dict[str, Any]:
        row = {"job": job.name, "name": job.title, "width": None, "height": None}
        row |= {"state": "started" if job.trimap else "untouched", "has_trimap": job.has_trimap}
        return row | {"has_alpha": False, "reason": ""}

    def _server(self) -> dict[str, Any]:
        matter = self.desk.matter_for(8)
        return {
            "version": __version__,
            "weights": self.weights,
            "weights_sha256": matter.sha256,
            "quality": matter.quality,
            "device": str(matter),
            "max_pixels": pixel_limit(),
            "formats": sorted({*FORMATS.values()}),
            "save": list(self.save),
            "folder": str(self.folder) if self.folder else None,
            "output": str(self.saver.out) if self.saver else None,
            "drafts": str(self.drafts.folder),
        }

    def facts(self, job: Job) -> dict[str, Any]:
        """Tell of a job's picture, and of its trimap."""
        picture = self.desk.picture(job)
        height, width = picture.size
        trimap = hash_trimap(self.desk.trimap(job)) if job.has_trimap else None
        return {
            "job": job.name,
            "name": job.title,
            "kept": job.kept,
            "width": width,
            "height": height,
            "depth": picture.depth,
            "light": picture.light is not None,
            "sha256": self.desk.hash(job.path),
            "trimap_sha256": trimap,
        }

    def work(self, name: str) -> dict[str, Any]:
        """Tell what is done for a job, or was done last."""
        found = self.matting.latest(name)
        if found is None:
            return {"state": "none"}
        turn, place = found
        work = {"state": turn.state, "kind": turn.kind, "place": place}
        return work | {"step": turn.step, "done": turn.done, "error": turn.error}

    def cancel(self, turn: Turn) -> None:
        """Cancel a turn, wherever it waits."""
        self.matting.cancel(turn)
        self.reading.cancel(turn)

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Look every minute for jobs whose hour is over."""
        sweeping = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping

    async def _sweep(self) -> None:
        while True:
            self.expire()
            await asyncio.sleep(SWEEP)

    def expire(self) -> None:
        """Forget jobs whose hour is over, and that nothing is done for."""
        for name in self.bench.expire(lambda name: self.work(name)["state"] in ("waiting", "running")):
            self.matting.forget(name)
            self.reading.forget(name)

    def stop(self) -> None:
        """Take no more work, and end what runs."""
        self.matting.close()
        self.reading.close()

    def close(self) -> None:
        """End all, and remove what lies in the spool."""
        self.stop()
        self.matting.join(ENDING)
        self.reading.join(ENDING)
        self.spool.close()


def open_workshop(
    gallery: Gallery, load: Load, *, weights: str, save: tuple[str, ...] = ("alpha",)
) -> Workshop:
    """Set a workshop up for a gallery."""
    bound = load(8).max_memory
    room = int(SHARE * (free_memory() if bound is None else bound))
    desk = Desk(load, Shelf(room), root=gallery.folder, max_memory=bound)
    saver = Saver(gallery.out, gallery.inputs, desk)
    bench = Bench(gallery.jobs)
    return Workshop(bench, desk, Drafts(), weights, saver, gallery.folder, save)
