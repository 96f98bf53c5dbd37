"""Several things in one picture: a head or an animal with plants, nets or feathers before it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..growth import noise
from ..shapes import Scene, Solid, Strands
from ..vectors import Numbers, vector
from . import nets, plants
from .fur import fur
from .hair import hair


def mixed(rng: np.random.Generator, detail: float = 1.0) -> Scene:
    """Grow a furry or hairy thing, and hold something open-worked before it or beside it."""
    behind = (hair if rng.random() < 0.5 else fur)(rng, detail)
    home = plants if rng.random() < 0.6 else nets
    style = str(rng.choice(list(home.STYLES)))
    strands, solids = home.STYLES[style](rng, 0.6 * detail)
    camera = behind.camera
    size = camera.frame * rng.uniform(0.25, 0.5)
    aside = camera.axes[0] * rng.normal(0, 0.25) * camera.frame
    middle = camera.place + camera.axes[2] * (camera.focus - rng.uniform(1.2, 1.8)) + aside
    strands, solids = _move(strands, solids, middle + 0.1 * noise(rng, 3), size)
    words = {"style": f"{behind.record['style']}, {style}"}
    return replace(
        behind,
        strands=(*behind.strands, *strands),
        solids=(*behind.solids, *solids),
        record=behind.record | words,
    )


def _move(
    strands: Sequence[Strands], solids: Sequence[Solid], place: Numbers, size: float
) -> tuple[list[Strands], list[Solid]]:
    """Scale things that stand about (0, 0, 1) and put them at a place."""
    foot = place - size * vector(0, 0, 0.9)
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
