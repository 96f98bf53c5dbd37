"""A benchmark's cases, and the made-up pictures that they are measured on."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

Size = tuple[int, int]  # height, width

VITMATTE = "ViTMatte-S (random weights)"  # which take as long as trained ones


@dataclass(frozen=True)
class Case:
    """A method, in a dtype, on a picture of `size` of which `share` is unknown, in a region.

    `bound` is the memory that ours may take, in GiB; None leaves it the choice.
    """

    method: str
    dtype: str
    size: Size
    share: float = 1.0
    region: str = "all"  # all, compact or bands
    device: str = "cpu"
    bound: float | None = None


def picture(case: Case) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Make an image, float32 (H, W, 3), and its trimap, uint8 (H, W), row by row.

    All unknown; or a centred rectangle with foreground to its left and background to its right;
    or 16 diagonal bands between foreground and background by turns.
    """
    height, width = case.size
    rng = np.random.default_rng(3)
    coarse = rng.random((2, 16, 16, 3), np.float32).repeat(16, 1).repeat(16, 2)
    textures = 0.9 * coarse + 0.1 * rng.random(coarse.shape, np.float32)  # (2, 256, 256, 3)
    columns = np.arange(width)
    textures = textures[:, :, columns % 256]  # (2, 256, W, 3)
    image = np.empty((height, width, 3), np.float32)
    trimap = np.empty((height, width), np.uint8)
    for row in range(height):
        alpha, unknown = _alpha_row(case, row, columns)
        trimap[row] = np.where(unknown, 128, np.where(alpha > 0.5, 255, 0))
        foreground, background = textures[:, row % 256]
        image[row] = background + alpha[:, None] * (foreground - background)
    return image, trimap


def _alpha_row(
    case: Case, row: int, columns: npt.NDArray[np.int_]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Give a row's alpha, (W,), and where it is unknown."""
    height, width = case.size
    if case.region == "bands":
        period = (height + width) // 16
        thickness = max(1, round(case.share * period))
        band, within = np.divmod(row + columns, period)
        rise = np.minimum((within + 0.5) / thickness, 1.0)
        alpha = np.where(band % 2 == 0, rise, 1.0 - rise)
        return alpha.astype(np.float32), within < thickness
    x = (columns - (width - 1) / 2) / (width * sqrt(case.share))  # -0.5 .. 0.5 in the rectangle
    y = (row - (height - 1) / 2) / (height * sqrt(case.share))
    return np.clip(0.5 - x, 0.0, 1.0).astype(np.float32), (abs(x) <= 0.5) & (abs(y) <= 0.5)
