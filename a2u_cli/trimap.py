"""Say what a trimap means: which pixels are background, unknown and foreground."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import TrimapError

BACKGROUND = 0
UNKNOWN = 128
FOREGROUND = 255

BACKGROUND_UP_TO = 0.1
FOREGROUND_FROM = 0.9

FloatArray = npt.NDArray[np.float32]
Trimap = npt.NDArray[np.uint8]

# How to turn a drawing made on the stored pixels into the upright picture, by EXIF orientation.
_TURNS = {
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


def parse_trimap(
    grey: npt.NDArray[np.floating[Any]], *, strict: bool = False, name: str = "trimap"
) -> Trimap:
    """Sort the greys of a drawn trimap into background, unknown and foreground.

    grey: float (H, W) in [0, 1]. Up to 10 % is background, from 90 % foreground, the rest unknown;
    strict allows the levels 0, 128 and 255 only. Returns uint8 (H, W) in {0, 128, 255}.

    Raises: TrimapError where the values lie outside [0, 1], or where strict finds another level.
    """
    if grey.ndim != 2 or not (grey.size and grey.min() >= 0 and grey.max() <= 1):
        found = f"{grey.min()} to {grey.max()}" if grey.size else "nothing"
        raise TrimapError(
            f"{name} holds {found} in shape {grey.shape}, expected (H, W) in [0, 1]; scale it"
        )
    if strict:
        _require_exact(grey, name)
    trimap = np.full(grey.shape, UNKNOWN, np.uint8)
    trimap[grey <= BACKGROUND_UP_TO] = BACKGROUND
    trimap[grey >= FOREGROUND_FROM] = FOREGROUND
    return trimap


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
) -> list[str]:
    """Check that a trimap belongs to its image, and return warnings about what it lacks.

    image_size: (height, width) of the upright image; trimap: uint8 (H, W) in {0, 128, 255};
    names: of the image and of the trimap; image_orientation: the EXIF turn the image has had.

    Raises: TrimapError where the sizes differ or nothing is unknown.
    """
    image_name, name = names
    height, width = trimap.shape
    if (height, width) != image_size:
        found = f"{name} is {width}x{height} but {image_name} is {image_size[1]}x{image_size[0]}"
        if (width, height) == image_size and image_orientation in _TURNS:
            turn = _TURNS[image_orientation]
            raise TrimapError(f"{found} upright: it was drawn on the unrotated picture; {turn}")
        raise TrimapError(f"{found}; resize one")
    shares = describe(trimap)
    if not shares.unknown:
        raise TrimapError(
            f"{name} has no unknown pixels ({shares}), so there is nothing to matte; paint the "
            "soft edges grey (128)"
        )
    missing = [kind for kind in ("background", "foreground") if not getattr(shares, kind)]
    return [f"{name} has no {kind} ({shares}); the alpha may be a guess" for kind in missing]


def restore_known(alpha: FloatArray, trimap: Trimap) -> FloatArray:
    """Return the alpha with known pixels at exactly 0 or 1: float32 (H, W) in [0, 1].

    Raises: TrimapError where the sizes differ.
    """
    if alpha.shape != trimap.shape:
        raise TrimapError(f"alpha is {alpha.shape} but trimap is {trimap.shape}; resize one")
    known = np.where(trimap == FOREGROUND, np.float32(1), np.float32(0))
    return np.where(trimap == UNKNOWN, alpha, known)
