"""Several things in one picture: a head or an animal with plants or nets before it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..growth import noise
from ..shapes import Scene, Solid, Strands
from ..vectors import Numbers
from . import nets, plants
from .fur import fur
from .hair import hair


def mixed(rng: np.random.Generator, detail: float = 1.0) -> Scene:
    """Grow a furry or hairy thing, and hold one or two open-worked ones before it or beside it."""
    scene = (hair if rng.random() < 0.5 else fur)(rng, detail)
    for _ in range(2 if rng.random() < 0.25 else 1):
        scene = _add(rng, scene, 0.6 * detail)
    return scene


def _add(rng: np.random.Generator, scene: Scene, detail: float) -> Scene:
    """Put a plant before a scene, rising from below the picture, or a net in its middle."""
    home = plants if rng.random() < 0.6 else nets
    style = str(rng.choice(list(home.STYLES)))
    strands, solids = home.STYLES[style](rng, detail)
    camera = scene.camera
    away = camera.focus - rng.uniform(1.2, 1.8)
    seen = camera.frame * away / camera.focus
    size = seen * rng.uniform(0.3, 0.55)
    right, up = camera.axes[0] * rng.normal(0, 0.25), camera.axes[1]
    high = -rng.uniform(0.5, 0.65) if home is plants else -0.9 * size / seen
    foot = camera.place + camera.axes[2] * away + (right + up * high) * seen + 0.1 * noise(rng, 3)
    strands, solids = _move(strands, solids, foot, size)
    words = {"style": f"{scene.record['style']}, {style}"}
    return replace(
        scene,
        strands=(*scene.strands, *strands),
        solids=(*scene.solids, *solids),
        record=scene.record | words,
    )


def _move(
    strands: Sequence[Strands], solids: Sequence[Solid], foot: Numbers, size: float
) -> tuple[list[Strands], list[Solid]]:
    """Scale things that stand on the origin, and put them on a foot."""
    moved = [
        replace(
            strand,
            points=(strand.points * size + foot).astype(np.float32),
            radii=(strand.radii * size).astype(np.float32),
        )
        for strand in strands
    ]
    bodies = [
        replace(solid, vertices=(solid.vertices * size + foot).astype(np.float32))
        for solid in solids
    ]
    return moved, bodies
