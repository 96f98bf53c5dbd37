"""Strands from seeds: guides, children between them, clumps, curls, frizz, flyaways, cuts.

Paths are float32 (n, k, 3), n strands of k knots from root to tip. Sums of three are written out:
a matrix product may round by the number of threads.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from .vectors import Numbers, cross, dot, length, unit

Ball = tuple[Numbers, Numbers]  # an ellipsoid's centre and radii, (3,) each
ORIGIN = np.zeros(3, np.float32)


def noise(rng: np.random.Generator, *shape: int) -> Numbers:
    """Draw from the normal distribution, float32."""
    return rng.standard_normal(shape, dtype=np.float32)


def course(knots: int) -> Numbers:
    """The way from root to tip, 0 to 1, as (1, k, 1)."""
    return np.linspace(0, 1, knots, dtype=np.float32)[None, :, None]


def wander(rng: np.random.Generator, number: int, knots: int, waves: Sequence[float]) -> Numbers:
    """Draw smooth offsets (n, k, 3) of size about 1, zero at the root: one sine a wave number."""
    way, total = course(knots), np.zeros((number, knots, 3), np.float32)
    for octave, frequency in enumerate(waves):
        phase = rng.uniform(0, 2 * math.pi, (number, 1, 3)).astype(np.float32)
        pace = rng.uniform(0.6, 1.5, (number, 1, 3)).astype(np.float32) * (2 * math.pi * frequency)
        size = noise(rng, number, 1, 3) * np.float32(0.6**octave)
        total += size * (np.sin(pace * way + phase) - np.sin(phase))
    return total


def swirl(
    rng: np.random.Generator, points: Numbers, frequency: float, waves: int = 10, size: int = 3
) -> Numbers:
    """Give a smooth random field at points (..., 3): `size` values of variance 1 each."""
    total = np.zeros((*points.shape[:-1], size), np.float32)
    for _ in range(waves):
        way = rng.normal(0, frequency, 3)
        phase, height = rng.uniform(0, 2 * math.pi, size), rng.normal(0, 1, size)
        total += (np.sin(dot(points, way)[..., None] + phase) * height).astype(np.float32)
    return total / np.float32(math.sqrt(waves / 2))


def on_balls(rng: np.random.Generator, number: int, ball: Ball) -> tuple[Numbers, Numbers]:
    """Draw points on an ellipsoid, and their outward normals: (n, 3) each."""
    centre, radii = ball
    way = unit(noise(rng, number, 3))
    return (centre + way * radii).astype(np.float32), unit(way / radii).astype(np.float32)


def grow(
    rng: np.random.Generator,
    roots: Numbers,
    ways: Numbers,
    lengths: Numbers | float,
    knots: int,
    *,
    pull: Numbers = ORIGIN,
    stiffness: float = 0.9,
    crook: float = 0.0,
    keep_out: Callable[[Numbers], Numbers] | None = None,
    flow: Callable[[Numbers, float], Numbers] | None = None,
) -> Numbers:
    """Grow guides (n, k, 3): their way gives in to pull and flow.

    `keep_out` gives where points (n, 3) go that have come into a body; the way goes on from there.
    """
    point, way = roots.astype(np.float32), unit(ways).astype(np.float32)
    step = np.broadcast_to(np.asarray(lengths, np.float32) / (knots - 1), len(roots))[:, None]
    path = [point]
    for knot in range(1, knots):
        force = np.broadcast_to(pull, point.shape)
        if flow is not None:
            force = force + flow(point, knot / (knots - 1))
        way = unit(way + force * (1 - stiffness) + crook * noise(rng, *point.shape))
        point = np.asarray(point + way * step, np.float32)
        if keep_out is not None:
            outer = keep_out(point)
            way = np.where(outer != point, unit(outer - path[-1]), way)
            point = outer
        path.append(point.astype(np.float32))
    return np.stack(path, 1)


def mean_by(owner: Numbers, values: Numbers, number: int) -> Numbers:
    """Average values (n, ...) over those of one owner: (number, ...)."""
    flat = values.reshape(len(values), -1)
    counts = np.bincount(owner, minlength=number)
    owning = np.flatnonzero(counts)
    starts = np.cumsum(counts)[owning] - counts[owning]
    means = np.zeros((number, flat.shape[1]), np.float32)
    ordered = flat[np.argsort(owner, kind="stable")]
    means[owning] = np.add.reduceat(ordered, starts, axis=0) / counts[owning, None]
    return means.reshape(number, *values.shape[1:])


def children(guides: Numbers, roots: Numbers, near: Numbers, spread: float = 1.0) -> Numbers:
    """Lay children between their nearest guides: `near` (n, m) are indices, nearest first.

    The nearer weigh more; at the tips children keep `spread` of their distance from the guides.
    """
    feet = guides[:, 0]
    gaps = length(roots[:, None] - feet[near])
    weights = 1 / (gaps + 1e-3) ** 2
    weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    path = np.zeros((len(roots), *guides.shape[1:]), np.float32)
    off = np.zeros_like(roots)
    for column in range(near.shape[1]):
        path += weights[:, column, None, None] * guides[near[:, column]]
        off += weights[:, column, None] * (roots - feet[near[:, column]])
    return path + off[:, None] * (1 - (1 - np.float32(spread)) * course(guides.shape[1]))


def clump(
    paths: Numbers, owner: Numbers, number: int, strength: Numbers, shape: float = 1.0
) -> Numbers:
    """Draw strands to their owner's mean, by its `strength` (number,), more towards the tip."""
    centres = mean_by(owner, paths, number)
    share = strength.astype(np.float32)[owner][:, None, None] * course(paths.shape[1]) ** shape
    return np.asarray(paths + (centres[owner] - paths) * np.clip(share, 0, 1), np.float32)


def normals(paths: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Give the way along each path, and two normals to it: (n, k, 3) each."""
    along = unit(np.gradient(paths, axis=1))
    across = unit(cross(along, np.array([0.13, 0.97, 0.21], np.float32)))
    return (*(a.astype(np.float32) for a in (along, across, cross(along, across))),)  # type: ignore[return-value]


def curl(
    rng: np.random.Generator,
    paths: Numbers,
    owner: Numbers,
    radius: float,
    turns: float,
    *,
    jitter: float = 0.15,
    start: float = 0.15,
) -> Numbers:
    """Wind strands about their path; those of one owner wind together, but for the jitter."""
    number, knots, _ = paths.shape
    locks = int(owner.max()) + 1
    _, across, over = normals(paths)
    way = course(knots)[..., 0]
    phase = rng.uniform(0, 2 * math.pi, locks)[owner][:, None] + rng.normal(
        0, 2 * jitter, (number, 1)
    )
    pitch = rng.uniform(0.7, 1.3, locks)[owner][:, None] * rng.normal(1, 0.3 * jitter, (number, 1))
    width = rng.uniform(0.6, 1.4, locks)[owner][:, None] * rng.normal(1, jitter, (number, 1))
    pace = np.abs(1 + 0.25 * wander(rng, locks, knots, (1.5, 3))[..., 0])
    drift = np.cumsum(pace, 1) / pace.sum(1, keepdims=True)
    angle = (2 * math.pi * turns * pitch * drift[owner] + phase).astype(np.float32)
    reach = (radius * width * np.clip(way / start, 0, 1)).astype(np.float32)
    winding = reach * np.cos(angle), reach * np.sin(angle)
    wound = winding[0][..., None] * across + winding[1][..., None] * over
    return np.asarray(paths + wound, np.float32)


def cut(paths: Numbers, share: Numbers) -> Numbers:
    """Cut each strand to a share (n,) of its length, with as many knots as before."""
    number, knots, _ = paths.shape
    at = np.linspace(0, 1, knots)[None] * share[:, None] * (knots - 1)
    before = np.clip(at.astype(np.int64), 0, knots - 2)
    rest = (at - before)[..., None].astype(np.float32)
    row = np.arange(number)[:, None]
    shorter = paths[row, before] * (1 - rest) + paths[row, before + 1] * rest
    return np.asarray(shorter, np.float32)


def along(paths: Numbers, which: Numbers, share: Numbers) -> tuple[Numbers, Numbers]:
    """Give points on strands `which` (m,), a share (m,) of the way up, and the way there."""
    at = share * (paths.shape[1] - 1.001)
    before = at.astype(np.int64)
    rest = (at - before)[:, None].astype(np.float32)
    start, end = paths[which, before], paths[which, before + 1]
    return start + (end - start) * rest, unit(end - start).astype(np.float32)


def fuzz(
    rng: np.random.Generator, paths: Numbers, number: int, lengths: float, loose: float = 1.0
) -> tuple[Numbers, Numbers]:
    """Grow short stray fibres out of cords, and tell each one's cord."""
    which = rng.integers(len(paths), size=number)
    feet, way = along(paths, which, rng.random(number))
    ways = way * rng.normal(0, 0.7, (number, 1)) + 0.8 * loose * noise(rng, number, 3)
    reach = lengths * rng.lognormal(0, 0.5, number)
    return grow(rng, feet, ways, reach, 8, crook=0.35, stiffness=0.9), which
