"""Trimaps for every frame from those of a few: carried along by motion, wider where it is unsure.

A trimap is carried as a margin: how far each pixel lies from the unknown, above 0 in the foreground
and below 0 in the background. Between two keys margins come from both sides, and nearly the lesser
of them holds: what one calls unknown, or they contradict each other about, is unknown.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from ..units import BACKGROUND, FOREGROUND, UNKNOWN, FloatArray, Size, Trimap
from .motion import Grey, Motion, measure, warp

Half = npt.NDArray[np.float16]
GROWTH = 1 / 900  # of the longer side, for each frame away from the nearer key,
ALONE = 4  # times as much where there is but one
CAUTION = 0.8  # of the lesser margin in what two keys make; the rest is their mean
GAIN, MOST = 0.4, 1 / 64  # growth for each pixel of disagreement, up to a share of the longer side


def propagate(
    frames: Sequence[Grey], first: Trimap | None, last: Trimap | None, size: Size
) -> Iterator[Trimap]:
    """Make the trimaps of a run of frames without a cut from those of its first and last.

    `frames` are uint8 (h, w), from `motion.reduce`; the keys, either of which may be missing, and
    the results are uint8 (H, W) in {0, 128, 255}, of `size`. A key is handed on unchanged.
    """
    count = len(frames)
    mixed: list[Half | None] = [None] * count  # float16: they wait for one another
    for at, margins in enumerate(_carry(frames, first) if first is not None else ()):
        mixed[at] = margins.astype(np.float16)
    carried = _carry(frames[::-1], last) if last is not None else ()
    for at, margins in zip(range(count - 1, -1, -1), carried, strict=False):
        other = mixed[at]
        if other is not None:
            margins = _mix(margins, other.astype(np.float32), at / max(1, count - 1))
        mixed[at] = margins.astype(np.float16)
    for at, half in enumerate(mixed):
        if at == 0 and first is not None:
            yield first
        elif at == count - 1 and last is not None:
            yield last
        else:
            assert half is not None
            away = min(at, count - 1 - at)
            if first is None or last is None:
                away = ALONE * (at if last is None else count - 1 - at)
            yield _to_trimap(half.astype(np.float32), away, size)
        mixed[at] = None


def _carry(frames: Sequence[Grey], key: Trimap) -> Iterator[FloatArray]:
    """Carry the margins of the first frame's trimap on: (h, w, 2), margin and disagreement."""
    height, width = frames[0].shape
    margins = _margins(key, (height, width))
    yield np.dstack([margins, np.zeros_like(margins)])
    way: Motion | None = None  # to the key: margins are always fetched from there, unblurred
    for before, frame in pairwise(frames):
        step, _ = measure(frame, before)
        way = step if way is None else step.then(way)
        yield np.dstack([warp(margins, way.flow), way.error])


def _margins(trimap: Trimap, size: Size) -> FloatArray:
    """Measure how far a trimap's pixels lie from its unknown, in pixels of a smaller size."""
    known = (trimap != UNKNOWN).astype(np.uint8)
    distance = cv2.distanceTransform(known, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    if not (trimap == UNKNOWN).any():
        edges = [
            cv2.distanceTransform((trimap == value).astype(np.uint8), cv2.DIST_L2, 5)
            for value in (FOREGROUND, BACKGROUND)
        ]
        distance = edges[0] + edges[1]
    signed = np.where(trimap == FOREGROUND, distance, -distance).astype(np.float32)
    scale = max(size) / max(trimap.shape)
    small = cv2.resize(signed, size[::-1], interpolation=cv2.INTER_AREA) * np.float32(scale)
    return np.asarray(np.clip(small, -max(size), max(size)), np.float32)


def _mix(margins: FloatArray, other: FloatArray, nearness: float) -> FloatArray:
    """Average two margins by how near their keys are, and go most of the way to the lesser.

    That is 0 where they do not agree on the side. A margin's error grows with the frames that it
    was carried, as its reach does, and each counts by its inverse variance: `nearness`, from 0 to
    1, is the first one's.
    """
    share = nearness**2 / (nearness**2 + (1 - nearness) ** 2)
    mixed = share * margins + (1 - share) * other
    own, others = margins[..., 0], other[..., 0]
    lesser = np.minimum(np.abs(own), np.abs(others)) * np.sign(own) * (own * others > 0)
    mixed[..., 0] += CAUTION * (lesser - mixed[..., 0])
    return np.asarray(mixed, np.float32)


def _to_trimap(margins: FloatArray, away: int, size: Size) -> Trimap:
    """Call unknown what lies within reach of it; `away` is how many frames off the key is."""
    margin, doubt = np.moveaxis(margins, -1, 0)
    longer = max(margin.shape)
    reach = GROWTH * longer * away + np.minimum(GAIN * doubt, MOST * longer)
    signed, width = (np.asarray(cv2.resize(p, size[::-1])) for p in (margin, reach))
    known = np.where(signed > 0, FOREGROUND, BACKGROUND)
    return np.where(np.abs(signed) <= width, UNKNOWN, known).astype(np.uint8)
