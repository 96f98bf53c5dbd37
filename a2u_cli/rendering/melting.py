"""Bodies of ellipsoids that melt into each other, and their skin where rays from within find it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .vectors import Numbers, dot, length

Knot = Sequence[float] | Numbers
Outside = Callable[[Numbers], Numbers]  # how far points (n, 3) lie outside of a body
STEPS = 14
CLOSE = 1e-4  # to the skin: near enough
SLANT = (0.3, 1.2)  # by how much the distance falls for a step of 1: slanting rays by less
FAR = np.float32(9)
REACH = 2.0  # melts: from farther than this a blob changes nothing


@dataclass(frozen=True)
class Blob:
    """An ellipsoid drawn from one knot to another: a middle and its radii, (6,).

    It is mirrored in x if `paired`; `melt` is how widely it joins those before it, from which it is
    taken away if `hollow`.
    """

    melt: float
    knots: tuple[Numbers, Numbers]
    paired: bool
    hollow: bool


def blob(melt: float, start: Knot, end: Knot | None = None, *, hollow: bool = False) -> Blob:
    """Make a blob; one that does not lie in the middle is mirrored."""
    first, last = (np.asarray(knot, np.float32) for knot in (start, start if end is None else end))
    return Blob(melt, (first, last), bool(first[0] or last[0]), hollow)


def distance(blobs: Sequence[Blob], points: Numbers) -> Numbers:
    """Tell roughly how far points (n, 3) lie outside, (n,); negative within.

    After Quilez, "Smooth Minimum" and "Ellipsoid SDF".
    """
    mirrored = points.copy()
    mirrored[:, 0] = np.abs(mirrored[:, 0])
    total = _join(blobs[0], mirrored, np.full(len(points), FAR))
    for one in blobs[1:]:
        own = mirrored if one.paired else points
        low = np.minimum(*(knot[:3] - knot[3:] for knot in one.knots)) - REACH * one.melt
        high = np.maximum(*(knot[:3] + knot[3:] for knot in one.knots)) + REACH * one.melt
        near = np.flatnonzero(np.all((own > low) & (own < high), axis=1))
        total[near] = _join(one, own[near], total[near])
    return total


def _join(one: Blob, points: Numbers, total: Numbers) -> Numbers:
    start, course = one.knots[0], one.knots[1] - one.knots[0]
    run = np.maximum(dot(course[:3], course[:3]), 1e-9)
    share = np.clip(dot(points - start[:3], course[:3]) / run, 0, 1)[:, None]
    off = (points - start[:3] - share * course[:3]) / (radii := start[3:] + share * course[3:])
    size = length(off)
    apart = size * (size - 1) / np.maximum(length(off / radii), 1e-6)
    if one.hollow:
        return -melt(-total, apart, one.melt)
    return melt(total, apart, one.melt)


def melt(first: Numbers, second: Numbers, width: float) -> Numbers:
    """Give the lesser of two distances, rounded off where they are alike."""
    share = np.clip(0.5 + 0.5 * (first - second) / width, 0, 1)
    return np.asarray(first + (second - first) * share - width * share * (1 - share))


def reach_skin(outside: Outside, origins: Numbers, ways: Numbers) -> Numbers:
    """Follow rays (n, 3) from within to where `outside` is 0: points float32 (n, 3)."""
    points = np.array(np.broadcast_to(origins, ways.shape), np.float32)
    left, share = outside(points), np.ones(len(points), np.float32)
    for _step in range(STEPS):
        going = np.flatnonzero(np.abs(left) > CLOSE)
        before, step = left[going], left[going] / share[going]
        points[going] -= step[:, None] * ways[going]
        left[going] = outside(points[going])
        share[going] = np.clip((before - left[going]) / step, *SLANT)
    return points
