"""Say what a trimap means, which pixels are background, unknown and foreground; and make one."""

import logging
import re
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .errors import TrimapError
from .images.arrays import require_array, require_shape
from .images.meaning import read_matte
from .images.metadata import turn_upright
from .units import BACKGROUND, FOREGROUND, UNKNOWN, FloatArray, Size, Trimap

log = logging.getLogger(__name__)

BACKGROUND_UP_TO = 0.1
FOREGROUND_FROM = 0.9
MOST_SHADED, SPREAD = 0.5, 0.15  # more unknown, of greys that differ by more: a photograph
SOFT_FROM = 0.02  # of a mask or an alpha: less is noise, as JPEG leaves it
BINS = 8  # a channel: coarse colours, to compare what lies under the foreground and the background
SAMPLES = 256  # along a longer side, where colours are compared
SURE, UNSURE = 0.25, -0.02  # less in common: see _turn_warnings

# How to turn a drawing made on the stored pixels into the upright picture, by EXIF orientation.
_TURNS = {
    2: "mirror it left to right",
    3: "rotate it by 180 degrees",
    4: "mirror it top to bottom",
    5: "mirror it left to right, then rotate it by 90 degrees counter-clockwise",
    6: "rotate it by 90 degrees clockwise",
    7: "mirror it left to right, then rotate it by 90 degrees clockwise",
    8: "rotate it by 90 degrees counter-clockwise",
}


@dataclass(frozen=True)
class TrimapShares:
    """The shares of the three kinds of pixels, each in [0, 1]."""

    background: float
    unknown: float
    foreground: float

    def __str__(self) -> str:
        return (
            f"background {self.background:.1%}, unknown {self.unknown:.1%}, "
            f"foreground {self.foreground:.1%}"
        ).replace("%", " %")


def read_trimap(
    source: str | Path | bytes,
    *,
    strict: bool = False,
    name: str | None = None,
    max_memory: int | None = None,
) -> Trimap:
    """Read a trimap's file, upright: uint8 (H, W) in {0, 128, 255}, as `parse_trimap` sorts it.

    Its greys are what `read_matte` takes of a drawn trimap; the log tells of more than greys.

    Raises: ImageError where it cannot be read or is no trimap, as a picture in colours, TrimapError
    where strict finds another level, OutOfMemory as in `read_image`.
    """
    name = name or ("standard input" if isinstance(source, bytes) else str(source))
    matte = read_matte(source, name=name, drawn=True, max_memory=max_memory)
    if note := matte.note(name):
        log.warning(note)
    return parse_trimap(matte.values, strict=strict, name=name)


def parse_trimap(
    grey: npt.NDArray[np.floating[Any]], *, strict: bool = False, name: str = "trimap"
) -> Trimap:
    """Sort the greys of a drawn trimap into background, unknown and foreground.

    grey: float (H, W) in [0, 1]. Up to 10 % is background, from 90 % foreground, the rest unknown;
    strict allows the levels 0, 128 and 255 only. Returns uint8 (H, W) in {0, 128, 255}; the log
    warns of what looks like a photograph.

    Raises: TrimapError where it is no such array, or where strict finds another level.
    """
    require_array(grey, name, channels=(1,), error=TrimapError)
    if strict:
        _require_exact(grey, name)
    trimap = np.full(grey.shape, UNKNOWN, np.uint8)
    trimap[grey <= BACKGROUND_UP_TO] = BACKGROUND
    trimap[grey >= FOREGROUND_FROM] = FOREGROUND
    shades = grey[trimap == UNKNOWN]
    if shades.size > MOST_SHADED * grey.size and shades.std() > SPREAD:
        log.warning("%s has greys of all kinds, as a photograph has; a trimap has three", name)
    return trimap


def make_trimap(
    alpha: npt.NDArray[np.floating[Any]], *, inside: float, outside: float, soft: float = SOFT_FROM
) -> Trimap:
    """Make a trimap from a mask or an alpha: bands around every edge, and all that is soft.

    alpha: float (H, W) in [0, 1]; inside, outside: how many pixels the unknown band reaches into
    the foreground and into the background, by Euclidean distance between pixel centres; soft:
    from there to 1 - soft a pixel counts as neither. Holes stay. Returns uint8 (H, W) in
    {0, 128, 255}.

    Raises: TrimapError where alpha is no such array, or a band is negative.
    """
    require_array(alpha, "the mask", channels=(1,), error=TrimapError)
    if not (inside >= 0 and outside >= 0):
        raise TrimapError(f"bands of {inside:g} and {outside:g} pixels, expected 0 or more")
    trimap = np.full(alpha.shape, UNKNOWN, np.uint8)
    for kind, solid, reach in (
        (FOREGROUND, alpha > 1 - soft, inside),
        (BACKGROUND, alpha < soft, outside),
    ):
        if solid.all():  # no edge at all
            trimap[...] = kind
        else:
            distance = cv2.distanceTransform(
                solid.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
            )
            trimap[solid & (distance > reach)] = kind
    return trimap


def band_pixels(text: str, size: tuple[int, int]) -> float:
    """Read the width of a band: pixels ("12" or "12px"), or a share of the diagonal ("1.5%").

    size: (height, width) of the picture.

    Raises: TrimapError for anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *(px|%)?", text.strip())
    if not found:
        raise TrimapError(f"band {text!r} is no width; expected pixels as 12, or 1.5% (diagonal)")
    number, unit = float(found[1]), found[2]
    return number / 100 * hypot(*size) if unit == "%" else number


def stray_pixels(grey: npt.NDArray[np.floating[Any]]) -> int:
    """Count the pixels (H, W), floats in [0, 1], that are none of a trimap's three levels."""
    levels = np.rint(grey * 255).astype(np.uint8)
    return int(np.count_nonzero(~np.isin(levels, (BACKGROUND, UNKNOWN, FOREGROUND))))


def _require_exact(grey: npt.NDArray[np.floating[Any]], name: str) -> None:
    levels = np.rint(grey * 255).astype(np.uint8)
    strays = levels[~np.isin(levels, (BACKGROUND, UNKNOWN, FOREGROUND))]
    if strays.size:
        greys, counts = np.unique(strays, return_counts=True)
        commonest = ", ".join(str(level) for level in greys[np.argsort(-counts, kind="stable")][:5])
        plural = "s" if strays.size > 1 else ""
        raise TrimapError(
            f"{name} has {strays.size} pixel{plural} of other greys (such as {commonest}), "
            "expected only 0, 128 and 255; redraw them or do without strict"
        )


def require_trimap(trimap: Any, name: str = "trimap") -> None:
    """Refuse what is no uint8 (H, W) in {0, 128, 255}; raises TrimapError."""
    legal = (BACKGROUND, UNKNOWN, FOREGROUND)
    require_shape(trimap, name, channels=(1,), error=TrimapError)
    if trimap.dtype != np.uint8 or not np.isin(trimap, legal).all():
        found = ", ".join(f"{value:g}" for value in np.unique(trimap)[:5])
        raise TrimapError(
            f"{name} is {trimap.dtype} {trimap.shape} of values such as {found}, expected uint8 "
            f"(H, W) of {legal}; make it with a2u_cli.trimap.parse_trimap"
        )


def describe(trimap: Trimap) -> TrimapShares:
    """Measure the shares of background, unknown and foreground: uint8 (H, W) in {0, 128, 255}."""
    counts = (np.count_nonzero(trimap == kind) for kind in (BACKGROUND, UNKNOWN, FOREGROUND))
    return TrimapShares(*(count / trimap.size for count in counts))


def check_pair(
    image_size: tuple[int, int],
    trimap: Trimap,
    *,
    names: tuple[str, str] = ("image", "trimap"),
    image_orientation: int = 1,
    image: FloatArray | None = None,
    of_mask: bool = False,
) -> list[str]:
    """Check that a trimap belongs to its image, and return warnings about what it lacks.

    image_size: (height, width) of the upright image; trimap: uint8 (H, W) in {0, 128, 255};
    names: of the image and of the trimap; image_orientation: the EXIF turn the image has had;
    image: float32 (H, W, 3) in [0, 1], which tells a trimap drawn on the unturned pixels where
    its size does not; of_mask: it was made of a mask of this name.

    Raises: TrimapError where the sizes differ, nothing is unknown, or the trimap clearly fits the
    unturned pixels only.
    """
    image_name, name = names
    require_trimap(trimap, name)
    height, width = trimap.shape
    if (height, width) != image_size:
        found = f"{name} is {width}x{height} but {image_name} is {image_size[1]}x{image_size[0]}"
        if (width, height) == image_size and image_orientation >= 5:
            turn = _TURNS[image_orientation]
            raise TrimapError(f"{found} upright: it was drawn on the unrotated picture; {turn}")
        raise TrimapError(f"{found}; resize one")
    shares = require_unknown(trimap, name, of_mask=of_mask)
    missing = [kind for kind in ("background", "foreground") if not getattr(shares, kind)]
    warnings = [f"{name} has no {kind} ({shares}); the alpha may be a guess" for kind in missing]
    if image_orientation in _TURNS and turn_upright(trimap, image_orientation).shape == image_size:
        warnings += _turn_warnings(trimap, names, image_orientation, image)
    return warnings


def require_unknown(trimap: Trimap, name: str, *, of_mask: bool) -> TrimapShares:
    """Give the shares of a trimap uint8 (H, W); raises TrimapError where nothing is unknown."""
    shares = describe(trimap)
    if shares.unknown:
        return shares
    if of_mask:
        raise TrimapError(
            f"{name} has no edge ({shares}), so there is nothing to matte; give a mask that is "
            "white on the object and black around it"
        )
    raise TrimapError(
        f"{name} has no unknown pixels ({shares}), so there is nothing to matte; paint the soft "
        "edges grey (128), or give it as a mask: --mask, --masks, or NAME_mask.png"
    )


def _turn_warnings(
    trimap: Trimap, names: tuple[str, str], orientation: int, image: FloatArray | None
) -> list[str]:
    """Say where a trimap may have been drawn on the unturned pixels, although its size fits.

    Foreground and background have fewer colours in common the better a trimap fits. Over 1023
    turned composites of cut-outs the wrong way never had 0.18 less in common than the right one,
    three quarters of the right ones had 0.2 less, and 95 % had 0.02 less.
    """
    turned = np.asarray(turn_upright(trimap, orientation), np.uint8)
    known = all((trimap == kind).any() for kind in (BACKGROUND, FOREGROUND))
    less = 0.0
    if known and image is not None:
        less = _colours_in_common(image, trimap) - _colours_in_common(image, turned)
    if less <= UNSURE:
        return []
    turns, turn = f"its EXIF (orientation {orientation})", _TURNS[orientation]
    if less > SURE:
        raise TrimapError(
            f"{names[1]} fits {names[0]} as its pixels are stored and not as {turns} turns it "
            f"upright; {turn}"
        )
    return [
        f"{names[0]} is turned upright by {turns}; if {names[1]} was drawn on the unturned pixels, "
        f"{turn}"
    ]


def _colours_in_common(image: FloatArray, trimap: Trimap) -> float:
    """Compare the colours of foreground and background: 0 none, 1 the same (Bhattacharyya)."""
    step = max(1, max(trimap.shape) // SAMPLES)
    coarse = np.clip(image[::step, ::step] * BINS, 0, BINS - 1).astype(int)
    bins = coarse @ np.array([BINS * BINS, BINS, 1])  # (h, w)
    shares = []
    for kind in (BACKGROUND, FOREGROUND):
        counts = np.bincount(bins[trimap[::step, ::step] == kind], minlength=BINS**3)
        shares.append(counts / max(1, counts.sum()))
    return float(np.sqrt(shares[0] * shares[1]).sum())


def restore_known(alpha: FloatArray, trimap: Trimap) -> FloatArray:
    """Return the alpha with known pixels at exactly 0 or 1: float32 (H, W) in [0, 1].

    Raises: TrimapError where the sizes differ.
    """
    require_shape(alpha, "alpha", channels=(1,), error=TrimapError)
    require_shape(trimap, "trimap", channels=(1,), error=TrimapError)
    if alpha.shape != trimap.shape:
        raise TrimapError(f"alpha is {alpha.shape} but trimap is {trimap.shape}; resize one")
    known = np.where(trimap == FOREGROUND, np.float32(1), np.float32(0))
    return np.where(trimap == UNKNOWN, alpha, known)


def shrink_trimap(trimap: Trimap, size: Size) -> Trimap:
    """Give the trimap of a smaller picture, of (height, width): uint8 in {0, 128, 255}.

    Known is what is known all over.
    """
    height, width = size
    small = np.full(size, UNKNOWN, np.uint8)
    for known in (BACKGROUND, FOREGROUND):
        share = np.asarray(trimap == known, np.float32)
        share = np.asarray(cv2.resize(share, (width, height), interpolation=cv2.INTER_AREA))
        small[share > 0.999] = known
    return small
