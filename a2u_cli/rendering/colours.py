"""Colours of the real world, as linear albedo: muted, from nearly black to nearly white."""

import math

import numpy as np

from ..units import FloatArray
from .shapes import MOST_TINT

HAIR = (
    *((0.012, 0.009, 0.008), (0.022, 0.015, 0.011), (0.045, 0.026, 0.016), (0.09, 0.05, 0.028)),
    *((0.16, 0.09, 0.045), (0.27, 0.165, 0.085), (0.42, 0.29, 0.16), (0.58, 0.46, 0.31)),
    *((0.7, 0.62, 0.5), (0.2, 0.065, 0.025), (0.33, 0.14, 0.06), (0.4, 0.39, 0.38)),
    *((0.62, 0.61, 0.6), (0.8, 0.79, 0.77)),
)
FUR = (
    *((0.018, 0.015, 0.013), (0.06, 0.042, 0.03), (0.14, 0.09, 0.055), (0.27, 0.17, 0.09)),
    *((0.4, 0.27, 0.15), (0.55, 0.42, 0.27), (0.68, 0.58, 0.44), (0.8, 0.76, 0.69)),
    *((0.86, 0.85, 0.83), (0.3, 0.29, 0.28), (0.13, 0.13, 0.135), (0.42, 0.19, 0.07)),
)
SKIN = (
    *((0.56, 0.35, 0.26), (0.5, 0.29, 0.2), (0.41, 0.23, 0.15), (0.3, 0.16, 0.095)),
    *((0.19, 0.095, 0.055), (0.1, 0.05, 0.03), (0.6, 0.41, 0.33)),
)
CLOTH = (
    *((0.8, 0.79, 0.76), (0.62, 0.58, 0.5), (0.32, 0.31, 0.3), (0.1, 0.1, 0.105)),
    *((0.025, 0.025, 0.028), (0.04, 0.055, 0.11), (0.1, 0.16, 0.28), (0.3, 0.07, 0.07)),
    *((0.12, 0.03, 0.04), (0.08, 0.13, 0.08), (0.2, 0.22, 0.12), (0.45, 0.3, 0.14)),
    *((0.5, 0.36, 0.34), (0.25, 0.32, 0.36), (0.5, 0.42, 0.12), (0.22, 0.14, 0.09)),
)
LEAF = (
    *((0.05, 0.1, 0.022), (0.075, 0.15, 0.03), (0.13, 0.21, 0.05), (0.035, 0.07, 0.025)),
    *((0.2, 0.24, 0.07), (0.11, 0.15, 0.085), (0.3, 0.2, 0.05), (0.28, 0.09, 0.035)),
)
LEAF_SHARES = (0.24, 0.24, 0.18, 0.12, 0.08, 0.08, 0.04, 0.02)
BARK = ((0.09, 0.065, 0.045), (0.16, 0.12, 0.09), (0.25, 0.21, 0.17), (0.05, 0.04, 0.033))
STRAW = ((0.5, 0.4, 0.23), (0.38, 0.29, 0.16), (0.6, 0.52, 0.37), (0.3, 0.25, 0.12))
PETAL = (
    *((0.84, 0.83, 0.8), (0.8, 0.76, 0.66), (0.76, 0.5, 0.5), (0.66, 0.27, 0.34)),
    *((0.5, 0.04, 0.05), (0.75, 0.52, 0.06), (0.7, 0.25, 0.05), (0.35, 0.26, 0.55)),
    *((0.22, 0.2, 0.5), (0.55, 0.4, 0.6)),
)
PLUMAGE = (
    *((0.84, 0.83, 0.8), (0.7, 0.64, 0.54), (0.32, 0.24, 0.16), (0.11, 0.08, 0.06)),
    *((0.03, 0.03, 0.034), (0.3, 0.31, 0.32), (0.1, 0.16, 0.3), (0.45, 0.14, 0.06)),
    *((0.09, 0.16, 0.08), (0.6, 0.45, 0.1)),
)
METAL = ((0.6, 0.6, 0.6), (0.35, 0.35, 0.36), (0.1, 0.1, 0.1), (0.5, 0.35, 0.15), (0.2, 0.09, 0.04))


def pick(
    rng: np.random.Generator,
    palette: tuple[tuple[float, float, float], ...],
    *,
    shares: tuple[float, ...] | None = None,
) -> FloatArray:
    """Draw a colour (3,) near one of a palette's."""
    colour = np.array(palette[int(rng.choice(len(palette), p=shares))])
    return alter(rng, colour, 1, 0.12, 0.04)[0]


def dye(rng: np.random.Generator) -> FloatArray:
    """Draw a colour (3,) of any hue, muted more often than vivid."""
    phase = rng.random() + np.arange(3) / 3
    hue = 0.5 + 0.5 * np.cos(2 * math.pi * phase)
    saturation, value = rng.beta(1.4, 2.6), rng.uniform(0.03, 0.75)
    return np.asarray(value * (1 - saturation * (1 - hue)), np.float32)


def alter(
    rng: np.random.Generator,
    colour: FloatArray,
    number: int,
    spread: float = 0.15,
    tone: float = 0.03,
) -> FloatArray:
    """Vary a colour, or (number, 3) of them, in lightness and a little in tone: (number, 3)."""
    light = rng.lognormal(0, spread, (number, 1))
    tones = 1 + rng.normal(0, tone, (number, 3))
    return np.clip(colour * light * tones, 0.004, MOST_TINT).astype(np.float32)
