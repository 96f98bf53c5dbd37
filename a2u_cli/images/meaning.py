"""Say what a file means as a matte: its transparency, its greys, or its labels; one rule for all.

Masks, alphas, truths, predictions and trimaps come as cut-outs, as opaque RGBA, with a palette of
label colours, or with labels 0, 1 and 2 that look black. docs/trimaps.md states the rule in words.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import ImageError, is_memory, listed
from ..units import FloatArray, Levels
from .decoding import DAMAGE, open_picture
from .memory import Bound
from .metadata import read_exif, turn_upright
from .reading import read_bytes, read_levels

OPAQUE_FROM = 0.98  # a transparency that is nowhere less says nothing
MOST_LABEL = 2  # a file with no higher level holds labels: 0 background, 1, 2 foreground
COLOURED_FROM, COLOURED_SHARE = 0.1, 0.01  # more between channels, in more pixels: colours
GREYS = "its greys"


@dataclass(frozen=True)
class Matte:
    """What was read: float32 (H, W) in [0, 1], and what of the file that is, in words."""

    values: FloatArray
    taken: str = GREYS

    def note(self, name: str) -> str:
        """Say in a line what was taken of a file; empty where it is what anybody expects."""
        return "" if self.taken == GREYS else f"{name}: {self.taken}"


def read_matte(
    source: str | Path | bytes,
    *,
    name: str | None = None,
    max_pixels: int | None = None,
    max_memory: int | Bound | None = None,
    drawn: bool = False,
    invert: bool = False,
) -> Matte:
    """Read a mask, an alpha or a trimap, upright, at the file's precision.

    The first of these that the file has: transparency (somewhere less than 98 % opaque); labels, as
    a palette of colours from black on, or as levels of at most 2, where 0 is background, the
    highest foreground and 1 below 2 half; greys. Of a `drawn` trimap the greys come before the
    transparency, unless they are one level. `invert` turns the result, where black is the object.

    Raises: ImageError where there is no picture, one that is damaged or too large, an opaque one in
    colours, or labels of several objects; OutOfMemory as in `read_image`.
    """
    name = name or ("standard input" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else read_bytes(source, name)
    levels = read_levels(data, name=name, max_pixels=max_pixels, max_memory=max_memory)
    matte = _meaning(levels, data, name, drawn=drawn)
    if not invert:
        return matte
    return Matte(np.float32(1) - matte.values, f"{matte.taken}, inverted")


def _meaning(levels: Levels, data: bytes, name: str, *, drawn: bool) -> Matte:
    top = np.iinfo(levels.dtype).max
    colours = levels[..., :3]
    if levels.shape[2] == 4:
        alpha = levels[..., 3]
        speaks = alpha.min() < OPAQUE_FROM * top
        if speaks and (not drawn or (colours == colours[0, 0]).all()):
            values = np.divide(alpha, top, order="C", dtype=np.float32)  # (H, W)
            return Matte(values, "its transparency is taken, not its colours")
        if speaks:
            return Matte(
                _greys(colours, name),
                "it has an alpha channel, which is ignored: its colours are taken",
            )
    if (labels := _palette_labels(data)) is not None:
        return _from_labels(labels, name)
    if 0 < colours.max() <= MOST_LABEL:
        return _from_labels(colours.max(axis=2), name)
    return Matte(_greys(colours, name))


def _greys(colours: Levels, name: str) -> FloatArray:
    """Average the channels, (H, W, C) to float32 (H, W) in [0, 1]; refuse colours by ImageError."""
    top = np.float32(np.iinfo(colours.dtype).max)
    if colours.shape[2] == 3:
        spread = colours.max(axis=2) - colours.min(axis=2)  # (H, W)
        share = np.count_nonzero(spread > COLOURED_FROM * top) / spread.size
        if share > COLOURED_SHARE:
            raise ImageError(
                f"{name} is a picture in colours ({share:.0%} of its pixels), expected greys "
                "from black to white; give the mask, the matte or the trimap itself"
            )
    mean: FloatArray = colours.mean(axis=2, dtype=np.float32)
    return mean / top


def _from_labels(labels: npt.NDArray[np.integer], name: str) -> Matte:
    """Read labels (H, W): 0 is background, the highest foreground, 1 below 2 half.

    Raises ImageError where there are others: nobody but the user knows which is the object.
    """
    found = np.unique(labels).tolist()
    objects = [label for label in found if label]
    if len(objects) > 1 and objects != [1, 2]:
        raise ImageError(
            f"{name} holds labels {listed(found)} of several things, expected 0 and one more, or "
            "0, 1 (unknown) and 2; make a mask of the object, black and white"
        )
    highest = max(objects, default=1)
    values = labels.astype(np.float32) / np.float32(highest)
    meant = ", ".join(f"{label} as {label / highest:g}" for label in found)
    return Matte(values, f"its levels are taken as labels: {meant}")


def _palette_labels(data: bytes) -> npt.NDArray[np.uint8] | None:
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
