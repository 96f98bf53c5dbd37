"""One picture from a kind and a seed: grown, lit, drawn, and judged."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import A2UError
from ..units import FloatArray
from .camera import LUMINANCE, develop, meter, straighten
from .kinds.feathers import feathers
from .kinds.fur import fur
from .kinds.glass import glass
from .kinds.hair import hair
from .kinds.hard import hard
from .kinds.mixed import mixed
from .kinds.nets import nets
from .kinds.plants import plants
from .kinds.smoke import smoke
from .raster import blur, rasterise
from .shading import shade
from .shapes import Plate, Scene
from .vectors import Numbers, dot

Lights = tuple[Sequence[Numbers], Sequence[Numbers]]  # of a scene's strands, and of its solids
KINDS: dict[str, Callable[[np.random.Generator, float], Scene | Plate]] = {
    "hair": hair,
    "fur": fur,
    "plants": plants,
    "nets": nets,
    "feathers": feathers,
    "smoke": smoke,
    "glass": glass,
    "hard": hard,
    "mixed": mixed,
}
MOST_MEAN, LEAST_MEAN, LEAST_SOFT = 0.95, 0.02, 0.006  # of alpha, and the share that is soft
SOFT = (0.05, 0.95)
TRIES = 12
WHITE = 8.0  # times the exposure: brighter light is cut
METERED = 0.8  # of the light on skin: a face may be a little brighter than the rest
GLINT = 0.04  # albedo: what dark things mirror is no measure of the light


def render_scene(
    kind: str, seed: int, side: int, *, detail: float = 1.0, passes: int | None = None
) -> tuple[FloatArray, FloatArray, dict[str, Any]]:
    """Render one foreground: the same kind, seed, side and detail give the same bytes.

    Returns straight sRGB colour float32 (side, side, 3), alpha float32 (side, side), both in
    [0, 1], and a record. Poor pictures are rejected, and the seed's next draw is taken: those with
    a mean alpha over 0.95 or under 0.02, or less than 0.6 % of soft pixels. `detail` is the share
    of strands, `passes` (a power of two) how often the picture is sampled.

    Raises A2UError where the kind is unknown, the renderer was not built, or no draw is good.
    """
    if kind not in KINDS:
        raise A2UError(f"kind {kind!r} is unknown; expected one of {', '.join(KINDS)}")
    for draw in range(TRIES):
        rng = np.random.default_rng([seed, *kind.encode(), draw])
        colour, alpha, record = _render(kind, rng, side, detail, passes)
        if not (fault := find_fault(alpha)):
            return colour, alpha, {"kind": kind, "seed": seed, "draw": draw, **record}
    raise A2UError(f"{kind} of seed {seed} gives no good picture ({fault}); take another seed")


def find_fault(alpha: FloatArray) -> str:
    """Say what is wrong with a foreground's alpha (H, W) for training; nothing where it is good."""
    mean = float(alpha.mean())
    soft = float(((alpha > SOFT[0]) & (alpha < SOFT[1])).mean())
    if not LEAST_MEAN <= mean <= MOST_MEAN:
        return f"mean alpha {mean:.3f}, expected {LEAST_MEAN} to {MOST_MEAN}"
    return f"{soft:.2%} is soft, expected {LEAST_SOFT:.1%}" if soft < LEAST_SOFT else ""


def _received(scene: Scene, strands: Sequence[FloatArray], solids: Sequence[FloatArray]) -> float:
    """Measure what a white thing would send to the camera where the scene is well lit."""
    shares = [
        dot(light[:, ::4].mean(2), LUMINANCE) / (dot(thing.tint[:, ::4], LUMINANCE) + GLINT)
        for thing, light in zip(scene.strands, strands, strict=True)
    ]
    bodies = [
        dot(light[::4], LUMINANCE) / (dot(thing.tint[::4], LUMINANCE) + GLINT)
        for thing, light in zip(scene.solids, solids, strict=True)
    ]
    shares += [
        share for thing, share in zip(scene.solids, bodies, strict=True) if thing.shading is None
    ]
    if not shares:
        return float(dot(scene.surroundings.panorama, LUMINANCE).mean()) * 2
    received = np.percentile(np.concatenate([share.ravel() for share in shares]), 85)
    if scene.portrait is not None:
        received = max(received, METERED * np.percentile(bodies[scene.portrait], 90))
    return max(float(received), 1e-4)


def _render(
    kind: str, rng: np.random.Generator, side: int, detail: float, passes: int | None
) -> tuple[FloatArray, FloatArray, dict[str, Any]]:
    """Grow a kind's next picture, light it, draw it and develop it."""
    thing = KINDS[kind](rng, detail)
    exposure = float(rng.uniform(0.75, 1.2))
    if isinstance(thing, Plate):
        painted = thing.paint(side) * np.array([*[exposure] * 3, 1], np.float32)
        picture, white = blur(painted, thing.softness), 1.0
    else:
        picture, white = draw(thing, light(thing, exposure), side, passes), WHITE
    linear, alpha = straighten(picture)
    colour = develop(linear, meter(linear, alpha, white))
    record = {**thing.record, **_settings(thing), "mean_alpha": round(float(alpha.mean()), 4)}
    return colour, alpha, record


def _settings(thing: Scene | Plate) -> dict[str, Any]:
    """Record a scene's light and lens."""
    if isinstance(thing, Plate):
        return {}
    camera = thing.camera
    return {
        "light": thing.surroundings.mode,
        "frame": round(camera.frame, 3),
        "defocus": round(camera.aperture, 4),
        "motion": [round(float(way), 4) for way in camera.motion],
    }


def light(scene: Scene, exposure: float) -> Lights:
    """Give the colours of a scene's strands and solids, `WHITE` times darker than exposed."""
    lights = shade(scene)
    share = exposure / (_received(scene, *lights) * WHITE)
    strands, solids = ([np.clip(each * share, 0, 1) for each in part] for part in lights)
    return strands, solids


def draw(scene: Scene, lights: Lights, side: int, passes: int | None = None) -> FloatArray:
    """Draw a scene in its colours, as its lens sees it: premultiplied linear RGBA."""
    picture = rasterise(
        list(zip(scene.strands, lights[0], strict=True)),
        list(zip(scene.solids, lights[1], strict=True)),
        scene.camera,
        side,
        passes=passes,
    )
    return blur(picture, scene.camera.softness)
