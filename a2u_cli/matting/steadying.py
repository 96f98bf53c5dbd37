"""Mattes of a sequence that do not flicker: each averaged with its neighbours, moved to its place.

What a matte gets wrong differs from frame to frame with noise and with what shines through; what it
gets right moves on. So the mattes themselves are what motion is measured on: unlike a picture's,
their motion is that of the foreground alone.
"""

from collections.abc import Sequence

import numpy as np

from ..trimap import restore_known
from ..units import FloatArray, Trimap
from .motion import Motion, measure, reduce, warp

REACH = 3  # frames to either side
ALIKE = 0.3  # difference of two mattes at which the other counts for exp(-1/2)
SURE = 1.5  # pixels of disagreement at which motion counts for exp(-1/2)

Step = tuple[Motion, Motion]  # from a frame to the next one, and back


def measure_step(first: FloatArray, second: FloatArray) -> Step:
    """Measure the motion between the mattes, (H, W) in [0, 1], of two frames that follow."""
    return measure(reduce(first), reduce(second))


def steady(
    mattes: Sequence[FloatArray], steps: Sequence[Step], at: int, trimap: Trimap
) -> FloatArray:
    """Average one matte of a run of frames, number `at`, with those around it.

    `mattes` are float32 (H, W) in [0, 1] of frames that follow each other without a cut, `steps`
    the motion between each and the next; `trimap`, uint8 (H, W), is that of frame `at`, whose known
    pixels stay. A neighbour counts by how well motion finds it, exp(-error^2 / (2 SURE^2)), and by
    how much it is alike, exp(-difference^2 / (2 ALIKE^2)). A matte alone is given back unchanged.
    """
    own = mattes[at]
    if len(mattes) == 1:
        return own
    total, weights = own.copy(), np.ones_like(own)
    ahead = [there for there, _ in steps[at : at + REACH]]
    behind = [back for _, back in steps[max(0, at - REACH) : at][::-1]]
    for direction, path in ((1, ahead), (-1, behind)):
        way: Motion | None = None
        for far, step in enumerate(path, 1):
            way = step if way is None else way.then(step)
            full = way.at(trimap.shape)
            moved = warp(mattes[at + direction * far], full.flow)
            gap = np.square(full.error / np.float32(SURE))
            gap += np.square((moved - own) / np.float32(ALIKE))
            weight = np.exp(np.float32(-0.5) * gap)
            total += weight * moved
            weights += weight
    return restore_known(np.clip(total / weights, 0.0, 1.0), trimap)
