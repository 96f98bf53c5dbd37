"""A coarse matte in a moment, while a trimap is painted: one pass over a small picture."""

from math import sqrt

import cv2
import numpy as np

from ..trimap import shrink_trimap
from ..units import FloatArray, Size, Trimap
from .quality import Watch
from .runtime import Runtime

MOST = 250_000  # pixels: a pass over them takes one core 0.7 s where all is unknown, half that two


def draft(
    matter: Runtime, image: FloatArray, trimap: Trimap, *, watch: Watch | None = None
) -> FloatArray:
    """Estimate a coarse alpha matte: float32 (h, w) in [0, 1], of the size that `draft_size` gives.

    `image` is float32 (H, W, 3) RGB in [0, 1], `trimap` uint8 (H, W) in {0, 128, 255}. Known is
    only what is known all over a pixel of the small picture. `watch` is as in `Matter.matte`.

    Raises what `Matter.matte` does.
    """
    return small_pass(matter, *shrink(image, trimap), watch=watch)


def draft_size(size: Size) -> Size:
    """Give the size at which a picture of (height, width) is drafted: at most `MOST` pixels."""
    height, width = size
    share = min(1.0, sqrt(MOST / (height * width)))
    return max(1, round(height * share)), max(1, round(width * share))


def shrink(image: FloatArray, trimap: Trimap) -> tuple[FloatArray, Trimap]:
    """Bring a picture and its trimap to the size of a draft."""
    height, width = draft_size((trimap.shape[0], trimap.shape[1]))
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.clip(small, 0.0, 1.0, dtype=np.float32), shrink_trimap(trimap, (height, width))


def small_pass(
    matter: Runtime, image: FloatArray, trimap: Trimap, *, watch: Watch | None = None
) -> FloatArray:
    """Run one pass, whatever quality the matter has."""
    return matter.pass_once(image, trimap, watch=watch)
