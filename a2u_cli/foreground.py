"""Foreground colours behind an alpha matte: a cut-out with no trace of its background."""

import cv2
import numpy as np
import numpy.typing as npt

from .errors import ImageError

Array = npt.NDArray[np.float32]
RADII = (90, 6)
EPSILON = 1e-5


def estimate_foreground(image: Array, alpha: Array) -> Array:
    """Estimate the colours of the foreground alone.

    `image` is float32 (H, W, 3) in [0, 1], `alpha` float32 (H, W) in [0, 1]; the result is float32
    (H, W, 3) in [0, 1], straight colours. Blur fusion in two passes, a wide and a narrow one
    (Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021).

    Raises ImageError where the sizes differ.
    """
    if image.shape[:2] != alpha.shape:
        raise ImageError(
            f"image is {image.shape[1]}x{image.shape[0]} but alpha is "
            f"{alpha.shape[1]}x{alpha.shape[0]}; use the matte of this picture"
        )
    foreground = background = image
    for radius in RADII:
        foreground, background = _fuse(image, alpha[..., None], foreground, background, radius)
    return np.where(alpha[..., None] == 1.0, image, foreground)


def _fuse(
    image: Array, alpha: Array, foreground: Array, background: Array, radius: int
) -> tuple[Array, Array]:
    def blur(plane: Array) -> Array:
        size = 2 * radius + 1
        blurred = cv2.blur(plane, (size, size), borderType=cv2.BORDER_REPLICATE)
        return np.asarray(blurred, np.float32).reshape(plane.shape)

    weight = blur(alpha)
    smooth_foreground = blur(foreground * alpha) / (weight + EPSILON)
    smooth_background = blur(background * (1.0 - alpha)) / (1.0 - weight + EPSILON)
    rest = image - alpha * smooth_foreground - (1.0 - alpha) * smooth_background
    return np.clip(smooth_foreground + alpha * rest, 0.0, 1.0), smooth_background


def cut_out(image: Array, alpha: Array) -> Array:
    """Give the cut-out: float32 (H, W, 4), straight foreground colours and alpha, all in [0, 1].

    Raises ImageError where the sizes differ.
    """
    return np.dstack([estimate_foreground(image, alpha), alpha])


def composite(foreground: Array, alpha: Array, background: Array, *, linear: bool = False) -> Array:
    """Lay straight foreground colours over a background: alpha F + (1 - alpha) B.

    Colours are float32 (H, W, 3), `alpha` (H, W), all in [0, 1]; so is the result. `linear` mixes
    light, as a camera does, in place of the sRGB values that most programs mix.

    Raises ImageError where the sizes differ.
    """
    if not foreground.shape == background.shape == (*alpha.shape, 3):
        raise ImageError(
            f"foreground {foreground.shape}, alpha {alpha.shape} and background "
            f"{background.shape} do not fit; make them one size"
        )
    if linear:
        foreground, background = to_linear(foreground), to_linear(background)
    mixed = background + (foreground - background) * alpha[..., None]
    return np.clip(from_linear(mixed) if linear else mixed, 0.0, 1.0)


def to_linear(values: Array) -> Array:
    """Turn sRGB values in [0, 1] into linear light (IEC 61966-2-1)."""
    high = ((values + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.where(values <= 0.04045, values / np.float32(12.92), high)


def from_linear(light: Array) -> Array:
    """Turn linear light in [0, 1] into sRGB values (IEC 61966-2-1)."""
    high = np.float32(1.055) * np.maximum(light, 0.0) ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(light <= 0.0031308, light * np.float32(12.92), high)
