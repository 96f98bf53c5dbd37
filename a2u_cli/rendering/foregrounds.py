"""Render foregrounds for alpha matting: straight colour with exact alpha, by our own drawing."""

import math
from collections.abc import Callable

import cv2
import numpy as np

from . import strand_kinds
from .strands import (
    EVEN,
    SHIFT,
    SUPERSAMPLING,
    Canvas,
    Points,
    choose_place,
    fill_polygons,
    fixed_point,
    grow_strands,
    paint_strands,
    reduce_mask,
    trace_outline,
)
from .textures import FloatImage, fractal_noise, render_background, render_texture, smooth_colour

__all__ = ["KINDS", "render_background", "render_foreground", "render_texture"]


def _shapes(canvas: Canvas) -> FloatImage:
    """Cover a body with a few polygons, thick strokes and holes around it."""
    rng, size = canvas.rng, canvas.size
    centre, radius = choose_place(canvas)
    polygons = [trace_outline(rng, centre, radius * rng.uniform(0.7, 1.0), rough=0.25)]
    for _ in range(int(rng.integers(1, 7))):
        spot = centre + rng.normal(0, 0.8, 2) * radius
        outline = trace_outline(rng, spot, radius * rng.uniform(0.1, 0.4), rough=0.3)
        corners = int(rng.integers(3, 9))
        angular = outline[:: 128 // corners][:corners]
        polygons.append(angular if rng.random() < 0.5 else outline)
    mask = np.zeros((size * SUPERSAMPLING,) * 2, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [fixed_point(polygon)], 255, cv2.LINE_AA, SHIFT)
    for _ in range(int(rng.integers(0, 8))):
        start = centre + rng.normal(0, 0.6, (1, 2)) * radius
        stroke = grow_strands(
            rng,
            start,
            rng.uniform(0, 2 * math.pi, 1),
            rng.uniform(0.1, 0.6, 1) * size,
            bend=2.0,
            pull=np.zeros(2),
        )
        pen = max(1, round(size * SUPERSAMPLING * 2 ** rng.uniform(-8.5, -5)))
        value = 0 if rng.random() < 0.3 else 255
        cv2.polylines(mask, list(fixed_point(stroke)), False, value, pen, cv2.LINE_AA, SHIFT)
    return reduce_mask(mask, size)


def _sharp(canvas: Canvas) -> None:
    """Hard-edged shapes with nothing but antialiasing at the edge."""
    canvas.paint(_shapes(canvas), canvas.core, np.float32(1))


def _defocus(canvas: Canvas) -> None:
    """Shapes through a lens out of focus: the edge is blurred by a disc."""
    rng, size = canvas.rng, canvas.size
    radius = max(1.5, size / 512 * 3 * 2 ** rng.uniform(0, 3.7) / 2)
    side = math.ceil(radius) * 2 + 1
    axis = np.arange(side, dtype=np.float32) - side // 2
    disc = np.clip(radius + 0.5 - np.hypot(axis[:, None], axis[None, :]), 0, 1).astype(np.float32)
    coverage = cv2.filter2D(_shapes(canvas), -1, disc / disc.sum(), borderType=cv2.BORDER_REPLICATE)
    canvas.paint(np.clip(coverage, 0, 1), canvas.coat, np.float32(1))


def _motion(canvas: Canvas) -> None:
    """Shapes that moved during the exposure: the edge is blurred along a curve."""
    rng, size = canvas.rng, canvas.size
    length = max(4.0, size * 2 ** rng.uniform(-6, -3))
    start = np.zeros((1, 2))
    angle = rng.uniform(0, 2 * math.pi, 1)
    curve = grow_strands(rng, start, angle, np.array([length]), bend=0.8, pull=np.zeros(2))[0]
    low, high = curve.min(axis=0), curve.max(axis=0)
    side = math.ceil(float((high - low).max())) + 5
    track = np.zeros((side, side), np.uint8)
    moved = np.rint((curve - (low + high) / 2 + side / 2) * 16).astype(np.int32)
    cv2.polylines(track, [moved], False, 255, 1, cv2.LINE_AA, 4)
    kernel = track.astype(np.float32) / np.float32(track.sum())
    coverage = cv2.filter2D(_shapes(canvas), -1, kernel, borderType=cv2.BORDER_REPLICATE)
    canvas.paint(np.clip(coverage, 0, 1), canvas.coat, np.float32(1))


def _smoke(canvas: Canvas) -> None:
    """Fractal clouds within a soft envelope; seldom opaque."""
    rng, size = canvas.rng, canvas.size
    centre, radius = choose_place(canvas)
    envelope = cv2.GaussianBlur(
        fill_polygons(size, [trace_outline(rng, centre, radius * 1.1, rough=0.3)]),
        (0, 0),
        radius * 0.25,
    )
    noise = fractal_noise(size, rng, cells=3, roughness=rng.uniform(0.35, 0.6))
    bend = (fractal_noise(size, rng, cells=3, roughness=0.4) - 0.5) * np.float32(size / 3)
    axis = np.arange(size, dtype=np.float32)
    across = axis[None, :] + bend
    down = axis[:, None] + bend[::-1, ::-1]
    curled = cv2.remap(noise, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    floor = np.float32(rng.uniform(0.15, 0.4))
    density = np.clip((curled - floor) * np.float32(rng.uniform(1.2, 2.5)), 0, 1)
    coverage = np.clip(density * envelope * np.float32(1.3) - np.float32(0.02), 0, 1)
    canvas.paint(coverage, canvas.coat, np.float32(1))


def _net(canvas: Canvas) -> None:
    """A warped net or lace with many holes, inside a contour with a firm hem."""
    rng, size = canvas.rng, canvas.size
    mask = np.zeros((size * SUPERSAMPLING,) * 2, np.uint8)
    centre, radius = choose_place(canvas)
    body = trace_outline(rng, centre, radius * 1.3)
    cell = size * 2 ** rng.uniform(-6, -3.5)
    pen = max(1, round(SUPERSAMPLING * cell * rng.uniform(0.08, 0.3)))
    angle, skew = rng.uniform(0, math.pi), rng.uniform(1.0, 2.0)
    bends = [fractal_noise(64, rng, cells=3, roughness=0.3) for _ in range(2)]
    ticks = np.arange(-0.8 * size, 0.8 * size, cell)
    along = np.linspace(-0.8 * size, 0.8 * size, 80)
    strength = size * rng.uniform(0.05, 0.3)
    for direction in (angle, angle + skew):
        unit = np.array([math.cos(direction), math.sin(direction)])
        normal = np.array([-unit[1], unit[0]])
        lines = size / 2 + along[None, :, None] * unit + ticks[:, None, None] * normal
        spot = np.clip(lines / size * 63, 0, 63).astype(int)
        shift = np.stack([bend[spot[..., 1], spot[..., 0]] for bend in bends], axis=2) - 0.5
        lines = lines + shift * strength
        cv2.polylines(mask, list(fixed_point(lines)), False, 255, pen, cv2.LINE_AA, SHIFT)
    for _ in range(int(rng.integers(0, 9))):
        flower = trace_outline(rng, centre + rng.normal(0, 0.6, 2) * radius, cell, rough=0.5)
        cv2.fillPoly(mask, [fixed_point(flower)], 255, cv2.LINE_AA, SHIFT)
    coverage = reduce_mask(mask, size) * fill_polygons(size, [body])
    canvas.paint(coverage * np.float32(rng.uniform(0.7, 1.0)), canvas.coat, np.float32(1))
    hem = np.zeros_like(mask)
    cv2.polylines(hem, [fixed_point(body)], True, 255, 2 * pen, cv2.LINE_AA, SHIFT)
    canvas.paint(reduce_mask(hem, size), canvas.core, np.float32(1))


def _leaf(root: Points, angle: float, length: float, width: float) -> Points:
    """Trace a leaf or a blade (21, 2) that starts at `root`."""
    along = np.concatenate([np.linspace(0, 1, 11), np.linspace(1, 0, 11)[1:]])
    side = np.concatenate([np.ones(11), -np.ones(10)]) * np.sin(math.pi * along**0.8)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    blade: Points = np.stack([along * length, side * width / 2], axis=1) @ turn
    return root + blade


def _leaves(canvas: Canvas) -> None:
    """A plant: twigs out of a pot, with leaves and gaps between them."""
    rng, size = canvas.rng, canvas.size
    foot = rng.uniform((0.3, 0.8), (0.7, 1.05)) * size
    count = int(rng.integers(6, 14))
    angles = -math.pi / 2 + rng.normal(0, 0.6, count)
    lengths = size * rng.uniform(0.3, 0.8, count)
    pull = np.array([0.0, rng.uniform(0, 0.6)])
    twigs = grow_strands(rng, np.tile(foot, (count, 1)), angles, lengths, bend=0.6, pull=pull)
    paint_strands(canvas, twigs, max(1.0, size / 100), groups=2, opacity=(1.0, 1.0))
    long, slim = size * rng.uniform(0.04, 0.16), rng.uniform(0.15, 0.6)
    blades = []
    for _ in range(int(rng.integers(80, 260))):
        twig, step = twigs[rng.integers(count)], int(rng.integers(3, 13))
        ahead = twig[step] - twig[step - 1]
        angle = math.atan2(ahead[1], ahead[0]) + rng.normal(0, 0.9)
        length = long * rng.uniform(0.5, 1.3)
        blades.append(_leaf(twig[step], angle, length, length * slim))
    for start in range(4):
        shade = canvas.shade(0.3)
        colour = canvas.core if start == 3 and rng.random() < 0.5 else canvas.coat
        canvas.paint(fill_polygons(size, blades[start::4]), colour, shade)
    if rng.random() < 0.6:
        wide, tall = rng.uniform(0.1, 0.25) * size, rng.uniform(0.1, 0.3) * size
        corners = np.array([[-1, 0], [1, 0], [0.8, 1], [-0.8, 1]]) * (wide, tall)
        canvas.paint(fill_polygons(size, [foot + corners]), canvas.core, canvas.shade(0.2))


def _spikes(canvas: Canvas) -> None:
    """Grass or a spiky plant: a fan of long tapering blades from one side."""
    rng, size = canvas.rng, canvas.size
    count = int(rng.integers(40, 160))
    spread = rng.uniform(0.05, 0.4)
    thick = size * rng.uniform(0.008, 0.03)
    middle = rng.uniform(0.3, 0.7)
    blades = []
    for _ in range(count):
        root = np.array([(middle + rng.normal(0, spread)), rng.uniform(0.85, 1.05)]) * size
        length = size * rng.uniform(0.25, 0.8)
        blades.append(_leaf(root, -math.pi / 2 + rng.normal(0, 0.4), length, thick))
    for start in range(5):
        canvas.paint(fill_polygons(size, blades[start::5]), canvas.coat, canvas.shade(0.35))
    base = trace_outline(rng, np.array([middle, 1.0]) * size, size * rng.uniform(0.15, 0.3))
    canvas.paint(fill_polygons(size, [base]), canvas.core, np.float32(1))


def _glass(canvas: Canvas) -> None:
    """A translucent vessel with a denser rim, opaque highlights, and a cap or a label."""
    rng, size = canvas.rng, canvas.size
    half = rng.uniform(0.15, 0.32) * size
    centre, top = rng.uniform(0.4, 0.6) * size, rng.uniform(0.05, 0.2) * size
    bottom = rng.uniform(0.85, 1.1) * size
    heights = np.linspace(top, bottom, 40)
    neck = rng.uniform(0.25, 0.9)
    climb = 1 / (1 + np.exp(-(np.linspace(0, 1, 40) - rng.uniform(0.2, 0.4)) * 20))
    widths = half * (neck + (1 - neck) * climb)
    left, right = (np.stack([centre + sign * widths, heights], axis=1) for sign in (-1, 1))
    mask = fill_polygons(size, [np.concatenate([left, right[::-1]])])
    inner = cv2.GaussianBlur(mask, (0, 0), half * rng.uniform(0.08, 0.2))
    body = np.float32(rng.uniform(0.1, 0.5))
    rim = np.clip(2 * (1 - inner), 0, 1) ** np.float32(rng.uniform(1, 4))
    rim *= np.float32(rng.uniform(0.3, 0.9))
    canvas.paint(mask * np.clip(body + rim, 0, 1), canvas.coat, np.float32(1))
    folds = [
        np.stack([centre + share * widths, heights], axis=1)
        for share in rng.uniform(-0.95, 0.95, int(rng.integers(2, 7)))
    ]
    lines = np.stack(folds)
    paint_strands(
        canvas, lines, size * 2 ** rng.uniform(-8, -5.5), groups=2, opacity=(0.1, 0.7), parts=EVEN
    )
    white = np.ones_like(canvas.coat)
    for _ in range(int(rng.integers(1, 5))):
        spot = np.array([centre + rng.uniform(-0.7, 0.7) * half, rng.uniform(0.4, 0.8) * size])
        streak = _leaf(spot, math.pi / 2, rng.uniform(0.1, 0.4) * size, half * 0.15)
        glow = cv2.GaussianBlur(fill_polygons(size, [streak]), (0, 0), rng.uniform(0.5, 3))
        canvas.paint(glow * mask * np.float32(rng.uniform(0.6, 1)), white, canvas.shade(0.05))
    band = np.array([[-1, 0], [1, 0], [1, 1], [-1, 1]])
    if rng.random() < 0.7:
        cap = band * (widths[0] * 1.1, 0.1 * size) + (centre, top - 0.05 * size)
        label = band * (half, 0.2 * size) + (centre, rng.uniform(0.5, 0.7) * size)
        parts = [cap] if rng.random() < 0.5 else [cap, label]
        canvas.paint(fill_polygons(size, parts), canvas.core, np.float32(1))


# each kind with its share where none is asked for: strands are what matting is mostly wanted for
_PAINTERS: dict[str, tuple[Callable[[Canvas], None], float]] = {
    "hair": (strand_kinds.hair, 0.20),
    "fur": (strand_kinds.fur, 0.15),
    "wisps": (strand_kinds.wisps, 0.12),
    "defocus": (_defocus, 0.06),
    "motion": (_motion, 0.04),
    "smoke": (_smoke, 0.05),
    "net": (_net, 0.06),
    "fringe": (strand_kinds.fringe, 0.05),
    "leaves": (_leaves, 0.08),
    "glass": (_glass, 0.05),
    "sharp": (_sharp, 0.05),
    "feather": (strand_kinds.feather, 0.05),
    "spikes": (_spikes, 0.04),
}
KINDS: tuple[str, ...] = tuple(_PAINTERS)


def _straight(planes: FloatImage) -> FloatImage:
    """Divide colour by alpha; where alpha is nil, colours of the neighbourhood flow in."""
    size = planes.shape[-1]
    filled = planes + planes.mean(axis=(1, 2), keepdims=True) * np.float32(1e-6)
    for plane, source in zip(filled, planes, strict=True):
        near = cv2.resize(source, (32, 32), interpolation=cv2.INTER_AREA)
        near = cv2.GaussianBlur(near, (0, 0), 1.0)
        near += cv2.GaussianBlur(near, (0, 0), 6.0) * np.float32(0.01)
        plane += cv2.resize(near, (size, size)) * np.float32(1e-3)
    colour: FloatImage = np.clip(filled[:3] / filled[3], 0, 1)
    return colour


def render_foreground(
    size: int, rng: np.random.Generator, *, kind: str | None = None, smooth: float = 0.0
) -> tuple[FloatImage, FloatImage]:
    """Render an object of one of `KINDS` (any if None) on a square of `size` pixels.

    `smooth` is the probability that its colours are flat or low-frequency, strands included.
    Returns straight colour float32 (size, size, 3) in [0, 1], defined also where alpha is 0, and
    alpha float32 (size, size) in [0, 1]. Equal generator states give equal bytes.
    """
    if kind is None:
        kind = str(rng.choice(KINDS, p=[share for _, share in _PAINTERS.values()]))
    plain = bool(rng.random() < smooth)
    coat = smooth_colour(size, rng) if plain else render_texture(size, rng, smooth=0.75)
    core = coat if plain else render_texture(size, rng, smooth=0.3)
    planar = [np.ascontiguousarray(image.transpose(2, 0, 1)) for image in (coat, core)]
    contrast = 0.0 if plain else float(rng.uniform(0.3, 1.2))
    planes = np.zeros((4, size, size), np.float32)
    canvas = Canvas(size, rng, planar[0], planar[1], contrast, planes)
    painter, _ = _PAINTERS[kind]
    painter(canvas)
    if kind != "sharp":
        canvas.blur(float(rng.uniform(0.3, 0.9) * (3 if rng.random() < 0.15 else 1)))
    # arithmetic leaves the ends a hair's breadth off: open them to exactly 0 and 1
    alpha = np.clip((planes[3] - np.float32(0.004)) / np.float32(0.992), 0, 1)
    colour = coat if plain else np.ascontiguousarray(_straight(planes).transpose(1, 2, 0))
    return colour, alpha
