"""What lights a scene: a few lamps or the sun, and the surroundings as directions."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .vectors import Numbers, cross, dot, unit

MODES = ("overcast", "sun", "room", "studio", "backlit", "dim")
SHARES = (0.2, 0.2, 0.22, 0.18, 0.14, 0.06)
DIRECTIONS = 14  # that the surroundings are gathered into
PANORAMA = (32, 64)


@dataclass(frozen=True)
class Light:
    """Light from one direction; `sharp` where it comes from a lamp, not the surroundings."""

    towards: Numbers
    colour: Numbers
    sharp: bool


@dataclass(frozen=True)
class Surroundings:
    """All lights, and the panorama (H, W, 3) that mirrors show: from the zenith down."""

    mode: str
    lights: tuple[Light, ...]
    panorama: Numbers

    def seen(self, ways: Numbers) -> Numbers:
        """Give the light that comes from directions (..., 3)."""
        tall, wide = self.panorama.shape[:2]
        down = np.arccos(np.clip(ways[..., 2], -1, 1)) / math.pi * tall - 0.5
        round_ = (np.arctan2(ways[..., 1], ways[..., 0]) / (2 * math.pi) + 0.5) * wide - 0.5
        down = np.clip(down, 0, tall - 1.001)
        top, left = np.floor(down).astype(int), np.floor(round_).astype(int)
        y, x = (down - top)[..., None], (round_ - left)[..., None]
        a, b = left % wide, (left + 1) % wide
        upper = self.panorama[top, a] * (1 - x) + self.panorama[top, b] * x
        lower = self.panorama[top + 1, a] * (1 - x) + self.panorama[top + 1, b] * x
        return np.asarray(upper * (1 - y) + lower * y, np.float32)


def _warmth(rng: np.random.Generator, spread: float = 0.1) -> np.ndarray[Any, Any]:
    """Draw a lamp's tint, from candle to shade."""
    warm = float(np.clip(rng.normal(0.03, spread), -0.25, 0.4))
    return np.array([1 + warm, 1 + 0.1 * warm, 1 - warm])


def surround(rng: np.random.Generator, back: Numbers, mode: str | None = None) -> Surroundings:
    """Draw surroundings for a scene seen from direction `back` (3,)."""
    mode = mode or str(rng.choice(MODES, p=SHARES))
    up = np.array([0.0, 0.0, 1.0])
    side = unit(cross(up, back))

    def lamp(right: float, high: float, near: float, power: float, size: float) -> list[Light]:
        """Place a lamp of some size by three rays; `near` is 1 on the camera's side."""
        towards = unit(side * right + up * high + back * near)
        first = unit(cross(towards, np.array([0.31, 0.59, 0.74])))
        second, colour = cross(towards, first), _warmth(rng) * power / 3
        rays = []
        for ray in range(3):
            angle = 2 * math.pi * ray / 3
            off = math.cos(angle) * first + math.sin(angle) * second
            way = unit(towards + 0.6 * size * off).astype(np.float32)
            rays.append(Light(way, colour.astype(np.float32), True))
        return rays

    lamps: list[Light] = []
    left = float(rng.choice([-1, 1]))
    if mode == "sun":
        turn = rng.uniform(-math.pi, math.pi)
        sun = rng.uniform(2.0, 4.0)
        lamps = lamp(math.sin(turn), rng.uniform(0.2, 1.5), math.cos(turn), sun, 0.01)
    elif mode == "room":
        lamps = lamp(rng.normal(0, 0.9), rng.uniform(0, 1.2), 0.8 * left + 0.3, 1.5, 0.3)
    elif mode == "studio":
        lamps = lamp(left * rng.uniform(0.5, 1.2), rng.uniform(0.3, 1.2), 1, 2.6, 0.3)
        lamps += lamp(-left, 0.1, 1, rng.uniform(0.2, 0.9), 0.5)
        lamps += lamp(-left * rng.uniform(0.2, 1), rng.uniform(0.3, 1), -1, rng.uniform(0, 3), 0.2)
    elif mode == "backlit":
        lamps = lamp(rng.normal(0, 0.6), rng.uniform(0.1, 1), -1, rng.uniform(3, 9), 0.15)
        lamps += lamp(rng.normal(0, 0.8), rng.uniform(0, 0.8), 1, rng.uniform(0.2, 1), 0.5)
    elif mode == "dim":
        lamps = lamp(rng.normal(0, 1), rng.uniform(0.1, 1), left, rng.uniform(0.6, 2), 0.15)
    panorama = _panorama(rng, mode)
    return Surroundings(mode, (*lamps, *_gather(panorama)), panorama)


def _panorama(rng: np.random.Generator, mode: str) -> Numbers:
    """Paint what is all around: a sky, or a room with windows and lamps."""
    tall, wide = PANORAMA
    high = (np.arange(tall) + 0.5)[:, None, None] / tall
    flat = np.ones((1, wide, 1))
    if mode in ("sun", "overcast"):
        blue = np.array([0.62, 0.78, 1.0]) if mode == "sun" else _warmth(rng, 0.04)
        sky = blue * rng.uniform(0.3, 0.7) * (0.6 + high) * (1.4 if mode == "overcast" else 0.8)
        ground = _warmth(rng, 0.06) * rng.uniform(0.08, 0.3)
        base = np.where(high < 0.5, sky, ground) * flat
    else:
        level = {"room": 0.4, "studio": 0.15, "backlit": 0.12, "dim": 0.04}[mode]
        level *= rng.uniform(0.5, 1.6)
        base = _warmth(rng) * level * np.where(high < 0.5, 0.8 + 0.6 * high, 0.5) * flat
    y, x = np.mgrid[0:tall, 0:wide]
    strength = float(base.mean())
    for _ in range(int(rng.integers(5, 24))):
        down, round_ = rng.uniform(0, tall), rng.uniform(0, wide)
        sizes = rng.uniform(0.6, 6, 2)
        gap = np.minimum(np.abs(x - round_), wide - np.abs(x - round_))
        spot = np.exp(-(((y - down) / sizes[0]) ** 4) - (gap / sizes[1]) ** 4)
        base = base + spot[..., None] * _warmth(rng) * rng.uniform(-0.5, 2.5) * strength
    return np.clip(base, 0.004, None).astype(np.float32)


def _gather(panorama: Numbers) -> list[Light]:
    """Gather the panorama into a few directions, each with the light of its share of the sphere."""
    number = np.arange(DIRECTIONS) + 0.5
    z, turn = 1 - 2 * number / DIRECTIONS, math.pi * (1 + math.sqrt(5)) * number
    flat = np.sqrt(1 - z * z)
    ways = np.stack([flat * np.cos(turn), flat * np.sin(turn), z], 1)
    tall, wide = panorama.shape[:2]
    down = (np.arange(tall) + 0.5) / tall * math.pi
    round_ = ((np.arange(wide) + 0.5) / wide - 0.5) * 2 * math.pi
    cells = np.stack(
        [
            np.sin(down)[:, None] * np.cos(round_),
            np.sin(down)[:, None] * np.sin(round_),
            np.cos(down)[:, None] + 0 * round_,
        ],
        -1,
    ).reshape(-1, 1, 3)
    owner = np.argmax(dot(cells, ways[None]), 1)
    solid_angle = np.repeat(np.sin(down), wide) * (math.pi / tall) * (2 * math.pi / wide)
    light = panorama.reshape(-1, 3) * solid_angle[:, None]
    sums = np.stack([np.bincount(owner, light[:, c], DIRECTIONS) for c in range(3)], 1)
    return [
        Light(way.astype(np.float32), colour.astype(np.float32), False)
        for way, colour in zip(ways, sums, strict=True)
    ]
