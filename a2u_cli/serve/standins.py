"""Stand-ins until the pixel parts are merged."""

from typing import Any

import numpy as np

from ..units import FloatArray, Trimap


def draft(matter: Any, image: FloatArray, trimap: Trimap) -> FloatArray:
    """Stand in."""
    return np.asarray(matter.matte(image, trimap), np.float32)


def doubt(matter: Any, image: FloatArray, trimap: Trimap, alpha: Any = None) -> FloatArray:
    """Stand in."""
    return np.asarray(trimap == 128, np.float32)


def next_place(doubts: FloatArray, trimap: Trimap) -> tuple[int, int] | None:
    """Stand in."""
    found = np.argwhere(trimap == 128)
    return (int(found[0][1]), int(found[0][0])) if len(found) else None


def box_trimap(image: FloatArray, box: tuple[int, int, int, int], band: str) -> Trimap:
    """Stand in."""
    trimap = np.zeros(image.shape[:2], np.uint8)
    x, y, w, h = box
    trimap[y : y + h, x : x + w] = 128
    trimap[y + h // 3 : y + 2 * h // 3, x + w // 3 : x + 2 * w // 3] = 255
    return trimap
