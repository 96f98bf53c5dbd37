"""How a shot moves: wind, a turn, a shaking camera, a panning background, each smooth in time.

Every place is a function of the time alone, so any frame can be made without those before it.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np

from ..units import FloatArray
from .camera import Camera
from .shapes import Scene, Strands
from .vectors import Numbers, cross, dot, length, unit

Hold = Literal["roots", "foot", "top"]  # where a thing is held while the wind moves the rest
GUSTS = 5
PUSH = 0.07  # of a strand's or a thing's length: how far the wind moves its end
TURN = math.radians(7.0)
SHAKE, ROLL = 0.006, math.radians(0.4)  # of the picture's side
PAN = 0.16  # of the picture's side
MARGIN = 2 * (PAN + 2 * SHAKE) + 0.05  # that a background needs beyond the picture


@dataclass(frozen=True)
class Drift:
    """A smooth way: sines of sizes (waves, d), paces in turns a second, and phases."""

    sizes: Numbers
    paces: Numbers
    phases: Numbers

    def at(self, seconds: Numbers | float) -> Numbers:
        """Give the place (..., d) at times (...)."""
        turns = np.asarray(seconds)[..., None, None] * self.paces
        return np.asarray((np.sin(2 * math.pi * turns + self.phases) * self.sizes).sum(-2))


@dataclass(frozen=True)
class Wind:
    """Waves that travel through space: `ways` (waves, 3), and their `drift` as (waves,)."""

    ways: Numbers
    pushes: Numbers
    paces: Numbers
    phases: Numbers

    def at(self, points: Numbers, seconds: float) -> Numbers:
        """Give what way things at points (..., 3) are pushed, of size about 1."""
        push = np.zeros(points.shape, np.float32)
        for way, size, pace, phase in zip(
            self.ways, self.pushes, self.paces, self.phases, strict=True
        ):
            angle = dot(points, way) + np.float32((2 * math.pi * pace * seconds + phase) % 100)
            push += np.sin(angle)[..., None] * size
        return push


@dataclass(frozen=True)
class Motion:
    """How one shot moves; `turn` in radians, `shake` and `pan` in sides of the picture."""

    hold: Hold
    wind: Wind
    turn: Drift
    shake: Drift
    roll: Drift
    pan: Drift

    def moved(self, scene: Scene, seconds: float) -> Scene:
        """Give a scene at a time: blown, turned, and seen by a shaken camera."""
        low, high = _extent(scene)
        strands = []
        for strand in scene.strands:
            free = _free(strand, low, high, self.hold)
            points = strand.points + free * self.wind.at(strand.points, seconds)
            lag = 0.15 * np.clip(free[..., 0], 0, 1) if self.hold == "roots" else 0.0
            points = _turned(points, self.turn.at(seconds - lag)[..., 0])
            strands.append(replace(strand, points=points))
        solids = []
        for solid in scene.solids:
            points = solid.vertices
            if self.hold != "roots":
                free = _height(points, low, high, self.hold)
                points = points + free * self.wind.at(points, seconds)
            solids.append(replace(solid, vertices=_turned(points, self.turn.at(seconds)[0])))
        camera = _shaken(scene.camera, self.shake.at(seconds), self.roll.at(seconds)[0])
        return replace(scene, strands=tuple(strands), solids=tuple(solids), camera=camera)

    def behind(self, canvas: FloatArray, side: int, seconds: float) -> FloatArray:
        """Cut the part (side, side, 3) of a background (m, m, 3) that is seen at a time."""
        angle = float(self.roll.at(seconds)[0])
        moved = (self.shake.at(seconds) + self.pan.at(seconds)) * side
        cosine, sine = math.cos(angle), math.sin(angle)
        turn = np.array([[cosine, sine], [-sine, cosine]])
        middle = np.full(2, (side - 1) / 2)
        start = np.full(2, (len(canvas) - 1) / 2) - turn @ (middle + moved)
        place = np.concatenate([turn, start[:, None]], 1)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(
            canvas, place, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101
        )
        return np.clip(seen, 0, 1).astype(np.float32)

    def record(self) -> dict[str, Any]:
        """Tell how far things go at most."""
        degrees = math.degrees(float(np.abs(self.turn.sizes).sum()))
        most = {"shake": self.shake, "pan": self.pan}
        return {
            "hold": self.hold,
            "wind": round(float(np.abs(self.wind.pushes).sum(0).max()), 4),
            "turn_degrees": round(degrees, 2),
            **{key: round(float(np.abs(d.sizes).sum(0).max()), 4) for key, d in most.items()},
        }


def draw_motion(rng: np.random.Generator, hold: Hold, camera: Camera, *, still: bool) -> Motion:
    """Draw how a shot moves; what is `still` stands before a background that pans."""
    some = shaken = 0.0 if still else 1.0
    some *= min(1.0, camera.frame / 3)  # close by, the same would move more of the picture
    wide = 1.6 / np.clip(camera.frame, 0.5, 3)
    pushes = rng.normal(0, 1, (GUSTS, 3)) * np.array([1, 1, 0.3]) / math.sqrt(GUSTS / 2)
    gusts = np.linspace(1, 3, GUSTS)  # finer ones are faster and weaker
    wind = Wind(
        (rng.normal(0, 0.7, (GUSTS, 3)) * gusts[:, None] * wide).astype(np.float32),
        (some * PUSH * pushes / gusts[:, None]).astype(np.float32),
        rng.uniform(0.35, 0.6, GUSTS) * gusts,
        rng.uniform(0, 2 * math.pi, GUSTS),
    )
    starts = rng.choice([0, math.pi], (1, 2))  # a sine is fastest there: no pan begins at rest
    return Motion(
        hold,
        wind,
        turn=_drift(rng, 1, some * TURN, (0.25, 0.6)),
        shake=_drift(rng, 2, shaken * SHAKE, (1.0, 5.0)),
        roll=_drift(rng, 1, shaken * ROLL, (0.7, 3.0)),
        pan=replace(_drift(rng, 2, PAN, (0.12, 0.3)), phases=starts + rng.normal(0, 0.4, (3, 2))),
    )


def _drift(rng: np.random.Generator, dims: int, most: float, paces: tuple[float, float]) -> Drift:
    """Draw a way that stays within `most`; its faster waves are smaller."""
    waves = 3
    pace = np.sort(rng.uniform(*paces, (waves, dims)), axis=0)
    sizes = pace[:1] / pace
    sizes *= most / sizes.sum(0)
    return Drift(sizes, pace, rng.uniform(0, 2 * math.pi, (waves, dims)))


def _extent(scene: Scene) -> tuple[float, float]:
    """Give the heights between which nearly all of a scene is."""
    parts = [strand.points[..., 2].ravel() for strand in scene.strands]
    heights = np.concatenate([*parts, *(solid.vertices[:, 2] for solid in scene.solids)])
    low, high = np.percentile(heights, [0.5, 99.5])
    return float(low), float(max(high, low + 1e-3))


def _height(points: Numbers, low: float, high: float, hold: Hold) -> Numbers:
    """Tell how freely points (..., 3) of what stands or hangs move, (..., 1)."""
    share = np.clip((points[..., 2:] - low) / (high - low), 0, 1.2)
    return np.asarray((share if hold == "foot" else 1 - share).clip(0) ** 1.5 * (high - low))


def _free(strand: Strands, low: float, high: float, hold: Hold) -> Numbers:
    """Tell how freely the knots of strands move, (n, k, 1): from their roots on, or by height."""
    if hold != "roots":
        return _height(strand.points, low, high, hold)
    reach = length(np.diff(strand.points, axis=1)).sum(1)[:, None, None]
    way = np.linspace(0, 1, strand.points.shape[1], dtype=np.float32)[None, :, None]
    return np.asarray(reach * way**1.5)


def _turned(points: Numbers, angle: Numbers) -> Numbers:
    """Turn points (..., 3) about the upright axis."""
    cosine, sine = np.cos(angle), np.sin(angle)
    x, y = points[..., 0], points[..., 1]
    turned = np.stack([cosine * x - sine * y, sine * x + cosine * y, points[..., 2]], -1)
    return np.ascontiguousarray(turned, np.float32)


def _shaken(camera: Camera, shake: Numbers, roll: float) -> Camera:
    """Turn a camera so that what it sees moves by `shake` (right, down), and rolls clockwise."""
    right, up, ahead = camera.axes.astype(np.float64)
    ahead = unit(ahead - shake[0] / camera.focal * right + shake[1] / camera.focal * up)
    right = unit(cross(ahead, up))
    up = cross(right, ahead)
    cosine, sine = math.cos(roll), math.sin(roll)
    axes = [cosine * right + sine * up, cosine * up - sine * right, ahead]
    return replace(camera, axes=np.stack(axes).astype(np.float32))
