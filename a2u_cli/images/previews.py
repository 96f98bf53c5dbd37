"""Pictures as a screen shows them: 8 bits, and no wider or higher than asked for."""

import cv2
import numpy as np

from ..units import FloatArray
from .encoders import encode_png
from .writing import quantise


def encode_preview(array: FloatArray, side: int | None = None) -> bytes:
    """Give a PNG of 8 bits of an image (H, W, 3), or a matte (H, W), in [0, 1].

    Its longer side is at most `side`, by the mean of the pixels that become one; None: as it is.
    """
    longest = max(array.shape[:2])
    if side is not None and longest > side:
        height, width = (max(1, round(length * side / longest)) for length in array.shape[:2])
        array = np.asarray(cv2.resize(array, (width, height), interpolation=cv2.INTER_AREA))
    return encode_png(quantise(array, 8), None, None)
