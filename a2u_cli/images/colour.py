"""From sRGB values to linear light and back, to a view of it, and from other primaries."""

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


KNEE = 0.5  # of linear light: up to it a view shows light as it is


def view(light: FloatArray, white: float) -> FloatArray:
    """Show linear light of any brightness as sRGB values in [0, 1], `white` and beyond as white.

    The curve is Reinhard's with a white point, above a knee: with t = (x - k) / (1 - k), w the same
    of `white`, and k = KNEE, light x > k becomes k + (1 - k) t (1 + t / w^2) / (1 + t). It rises
    everywhere, without a bend at the knee, and where `white` is 1 it changes nothing
    (Reinhard et al., "Photographic Tone Reproduction for Digital Images", 2002, equation 4).
    """
    if white > 1:
        over = np.maximum(light - KNEE, 0) / np.float32(1 - KNEE)
        most = np.float32((white - KNEE) / (1 - KNEE))
        bent = KNEE + (1 - KNEE) * over * (1 + over / most**2) / (1 + over)
        light = np.where(light > KNEE, bent, light).astype(np.float32)
    return from_linear(np.clip(light, 0.0, 1.0))


SRGB_CHROMATICITIES = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)
# The primaries of linear light by their names (Color Interop Forum, "Identifying the Color Space of
# OpenEXR Files", annex A), and how far the same ones may be apart there.
INTEROP_IDS: dict[str, tuple[float, ...]] = {
    "lin_rec709_scene": SRGB_CHROMATICITIES,
    "lin_ap0_scene": (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767),
    "lin_ap1_scene": (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767),
    "lin_p3d65_scene": (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329),
    "lin_rec2020_scene": (0.708, 0.292, 0.17, 0.797, 0.131, 0.046, 0.3127, 0.329),
    "lin_adobergb_scene": (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, 0.3127, 0.329),
}
SAME_XY = 1e-3
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


def interop_id(chromaticities: Sequence[float]) -> str | None:
    """Name the primaries of linear light; None for those that have no name."""
    for name, known in INTEROP_IDS.items():
        if np.allclose(chromaticities, known, rtol=0, atol=SAME_XY):
            return name
    return None


def _to_xyz(chromaticities: Sequence[float]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Give the matrix (3, 3) from linear light to XYZ, and the white (3,) that it makes of ones."""
    x, y = np.reshape(chromaticities, (4, 2)).T
    columns = np.stack([x / y, np.ones(4), (1 - x - y) / y])  # XYZ of luminance 1
    colours, white = columns[:, :3], columns[:, 3]
    return colours * np.linalg.solve(colours, white), white
