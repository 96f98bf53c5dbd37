"""Settle the doubtful parts of a matte by colour, of what is near and of what looks alike."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from ..operators.fused.library import compiled, threads
from ..trimap import check_pair, restore_known, shrink_trimap
from ..units import UNKNOWN, FloatArray, Mask, Trimap
from . import c_laplacian
from .descent import Descent, Ties
from .pacing import Tell, between, unheard
from .windows import Window, grid

TILE, OVERLAP = 512, 32  # pixels: 0.2 GB where all of a tile is unknown
NEIGHBOURS = 3  # of the same colours, for each unknown pixel
NEARNESS = 0.05  # what the picture's longer side counts among the colours' 0 to 1
ALIKE = 8e-3  # what the tie to such a neighbour weighs, beside the matting Laplacian
KD_TREE = 4  # FLANN's exact one for few dimensions
SMALLEST = 128  # pixels: a shorter side from which on the picture is refined at half size first
TOLERANCE = 1e-3  # of the residual, against that of the start
MOST_ROUNDS = 400
SMALLER, TYING = 0.25, 0.5  # shares: of all smaller sizes together; of a tile, to find the ties


def refine(
    image: FloatArray,
    trimap: Trimap,
    alpha: FloatArray,
    confidence: FloatArray,
    *,
    device: str = "cpu",
    tell: Tell = unheard,
) -> FloatArray:
    """Move a matte towards what the colours around each pixel say, the less the surer it is.

    Minimises alpha' (L + T) alpha + sum of confidence (alpha - given)^2 over the unknown pixels. L
    is the matting Laplacian of 3 x 3 windows (Levin, Lischinski and Weiss, "A Closed-Form Solution
    to Natural Image Matting", CVPR 2006, equation 12); T ties each unknown pixel to the unknown
    pixels that look most like it wherever they are, so that one strand of hair helps another (the
    intra-unknown flow of Aksoy, Aydin and Pollefeys, "Designing Effective Inter-Pixel Information
    Flow for Natural Image Matting", CVPR 2017). `image` is float32 (H, W, 3) in [0, 1],
    `trimap` uint8 (H, W) in {0, 128, 255}, `alpha` float32 (H, W) in [0, 1] and `confidence`
    float32 (H, W) above 0, where 1e-3 leaves much to the colours and 1 next to nothing; the result
    is float32 (H, W) in [0, 1]. Each size starts from what the half size has come to; a large
    picture is walked tile by tile, each with its surroundings as they stand. `tell` is as in
    `pacing`.

    Raises TrimapError where the sizes differ or nothing is unknown.
    """
    check_pair(image.shape[:2], trimap)
    place = "cpu" if device.startswith("mps") else device  # needs float64
    return _settle(image, trimap, restore_known(alpha, trimap), confidence, place, tell)


def _settle(
    image: FloatArray,
    trimap: Trimap,
    given: FloatArray,
    confidence: FloatArray,
    device: str,
    tell: Tell,
) -> FloatArray:
    """Refine the half size, then start from there; `given` holds what the trimap knows."""
    refined = given.copy()
    if min(trimap.shape) < 3:
        return refined  # no window fits in
    if min(trimap.shape) >= SMALLEST:
        smaller = between(tell, 0.0, SMALLER)
        moved = given + _move_at_half_size(image, trimap, given, confidence, device, smaller)
        refined = restore_known(np.clip(moved, 0.0, 1.0), trimap)
    unknown = trimap == UNKNOWN
    done, rest = SMALLER, (1 - SMALLER) / np.count_nonzero(unknown)
    for tile in grid(trimap.shape, (TILE, TILE)):
        part = tile.grow(OVERLAP)
        at = part.rows, part.columns
        free = unknown[at] & _within(part)
        if free.any():
            begun, done = done, done + rest * np.count_nonzero(unknown[tile.rows, tile.columns])
            arrays = (_look(image, part), free, refined[at], given[at], confidence[at])
            refined[at] = _refine(*arrays, device=device, tell=between(tell, begun, done))
    return refined


def _move_at_half_size(
    image: FloatArray,
    trimap: Trimap,
    given: FloatArray,
    confidence: FloatArray,
    device: str,
    tell: Tell,
) -> FloatArray:
    """Tell how far the half size moves, at the full size."""
    height, width = trimap.shape
    small = shrink_trimap(trimap, (height // 2, width // 2))
    image, given, confidence = (
        np.asarray(cv2.resize(plane, small.shape[::-1], interpolation=cv2.INTER_AREA), np.float32)
        for plane in (image, given, confidence)
    )
    given = restore_known(given, small)
    move = _settle(image, small, given, confidence, device, tell) - given
    return np.asarray(cv2.resize(move, trimap.shape[::-1]), np.float32)


def _look(image: FloatArray, part: Window) -> FloatArray:
    """Give the colours of a part's pixels and, for much less, their places: (h, w, 5)."""
    rows, columns = np.mgrid[part.rows, part.columns].astype(np.float32)
    place = np.stack([rows, columns], -1) * np.float32(NEARNESS / max(part.size))
    return np.concatenate([image[part.rows, part.columns], place], -1)


def _within(part: Window) -> Mask:
    """Mark the pixels all of whose windows lie in a part of a picture, or would be off it."""
    height, width = part.size
    free = np.ones((part.height, part.width), np.bool_)
    free[: 2 * (part.top > 0)] = False
    free[part.height - 2 * (part.bottom < height) :] = False
    free[:, : 2 * (part.left > 0)] = False
    free[:, part.width - 2 * (part.right < width) :] = False
    return free


def _refine(
    look: FloatArray,
    free: Mask,
    alpha: FloatArray,
    given: FloatArray,
    trust: FloatArray,
    *,
    device: str,
    tell: Tell,
) -> FloatArray:
    """Give the best alpha (h, w) where only the `free` pixels may move."""
    tell(0.0)
    planes = look[..., :3], free, alpha, given, trust, _tie(look[free])
    descent = Descent(TOLERANCE, MOST_ROUNDS, between(tell, TYING, 1.0))
    if device == "cpu" and compiled():
        settled = c_laplacian.settle(*planes, descent)
    else:
        from .laplacian import settle  # of torch, which is not everywhere

        settled = settle(*planes, descent, device=device)
    return np.clip(settled, 0.0, 1.0)


def _tie(look: FloatArray) -> Ties:
    """Tie each of (n, 5) looks to the nearest of them."""
    count = min(NEIGHBOURS, len(look) - 1)
    tree = cv2.flann.Index(look, {"algorithm": KD_TREE})
    parts = np.array_split(look, min(threads(), len(look)))
    with ThreadPoolExecutor(len(parts)) as pool:
        found = pool.map(lambda some: tree.knnSearch(some, 1 + count, params={"checks": -1}), parts)
        numbers = np.concatenate([numbers for numbers, _ in found])
    others = np.ascontiguousarray(numbers.T[1:], np.int64)  # [0] is itself
    apart = np.abs(look[:, :3] - look[others, :3]).mean(-1)
    return Ties(ALIKE / 2 * (1.0 - apart).astype(np.float64), others)
