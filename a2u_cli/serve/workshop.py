"""All that a server holds: the jobs, the queues, the shelf, the spool, and where it saves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import A2UError
from ..images.formats import HOLDS
from ..images.memory import free_memory
from ..images.reading import pixel_limit
from .bench import Bench, Job
from .desk import Desk, Load, hash_trimap
from .drafts import Drafts
from .gallery import Gallery
from .painting import Easel
from .saving import Saver
from .shelf import Shelf
from .spool import Spool, Spooled
from .turns import Turns
from .uploads import Uploads

SWEEP = 60.0  # seconds between looks for jobs whose hour is over
SHARE = 0.1  # of the memory there is may be taken by what is kept at hand
ENDING = 10.0  # seconds that running work may take to end


@dataclass
class Workshop:
    """What the routes work with; `weights` is their name, `save` what is saved unless told."""

    bench: Bench
    desk: Desk
    saver: Saver
    drafts: Drafts
    weights: str = ""
    save: tuple[str, ...] = ("alpha",)
    spool: Spool = field(default_factory=Spool)
    matting: Turns = field(default_factory=lambda: Turns("the network"))
    reading: Turns = field(default_factory=lambda: Turns("the reader of pictures"))

    def __post_init__(self) -> None:
        self.uploads = Uploads(self.spool)
        self.easel = Easel(self.bench, self.desk, self.spool)

    def overview(self) -> dict[str, Any]:
        """Tell of the folder's pictures, and what the server is."""
        standing, times = self.saver.standing(), self.drafts.times()
        pictures = []
        for job in filter(lambda job: job.kept, self.bench.all):
            facts = {"job": job.name, "name": job.title, "has_trimap": job.has_trimap}
            facts |= standing.of(job, self.drafts.written(job.path, times))
            pictures.append(facts | self._size(job))
        return {"pictures": pictures, "facts": self._server()}

    def _size(self, job: Job) -> dict[str, int | None]:
        """Tell a picture's size where it is known: a long folder is not read for its list."""
        look = self.desk.looks.get(job.path)
        height, width = look.size if look else (None, None)
        return {"width": width, "height": height}

    def _server(self) -> dict[str, Any]:
        matter = self.desk.matter()
        return {
            "version": __version__,
            "weights": self.weights,
            "weights_sha256": matter.sha256,
            "quality": matter.quality,
            "device": str(matter),
            "max_pixels": pixel_limit(),
            "max_bytes": self.uploads.most,
            "formats": {kind: list(holds.depths) for kind, holds in HOLDS.items()},
            "save": list(self.save),
            "folder": str(self.desk.root),
            "output": str(self.saver.out),
            "drafts": str(self.drafts.folder),
        }

    def begin(self, job: Job) -> dict[str, Any]:
        """Take a new job, where its picture can be read; raises A2UError."""
        facts = self.facts(job)
        self.bench.put(job)
        return facts

    def facts(self, job: Job) -> dict[str, Any]:
        """Tell of a job's picture, and of its trimap."""
        look = self.desk.look(job)
        trimap, why = None, ""
        if job.has_trimap:
            try:
                trimap = hash_trimap(self.desk.trimap(job))
            except A2UError as error:  # the picture can be painted on all the same
                why = str(error)
        return {
            "job": job.name,
            "name": job.title,
            "kept": job.kept,
            "width": look.size[1],
            "height": look.size[0],
            "depth": look.depth,
            "light": look.light,
            "sha256": self.desk.hash_picture(job),
            "trimap_sha256": trimap,
            "trimap_error": why,
        }

    def keep_draft(self, job: Job, file: Spooled) -> Path:
        """Keep a project of a job's picture, and give where."""
        return self.drafts.save(self.desk.hash_picture(job), job.path, file.path.read_bytes())

    def work(self, name: str) -> dict[str, Any]:
        """Tell what is done for a job, or was done last."""
        found = self.matting.latest(name)
        if found is None:
            return {"state": "none"}
        progress, place = found
        return vars(progress) | {"place": place}

    def forget(self, job: Job) -> None:
        """Delete a job, and end what is done for it; raises Refused for a folder's picture."""
        self.bench.delete(job)
        self.matting.forget(job.name)

    def expire(self) -> None:
        """Forget jobs whose hour is over, unless something is done for them."""
        for name in self.bench.expire(self.matting.busy()):
            self.matting.forget(name)

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
    gallery: Gallery,
    load: Load,
    *,
    weights: str = "",
    save: tuple[str, ...] = ("alpha",),
    lock: bool = True,
    provenance: bool = True,
) -> Workshop:
    """Set a workshop up for a gallery."""
    bound = load(8).max_memory
    room = int(SHARE * (free_memory() if bound is None else bound))
    desk = Desk(load, Shelf(room), root=gallery.root, max_memory=bound, provenance=provenance)
    saver = Saver(gallery.out, gallery.inputs, desk, lock)
    return Workshop(Bench(gallery.jobs), desk, saver, Drafts(), weights, save)
