"""Objects of strands: hair, fur, wisps, fringes and feathers, each painted on a canvas."""

import math

import cv2
import numpy as np

from .strands import (
    EVEN,
    SHIFT,
    SUPERSAMPLING,
    Canvas,
    choose_place,
    choose_rim,
    fill_polygons,
    fixed_point,
    grow_strands,
    paint_body,
    paint_strands,
    reduce_mask,
    trace_outline,
)


def hair(canvas: Canvas) -> None:
    """A head or doll: dense hair, combed or wild, that thins out over a wide zone."""
    rng, size = canvas.rng, canvas.size
    centre, radius = choose_place(canvas)
    body = trace_outline(rng, centre, radius)
    reach, bend = rng.uniform(0.15, 0.6) * size, rng.uniform(0.2, 1.0)
    paint_body(canvas, centre + (body - centre) * 0.95, reach * 0.04, np.float32(1))
    lean = rng.choice((-1, 1)) * rng.uniform(0.3, 1.6) if rng.random() < 0.7 else 0.0
    pull = np.array([rng.normal(0, 0.3), rng.uniform(-0.2, 0.9)])
    width = canvas.strand_width
    # locks, then a thin halo, then flyaways: (count, reach, depth, looseness, width, opacity)
    for count, far, depth, loose, thin, opacity in (
        (1700, 0.7, 0.4, 0.15, 0.9, (0.3, 0.9)),
        (1100, 1.1, 0.15, 0.35, 0.6, (0.2, 0.7)),
        (int(rng.integers(5, 90)), 1.8, 0.1, 1.2, 0.4, (0.2, 0.7)),
    ):
        roots, angles, vigour = choose_rim(rng, body, centre, count, depth)
        angles += lean + rng.normal(0, loose, count)
        lengths = reach * far * (rng.beta(1.2, 2.0, count) + 0.1) * vigour
        clump = int(rng.integers(4, 30)) if loose < 0.5 else 1
        paths = grow_strands(
            rng, roots, angles, lengths, bend=bend + 2 * (loose > 1), pull=pull, clump=clump
        )
        groups = 7 if loose < 0.3 else 4
        paint_strands(canvas, paths, width * thin, groups=groups, opacity=opacity)
    if rng.random() < 0.6:
        face = trace_outline(rng, centre + rng.normal(0, 0.1, 2) * radius, radius * 0.5)
        canvas.paint(fill_polygons(size, [face]), canvas.core, np.float32(1))


def fur(canvas: Canvas) -> None:
    """A plush animal: one to three lumps under short dense strands."""
    rng, size = canvas.rng, canvas.size
    centre, radius = choose_place(canvas)
    reach, bend = rng.uniform(0.03, 0.14) * size, rng.uniform(0.2, 0.9)
    width, pull, mess = canvas.strand_width * 0.6, rng.normal(0, 0.35, 2), rng.uniform(0.1, 0.4)
    lumps = int(rng.integers(1, 4))
    for lump in range(lumps):
        spot = centre + (rng.normal(0, 0.6, 2) * radius if lump else 0.0)
        body = trace_outline(rng, spot, radius * (rng.uniform(0.35, 0.6) if lump else 0.9))
        paint_body(canvas, body, reach * 0.15, canvas.shade(0.1))
        lean = rng.normal(0, 0.5)
        for count, far, depth in ((1200, 0.7, 0.8), (1600, 1.0, 0.15)):
            roots, angles, vigour = choose_rim(rng, body, spot, count // (1 + lump), depth)
            angles += lean + rng.normal(0, mess, len(roots))
            lengths = reach * far * rng.uniform(0.3, 1.0, len(roots)) * vigour
            clump = int(rng.integers(2, 12))
            paths = grow_strands(
                rng, roots, angles, lengths, bend=bend, pull=pull, clump=clump, steps=6
            )
            paint_strands(canvas, paths, width, groups=4, opacity=(0.3, 0.8))
    for _ in range(int(rng.integers(0, 3))):
        mark = trace_outline(rng, centre + rng.normal(0, 0.3, 2) * radius, radius * 0.2)
        canvas.paint(fill_polygons(size, [mark]), canvas.core, np.float32(1))


def wisps(canvas: Canvas) -> None:
    """Long blown locks that cross the square, thin and translucent, from a small body."""
    rng, size = canvas.rng, canvas.size
    centre = rng.uniform((0.1, 0.75), (0.9, 1.0)) * size
    radius = rng.uniform(0.2, 0.35) * size
    body = trace_outline(rng, centre, radius)
    canvas.paint(fill_polygons(size, [body]), canvas.core, np.float32(1))
    up = math.atan2(0.4 * size - centre[1], 0.5 * size - centre[0])
    width = canvas.strand_width * 0.6
    for _ in range(int(rng.integers(3, 7))):
        count = int(rng.integers(60, 300))
        way = up + rng.normal(0, 0.7)
        side = np.array([-math.sin(way), math.cos(way)])
        ahead = np.array([math.cos(way), math.sin(way)])
        across = np.sort(rng.normal(0, 0.4, count))[:, None]
        roots = centre + radius * (0.6 * ahead + across * side)
        angles = way + rng.normal(0, rng.uniform(0.03, 0.3), count)
        lengths = size * rng.uniform(0.3, 0.9) * rng.uniform(0.4, 1, count)
        bend = rng.uniform(0.1, 0.6)
        paths = grow_strands(
            rng, roots, angles, lengths, bend=bend, pull=rng.normal(0, 0.5, 2), clump=12, steps=15
        )
        paint_strands(canvas, paths, width, groups=3, opacity=(0.2, 0.8))


def fringe(canvas: Canvas) -> None:
    """Cords of two materials or of many plain colours that hang from a cloth at the top."""
    rng, size = canvas.rng, canvas.size
    middle, half = rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.45)
    hem = rng.uniform(0.1, 0.35)
    count = int(rng.integers(20, 200))
    across = np.sort(rng.uniform(-1, 1, count))
    roots = np.stack([middle + across * half, hem - rng.uniform(0, 0.08, count)], axis=1) * size
    angles = math.pi / 2 + rng.normal(0, 0.15, count)
    lengths = size * rng.uniform(0.2, 0.7) * rng.uniform(0.4, 1.0, count)
    paths = grow_strands(rng, roots, angles, lengths, bend=0.4, pull=np.array([0, 0.3]), clump=4)
    width = size * 2 ** rng.uniform(-7.5, -5.5)
    colours = [canvas.coat, canvas.core]
    if rng.random() < 0.5:
        shades = rng.random((int(rng.integers(3, 9)), 3, 1, 1), np.float32)
        colours = [np.full_like(canvas.coat, shade) for shade in shades]
    paint_strands(canvas, paths, width, groups=12, opacity=(1.0, 1.0), parts=EVEN, colours=colours)
    corners = np.array([[-1.05, -1], [1.05, -1], [1.02, 0.02], [-1.02, 0.02]])
    cloth = (corners * (half, hem + 0.05) + (middle, hem)) * size
    canvas.paint(fill_polygons(size, [cloth]), canvas.core, np.float32(1))


def feather(canvas: Canvas) -> None:
    """One to three feathers: a shaft with dense barbs on both sides."""
    rng, size = canvas.rng, canvas.size
    for _ in range(int(rng.integers(1, 4))):
        foot = rng.uniform((0.1, 0.75), (0.9, 1.0)) * size
        aim = math.atan2(0.4 * size - foot[1], 0.5 * size - foot[0]) + rng.normal(0, 0.3)
        length = np.array([size * rng.uniform(0.7, 1.1)])
        still = np.zeros(2)
        spine = grow_strands(
            rng, foot[None], np.array([aim]), length, bend=0.5, pull=still, steps=48
        )[0]
        ahead = np.diff(spine, axis=0)
        step = np.sort(rng.integers(3, 48, 600))
        reach = np.sin(math.pi * (step / 48) ** 0.7) ** 0.6 * size * rng.uniform(0.12, 0.28)
        for side in (-1, 1):
            angles = np.arctan2(ahead[step, 1], ahead[step, 0]) + side * rng.normal(0.8, 0.1, 600)
            lengths = reach * rng.uniform(0.85, 1.1, 600)
            paths = grow_strands(
                rng, spine[step], angles, lengths, bend=0.4, pull=still, clump=8, steps=6
            )
            paint_strands(canvas, paths, size / 250, groups=3, opacity=(0.6, 1.0))
        shaft = np.zeros((size * SUPERSAMPLING,) * 2, np.uint8)
        pen = max(1, round(size / 100))
        cv2.polylines(shaft, [fixed_point(spine)], False, 255, pen, cv2.LINE_AA, SHIFT)
        canvas.paint(reduce_mask(shaft, size), canvas.core, np.float32(1))
