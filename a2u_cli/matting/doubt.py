"""Where a matte is in doubt, as two views of the picture disagree: to paint there next."""

import cv2
import numpy as np

from ..trimap import require_trimap
from ..units import UNKNOWN, FloatArray, Trimap
from .drafting import shrink, small_pass
from .quality import Watch
from .runtime import Runtime

SPREAD = 2.0  # pixels of a draft: a view is off beside the edge that the other sees
SOFT = 0.1  # what a half-transparent pixel counts of itself: these err most often
SURE = 0.15  # less doubt than that sends nobody there
STROKE = 1 / 40  # of a draft's longer side: what one stroke settles around it


def doubt(
    matter: Runtime,
    image: FloatArray,
    trimap: Trimap,
    alpha: FloatArray | None = None,
    *,
    watch: Watch | None = None,
) -> FloatArray:
    """Tell how doubtful a matte is: float32 (h, w) in [0, 1], at a draft's size, 0 where known.

    It is how far the matte and that of the mirrored picture, a small pass, are apart, and a little
    of what is neither 0 nor 1. `image` is float32 (H, W, 3) in [0, 1], `trimap` uint8 (H, W) in
    {0, 128, 255}; `alpha`, float32 in [0, 1] of any size, is the matte, None: a draft's, which
    costs another pass. `watch` is as in `Matter.matte`; it is told of each pass alone.

    Raises what `Matter.matte` does.
    """
    image, trimap = shrink(image, trimap)
    height, width = trimap.shape
    if alpha is None:
        alpha = small_pass(matter, image, trimap, watch=watch)
    elif alpha.shape != trimap.shape:
        alpha = np.asarray(
            cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA), np.float32
        )
    flipped = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(trimap[:, ::-1])
    apart = np.abs(alpha - small_pass(matter, *flipped, watch=watch)[:, ::-1])
    apart = np.asarray(cv2.GaussianBlur(apart, (0, 0), SPREAD), np.float32)
    doubtful = np.minimum(apart + np.float32(4 * SOFT) * alpha * (1 - alpha), np.float32(1))
    return np.where(trimap == UNKNOWN, doubtful, np.float32(0))


def next_place(doubt: FloatArray, trimap: Trimap) -> tuple[int, int] | None:
    """Give the unknown pixel to paint next, (x, y) in the trimap: where most doubt lies around it.

    `doubt` is what `doubt` gives, `trimap` uint8 (H, W) in {0, 128, 255}; None where all is sure.

    Raises TrimapError for another trimap.
    """
    require_trimap(trimap)
    size = doubt.shape[::-1]
    unknown = np.asarray(trimap == UNKNOWN, np.float32)
    share = np.asarray(cv2.resize(unknown, size, interpolation=cv2.INTER_AREA))
    there = (doubt > SURE) & (share > 0.01)
    if not there.any():
        return None
    weighed, outside = np.where(there, doubt, 0), cv2.BORDER_CONSTANT  # beyond the border is none
    around = cv2.GaussianBlur(weighed, (0, 0), STROKE * max(size), borderType=outside)
    place = np.unravel_index(np.where(there, around, 0).argmax(), there.shape)
    return _unknown_pixel(trimap, place, there.shape)


def _unknown_pixel(
    trimap: Trimap, place: tuple[np.intp, ...], size: tuple[int, ...]
) -> tuple[int, int]:
    """Find the unknown pixel nearest to the middle of what a smaller plane's place stands for."""
    scale = np.array(trimap.shape) / size
    first = np.floor(place * scale).astype(int)
    last = np.ceil((np.array(place) + 1) * scale).astype(int)
    block = trimap[first[0] : last[0], first[1] : last[1]]
    pixels = first + np.argwhere(block == UNKNOWN)
    apart = np.square(pixels + 0.5 - (np.array(place) + 0.5) * scale).sum(1)
    row, column = pixels[apart.argmin()].tolist()
    return column, row
