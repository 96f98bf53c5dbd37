"""From sRGB values to linear light and back."""

import numpy as np

from ..units import FloatArray


def to_linear(values: FloatArray) -> FloatArray:
    """Turn sRGB values in [0, 1] into linear light (IEC 61966-2-1)."""
    high = ((values + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.where(values <= 0.04045, values / np.float32(12.92), high)


def from_linear(light: FloatArray) -> FloatArray:
    """Turn linear light in [0, 1] into sRGB values (IEC 61966-2-1)."""
    high = np.float32(1.055) * np.maximum(light, 0.0) ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(light <= 0.0031308, light * np.float32(12.92), high)
