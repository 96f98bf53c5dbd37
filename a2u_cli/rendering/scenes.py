"""One picture from a kind and a seed: grown, lit, drawn, and judged."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import A2UError
from ..units import FloatArray
from .camera import LUMINANCE, develop, straighten
from .growth import dot
from .kinds.fur import fur
from .kinds.hair import hair
from .kinds.nets import nets
from .kinds.plants import plants
from .raster import blur, rasterise
from .shading import shade
from .shapes import Scene

KINDS: dict[str, Callable[[np.random.Generator, float], Scene]] = {"hair": hair, "fur": fur, "plants": plants, "nets": nets}
MOST_MEAN, LEAST_MEAN, LEAST_SOFT = 0.95, 0.02, 0.006  # of alpha, and the share that is soft
SOFT = (0.05, 0.95)
TRIES = 12
WHITE = 8.0  # times the exposure: brighter light is cut


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


def _received(
    scene: Scene, strands: Sequence[FloatArray], solids: Sequence[FloatArray]
) -> float:
    """Measure what a white thing would send to the camera where the scene is well lit."""
    shares = [
        (dot(light[:, ::4].mean(2), LUMINANCE) / dot(thing.tint[:, ::4], LUMINANCE)).ravel()
        for thing, light in zip(scene.strands, strands, strict=True)
    ]
    shares += [
        dot(light[::4], LUMINANCE) / dot(thing.tint[::4], LUMINANCE)
        for thing, light in zip(scene.solids, solids, strict=True)
        if thing.shading is None
    ]
    return max(float(np.percentile(np.concatenate(shares), 85)), 1e-4)


def _render(
    kind: str, rng: np.random.Generator, side: int, detail: float, passes: int | None
) -> tuple[FloatArray, FloatArray, dict[str, Any]]:
    scene = KINDS[kind](rng, detail)
    strands, solids = shade(scene)
    exposure = rng.uniform(0.75, 1.25) / _received(scene, strands, solids)
    drawn = [np.clip(light * (exposure / WHITE), 0, 1) for light in (*strands, *solids)]
    picture = rasterise(
        list(zip(scene.strands, drawn, strict=False)),
        list(zip(scene.solids, drawn[len(strands) :], strict=True)),
        scene.camera,
        side,
        passes=passes,
    )
    linear, alpha = straighten(blur(picture, scene.camera.softness))
    colour = develop(linear, alpha, WHITE)
    camera = scene.camera
    record = {
        **scene.record,
        "light": scene.surroundings.mode,
        "defocus": round(camera.aperture, 4),
        "motion": camera.motion.round(4).tolist(),
        "mean_alpha": round(float(alpha.mean()), 4),
    }
    return colour, alpha, record
