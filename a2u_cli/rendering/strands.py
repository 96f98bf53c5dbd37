"""What foregrounds are drawn with: a canvas with soft strands, contours and bodies on it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .textures import FloatImage

Points = NDArray[np.float64]

SUPERSAMPLING = 2
SHIFT = 4  # fractional bits of a drawn coordinate


@dataclass
class Canvas:
    """A picture under way: premultiplied planes (4, size, size) and two materials (3, size, size).

    `coat` colours strands and other soft parts, `core` what lies within; `contrast` scales how far
    single strands depart from their material.
    """

    size: int
    rng: np.random.Generator
    coat: FloatImage
    core: FloatImage
    contrast: float
    planes: FloatImage

    @property
    def strand_width(self) -> float:
        """Return the width in pixels of a middling strand, thinner in small pictures."""
        return math.sqrt(self.size / 512) * float(self.rng.uniform(0.8, 1.8))

    def shade(self, spread: float) -> np.float32:
        """Draw a brightness factor near 1."""
        return np.float32(math.exp(self.contrast * self.rng.normal(0, spread)))

    def paint(self, coverage: FloatImage, colour: FloatImage, shade: np.float32) -> None:
        """Lay `colour` over the picture where `coverage` (size, size) says."""
        keep, light = 1 - coverage, coverage * shade
        self.planes *= keep
        for plane, source in zip(self.planes, colour, strict=False):
            plane += source * light
        self.planes[3] += coverage

    def blur(self, sigma: float) -> None:
        """Soften the picture, colour and alpha alike."""
        for plane in self.planes:
            cv2.GaussianBlur(plane, (0, 0), sigma, dst=plane)


def fill_polygons(size: int, polygons: Sequence[Points], value: float = 1.0) -> FloatImage:
    """Fill polygons given in pixels; coverage float32 (size, size) in [0, 1]."""
    mask = np.zeros((size * SUPERSAMPLING,) * 2, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [fixed_point(polygon)], 255, cv2.LINE_AA, SHIFT)
    return reduce_mask(mask, size, value)


def reduce_mask(mask: NDArray[np.uint8], size: int, value: float = 1.0) -> FloatImage:
    small = cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)
    return small * np.float32(value / 255)


def fixed_point(points: Points) -> NDArray[np.int32]:
    return np.rint(points * (SUPERSAMPLING << SHIFT)).astype(np.int32)


def trace_outline(
    rng: np.random.Generator, centre: Points, radius: float, *, rough: float = 0.12
) -> Points:
    """Trace a closed star-shaped contour (128, 2) in pixels around `centre`."""
    turn = np.linspace(0, 2 * math.pi, 128, endpoint=False)
    reach = np.ones(128)
    for order in range(2, 7):
        reach += rng.normal(0, rough / order) * np.cos(order * turn + rng.uniform(0, 2 * math.pi))
    aspect = rng.uniform(0.75, 1.3)
    wheel = np.stack([np.cos(turn) * aspect, np.sin(turn) / aspect], axis=1)
    return centre + wheel * (radius * reach)[:, None]


def choose_place(canvas: Canvas) -> tuple[Points, float]:
    """Choose centre and radius of the main body: entering from below, or free in the square."""
    rng = canvas.rng
    if rng.random() < 0.5:
        centre, radius = rng.uniform((0.25, 0.65), (0.75, 1.0)), rng.uniform(0.28, 0.48)
    else:
        centre, radius = rng.uniform(0.35, 0.65, 2), rng.uniform(0.24, 0.38)
    return centre * canvas.size, float(radius) * canvas.size


def grow_strands(
    rng: np.random.Generator,
    roots: Points,
    angles: Points,
    lengths: Points,
    *,
    bend: float,
    pull: Points,
    clump: int = 1,
    steps: int = 12,
) -> Points:
    """Grow curved strands (n, steps + 1, 2) from `roots`; neighbours in order share clumps."""
    count = len(roots)
    time = np.linspace(0, 1, steps)
    wave = rng.normal(0, bend / 3, (count, 1)) * np.sin(
        2 * math.pi * (rng.uniform(0.3, 1.5, (count, 1)) * time + rng.random((count, 1)))
    )
    heading = angles[:, None] + rng.normal(0, bend, (count, 1)) * time + wave
    moves = np.stack([np.cos(heading), np.sin(heading)], axis=2) + time[:, None] * pull
    moves *= (lengths / steps)[:, None, None]
    start = np.zeros((count, 1, 2))
    paths: Points = roots[:, None] + np.concatenate([start, np.cumsum(moves, axis=1)], axis=1)
    whole = count - count % clump
    locks = paths[:whole].reshape(-1, clump, steps + 1, 2)
    gather = np.linspace(0, 1, steps + 1)[:, None] * rng.uniform(0, 0.9, (len(locks), 1, 1, 1))
    locks += gather * (locks.mean(axis=1, keepdims=True) - locks)
    return paths


# (from, to, width, value) of a strand's parts, in thirds of its length; the faint tips come first,
# or they would erase what the roots drew
TAPERING = ((2, 3, 0.3, 110), (1, 2, 0.6, 190), (0, 1, 1.0, 255))
EVEN = ((0, 3, 1.0, 255),)


def paint_strands(
    canvas: Canvas,
    paths: Points,
    width: float,
    *,
    groups: int = 8,
    opacity: tuple[float, float] = (0.6, 1.0),
    parts: tuple[tuple[int, int, float, int], ...] = TAPERING,
    colours: Sequence[FloatImage] = (),
) -> None:
    """Paint strands in groups that differ in shade, width, opacity, and perhaps in material."""
    fixed, last = fixed_point(paths), paths.shape[1] - 1
    for group, members in enumerate(np.array_split(canvas.rng.permutation(len(paths)), groups)):
        thickness = SUPERSAMPLING * width * canvas.rng.uniform(0.6, 1.4)
        mask = np.zeros((canvas.size * SUPERSAMPLING,) * 2, np.uint8)
        for start, stop, taper, value in parts:
            part = fixed[members, last * start // 3 : last * stop // 3 + 1]
            pen = max(1, round(thickness * taper))
            cv2.polylines(mask, list(part), False, value, pen, cv2.LINE_AA, SHIFT)
        coverage = reduce_mask(mask, canvas.size, float(canvas.rng.uniform(*opacity)))
        colour = colours[group % len(colours)] if colours else canvas.coat
        canvas.paint(coverage, colour, canvas.shade(0.3))


def choose_rim(
    rng: np.random.Generator, body: Points, centre: Points, count: int, depth: float
) -> tuple[Points, Points, Points]:
    """Choose `count` roots in order along a contour, up to `depth` inwards.

    Returns roots (count, 2), outward angles, and relative lengths; both vary in tufts.
    """
    place = np.sort(rng.uniform(0, 1, count))
    edge = body[(place * len(body)).astype(int) % len(body)]
    roots = centre + (edge - centre) * (1 - depth * rng.random((count, 1)) ** 1.5)
    outward = edge - centre
    tufts = int(rng.integers(8, 60))
    knots = np.linspace(0, 1, tufts)
    sway = np.interp(place, knots, rng.normal(0, rng.uniform(0.1, 0.5), tufts))
    vigour = np.interp(place, knots, rng.uniform(0.4, 1.2, tufts))
    return roots, np.arctan2(outward[:, 1], outward[:, 0]) + sway, vigour


def paint_body(canvas: Canvas, body: Points, sigma: float, shade: np.float32) -> None:
    """Paint the dense mass under strands: opaque within, thinning out over its edge."""
    mask = fill_polygons(canvas.size, [body])
    soft = cv2.GaussianBlur(mask, (0, 0), max(sigma, 0.5))
    canvas.paint(np.clip(soft * np.float32(1.5) - np.float32(0.3), 0, 1), canvas.coat, shade)
