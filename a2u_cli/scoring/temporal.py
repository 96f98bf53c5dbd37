"""Score how a sequence of mattes changes over time, by the protocols that papers print.

dtSSD and MESSDdt are those of Erofeev et al., "Perceptually Motivated Benchmark for Video Matting"
(BMVC 2015, http://videomatting.com). What is published under these names differs in the pixels that
count, in the scale, and in how frames are averaged, so each protocol here is named and defined by
the public evaluation code that it follows:

- rvm: https://github.com/PeterL1n/RobustVideoMatting, evaluation/evaluate_lr.py
- tcvom: https://github.com/yunkezhang/TCVOM, calc_metric.py and utils/utils.py
- dvm: https://github.com/nowsyn/DVM, evaluation/metric.py
"""

from collections.abc import Sequence
from math import sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, TrimapError
from ..units import BACKGROUND, FOREGROUND, UNKNOWN
from .metrics import Alpha, Region, check_array

Protocol = Literal["rvm", "tcvom", "dvm"]
Flow = NDArray[np.float32]  # (H, W, 2): how far each pixel goes to the right and down; NaN: unknown
Pair = tuple[Alpha, Alpha]  # a frame's prediction and truth, uint8 (H, W)

_AHEAD = "sqrt(sum of ((p_t+1 - p_t) - (g_t+1 - g_t))^2) over"
CHANGES: dict[Protocol, dict[str, str]] = {  # in words: p_t is frame t's prediction, g_t its truth
    "rvm": {
        "dtSSD": "rvm: 100 sqrt(mean of ((p_t - p_t-1) - (g_t - g_t-1))^2) over the whole picture; "
        "a clip's first frame counts as 0"
    },
    "tcvom": {
        "dtSSD": f"tcvom: {_AHEAD} what is neither 0 nor 255 in the trimap of frame t; a clip's "
        "last frame counts as 0",
        "MESSDdt": "tcvom: sum of |(p_t - g_t)^2 - (p_t+1 - g_t+1)^2 where the flow leads| over "
        "the same pixels, / 1000; a clip's last frame counts as 0",
    },
    "dvm": {
        "dtSSD": f"dvm: {_AHEAD} the pixels of 128 in the trimap of frame t, or without trimaps "
        "those of truth between 0 and 255; mean of the pairs"
    },
}
CHUNK = 1 << 16  # pixels whose flow is followed at once


def dtssd_rvm(frame: Pair, before: Pair) -> float:
    """Compare two frames' changes over the whole picture: 100 times the root of the mean square.

    This is a frame with the one before it: 100 sqrt(mean(((p_t - p_t-1) - (g_t - g_t-1))^2)).

    Raises:
        ImageError: a matte has another size or type than the frame's truth.
    """
    squares = _squared_changes(frame, before)
    return 100 * sqrt(int(squares.sum(dtype=np.int64)) / squares.size) / 255


def dtssd_tcvom(frame: Pair, after: Pair, trimap: NDArray[np.uint8]) -> float:
    """Compare two frames' changes where the first is unknown: the root of the sum of squares.

    This is a frame with the one after it: sqrt(sum(((p_t+1 - p_t) - (g_t+1 - g_t))^2)) over what is
    neither 0 nor 255 in the trimap, uint8 (H, W), of frame t. It is not divided by the pixels.

    Raises:
        ImageError: a matte has another size or type than the frame's truth.
        TrimapError: the trimap has.
    """
    return _root_of_sum(frame, after, between(frame, trimap))


def dtssd_dvm(frame: Pair, after: Pair, trimap: NDArray[np.uint8] | None = None) -> float:
    """Compare two frames' changes where the first has exactly 128: the root of the sum of squares.

    This is `dtssd_tcvom` but for the pixels that count: those of 128 in the trimap of the first of
    the two frames, or without trimaps those whose truth there is neither 0 nor 255.

    Raises:
        ImageError, TrimapError: as `dtssd_tcvom`.
    """
    if trimap is None:
        return _root_of_sum(frame, after, between(frame, frame[1]))
    _check_trimap(frame, trimap)
    return _root_of_sum(frame, after, trimap == UNKNOWN)


def messddt_tcvom(frame: Pair, after: Pair, trimap: NDArray[np.uint8], flow: Flow) -> float:
    """Compare two frames' squared errors along the motion, summed, in thousands of pixels.

    This is sum(|(p - g)^2 in frame t - (p - g)^2 in frame t+1 where `flow` leads|) / 1000 over what
    is neither 0 nor 255 in the trimap of frame t and has a known flow. Both mattes of frame t+1 are
    interpolated between four pixels, of which those outside the picture are 0.

    Raises:
        ImageError, TrimapError: as `dtssd_tcvom`; ImageError where the flow has another shape.
    """
    region = between(frame, trimap)
    _check_pair(after, frame, "the neighbouring frame's")
    if flow.shape != (*region.shape, 2):
        raise ImageError(
            f"the flow has shape {flow.shape}, expected {(*region.shape, 2)} as the mattes; "
            "compute it at their size"
        )
    error = frame[0].astype(np.int16) - frame[1]
    later = (after[0].astype(np.int16) - after[1]).astype(np.float64)
    known = np.isfinite(flow).all(axis=2)
    total = 0.0
    pixels = np.flatnonzero(region & known)
    for start in range(0, pixels.size, CHUNK):
        rows, columns = np.unravel_index(pixels[start : start + CHUNK], region.shape)
        right, down = flow[rows, columns].T.astype(np.float64)
        moved = _interpolate(later, rows + down, columns + right)
        total += float(np.abs(np.square(error[rows, columns], dtype=np.float64) - moved**2).sum())
    return total / 255**2 / 1000


def average_changes(protocol: Protocol, values: Sequence[float]) -> float | None:
    """Average a clip's values, one of each pair of frames, as the protocol's code does.

    rvm and tcvom count one frame more than pairs: the frame without a pair, as no error at all.
    DVM's code gives its values one by one; they are averaged here. None where there is none.
    """
    if not values:
        return None
    return sum(values) / (len(values) + (protocol != "dvm"))


def between(frame: Pair, levels: NDArray[np.uint8]) -> Region:
    """Find the pixels that are neither 0 nor 255; raises as `dtssd_tcvom`."""
    _check_trimap(frame, levels)
    region: Region = (levels != BACKGROUND) & (levels != FOREGROUND)
    return region


def _interpolate(
    plane: NDArray[np.float64], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Read a plane (H, W) between its pixels, at N places; beyond its border it is 0."""
    height, width = plane.shape
    # Far beyond the border is as good as just beyond it, and fits into integers.
    rows, columns = np.clip(rows, -2, height + 1), np.clip(columns, -2, width + 1)
    top, left = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    found = np.zeros(rows.shape)
    for row, across in ((top, 1 - (rows - top)), (top + 1, rows - top)):
        for column, along in ((left, 1 - (columns - left)), (left + 1, columns - left)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            found[inside] += (across * along)[inside] * plane[row[inside], column[inside]]
    return found


def _root_of_sum(frame: Pair, other: Pair, region: Region) -> float:
    return sqrt(int(_squared_changes(frame, other)[region].sum(dtype=np.int64))) / 255


def _squared_changes(frame: Pair, other: Pair) -> NDArray[np.int32]:
    """Square how much more the prediction changes than the truth, in levels of 255, (H, W)."""
    _check_pair(frame, frame)
    _check_pair(other, frame, "the neighbouring frame's")
    changes = frame[0].astype(np.int16)
    changes -= frame[1]
    changes -= other[0]
    changes += other[1]
    return np.square(changes, dtype=np.int32)


def _check_pair(pair: Pair, frame: Pair, whose: str = "the") -> None:
    for what, matte in zip(("prediction", "truth"), pair, strict=True):
        check_array(f"{whose} {what}", matte, "uint8", frame[1].shape, ImageError)


def _check_trimap(frame: Pair, trimap: NDArray[Any]) -> None:
    _check_pair(frame, frame)
    check_array("the trimap", trimap, "uint8", frame[1].shape, TrimapError)
