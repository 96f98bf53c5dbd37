"""The pictures that the page shows: one, or those of a folder, with the trimaps they have."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..errors import ImageError
from ..images.listing import OUTPUT_FOLDER, LeftOut
from ..images.reading import read_bytes
from ..jobs.journal import find_own, find_painted, find_results
from ..jobs.options import OUTPUTS
from ..pairing import (
    TRIMAP_ROLES,
    Pair,
    find_pairs,
    match,
)
from ..pairing.roles import MASK_ROLES, name_of
from .bench import Job


@dataclass(frozen=True)
class Gallery:
    """Pictures as jobs, p1 to pN, where their results go, and what no result replaces."""

    folder: Path
    out: Path
    jobs: tuple[Job, ...]
    inputs: tuple[Path, ...]
    left_out: LeftOut = ()


def open_gallery(place: Path, out: Path | None) -> Gallery:
    """List a picture or a folder's; raises ImageError where there is none."""
    if not place.is_dir():
        read_bytes(place, str(place))  # or it is said why that cannot be
    folder = place if place.is_dir() else place.parent
    out = out or folder / OUTPUT_FOLDER
    painted = find_painted(out)
    if place.is_dir():
        found = find_pairs(
            folder,
            results=partial(find_results, folder),
            own=find_own(out, OUTPUTS),
            painted=painted,
        )
        alone = [Pair(name_of(path, folder), path, path) for path in found.unpaired]
        pairs, inputs, left_out = [*found.found, *alone], found.files, list(found.left_out)
    else:
        pairs, inputs, left_out = [_find_pair(place, painted)], (place,), []
    inside, outside = _split(pairs, folder)
    left_out += [(pair.image, "its link leads out of the folder") for pair in outside]
    if not inside:
        raise ImageError(f"{place} has no pictures to paint on, expected some; check the folder")
    inside.sort(key=lambda pair: pair.name)
    jobs = [Job(f"p{n}", pair.name, pair.image, pair=pair) for n, pair in enumerate(inside, 1)]
    own = {*painted.values()}
    kept = tuple(path for path in inputs if path not in own)
    return Gallery(folder, out, tuple(jobs), kept, tuple(left_out))


def _find_pair(photo: Path, painted: dict[str, Path]) -> Pair:
    """Find what lies beside a picture as its trimap, or as its mask."""
    name, image = photo.stem, photo
    if name in painted:
        return Pair(name, image, painted[name])
    for roles, is_mask in ((TRIMAP_ROLES, False), (MASK_ROLES, True)):
        hints = match([name], photo.parent, roles, suffixed=True, pictures=[name], below=["."])
        if name in hints:
            return Pair(name, image, hints[name], is_mask)
    return Pair(name, image, image)


def _split(pairs: Iterable[Pair], folder: Path) -> tuple[list[Pair], list[Pair]]:
    """Tell the pictures that lie below a folder from those that a link leads out to."""
    root, inside, outside = folder.resolve(), list[Pair](), list[Pair]()
    for pair in pairs:
        (inside if pair.image.resolve().is_relative_to(root) else outside).append(pair)
    return inside, outside
