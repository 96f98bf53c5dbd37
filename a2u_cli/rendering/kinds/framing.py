"""Where to look: at all that is there, or at a part of it close by."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..camera import Camera, look
from ..shapes import Solid, Strands


def frame_parts(
    rng: np.random.Generator,
    parts: tuple[Sequence[Strands], Sequence[Solid]],
    *,
    shares: tuple[float, float, float] = (0.6, 0.28, 0.12),
    **options: Any,
) -> Camera:
    """Frame strands and solids: all of them, a half, or a quarter, with probabilities `shares`.

    The options are those of `look`; `depth` is that of the parts.
    """
    strands, solids = parts
    of_strands = [strand.points[:, ::4].reshape(-1, 3) for strand in strands]
    points = np.concatenate(of_strands + [solid.vertices[::4] for solid in solids])
    low, high = (np.percentile(points, q, axis=0) for q in (0.5, 99.5))
    frame = float((high - low)[[0, 2]].max()) * rng.uniform(1.02, 1.3)
    near = float(rng.choice([1, 0.55, 0.28], p=shares))
    target = (low + high) / 2
    if near < 1:
        target = 0.35 * target + 0.65 * points[rng.integers(len(points))]
    depth = float(np.clip((high - low)[1] / 2, 0.1, 1.5))
    return look(rng, target, frame * near, **{"depth": depth, "distance": 2.6 * frame} | options)
