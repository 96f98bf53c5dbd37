"""Render colour images: smooth gradients, textures and whole backgrounds."""

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]


def random_colour(rng: np.random.Generator) -> FloatImage:
    """Draw one RGB colour, float32 (3,) in [0, 1], muted more often than vivid."""
    phase = rng.random() + np.arange(3) / 3
    hue = 0.5 + 0.5 * np.cos(2 * math.pi * phase)
    saturation, value = rng.beta(1.3, 1.8), rng.uniform(0.08, 1.0)
    return np.asarray(value * (1 - saturation * (1 - hue)), dtype=np.float32)


def fractal_noise(
    size: int, rng: np.random.Generator, *, cells: int = 3, roughness: float = 0.5
) -> FloatImage:
    """Sum octaves of interpolated noise; float32 (size, size) that spans [0, 1]."""
    total, weight = np.zeros((size, size), np.float32), 1.0
    while cells <= max(size // 2, 3) and weight > 0.01:
        grid = rng.random((cells, cells), dtype=np.float32) * np.float32(weight)
        total += cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
        cells, weight = cells * 2, weight * roughness
    low, high = float(total.min()), float(total.max())
    return (total - low) / np.float32(max(high - low, 1e-6))


def smooth_colour(size: int, rng: np.random.Generator) -> FloatImage:
    """Render a flat colour, a gradient, or a low-frequency field; float32 (size, size, 3)."""
    cells = int(rng.integers(1, 5))
    spread = rng.uniform(0.02, 0.35)
    grid = random_colour(rng) + rng.normal(0, spread, (cells, cells, 1))
    grid = grid + rng.normal(0, spread / 2, (cells, cells, 3))
    small = np.clip(grid, 0, 1).astype(np.float32)
    return np.clip(cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)


def _map_palette(values: FloatImage, rng: np.random.Generator) -> FloatImage:
    """Colour a field in [0, 1] by a random palette of 2 to 6 stops."""
    stops = int(rng.integers(2, 7))
    base, spread = random_colour(rng), rng.uniform(0.1, 0.6)
    colours = np.stack([base + spread * (random_colour(rng) - base) for _ in range(stops)])
    places = np.linspace(0, 1, stops)
    table = np.stack(
        [np.interp(np.linspace(0, 1, 512), places, colours[:, channel]) for channel in range(3)],
        axis=1,
    ).astype(np.float32)
    return np.take(table, (values * 511).astype(np.intp), axis=0)


def _fractal(size: int, rng: np.random.Generator) -> FloatImage:
    cells = int(rng.integers(2, 9))
    return _map_palette(
        fractal_noise(size, rng, cells=cells, roughness=rng.uniform(0.4, 0.85)), rng
    )


def _dead_leaves(size: int, rng: np.random.Generator) -> FloatImage:
    """Drop opaque shapes of power-law size over each other (the dead-leaves model)."""
    image = np.empty((size, size, 3), np.uint8)
    image[:] = (random_colour(rng) * 255).astype(np.uint8)
    palette = [random_colour(rng) for _ in range(int(rng.integers(3, 9)))]
    corners = int(rng.integers(3, 12))
    turn = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    for radius in np.sort(size * 0.02 / rng.uniform(0.05, 1, 220))[::-1]:
        angles = turn + rng.uniform(0, 2 * math.pi)
        reach = radius * rng.uniform(0.6, 1.0, corners)
        stretch = rng.uniform(0.4, 1.0)
        points = np.stack([np.cos(angles) * reach, np.sin(angles) * reach * stretch], axis=1)
        points += rng.uniform(0, size, 2)
        colour = palette[int(rng.integers(len(palette)))] * rng.uniform(0.6, 1.0) * 255
        cv2.fillPoly(image, [np.rint(points * 16).astype(np.int32)], colour.tolist(), 16, 4)
    return image.astype(np.float32) / np.float32(255)


def _fabric(size: int, rng: np.random.Generator) -> FloatImage:
    """Weave one or two families of warped stripes."""
    axis = np.linspace(0, 1, size, dtype=np.float32)
    bend = fractal_noise(size, rng, cells=2, roughness=0.3) * np.float32(rng.uniform(0, 0.5))
    field = np.zeros((size, size), np.float32)
    angle = rng.uniform(0, math.pi)
    for turn in range(int(rng.integers(1, 3))):
        direction = angle + turn * math.pi / 2
        across = axis[None, :] * np.float32(math.cos(direction)) + axis[:, None] * np.float32(
            math.sin(direction)
        )
        frequency = np.float32(2 * math.pi * 2 ** rng.uniform(1.5, 5.5))
        field += np.sin((across + bend) * frequency)
    values = np.clip(0.5 + field * np.float32(rng.uniform(0.25, 1.5)), 0, 1)
    return _map_palette(values, rng)


def _grain(size: int, rng: np.random.Generator) -> FloatImage:
    """Smear noise along one direction, as in brushed cloth, bark, or combed fibres."""
    length = int(rng.integers(3, max(4, size // 12) + 1)) | 1
    kernel = np.zeros((length, length), np.float32)
    angle, half = rng.uniform(0, math.pi), length / 2 - 0.5
    reach = np.array([math.cos(angle), math.sin(angle)]) * half
    ends = np.rint(np.stack([half - reach, half + reach])).astype(np.int32)
    cv2.line(kernel, ends[0].tolist(), ends[1].tolist(), 1.0)
    noise = rng.random((size, size), dtype=np.float32)
    smeared = cv2.filter2D(noise, -1, kernel / kernel.sum()) - np.float32(0.5)
    smeared *= np.float32(rng.uniform(0.1, 0.3)) / np.float32(max(float(smeared.std()), 1e-4))
    blend = smeared + fractal_noise(size, rng, cells=2, roughness=0.4)
    return _map_palette(np.clip(blend, 0, 1), rng)


def _bokeh(size: int, rng: np.random.Generator) -> FloatImage:
    """Scatter soft translucent discs over a smooth ground, as lights out of focus."""
    image = smooth_colour(size, rng)
    for _ in range(int(rng.integers(8, 40))):
        radius = max(2, int(size * rng.uniform(0.01, 0.12)))
        softness = rng.uniform(0.8, 1 + radius / 4)
        middle = radius + math.ceil(3 * softness)
        disc = np.zeros((2 * middle + 1, 2 * middle + 1), np.float32)
        cv2.circle(disc, (middle, middle), radius, rng.uniform(0.2, 0.9), -1)
        cv2.GaussianBlur(disc, (0, 0), softness, dst=disc)
        top, left = (int(v) for v in rng.integers(-middle, size, 2))
        rows, columns = slice(max(top, 0), top + len(disc)), slice(max(left, 0), left + len(disc))
        target, colour = image[rows, columns], random_colour(rng)
        part = disc[rows.start - top :, columns.start - left :]
        target += part[: target.shape[0], : target.shape[1], None] * (colour - target)
    return image


_STYLES: tuple[Callable[[int, np.random.Generator], FloatImage], ...] = (
    _fractal,
    _dead_leaves,
    _fabric,
    _grain,
    _bokeh,
)


def render_texture(size: int, rng: np.random.Generator, *, smooth: float = 0.0) -> FloatImage:
    """Render a colour image, smooth with probability `smooth`, else textured.

    Returns float32 (size, size, 3) RGB in [0, 1].
    """
    if rng.random() < smooth:
        return smooth_colour(size, rng)
    image = _STYLES[int(rng.integers(len(_STYLES)))](size, rng)
    light = fractal_noise(size, rng, cells=2, roughness=0.2) * np.float32(rng.uniform(0, 0.6))
    image *= cv2.merge([1 - light] * 3)
    if rng.random() < 0.3:
        noise = rng.standard_normal((size, size), dtype=np.float32)
        image += cv2.merge([noise * np.float32(rng.uniform(0.005, 0.03))] * 3)
    return np.clip(image, 0, 1)


def render_background(size: int, rng: np.random.Generator, *, smooth: float = 0.0) -> FloatImage:
    """Render a scene to stand behind a foreground: one or two textures, often out of focus.

    With probability `smooth` it is flat or a gradient. Returns float32 (size, size, 3) in [0, 1].
    """
    if rng.random() < smooth:
        return smooth_colour(size, rng)
    image = render_texture(size, rng, smooth=0.15)
    if rng.random() < 0.4:
        horizon = fractal_noise(size, rng, cells=2, roughness=0.6) * np.float32(0.4)
        ramp = np.linspace(-0.8, 0.8, size, dtype=np.float32) + np.float32(rng.normal(0, 0.2))
        ground = np.clip((ramp[:, None] + horizon) * np.float32(size / 3) + np.float32(0.5), 0, 1)
        image += ground[..., None] * (render_texture(size, rng, smooth=0.3) - image)
    if rng.random() < 0.6:
        cv2.GaussianBlur(image, (0, 0), float(size * 2 ** rng.uniform(-9, -5)), dst=image)
    return np.clip(image, 0, 1)
