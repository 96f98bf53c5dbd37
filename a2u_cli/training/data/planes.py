"""Pictures as arrays: resampled, cut, blurred, continued, laid over each other."""

import cv2
import numpy as np
import numpy.typing as npt

from ...images import quantise
from ...units import FloatArray

Pixels = npt.NDArray[np.uint8]  # (H, W, 3 or 4)


def resize(
    plane: FloatArray, height: int, width: int, method: int = cv2.INTER_LINEAR
) -> FloatArray:
    """Resample to (height, width), with a third axis where there was one."""
    resized = cv2.resize(plane, (width, height), interpolation=method)
    return np.asarray(resized, np.float32).reshape(height, width, *plane.shape[2:])


def scaled(planes: FloatArray, scale: float) -> FloatArray:
    """Resample both sides by a scale, by averages."""
    height, width = (max(1, round(side * scale)) for side in planes.shape[:2])
    return resize(planes, height, width, cv2.INTER_AREA)


def to_pixels(planes: FloatArray) -> Pixels:
    """Round [0, 1] to the nearest of 256 levels."""
    return quantise(planes, 8).astype(np.uint8)


def to_floats(pixels: Pixels) -> FloatArray:
    """Turn levels into [0, 1]."""
    return pixels.astype(np.float32) / np.float32(255.0)


def fill_colours(colour: FloatArray, alpha: FloatArray) -> FloatArray:
    """Continue colours to where alpha is 0, from averages of ever wider neighbourhoods."""
    levels = [np.dstack([colour * alpha[..., None], alpha])]  # premultiplied (H, W, 4)
    while max(levels[-1].shape[:2]) > 1:
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.float32))
    last = levels[-1]
    filled = np.asarray(last[..., :3] / np.maximum(last[..., 3:], 1e-6), np.float32)
    for level in reversed(levels):
        height, width = level.shape[:2]
        filled = resize(filled, height, width)
        filled = level[..., :3] + (np.float32(1.0) - level[..., 3:]) * filled
    return np.clip(filled, 0.0, 1.0)
