"""Check the mattes of a folder's run: along with it, or from its files."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ImageError, listed
from ..images.meaning import read_matte
from ..images.reading import read_bytes, read_image
from ..images.writing import quantise
from ..matting.finishing import finish
from ..pairing import Pair, index
from ..pairing.roles import name_of
from ..scoring.contact_sheet import Entry, draw_thumbnails
from ..scoring.suspicion import Views, suspect, widen
from ..trimap import check_pair
from ..units import FloatArray, Trimap
from .findings import Findings
from .folder import Loaded, outputs, read_hint, reason
from .manifest import Manifest
from .options import Options

if TYPE_CHECKING:
    from ..matting.runtime import Runtime


def examine(
    pair: Pair,
    image: FloatArray,
    trimap: Trimap,
    alpha: FloatArray,
    matter: "Runtime",
    *,
    matte: Path | None = None,
    drawn: bool = False,
) -> Entry:
    """Check a pair's matte by other views of its picture, which take two passes over a small one.

    Arrays are as in `Matter.matte`; `matte` is the file, `drawn` asks for small pictures. What goes
    wrong is an entry, too.
    """
    files = _name_files(pair, matte)
    try:
        suspicion = suspect(image, trimap, alpha, look_again(matter, image, trimap))
        pictures = draw_thumbnails(image, trimap, alpha) if drawn else ()
        return Entry.of(pair.name, suspicion, files=files, pictures=pictures)
    except Exception as error:  # of one picture: the others go on
        return Entry.unchecked(pair.name, reason(error), files=files)


def look_again(matter: "Runtime", image: FloatArray, trimap: Trimap) -> Views:
    """Matte a picture twice more, small: mirrored, and where the trimap knows less.

    Raises what `Matter.matte` does.
    """
    from ..matting.drafting import shrink, small_pass

    small, known = shrink(image, trimap)
    flipped = np.ascontiguousarray(small[:, ::-1]), np.ascontiguousarray(known[:, ::-1])
    mirrored, wide = small_pass(matter, *flipped)[:, ::-1], widen(known)
    return Views(mirrored, small_pass(matter, small, wide), wide)


def examine_made(
    loaded: Loaded, alpha: FloatArray, matter: "Runtime", options: Options, folder: Path
) -> Entry:
    """Check a matte that was just made, finished as it goes into a run's folder."""
    pair, picture = loaded.pair, loaded.picture
    matte = outputs(pair, folder, options)["alpha"]
    shown = finish(alpha, options.with_own(pair.own).finish)
    if options.depth < 32:  # as it is read again
        levels = quantise(shown, options.depth)
        shown = np.divide(levels, np.iinfo(levels.dtype).max, dtype=np.float32)
    return examine(pair, picture.image, loaded.trimap, shown, matter, matte=matte, drawn=True)


def check_files(
    pair: Pair, mattes: "Mattes", matter: "Runtime", options: Options, *, drawn: bool = False
) -> Entry:
    """Check the matte that lies there for a pair; what cannot be read is an entry, too.

    `options` say how the trimap was read, or made of the mask; the rest is as in `examine`.
    """
    bound, path = matter.max_memory, None
    try:
        path = mattes.find(pair.name)
        picture = read_image(pair.image, max_memory=bound)
        hint = read_bytes(pair.hint, str(pair.hint))
        trimap = read_hint(pair, hint, options, max_memory=bound)
        names = str(pair.image), str(pair.hint)
        check_pair(picture.size, trimap, names=names, of_mask=pair.is_mask)
        alpha = read_matte(path, max_memory=bound, guess=False).values
    except Exception as error:  # of one picture: the others go on
        return Entry.unchecked(pair.name, reason(error), files=_name_files(pair, path))
    return examine(pair, picture.image, trimap, alpha, matter, matte=path, drawn=drawn)


def _name_files(pair: Pair, matte: Path | None) -> tuple[str, ...]:
    return tuple(str(path) for path in (pair.image, pair.hint, matte) if path)


class Mattes:
    """The mattes in the output folder of a run, by their pictures' names.

    Raises ImageError where it has none.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out / "alpha"
        self.files = index(self.folder) if self.folder.is_dir() else {}
        if not self.files:
            raise ImageError(
                f"{self.folder} has no mattes, expected what a2u batch saves as alpha; give its "
                "output folder, and let it save alpha among the others: --save alpha,cutout"
            )

    def find(self, name: str) -> Path:
        """Give the matte of a picture; raises ImageError where there is none, or more than one."""
        paths = self.files.get(name, [])
        if len(paths) == 1:
            return paths[0]
        if paths:
            raise ImageError(f"it has more than one matte ({listed(paths)}); keep one")
        raise ImageError(f"it has no matte in {self.folder}; a2u batch makes one")

    @property
    def paths(self) -> Iterator[Path]:
        """Give all files."""
        return (path for paths in self.files.values() for path in paths)


def check_rest(
    pairs: Iterable[Pair], findings: Findings, folder: Path, matter: "Runtime", options: Options
) -> None:
    """Check the pairs of which nothing was found yet: their mattes were there before the run."""
    if rest := [pair for pair in pairs if pair.name not in findings]:
        mattes = Mattes(folder)
        for pair in rest:
            findings.add(check_files(pair, mattes, matter, options, drawn=True))


def list_others(found: Manifest, mattes: Mattes, source: Path) -> list[Entry]:
    """Enter what cannot be checked: pictures without a trimap, failed rows, mattes of no picture.

    `source` is the folder that the pictures were found in, or the manifest.
    """
    known = {*(pair.name for pair in found.found), *(row.name for row in found.failed)}
    alone = {name_of(path, source): path for path in found.unpaired}
    entries = [
        Entry.unchecked(name, "it has no trimap or mask", kind="no trimap", files=(str(path),))
        for name, path in alone.items()
    ]
    entries += [Entry.unchecked(row.name, row.reason, kind="failed") for row in found.failed]
    for name in sorted(mattes.files.keys() - known):
        if not any(f"/{other}".endswith(f"/{name}") for other in alone):  # below image/, perhaps
            why = f"its picture is not in {source}"
            entries.append(Entry.unchecked(name, why, kind="no picture"))
    return entries
