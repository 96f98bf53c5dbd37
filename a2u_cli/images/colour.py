"""From sRGB values to linear light and back, and from the light of other primaries."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..units import FloatArray


def to_linear(values: FloatArray) -> FloatArray:
    """Turn sRGB values in [0, 1] into linear light (IEC 61966-2-1)."""
    high = ((values + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.where(values <= 0.04045, values / np.float32(12.92), high)


def from_linear(light: FloatArray) -> FloatArray:
    """Turn linear light in [0, 1] into sRGB values (IEC 61966-2-1)."""
    high = np.float32(1.055) * np.maximum(light, 0.0) ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(light <= 0.0031308, light * np.float32(12.92), high)


SRGB_CHROMATICITIES = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)
# From XYZ to the eye's three responses, in which white is adapted (Bradford).
TO_CONES = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def primaries_to_srgb(chromaticities: Sequence[float]) -> FloatArray:
    """Give the matrix (3, 3) from linear light of other primaries to that of sRGB; white stays so.

    chromaticities: x and y of red, green, blue and white, in this order.

    Raises ValueError where they are no colours (LinAlgError is one).
    """
    from_srgb, daylight = _to_xyz(SRGB_CHROMATICITIES)
    with np.errstate(all="ignore"):  # what is no number is found at the end
        to_xyz, white = _to_xyz(chromaticities)
        gains = np.diag((TO_CONES @ daylight) / (TO_CONES @ white))
    adapted = np.linalg.inv(TO_CONES) @ gains @ TO_CONES
    matrix: FloatArray = (np.linalg.inv(from_srgb) @ adapted @ to_xyz).astype(np.float32)
    if not np.isfinite(matrix).all():
        raise ValueError("primaries that are no colours")
    return matrix


def _to_xyz(chromaticities: Sequence[float]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Give the matrix (3, 3) from linear light to XYZ, and the white (3,) that it makes of ones."""
    x, y = np.reshape(chromaticities, (4, 2)).T
    columns = np.stack([x / y, np.ones(4), (1 - x - y) / y])  # XYZ of luminance 1
    colours, white = columns[:, :3], columns[:, 3]
    return colours * np.linalg.solve(colours, white), white
