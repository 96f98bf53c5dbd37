"""People: skin of one piece from crown to chest, a face's features, and a garment."""

from collections.abc import Callable

import numpy as np

from ..colours import CLOTH, SKIN, dye, pick
from ..growth import cut, swirl
from ..meshes import grid_faces, mottle
from ..shading import vertex_normals
from ..shapes import Solid, Strands, Surface, make_solid
from ..vectors import Numbers, vector
from .faces import make_features, paint_skin
from .heads import COLUMNS, NECK, Figure


def person(
    rng: np.random.Generator, figure: Figure, hair: Numbers, covered: Callable[[Numbers], Numbers]
) -> tuple[list[Solid], list[Strands]]:
    """Give a figure skin, features and clothes: solids, the skin first, and brows and lashes.

    `hair` (3,) is their colour, and that of the skin below hair: `covered` tells how much of it
    shows at points (n, 3).
    """
    starts, ways = figure.rays()
    skin = figure.skin(ways.reshape(-1, 3), starts.reshape(-1, 3)).reshape(ways.shape)
    clothed = skin[NECK:, ::2]
    neckline = _neckline(rng, figure.upright(clothed))
    rows = min(NECK + int(neckline.max()) + 4, len(skin))  # the garment hides the others
    bare, colour = skin[:rows].reshape(-1, 3), pick(rng, SKIN)
    tint = paint_skin(rng, figure, colour, bare)
    tint += covered(bare)[:, None] * (hair - tint)
    surface = Surface(gloss=rng.uniform(0.08, 0.25), exponent=10.0)
    solids = [make_solid((bare, grid_faces(rows, COLUMNS, closed=True)), tint, surface)]
    solids.append(_garment(rng, figure, clothed, neckline))
    others, hairs = make_features(rng, figure, (colour, surface), hair)
    return solids + others, hairs


def _garment(rng: np.random.Generator, figure: Figure, skin: Numbers, neckline: Numbers) -> Solid:
    """Lay cloth over skin (rows, columns, 3) from a neckline down, plain or striped, with folds."""
    rows, columns, _ = skin.shape
    rising = np.moveaxis(skin[::-1], 1, 0)  # (columns, rows, 3)
    points = cut(rising, 1 - neckline / (rows - 1))
    points = np.moveaxis(points, 0, 1)[::-1].reshape(-1, 3)
    faces = grid_faces(rows, columns, closed=True)
    out = vertex_normals(make_solid((points, faces), np.full(3, 0.5)))
    seen = figure.upright(points)
    folds = swirl(rng, seen * vector(2.2, 2.2, 1), rng.uniform(0.8, 2), 12, 1)[:, 0]
    hem = np.clip(np.repeat(np.arange(rows), columns) - 0.5, -0.5, 1)  # begins below the skin
    points = points + out * (hem * (rng.uniform(0.05, 0.1) + 0.012 * folds))[:, None]
    colour = pick(rng, CLOTH) if rng.random() < 0.8 else dye(rng)
    tint = mottle(rng, seen, colour, 0.05, 5)
    if rng.random() < 0.3:
        stripes = np.sin(seen[:, 2] * rng.uniform(20, 50)) > rng.uniform(-0.5, 0.7)
        tint = np.where(stripes[:, None], tint, pick(rng, CLOTH))
    return make_solid((points, faces), tint, Surface(gloss=0.04, exponent=8.0))


def _neckline(rng: np.random.Generator, skin: Numbers) -> Numbers:
    """Draw a neckline, high, round or deep: at which row each column of skin passes below it."""
    x, y, z = (skin[..., axis] for axis in range(3))
    deep = rng.choice([0.12, rng.uniform(0.2, 0.6)])
    line = rng.choice([-1.2, -1.5, -1.6]) - rng.uniform(0, 0.1)
    line = line - deep * np.exp(-((x / 0.4) ** 2)) * np.clip(0.5 - 2 * (y - 0.3), 0, 1)
    above, columns = z - line, np.arange(skin.shape[1])
    last = np.clip(len(skin) - 1 - np.argmax(above[::-1] > 0, 0), 0, len(skin) - 2)
    before, after = above[last, columns], above[last + 1, columns]
    return np.asarray(last + np.clip(before / (before - after), 0, 1))
