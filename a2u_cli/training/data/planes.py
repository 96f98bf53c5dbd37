"""Pictures as arrays: resampled, cut, blurred, continued, laid over each other."""

import cv2
import numpy as np
import numpy.typing as npt

from ...images import quantise
from ...units import FloatArray

Pixels = npt.NDArray[np.uint8]  # (H, W, 3 or 4)
Layer = tuple[FloatArray, FloatArray]  # straight colour (H, W, 3) and alpha (H, W)


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


def blur(image: FloatArray, sigma: float) -> FloatArray:
    """Blur with a Gaussian of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def window(
    plane: FloatArray, centre: npt.NDArray[np.float64], side: float, size: int
) -> FloatArray:
    """Resample a square of `side` source pixels to `size`; edges are repeated outside."""
    reach = max(1, round(side))
    top, left = (round(float(c) - reach / 2) for c in centre)
    height, width = plane.shape[:2]
    bottom, right = top + reach, left + reach
    square = np.ascontiguousarray(
        plane[
            min(max(0, top), height - 1) : max(1, bottom),
            min(max(0, left), width - 1) : max(1, right),
        ]
    )
    above, below, before, after = (
        min(max(0, wanted), reach - 1) for wanted in (-top, bottom - height, -left, right - width)
    )
    if above or below or before or after:
        edges = (above, below, before, after)
        square = np.asarray(cv2.copyMakeBorder(square, *edges, cv2.BORDER_REPLICATE), np.float32)
    method = cv2.INTER_AREA if reach > size else cv2.INTER_CUBIC
    return resize(square, size, size, method)


def over(front: Layer, back: Layer) -> Layer:
    """Lay one foreground over another of any size: straight colour and joint alpha."""
    colour, alpha = front
    height, width = alpha.shape
    back_colour, back_alpha = (resize(plane, height, width) for plane in back)
    joint = alpha + (1.0 - alpha) * back_alpha
    share = np.divide(alpha, joint, out=np.ones_like(joint), where=joint >= 1e-3)
    return back_colour + (colour - back_colour) * cv2.merge([share] * 3), joint


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
