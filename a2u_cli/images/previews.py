"""Pictures as a screen shows them: 8 bits, and no wider or higher than asked for."""

from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from ..units import FloatArray
from .encoders import encode_png
from .writing import quantise

THUMBNAIL_QUALITY = 70  # of WebP, in percent


def encode_preview(array: FloatArray, side: int | None = None) -> bytes:
    """Give a PNG of 8 bits of an image (H, W, 3), or a matte (H, W), in [0, 1].

    Its longer side is at most `side`, by the mean of the pixels that become one; None: as it is.
    """
    return encode_png(quantise(shrink(array, side) if side else array, 8), None, None)


def encode_thumbnail(array: FloatArray) -> bytes:
    """Give a lossy WebP of an image (H, W, 3), or a matte (H, W), in [0, 1]: a few kilobytes."""
    stream = BytesIO()
    Image.fromarray(quantise(array, 8)).save(stream, "WEBP", quality=THUMBNAIL_QUALITY)
    return stream.getvalue()


def shrink(array: FloatArray, side: int) -> FloatArray:
    """Bring an image (H, W, 3), or a matte (H, W), to a longer side of at most `side` pixels.

    A pixel is the mean of those that become one.
    """
    longest = max(array.shape[:2])
    if longest <= side:
        return array
    height, width = (max(1, round(length * side / longest)) for length in array.shape[:2])
    return np.asarray(cv2.resize(array, (width, height), interpolation=cv2.INTER_AREA))
