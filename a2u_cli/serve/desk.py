"""What is made of a job's picture: previews, drafts, mattes and results, as the commands do."""

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..images.previews import encode_preview
from ..images.reading import Picture, read_bytes, read_image
from ..images.writing import encode_image
from ..jobs.folder import Loaded, encode, read_hint
from ..jobs.options import Options
from ..jobs.places import hash_file
from ..jobs.provenance import Input, Origin
from ..matting.doubt import doubt, next_place
from ..matting.drafting import draft
from ..matting.inference import Quality
from ..pairing import Pair
from ..trimap import check_pair, read_trimap
from ..units import FloatArray, Size, Trimap
from .bench import Job
from .refusals import Refused
from .shelf import Shelf
from .turns import Watch
from .wishes import Wish

if TYPE_CHECKING:
    from ..matting.matter import Matter

Load = Callable[[int], "Matter"]  # for results of so many bits a channel
BITS, MORE = 8, 16  # a channel of what is looked at, and of all that wants to be more exact


@dataclass(frozen=True)
class Look:
    """What a picture is, without its pixels."""

    size: Size
    depth: int
    light: bool


class Desk:
    """Reads, mattes and encodes; what took time stays on a shelf. Pictures lie below `root`.

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
        provenance: bool = True,
    ) -> None:
        self.load, self.shelf, self.max_memory = load, shelf, max_memory
        self.provenance = provenance
        self.root = root and root.resolve()
        self.looks: dict[Path, Look] = {}  # of the folder's pictures, as far as they were opened

    def matter(self, depth: int = BITS, quality: str = "auto") -> "Matter":
        """Give the weights for results of so many bits, at a quality."""
        matter = self.load(BITS if depth == BITS else MORE)
        if quality in ("auto", matter.quality):
            return matter
        other = copy.copy(matter)
        other.quality = cast(Quality, quality)
        return other

    def hash(self, path: Path) -> str:
        """Give the sha256 of a file, read again only where it was changed."""
        status = path.stat()
        key = "hash", path, status.st_mtime_ns, status.st_size
        return self.shelf.keep(key, lambda: hash_file(path))

    def hash_picture(self, job: Job) -> str:
        """Give the sha256 of a job's picture; raises Refused where a link leads out by now."""
        if job.pair and self.root and not job.path.resolve().is_relative_to(self.root):
            raise Refused(403, f"{job.title} is a link out of the folder, expected a picture in it")
        return self.hash(job.path)

    def picture(self, job: Job) -> Picture:
        """Read a job's picture; raises ImageError, OutOfMemory."""
        return self.shelf.keep(
            ("picture", self.hash_picture(job)),
            lambda: read_image(job.path, name=job.title, max_memory=self.max_memory),
        )

    def look(self, job: Job) -> Look:
        """Tell what a job's picture is; raises ImageError, OutOfMemory."""

        def see() -> Look:
            picture = self.picture(job)
            return Look(picture.size, picture.depth, picture.light is not None)

        look = self.shelf.keep(("look", self.hash_picture(job)), see)
        if job.kept:
            self.looks[job.path] = look
        return look

    def preview(self, job: Job, side: int | None) -> bytes:
        """Show a job's picture as a PNG of 8 bits, its longer side at most `side`."""
        key = "preview", self.hash_picture(job), side
        return self.shelf.keep(key, lambda: encode_preview(self.picture(job).image, side))

    def trimap(self, job: Job) -> Trimap:
        """Give a job's trimap, uint8 (H, W) in {0, 128, 255}; raises Refused where it has none."""
        if job.trimap:
            path = job.trimap.path
            return self.shelf.keep(("trimap", path), lambda: read_trimap(path))
        if not job.has_trimap:
            raise Refused(409, f"{job.title} has no trimap yet; PUT its trimap or its mask first")
        pair = cast(Pair, job.pair)
        data = read_bytes(pair.hint, str(pair.hint))
        key = "hint", hashlib.sha256(data).hexdigest(), pair.is_mask
        trimap = self.shelf.keep(
            key, lambda: read_hint(pair, data, Options(), max_memory=self.max_memory)
        )
        self.check(job, trimap, pair.hint.name, of_mask=pair.is_mask)
        return trimap

    def check(self, job: Job, trimap: Trimap, name: str, *, of_mask: bool) -> list[str]:
        """Refuse a trimap that does not fit a job's picture, or give warnings; raises TrimapError.

        `name` is the trimap's, or that of the mask that it was made of.
        """
        picture = self.picture(job)
        return check_pair(
            picture.size,
            trimap,
            names=(job.title, name),
            image_orientation=picture.orientation,
            image=picture.image,
            of_mask=of_mask,
        )

    def alpha(self, job: Job, matter: "Matter", watch: Watch) -> FloatArray:
        """Matte a job's picture, float32 (H, W) in [0, 1], or give what was matted before."""
        picture, trimap = self.picture(job), self.trimap(job)
        return self.shelf.keep(
            self._key(job, trimap, matter),
            lambda: matter.matte(picture.image, trimap, watch=watch),
        )

    def _key(self, job: Job, trimap: Trimap, matter: "Matter") -> tuple[str, ...]:
        """Give what a matte is kept by."""
        made_by = matter.sha256, matter.dtype_name, matter.quality
        return "alpha", self.hash_picture(job), hash_trimap(trimap), *made_by

    def result(self, job: Job, kind: str, wish: Wish, watch: Watch) -> bytes:
        """Give the bytes of a result's file, as the commands write it."""
        matter = self.matter(wish.options.depth, wish.quality)
        alpha = self.alpha(job, matter, watch)
        pair = job.pair or Pair(job.name, job.path, job.path)
        loaded = Loaded(pair, {kind: ""}, self.picture(job), self.trimap(job), self.origin(job))
        [(_, data)] = encode(loaded, alpha, self.options(wish, matter), self.max_memory)
        return data

    def options(self, wish: Wish, matter: "Matter") -> Options:
        """Give all that shapes a result."""
        return replace(wish.options.by(matter), provenance=self.provenance)

    def origin(self, job: Job) -> Origin:
        """Tell what a job's results are made of, as a batch tells it once they are saved.

        A painted trimap is what `GET trimap` gives, and is named as it is saved.
        """
        pair = job.pair
        name = job.path.name if pair else job.title
        picture = Input("picture", name, self.hash_picture(job))
        if pair and not job.trimap:
            role = "mask" if pair.is_mask else "trimap"
            return Origin((picture, Input(role, pair.hint.name, self.hash(pair.hint))))
        trimap = self.trimap(job)
        digest = self.shelf.keep(("written", hash_trimap(trimap)), lambda: hash_written(trimap))
        return Origin((picture, Input("trimap", f"{Path(job.title).name}.png", digest)))

    def draft(self, job: Job, watch: Watch) -> tuple[bytes, Size]:
        """Give a coarse matte, of a size that is soon done, as a PNG; and the picture's size."""
        picture, trimap = self.picture(job), self.trimap(job)
        alpha = draft(self.matter(), picture.image, trimap, watch=watch)
        return encode_preview(alpha), picture.size

    def doubt(self, job: Job, watch: Watch) -> tuple[bytes, tuple[int, int] | None]:
        """Give where the network's views disagree, as a PNG, and (x, y) of where to paint next.

        A full matte that is at hand is one of the views.
        """
        trimap, matter = self.trimap(job), self.matter()
        alpha = cast(FloatArray | None, self.shelf.find(self._key(job, trimap, matter)))
        found = doubt(matter, self.picture(job).image, trimap, alpha, watch=watch)
        return encode_preview(found), next_place(found, trimap)


def hash_written(trimap: Trimap) -> str:
    """Hash the file that a trimap is given and saved as."""
    return hashlib.sha256(encode_image(trimap, "png", depth=8)).hexdigest()


def hash_trimap(trimap: Trimap) -> str:
    """Hash a trimap's levels, row by row."""
    return hashlib.sha256(trimap.tobytes()).hexdigest()
