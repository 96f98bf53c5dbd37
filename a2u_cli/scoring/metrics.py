"""Score a matte with SAD, MSE, Grad and Conn exactly as the MATLAB evaluation code defines them.

The measures are those of Rhemann et al., "A Perceptually Motivated Online Benchmark for Image
Matting" (CVPR 2009, http://www.alphamatting.com), in the form in which papers print them for
Composition-1k: 8-bit mattes, compared where the trimap is exactly 128.
"""

from dataclasses import dataclass, replace
from math import ceil, log, pi, sqrt
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import A2UError, ImageError, TrimapError
from ..units import UNKNOWN

Alpha = NDArray[np.uint8]
Region = NDArray[np.bool_]
ConnRule = Literal["dim", "a2u"]

GRADIENT_SIGMA = 1.4
GRADIENT_CUTOFF = 0.01


@dataclass(frozen=True)
class Scores:
    """Hold the scores of one matte, each at the scale its comment names; lower is better."""

    sad: float  # over the region, in thousands of pixels
    mse: float  # over the region, mean, [0, 1]; tables print it x 1000
    grad: float  # over the region, in thousands
    conn: float  # over the region, in thousands of pixels
    pixels: int  # size of the region
    whole_mad: float  # over the whole image, mean, [0, 1]; video matting prints it x 1000
    whole_mse: float  # over the whole image, mean, [0, 1]; video matting prints it x 1000


def score(
    prediction: Alpha,
    truth: Alpha,
    trimap: NDArray[np.uint8],
    *,
    conn_rule: ConnRule = "dim",
    may_be_known: bool = False,
) -> Scores:
    """Score a matte by every metric, over the pixels whose trimap is exactly 128.

    All three are uint8 (H, W). The prediction is taken as it is, also where it differs from the
    trimap's known pixels. `conn_rule` is the `empty` of `connectivity_error`. Where no pixel is 128
    and all of it `may_be_known`, the errors over the unknown are 0, sums over nothing.

    Raises:
        ImageError: the prediction or truth has another size or type.
        TrimapError: the trimap has another size, or no pixel of 128.
    """
    region = trimap == UNKNOWN
    everywhere = np.ones_like(region)
    if may_be_known and not region.any():
        known = score(prediction, truth, np.full_like(trimap, UNKNOWN), conn_rule=conn_rule)
        return replace(known, sad=0.0, mse=0.0, grad=0.0, conn=0.0, pixels=0)
    return Scores(
        sad=sad(prediction, truth, region),
        mse=mse(prediction, truth, region),
        grad=gradient_error(prediction, truth, region),
        conn=connectivity_error(prediction, truth, region, empty=conn_rule),
        pixels=int(np.count_nonzero(region)),
        whole_mad=mad(prediction, truth),
        whole_mse=mse(prediction, truth, everywhere),
    )


def sad(prediction: Alpha, truth: Alpha, region: Region) -> float:
    """Sum the absolute differences of alpha over a region, in thousands of pixels.

    Mattes are uint8 (H, W), the region bool (H, W); the result is in [0, pixels / 1000].

    Raises:
        ImageError, TrimapError: as `score`.
    """
    _check(prediction, truth, region)
    return int(_difference(prediction, truth)[region].sum(dtype=np.int64)) / 255 / 1000


def mse(prediction: Alpha, truth: Alpha, region: Region) -> float:
    """Average the squared differences of alpha over a region, in [0, 1].

    Mattes are uint8 (H, W), the region bool (H, W). Tables print the result x 1000.

    Raises:
        ImageError, TrimapError: as `score`.
    """
    _check(prediction, truth, region)
    difference = _difference(prediction, truth)[region].astype(np.int64)
    return int(difference @ difference) / (255**2 * difference.size)


def mad(prediction: Alpha, truth: Alpha) -> float:
    """Average the absolute differences of alpha over the whole image, in [0, 1].

    Mattes are uint8 (H, W). Video matting prints the result x 1000.

    Raises:
        ImageError: as `score`.
    """
    everywhere = np.ones_like(truth, dtype=np.bool_)
    return sad(prediction, truth, everywhere) * 1000 / everywhere.size


def gradient_error(prediction: Alpha, truth: Alpha, region: Region) -> float:
    """Sum the squared differences of gradient magnitude over a region, in thousands.

    Mattes are uint8 (H, W), the region bool (H, W). Each matte is first stretched to [0, 1] by its
    own extremes over the whole image, so a matte at half strength has the gradient of a full one.

    Raises:
        ImageError, TrimapError: as `score`.
    """
    _check(prediction, truth, region)
    difference = _gradient_magnitude(prediction) - _gradient_magnitude(truth)
    return float(np.square(difference[region]).sum()) / 1000


def connectivity_error(
    prediction: Alpha, truth: Alpha, region: Region, *, empty: ConnRule = "dim"
) -> float:
    """Sum the differences in connectedness over a region, in thousands of pixels.

    Mattes are uint8 (H, W), the region bool (H, W); the result is in [0, pixels / 1000]. What is
    measured is how far each matte rises above the level up to which a pixel hangs on the largest
    body that both mattes share; rises below 0.15 count as none.
    `empty` names the rule for a threshold that no pixel reaches in both mattes: "dim" (Deep Image
    Matting, GCA) ends all connections there; "a2u" (IndexNet, A2U) skips it, so that what was
    connected until then counts no error.

    Raises:
        ImageError, TrimapError: as `score`.
        ValueError: `empty` is no such rule.
    """
    _check(prediction, truth, region)
    if empty not in get_args(ConnRule):
        raise ValueError(f"the rule for empty thresholds is {empty!r}, expected 'dim' or 'a2u'")
    levels = _connection_levels(prediction, truth, empty)
    difference = _excess(prediction, levels) - _excess(truth, levels)
    return int(np.abs(difference)[region].sum(dtype=np.int64)) / 2550 / 1000


def _difference(prediction: Alpha, truth: Alpha) -> Alpha:
    """Return the absolute difference, uint8 (H, W); the plain one would wrap around below zero."""
    return np.maximum(prediction, truth) - np.minimum(prediction, truth)


def _gradient_magnitude(alpha: Alpha) -> NDArray[np.float64]:
    """Return the length of the Gaussian gradient of a stretched matte, float64 (H, W)."""
    low, high = int(alpha.min()), int(alpha.max())
    if low == high:
        return np.zeros(alpha.shape)
    stretched = (alpha.astype(np.float64) - low) / (high - low)
    across = _gradient_filter()
    # filter2D correlates; against a convolution that only turns the sign, which the length drops.
    dx = cv2.filter2D(stretched, cv2.CV_64F, across, borderType=cv2.BORDER_REPLICATE)
    dy = cv2.filter2D(stretched, cv2.CV_64F, across.T.copy(), borderType=cv2.BORDER_REPLICATE)
    magnitude: NDArray[np.float64] = np.hypot(dx, dy)
    return magnitude


def _gradient_filter() -> NDArray[np.float64]:
    """Return the horizontal first derivative of a Gaussian with an L2 norm of 1, (9, 9)."""
    sigma = GRADIENT_SIGMA
    half = ceil(sigma * sqrt(-2 * log(sqrt(2 * pi) * sigma * GRADIENT_CUTOFF)))
    x = np.arange(-half, half + 1, dtype=np.float64)
    gauss = np.exp(-np.square(x) / (2 * sigma**2))
    kernel = np.outer(gauss, -x * gauss)
    return kernel / float(np.linalg.norm(kernel))


def _connection_levels(prediction: Alpha, truth: Alpha, empty: ConnRule) -> NDArray[np.int32]:
    """Return up to which tenth of alpha each pixel hangs on the shared body, 0 to 10, (H, W)."""
    tenfold = 10 * np.minimum(prediction, truth).astype(np.int32)
    levels = np.full(tenfold.shape, 10, dtype=np.int32)
    connected = np.ones(tenfold.shape, dtype=np.bool_)
    for tenths in range(1, 11):
        joint = tenfold >= 255 * tenths  # in integers: 0.6 as a double misses grey 153
        if not joint.any():  # nor is there any at the thresholds above
            if empty == "dim":
                levels[connected] = tenths - 1
            break
        body = _largest_component(joint)
        levels[connected & ~body] = tenths - 1
        connected &= body
    return levels


def _largest_component(mask: Region) -> Region:
    """Return the largest 4-connected component of a mask that is not empty, bool (H, W).

    Of equal ones it is the first in column-major order, the order of MATLAB's bwconncomp.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # label 0 is what lies outside the mask
    largest = (areas == areas.max())[labels]
    column, row = divmod(int(largest.T.argmax()), mask.shape[0])
    body: Region = labels == labels[row, column]
    return body


def _excess(alpha: Alpha, levels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return how far alpha exceeds its level, in 1/2550, with less than 0.15 taken as nothing."""
    excess = 10 * alpha.astype(np.int32) - 255 * levels
    return np.where(excess >= 0.15 * 2550, excess, 0)


def _check(prediction: Alpha, truth: Alpha, region: Region) -> None:
    """Refuse arrays that cannot be compared, or a region without a pixel."""
    check_array("the truth", truth, "uint8", truth.shape, ImageError)
    check_array("the prediction", prediction, "uint8", truth.shape, ImageError)
    check_array("the trimap's region", region, "bool", truth.shape, TrimapError)
    if not region.any():
        raise TrimapError(
            "nothing to score: the region has no pixel, expected at least one; "
            f"mark the unknown pixels of the trimap with exactly {UNKNOWN}"
        )


def check_array(
    name: str, array: NDArray[Any], dtype: str, shape: tuple[int, ...], error: type[A2UError]
) -> None:
    """Refuse an array that is not (H, W), of another type, or not as large as the truth."""
    if array.ndim != 2:
        raise error(f"{name} has shape {array.shape}, expected (height, width); take one channel")
    if array.dtype != dtype:
        raise error(f"{name} is {array.dtype}, expected {dtype}; convert it first")
    if array.shape != shape:
        found, expected = (" x ".join(map(str, size[::-1])) for size in (array.shape, shape))
        raise error(f"{name} is {found} but the truth is {expected}; resize one")
