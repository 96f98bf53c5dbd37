"""Make a trimap from a box drawn around an object: its colours against those around, then a band.

The object is found by GrabCut (Rother, Kolmogorov and Blake, "GrabCut: Interactive Foreground
Extraction Using Iterated Graph Cuts", SIGGRAPH 2004).
"""

import re
from concurrent.futures import ThreadPoolExecutor
from math import sqrt

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import TrimapError
from ..images.arrays import require_array
from ..trimap import band_pixels, make_trimap
from ..units import FloatArray, Mask, Trimap

Box = tuple[int, int, int, int]  # x, y, width, height, in pixels of the upright picture
EXPECTED = "expected x,y,width,height in whole pixels, as 40,30,200,300"
AROUND, LEAST_AROUND = 0.5, 8  # of the box's longer side, and pixels: what is compared with it
MOST = 100_000  # pixels that are looked at: GrabCut takes a third of a second for them
ROUNDS = 5  # the object changes little in later ones


def parse_box(text: str) -> Box:
    """Read a box, "x,y,width,height" in whole pixels; raises TrimapError for anything else."""
    found = re.fullmatch(r"\s*(-?\d+)" + r"\s*,\s*(-?\d+)" * 3 + r"\s*", text)
    if not found:
        raise TrimapError(f"box {text!r} is none; {EXPECTED}")
    x, y, width, height = map(int, found.groups())
    return x, y, width, height


def box_trimap(image: FloatArray, box: Box, band: str, *, outside: str | None = None) -> Trimap:
    """Find the object in a box and make its trimap, uint8 (H, W) in {0, 128, 255}.

    `image` is float32 (H, W, 3) in [0, 1]; `band` says how far the unknown reaches to both sides of
    the object's edge, or into the object alone where `outside` is given, as `band_pixels` reads it.
    What lies beyond the picture is no part of the box. The same picture and box give the same
    trimap, always.

    Raises TrimapError where the box holds nothing, all of the picture, or nothing that stands out.
    """
    require_array(image, "image", channels=(3,))
    size = image.shape[0], image.shape[1]
    inner, outer = (band_pixels(width, size) for width in (band, outside or band))
    return make_trimap(find_object(image, box), inside=inner, outside=outer)


def find_object(image: FloatArray, box: Box) -> FloatArray:
    """Find the object in a box of an image float32 (H, W, 3): a mask, float32 (H, W) in [0, 1].

    It is soft where a large picture was looked at in coarse pixels. Raises TrimapError as
    `box_trimap` does.
    """
    height, width = image.shape[:2]
    two_tone = ((image == 0) | (image == 1)).all() and np.ptp(image) > 0
    if two_tone and not np.ptp(image, axis=2).any():
        raise TrimapError(
            "the picture is black and white, as a mask is; make its trimap without a box"
        )
    left, top, right, bottom = _clip(box, (height, width))
    around = int(max(LEAST_AROUND, AROUND * max(right - left, bottom - top)))
    rows = slice(max(0, top - around), min(height, bottom + around))
    columns = slice(max(0, left - around), min(width, right + around))
    part = image[rows, columns]
    share = min(1.0, sqrt(MOST / (part.shape[0] * part.shape[1])))
    small = tuple(max(1, round(length * share)) for length in part.shape[:2])
    colours = cv2.resize(part, small[::-1], interpolation=cv2.INTER_AREA)
    marks = np.zeros(part.shape[:2], np.float32)
    marks[top - rows.start : bottom - rows.start, left - columns.start : right - columns.start] = 1
    shares = np.asarray(cv2.resize(marks, small[::-1], interpolation=cv2.INTER_AREA))
    inside = shares > (0 if (shares == 0).any() else 0.999)  # both have pixels
    found = _grab(np.rint(255 * np.clip(colours, 0, 1)).astype(np.uint8), inside)
    if not found.any():
        raise TrimapError(
            f"nothing in the box {_words(box)} stands out from what is around it; draw the box "
            "closer to the object, or paint the trimap"
        )
    mask = np.zeros((height, width), np.float32)
    size = part.shape[1], part.shape[0]
    mask[rows, columns] = cv2.resize(found.astype(np.float32), size) * marks
    return mask


def _words(box: Box) -> str:
    return ",".join(map(str, box))


def _clip(box: Box, size: tuple[int, int]) -> Box:
    """Give the left, top, right and bottom of a box within a picture; raises TrimapError."""
    (x, y, width, height), (rows, columns) = box, size
    if width <= 0 or height <= 0:
        raise TrimapError(f"box {_words(box)} is empty; {EXPECTED}")
    left, top, right, bottom = max(0, x), max(0, y), min(columns, x + width), min(rows, y + height)
    if left >= right or top >= bottom:
        raise TrimapError(
            f"box {_words(box)} lies beside the picture, which is {columns}x{rows}; {EXPECTED}"
        )
    if (right - left, bottom - top) == (columns, rows):
        raise TrimapError(
            f"box {_words(box)} holds all of the picture, which is {columns}x{rows}; leave some "
            "background around the object, or paint the trimap"
        )
    return left, top, right, bottom


def _grab(colours: npt.NDArray[np.uint8], inside: Mask) -> Mask:
    """Tell which pixels (h, w) are the object's; none where all of a box is no object's.

    OpenCV draws its first clusters by a generator of the thread's own, which begins alike in every
    new thread: so what was drawn before, and what will be, is another's.
    """
    marks = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    if not np.ptp(colours, axis=(0, 1)).any():
        return np.zeros_like(inside)
    models, nowhere = (np.zeros((1, 65)), np.zeros((1, 65))), (0, 0, 0, 0)
    how = ROUNDS, cv2.GC_INIT_WITH_MASK
    with ThreadPoolExecutor(1) as fresh:
        fresh.submit(lambda: cv2.grabCut(colours, marks, nowhere, *models, *how)).result()
    return np.asarray((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD))
