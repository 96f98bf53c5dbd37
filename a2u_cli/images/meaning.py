"""Say what a file means as a matte: its transparency, its greys, or its labels; one rule for all.

Masks, alphas, truths, predictions and trimaps come as cut-outs, as opaque RGBA, with a palette of
label colours, with labels that look black, or with 8 bits in 16. docs/trimaps.md states the rule in
words.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import A2UError, ImageError, is_memory, listed
from ..units import FloatArray, Levels
from .decoding import DAMAGE, open_picture
from .exr import is_exr
from .memory import Bound
from .metadata import read_exif, turn_upright
from .reading import read_bytes, read_levels

OPAQUE_FROM = 0.98  # a transparency that is nowhere less says nothing
BLACK_UP_TO = 0.1  # a file with no lighter level looks black
TRIMAP_LABELS = ([1, 2], [127, 255], [128, 255])  # unknown and foreground; 0 is background
# More between channels are colours, if in more of the pixels that are neither black nor white.
COLOURED_FROM, COLOURED_SHARE, FEWEST = 0.1, 0.01, 1e-4
MOST_LABELS = 2  # of a dark file: more are no trimap's
GREYS = "its greys"
Numbers = npt.NDArray[np.uint8]  # (H, W), of a palette


@dataclass(frozen=True)
class Matte:
    """What was read: float32 (H, W) in [0, 1], and what of the file that is, in words.

    depth: bits a channel of the file, 8 or 16; tinted: its greys are the mean of differing colours.
    """

    values: FloatArray
    taken: str = GREYS
    depth: int = 8
    tinted: bool = False

    def note(self, name: str) -> str:
        """Say in a line what was taken of a file; empty where it is what anybody expects."""
        return "" if self.taken == GREYS else f"{name}: {self.taken}"


@dataclass(frozen=True)
class Looks:
    """What one file, or several that mean the same (`|`), look like: by this a meaning is guessed.

    deep: the highest level in 16 bits; labels: the levels above 0 where all look black, and few are
    there, else None; palette: the numbers of a palette in colours; transparent: one at least is;
    plain: those with an alpha channel are of one colour, or white where they can be seen.
    """

    deep: int = 0
    labels: frozenset[int] | None = frozenset()
    palette: frozenset[int] = frozenset()
    transparent: bool = False
    plain: bool = True

    def __or__(self, other: "Looks") -> "Looks":
        labels = None
        if self.labels is not None and other.labels is not None:
            labels = self.labels | other.labels
        return Looks(
            max(self.deep, other.deep),
            labels,
            self.palette | other.palette,
            self.transparent or other.transparent,
            self.plain and other.plain,
        )

    @property
    def is_of_8_bits(self) -> bool:
        """Tell whether 16 bits hold the levels of 8."""
        return 0 < self.deep <= np.iinfo(np.uint8).max

    @property
    def are_labels(self) -> bool:
        """Tell whether dark levels are labels: one beside 0, or 1 and 2."""
        labels = sorted(self.labels or ())
        return len(labels) == 1 or labels in TRIMAP_LABELS


def look_at(path: Path, *, drawn: bool = False) -> Looks:
    """Tell what a file looks like, with words of `read_matte`; raises ImageError, OutOfMemory."""
    data = read_bytes(path, str(path))
    levels, numbers = read_levels(data, name=str(path)), _palette_labels(data)
    return _look(levels, numbers, whole=_is_whole(levels, data), drawn=drawn)


def look_at_all(paths: Iterable[Path], *, drawn: bool = False) -> Looks:
    """Tell what files that mean the same look like together, but for those that cannot be read."""
    looks = Looks()
    for path in paths:
        with suppress(A2UError):  # whoever reads it will say so
            looks |= look_at(path, drawn=drawn)
    return looks


def read_matte(
    source: str | Path | bytes,
    *,
    name: str | None = None,
    max_pixels: int | None = None,
    max_memory: int | Bound | None = None,
    drawn: bool = False,
    invert: bool = False,
    guess: bool | Looks = True,
) -> Matte:
    """Read a mask, an alpha or a trimap, upright, at the file's precision.

    The first of these that the file has: transparency (somewhere less than 98 % opaque); labels, as
    a palette of colours from black on, or as levels that look black: one beside 0, or 1 and 2; 0 is
    background, the highest foreground, 1 below 2 half; greys. Of a `drawn` trimap the greys come
    before the transparency, unless all that can be seen is white, or one colour. Levels of at most
    255 in 16 bits are those of 8. `invert` turns the result, where black is the object. Without
    `guess`, how dark its levels are says nothing: of a film's frames one may be nearly empty. Where
    it means the same as others, that is guessed by what all of them look like: `Looks`.

    Raises: ImageError where there is no picture, one that is damaged or too large, an opaque one in
    colours, or labels of several objects; OutOfMemory as in `read_image`.
    """
    name = name or ("standard input" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else read_bytes(source, name)
    levels = read_levels(data, name=name, max_pixels=max_pixels, max_memory=max_memory)
    numbers, whole = _palette_labels(data), _is_whole(levels, data)
    looks = guess if isinstance(guess, Looks) else _look(levels, numbers, whole=whole, drawn=drawn)
    if not guess:
        looks = replace(looks, deep=0, labels=None)
    matte = _meaning(levels, numbers, name, whole=whole, drawn=drawn, looks=looks)
    matte = replace(matte, depth=8 * levels.dtype.itemsize)
    if not invert:
        return matte
    return replace(matte, values=np.float32(1) - matte.values, taken=f"{matte.taken}, inverted")


def _look(levels: Levels, numbers: Numbers | None, *, whole: bool, drawn: bool) -> Looks:
    """Tell what levels (H, W, C) look like, and the numbers (H, W) of a palette in colours."""
    deep = int(levels.max()) if levels.dtype == np.uint16 and whole else 0
    palette = frozenset(np.unique(numbers).tolist() if numbers is not None else ())
    looks = Looks(deep, None, palette)
    colours = levels[..., :3]
    if levels.shape[2] == 4:
        alpha = levels[..., 3]
        transparent = bool(alpha.min() < OPAQUE_FROM * np.iinfo(alpha.dtype).max)
        plain = drawn and _is_one_colour(colours, alpha)
        looks = replace(looks, transparent=transparent, plain=plain)
    eight = levels.dtype == np.uint8 or looks.is_of_8_bits
    if whole and colours.max() <= BLACK_UP_TO * np.iinfo(np.uint8 if eight else np.uint16).max:
        dark = colours.max(axis=2)  # (H, W)
        found = np.unique(dark[dark > 0])
        if len(found) <= MOST_LABELS:
            looks = replace(looks, labels=frozenset(found.tolist()))
    return looks


def _is_whole(levels: Levels, data: bytes) -> bool:
    """Tell whether levels are a file's own, and no steps of a float."""
    return levels.dtype == np.uint8 or not is_exr(data)


def _meaning(
    levels: Levels, numbers: Numbers | None, name: str, *, whole: bool, drawn: bool, looks: Looks
) -> Matte:
    kept = GREYS
    if levels.dtype == np.uint16 and whole and looks.is_of_8_bits:
        kept = f"its levels go up to {levels.max()} of 65535 and are taken as those of 8 bits"
        levels = levels.astype(np.uint8)
    colours = levels[..., :3]
    if levels.shape[2] == 4 and looks.transparent:
        if not drawn or looks.plain:
            alpha = levels[..., 3]
            top = np.iinfo(alpha.dtype).max
            values = np.divide(alpha, top, order="C", dtype=np.float32)  # (H, W)
            return Matte(values, "its transparency is taken, not its colours")
        kept = "it has an alpha channel, which is ignored: its colours are taken"
        return _greys(colours, name, kept)
    if numbers is not None:
        return _from_labels(numbers, name, looks.palette)
    if whole and 0 < (highest := colours.max()) <= BLACK_UP_TO * np.iinfo(levels.dtype).max:
        if looks.are_labels:
            return _from_labels(colours.max(axis=2), name, looks.labels or frozenset())
        kept = (
            f"its greys go up to {highest} of {np.iinfo(levels.dtype).max}, so all of it looks "
            "black; if they are labels, make a mask of the object"
        )
    return _greys(colours, name, kept)


def _is_one_colour(colours: Levels, alpha: Levels) -> bool:
    """Tell whether (H, W, C) is of one colour all over, or white where it can be seen.

    What is hidden is of any colour, often black; what can be seen is rounded.
    """
    if (colours == colours[0, 0]).all():
        return True
    seen = colours[alpha > 0]  # (N, C)
    return bool(len(seen)) and bool(seen.min() >= (1 - BLACK_UP_TO) * np.iinfo(seen.dtype).max)


def _greys(colours: Levels, name: str, taken: str) -> Matte:
    """Average the channels, (H, W, C) to float32 (H, W) in [0, 1]; refuse colours by ImageError."""
    top, tinted = np.float32(np.iinfo(colours.dtype).max), False
    if colours.shape[2] == 3:
        high, low = colours.max(axis=2), colours.min(axis=2)  # (H, W)
        coloured = np.count_nonzero(high - low > COLOURED_FROM * top)
        between = np.count_nonzero((high > COLOURED_FROM * top) & (low < top - COLOURED_FROM * top))
        if coloured > max(COLOURED_SHARE * between, FEWEST * high.size):
            raise ImageError(
                f"{name} is a picture in colours ({coloured} of its {high.size} pixels), expected "
                "greys from black to white; give the mask, the matte or the trimap itself"
            )
        tinted = bool((high - low).max() > top / 255)
    mean: FloatArray = colours.mean(axis=2, dtype=np.float32)
    return Matte(mean / top, taken, tinted=tinted)


def _from_labels(labels: npt.NDArray[np.integer], name: str, together: frozenset[int]) -> Matte:
    """Read labels (H, W): 0 is background, the highest foreground, a trimap's unknown half.

    `together` are those of all files that mean the same.

    Raises ImageError where there are others: nobody but the user knows which is the object.
    """
    found = sorted({*np.unique(labels).tolist(), *together})
    objects = [label for label in found if label]
    if len(objects) > 1 and objects not in TRIMAP_LABELS:
        raise ImageError(
            f"{name} holds labels {listed(found)} of several things, expected 0 and one more, or "
            "0, 1 (unknown) and 2; make a mask of the object, black and white"
        )
    highest = max(objects, default=1)
    values = labels.astype(np.float32) / np.float32(highest)
    meant = ", ".join(f"{label} as {label / highest:g}" for label in found)
    return Matte(values, f"its levels are taken as labels: {meant}")


def _palette_labels(data: bytes) -> Numbers | None:
    """Give the numbers (H, W) of a palette in colours that begins with black; None for others."""
    try:
        with open_picture(BytesIO(data)) as picture:
            if picture.mode != "P" or picture.palette is None:
                return None
            colours = np.array(picture.getpalette("RGB"), np.int16).reshape(-1, 3)
            indices = np.asarray(picture)
            used = colours[np.unique(indices)]
            orientation = read_exif(picture)[0] if picture.format != "TIFF" else 1
    except DAMAGE as error:  # what only an extra reads has no palette
        if is_memory(error):
            raise
        return None
    if colours[0].any() or not np.ptp(used, axis=1).any():
        return None
    return np.asarray(turn_upright(indices, orientation), np.uint8)
