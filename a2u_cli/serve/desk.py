"""What is made of a job's picture: previews, trimaps, mattes and results, as the commands make them."""

import copy
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..images.memory import Bound
from ..images.reading import Picture, read_bytes, read_image
from ..images.writing import encode_image
from ..jobs.folder import Loaded, encode, read_hint
from ..jobs.options import Options
from ..matting.inference import Quality
from ..pairing import Pair
from ..trimap import band_pixels, check_pair, describe, make_trimap, read_trimap
from ..units import FloatArray, Trimap
from .bench import Job
from .refusals import Refused
from .shelf import Shelf
from .turns import Watch

if TYPE_CHECKING:
    from ..matting.matter import Matter

Load = Callable[[int], "Matter"]  # for results of so many bits a channel


class Desk:
    """Reads, mattes and encodes; what took time stays on a shelf.

    A matte is kept by the picture, the trimap, the weights and the quality. That is the only reuse
    that is exact: every kernel depends on means over the whole picture, so a stroke changes all.
    """

    def __init__(
        self,
        load: Load,
        shelf: Shelf,
        *,
        root: Path | None = None,
        max_memory: int | None = None,
    ) -> None:
        self._load, self.shelf, self.max_memory = load, shelf, max_memory
        self.root = root and root.resolve()
        self._hashes: dict[tuple[Path, int, int], str] = {}

    def matter_for(self, depth: int) -> "Matter":
        """Give the weights for results of so many bits a channel."""
        return self._load(depth)

    def matter(self, options: Options, quality: str = "auto") -> "Matter":
        """Give the weights for results of a depth, at a quality."""
        matter = self.matter_for(options.depth)
        if quality in ("auto", matter.quality):
            return matter
        other = copy.copy(matter)
        other.quality = cast(Quality, quality)
        return other

    def hash(self, path: Path) -> str:
        """Give the sha256 of a file, read again only where it was changed."""
        status = path.stat()
        key = path, status.st_mtime_ns, status.st_size
        if key not in self._hashes:
            self._hashes[key] = hashlib.sha256(read_bytes(path, path.name)).hexdigest()
        return self._hashes[key]

    def picture(self, job: Job) -> Picture:
        """Read a job's picture; raises ImageError, OutOfMemory."""
        return self.shelf.keep(
            ("picture", self.hash(job.path)),
            lambda: read_image(job.path, name=job.title, max_memory=self.max_memory),
        )

    def trimap(self, job: Job) -> Trimap:
        """Give a job's trimap, uint8 (H, W) in {0, 128, 255}; raises Refused where it has none."""
        if job.trimap:
            path = Path(job.trimap)
            return self.shelf.keep(("trimap", path), lambda: read_trimap(path))
        if not job.has_trimap:
            raise Refused(409, f"{job.title} has no trimap yet; PUT its trimap or its mask first")
        pair = cast(Pair, job.pair)
        key = "hint", self.hash(pair.hint), pair.is_mask
        return self.shelf.keep(
            key, lambda: read_hint(pair, read_bytes(pair.hint, str(pair.hint)), Options())
        )

    def alpha(self, job: Job, matter: "Matter", watch: Watch) -> FloatArray:
        """Matte a job's picture, float32 (H, W) in [0, 1], or give what was matted before."""
        picture, trimap = self.picture(job), self.trimap(job)
        made_by = matter.sha256, matter.dtype_name, matter.quality
        return self.shelf.keep(
            ("alpha", self.hash(job.path), hash_trimap(trimap), *made_by),
            lambda: matter.matte(picture.image, trimap, watch=watch),
        )

    def result(
        self, job: Job, kind: str, options: Options, quality: str, watch: Watch
    ) -> bytes:
        """Give the bytes of a result's file, as the commands write it."""
        alpha = self.alpha(job, self.matter(options, quality), watch)
        pair = job.pair or Pair(job.name, job.path, job.path)
        loaded = Loaded(pair, {kind: ""}, self.picture(job), self.trimap(job))
        [(_, data)] = encode(loaded, alpha, options, self.max_memory)
        return data


def hash_trimap(trimap: Trimap) -> str:
    """Hash a trimap's levels, row by row."""
    return hashlib.sha256(trimap.tobytes()).hexdigest()
