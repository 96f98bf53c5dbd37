"""Smoke, steam and fire: densities that a flow has drawn out; alpha is exact, without noise."""

import math

import cv2
import numpy as np

from ..raster import blur
from ..shapes import Plate
from ..vectors import Numbers

STYLES = ("wisp", "plume", "steam", "puff", "fire")
SHARES = (0.28, 0.22, 0.18, 0.14, 0.18)
FAINT = 0.004  # less than this is nothing
EMBERS = np.array(  # linear light of flames from red to nearly white
    [[0.08, 0.006, 0.001], [0.5, 0.06, 0.005], [1.0, 0.26, 0.02], [1.1, 0.55, 0.1], [1.2, 0.9, 0.4]]
)


def smoke(rng: np.random.Generator, detail: float = 1.0) -> Plate:
    """Draw a smoke, steam or fire; `detail` has nothing to thin here."""
    style = str(rng.choice(STYLES, p=SHARES))
    seed, turned = int(rng.integers(1 << 62)), float(rng.normal(0, 0.15))

    def paint(side: int) -> Numbers:
        own = np.random.default_rng(seed)
        picture = _fire(own, side) if style == "fire" else _smoke(own, side, style)
        over = math.cos(turned) + abs(math.sin(turned))  # so much larger, no edge turns in
        spin = cv2.getRotationMatrix2D((side / 2, side / 2), math.degrees(turned), over)
        picture = cv2.warpAffine(picture, spin, (side, side), flags=cv2.INTER_LINEAR)
        return np.where(picture[..., 3:] < FAINT, 0, picture).astype(np.float32)

    return Plate(paint, {"style": style}, float(rng.uniform(0.5, 1.2)))


def _smoke(rng: np.random.Generator, side: int, style: str) -> Numbers:
    """Lay layers of smoke over each other, the far ones first, each lit through itself."""
    picture = np.zeros((side, side, 4), np.float32)
    grey = rng.beta(1.2, 0.9) * 0.8 + 0.03 if style != "steam" else rng.uniform(0.7, 0.9)
    albedo = np.clip(grey * (1 + rng.normal(0, 0.04, 3)), 0.02, 0.92)
    if style in ("plume", "puff") and rng.random() < 0.2:
        albedo = np.clip(albedo * rng.uniform(0.35, 1.2, 3), 0.02, 0.9)
    light = rng.uniform(0.5, 1.3) * (1 + rng.normal(0, 0.05, 3))
    sky, angle = rng.uniform(0.5, 0.9), rng.uniform(0, 2 * math.pi)
    for _ in range(int(rng.integers(1, 4))):
        density = _wisp(rng, side) if style == "wisp" else _cloud(rng, side, style)
        before = _before(density, angle) * rng.uniform(0.3, 1.2)
        lit = light * np.exp(-before)[..., None] + sky * np.exp(-0.2 * before)[..., None]
        alpha = (1 - np.exp(-density))[..., None]
        layer = np.concatenate([lit * albedo * alpha, alpha], -1).astype(np.float32)
        picture = layer + picture * (1 - alpha)
    return picture


def _before(density: Numbers, angle: float) -> Numbers:
    """Add up, roughly, what lies between each pixel and a light to its side."""
    side, total = len(density), np.zeros_like(density)
    for reach in (0.02, 0.05, 0.11, 0.2):
        shift = np.array(
            [[1, 0, side * reach * math.cos(angle)], [0, 1, side * reach * math.sin(angle)]]
        )
        wide = blur(density, max(1.0, 0.4 * reach * side))
        total += cv2.warpAffine(wide, shift, (side, side))
    return total / 4


def _wisp(rng: np.random.Generator, side: int) -> Numbers:
    """Give the optical depth of a ribbon, as of incense: calm at the foot, folded further up."""
    x, y = _warp(rng, side, rng.uniform(0.8, 1.5))
    down, right = np.mgrid[0:side, 0:side].astype(np.float32)
    calm = np.clip(1.25 * (1 - down / side) - rng.uniform(0, 0.25), 0, 1) ** rng.uniform(0.8, 1.5)
    u = (right + (x - right) * calm) / side
    v = 1 - (down + (y - down) * calm) / side
    total = np.zeros((side, side), np.float32)
    foot, lean = rng.uniform(0.3, 0.7), rng.normal(0, 0.12)
    for _ in range(int(rng.integers(2, 7))):
        off, width = rng.normal(0, 0.02), rng.uniform(0.003, 0.02) * (0.6 + 1.5 * np.clip(v, 0, 1))
        bend = 0.02 * np.sin(rng.uniform(4, 14) * v + rng.uniform(0, 6)) * np.clip(3 * v, 0, 1)
        gap = (u - foot - lean * v - off - bend) / width
        ragged = np.clip(1.2 - v / rng.uniform(0.6, 1.3), 0, 1)
        total += (np.exp(-(gap**2)) * ragged * rng.uniform(0.2, 1.0)).astype(np.float32)
    veil = np.exp(-(((u - foot - lean * v) / 0.06) ** 2)) * np.clip(v, 0, 1) * 0.15
    streaks = _noise(rng, 24, side, 4, 0.7)
    streaks = cv2.remap(streaks, x, y * np.float32(0.3), cv2.INTER_LINEAR)
    depth = (total + veil) * np.clip(1 + 0.35 * streaks, 0, None) * rng.uniform(0.5, 2.0)
    return blur(depth.astype(np.float32), max(0.5, 0.001 * side))


def _noise(rng: np.random.Generator, cells: int, side: int, octaves: int, gain: float) -> Numbers:
    """Sum octaves of smooth noise, of variance about 1, on a (side, side) grid."""
    total, weight = np.zeros((side, side), np.float32), 1.0
    for _octave in range(octaves):
        grid = rng.standard_normal((cells + 3, cells + 3), dtype=np.float32)
        fine = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        total += fine * np.float32(weight)
        cells, weight = min(cells * 2, side), weight * gain
    return total


def _warp(rng: np.random.Generator, side: int, strength: float) -> tuple[Numbers, Numbers]:
    """Follow a swirling flow back for some steps: where the air of each pixel came from."""
    coarse = 192
    y, x = np.mgrid[0:coarse, 0:coarse].astype(np.float32)
    for cells, size in ((3, 1.0), (6, 0.6), (12, 0.35), (24, 0.2)):
        stream = _noise(rng, cells, coarse, 1, 0.5)
        down, right = np.gradient(stream)
        for _ in range(4):
            u = cv2.remap(down, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
            v = cv2.remap(right, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
            pace = np.float32(strength * size * coarse / cells * 1.4)
            x, y = x - pace * u, y + pace * v
    scale = side / coarse
    x, y = (cv2.resize(a, (side, side), interpolation=cv2.INTER_CUBIC) * scale for a in (x, y))
    return x, y


def _cloud(rng: np.random.Generator, side: int, style: str) -> Numbers:
    """Give the optical depth of a plume, of steam or of a puff: billows drawn out by a flow."""
    x, y = _warp(rng, side, rng.uniform(0.5, 1.2))
    cells = int(rng.integers(3, 7)) if style != "steam" else int(rng.integers(2, 5))
    noise = _noise(rng, cells, side, 7, rng.uniform(0.5, 0.66))
    noise = cv2.remap(noise, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    u, v = x / side, 1 - y / side
    if style == "puff":
        centre, radius = rng.uniform(0.35, 0.65, 2), rng.uniform(0.16, 0.32)
        inside = 1 - np.hypot(u - centre[0], v - centre[1]) / radius
    else:
        foot, lean = rng.uniform(0.35, 0.65), rng.normal(0, 0.15)
        spread = rng.uniform(0.05, 0.12) + rng.uniform(0.12, 0.35) * np.clip(v, 0, 1)
        inside = 1 - np.abs(u - foot - lean * v) / spread
        inside = np.minimum(inside, (rng.uniform(0.75, 1.3) - v) * 3)
    soft = rng.uniform(0.35, 0.8) if style == "steam" else rng.uniform(0.2, 0.5)
    body = np.clip(inside + soft * noise - 0.1, 0, None)
    depth = {"steam": rng.uniform(0.3, 1.2), "plume": rng.uniform(1, 6), "puff": rng.uniform(1, 7)}
    body = body ** rng.uniform(1.3, 2.0) * depth[style]
    rim = np.minimum.reduce(np.meshgrid(*[np.minimum(a := np.linspace(0, 1, side), 1 - a)] * 2))
    edge = np.clip(rim / 0.1, 0, 1) if rng.random() < 0.5 else 1.0  # else it leaves the picture
    return np.asarray(body * edge, np.float32)


def _fire(rng: np.random.Generator, side: int) -> Numbers:
    """Give flames: tongues that narrow upwards, hot within, coloured by how hot they are."""
    x, y = _warp(rng, side, rng.uniform(0.5, 1.0))
    tall = cv2.resize(_noise(rng, int(rng.integers(4, 8)), side, 5, 0.55), (side, 2 * side))
    noise = cv2.remap(tall, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    u, v = x / side, 1 - y / side
    heat = np.full((side, side), -1.0, np.float32)
    for _ in range(int(rng.integers(1, 6))):
        foot, height = rng.uniform(0.25, 0.75), rng.uniform(0.4, 0.95)
        wide = rng.uniform(0.06, 0.2)
        share = np.clip((v - 0.03) / height, -0.5, 1.5)
        narrow = wide * np.clip(1 - share, 0.02, 1) ** 0.7 * np.clip(0.4 + 3 * share, 0.1, 1)
        tongue = 1 - (np.abs(u - foot) / narrow) ** 2 - 0.55 * share
        heat = np.maximum(heat, np.where(v > 0.0, tongue, -1))
    hot = np.clip(heat + rng.uniform(0.25, 0.5) * noise, 0, 1.3) / 1.3
    hot = blur(hot.astype(np.float32), max(0.5, 0.002 * side))
    steps = np.linspace(0, 1, len(EMBERS))
    colour = np.stack([np.interp(hot, steps, EMBERS[:, c]) for c in range(3)], -1)
    alpha = 1 - np.exp(-(hot**1.4) * rng.uniform(2, 5))
    return np.concatenate([colour * alpha[..., None], alpha[..., None]], -1).astype(np.float32)
