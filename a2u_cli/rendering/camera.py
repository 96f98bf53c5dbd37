"""The camera: where it stands, its lens, and how it makes a picture of linear light."""

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from ..images.colour import from_linear
from .vectors import Numbers, cross, dot, unit

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
SHOULDER = 0.6  # linear light up to which the film answers in proportion


@dataclass(frozen=True)
class Camera:
    """Axes (3, 3) right, up and ahead; `focal` in picture sides; `motion` of the things, (3,).

    `aperture` is the lens's radius, `focus` the sharp distance, `frame` the height seen there;
    `softness` is the blur of lens and sensor, in pixels.
    """

    place: Numbers
    axes: Numbers
    focal: float
    focus: float
    frame: float
    aperture: float = 0.0
    motion: Numbers = field(default_factory=lambda: np.zeros(3, np.float32))
    softness: float = 0.6

    @property
    def back(self) -> Numbers:
        """The direction from what is looked at to the camera."""
        return np.asarray(-self.axes[2])


def look(
    rng: np.random.Generator,
    target: Numbers,
    frame: float,
    *,
    turn: float | None = None,
    height: float | None = None,
    roll: float = 0.0,
    blurred: float = 0.25,
    moving: float = 0.06,
    depth: float = 1.0,
    distance: float = 8.0,
) -> Camera:
    """Place a camera: `frame` is the height it sees around the target, `turn` and `height` angles.

    A turn of 0 looks along +y. `blurred` and `moving` are the probabilities of a wide aperture and
    of a motion; `depth` is how far things reach behind and before the target.
    """
    height = rng.normal(0.08, 0.16) if height is None else height
    turn = rng.uniform(-math.pi, math.pi) if turn is None else turn
    axes = _axes(turn, height, roll)
    distance *= rng.uniform(0.6, 1.5)
    right, up = (axis * rng.normal(0, 0.05) * frame for axis in axes[:2])
    place = np.asarray(target, np.float32) + right + up - axes[2] * distance
    focus, aperture, motion = distance, 0.0, np.zeros(3)
    if rng.random() < blurred:
        disc = rng.choice([0.003, 0.008, 0.025]) * rng.uniform(0.5, 2)  # of the frame, at `depth`
        aperture = disc * frame * distance / max(depth, 0.2)
        focus += rng.normal(0, 0.3) * depth
    if rng.random() < moving:
        motion = unit(rng.normal(0, 1, 3)) * frame * rng.uniform(0.008, 0.05)
    return Camera(
        place.astype(np.float32),
        axes.astype(np.float32),
        distance / frame,
        float(max(focus, 0.5)),
        frame,
        float(aperture),
        motion.astype(np.float32),
        float(rng.uniform(0.45, 0.9)),
    )


def _axes(turn: float, height: float, roll: float) -> Numbers:
    """Give the directions right, up and ahead, (3, 3)."""
    flat = math.cos(height)
    back = np.array([flat * math.sin(turn), -flat * math.cos(turn), math.sin(height)])
    right = unit(cross(np.array([0.0, 0.0, 1.0]), back))
    up = cross(back, right)
    cosine, sine = math.cos(roll), math.sin(roll)
    return np.stack([cosine * right + sine * up, cosine * up - sine * right, -back])


def straighten(picture: Numbers) -> tuple[Numbers, Numbers]:
    """Divide premultiplied linear RGBA (H, W, 4) by its alpha, and fill what nothing covers.

    Returns straight linear RGB (H, W, 3), exact where alpha is over 0, and alpha (H, W) in [0, 1].
    """
    alpha = np.clip(picture[..., 3], 0, 1)
    colour, cover = picture[..., :3], picture[..., 3:]
    levels = [(colour, cover)]
    while min(levels[-1][1].shape[:2]) > 2:
        size = tuple(max(1, length // 2) for length in levels[-1][1].shape[1::-1])
        smaller = [cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in levels[-1]]
        levels.append((smaller[0], smaller[1].reshape(*size[::-1], 1)))
    filled = levels[-1][0] / np.maximum(levels[-1][1], 1e-6)
    for colour, cover in levels[-2::-1]:
        rough = cv2.resize(filled, cover.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        filled = np.where(cover > 0, colour / np.maximum(cover, 1e-9), rough)
    return filled.astype(np.float32), alpha


def meter(linear: Numbers, alpha: Numbers, exposure: float) -> float:
    """Lower an exposure where more than a few percent of what is covered would burn out."""
    covered = alpha > 0.3
    if covered.any():
        bright = float(np.percentile(dot(linear[covered], LUMINANCE), 97))
        exposure = min(exposure, 1.1 / max(bright, 1e-4))
    return exposure


def develop(linear: Numbers, exposure: float) -> Numbers:
    """Turn linear light into sRGB in [0, 1], through a film's shoulder."""
    light = linear * np.float32(exposure)
    room = np.float32(1 - SHOULDER)
    bent = SHOULDER + room * np.tanh((light - SHOULDER) / room)
    return from_linear(np.clip(np.where(light < SHOULDER, light, bent), 0, 1).astype(np.float32))
