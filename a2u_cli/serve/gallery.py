"""The pictures that the page shows: one, or those of a folder, with the trimaps they have."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..errors import ImageError
from ..images.listing import OUTPUT_FOLDER, LeftOut, instead
from ..images.reading import read_image
from ..jobs.journal import find_own, find_painted, find_results
from ..jobs.options import OUTPUTS
from ..pairing import TRIMAP_ROLES, Pair, find_pairs, match
from ..pairing.roles import MASK_ROLES, name_of
from .bench import Job


@dataclass(frozen=True)
class Gallery:
    """Pictures as jobs, p1 to pN: the folder that they lie in, where their results go.

    `inputs` are what no result may replace, `left_out` is what is not shown, and why.
    """

    root: Path
    out: Path
    jobs: tuple[Job, ...]
    inputs: tuple[Path, ...]
    left_out: LeftOut = ()


def open_gallery(place: Path, out: Path | None) -> Gallery:
    """List a picture, or a folder's; raises ImageError where there is none."""
    if place.is_dir():
        return _open_folder(place, out or place / OUTPUT_FOLDER)
    read_image(place)  # or it is said why that cannot be
    out = out or place.parent / OUTPUT_FOLDER
    pair = _find_pair(place, find_painted(out))
    inputs = _unpainted((place, pair.hint), out)
    return Gallery(place.resolve().parent, out, _as_jobs([pair]), inputs)


def _open_folder(folder: Path, out: Path) -> Gallery:
    """List a folder's pictures as a batch does, and those without a trimap, too."""
    found = find_pairs(
        folder,
        results=partial(find_results, folder),
        own=find_own(out, OUTPUTS),
        painted=find_painted(out),
    )
    root = folder.resolve()
    alone = [Pair(name_of(path, folder), path, path) for path in found.unpaired]
    pairs = sorted((*found.found, *alone), key=lambda pair: pair.name)
    inside = [pair for pair in pairs if pair.image.resolve().is_relative_to(root)]
    left_out = [
        (pair.image, "its link leads out of the folder") for pair in pairs if pair not in inside
    ]
    if not inside:
        raise ImageError(f"{folder} has no pictures, expected some{instead(tuple(left_out))}")
    inputs = _unpainted(found.files, out)
    return Gallery(root, out, _as_jobs(inside), inputs, (*found.left_out, *left_out))


def _as_jobs(pairs: list[Pair]) -> tuple[Job, ...]:
    return tuple(Job(f"p{n}", pair.name, pair.image, pair=pair) for n, pair in enumerate(pairs, 1))


def _unpainted(files: Iterable[Path], out: Path) -> tuple[Path, ...]:
    """Leave out the trimaps that were saved before: they may be painted anew."""
    painted = {*find_painted(out).values()}
    return tuple(path for path in files if path not in painted)


def _find_pair(photo: Path, painted: dict[str, Path]) -> Pair:
    """Find what lies beside a picture as its trimap, or as its mask."""
    name = photo.stem
    if name in painted:
        return Pair(name, photo, painted[name])
    for roles, is_mask in ((TRIMAP_ROLES, False), (MASK_ROLES, True)):
        hints = match([name], photo.parent, roles, suffixed=True, pictures=[name], below=["."])
        if name in hints:
            return Pair(name, photo, hints[name], is_mask)
    return Pair(name, photo, photo)
