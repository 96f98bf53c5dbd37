"""Surfaces as triangles: vertices float32 (v, 3), faces int32 (f, 3) that turn outwards."""

import math
from collections.abc import Callable

import numpy as np

from .growth import (
    swirl,
)
from .shapes import MOST_TINT, Faces
from .vectors import Numbers, cross, unit

Mesh = tuple[Numbers, Faces]
Shape = Callable[[Numbers], Numbers]


def grid_faces(rows: int, columns: int, *, closed: bool = False) -> Faces:
    """Join a grid's vertices, row by row, into triangles; `closed` joins last column and first."""
    row = np.arange(rows - 1)[:, None]
    column = np.arange(columns if closed else columns - 1)[None]
    row, column = np.broadcast_arrays(row, column)
    beside = (column + 1) % columns
    a, b = row * columns + column, (row + 1) * columns + column
    c, d = (row + 1) * columns + beside, row * columns + beside
    quads = np.stack([a, b, c, d], -1).reshape(-1, 4)
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


def directions(rows: int) -> Numbers:
    """Give the unit vectors of a ball's grid, (rows * 2 rows, 3), from top to bottom."""
    down = np.linspace(0.01, math.pi - 0.01, rows)[:, None]
    turn = np.linspace(0, 2 * math.pi, 2 * rows, endpoint=False)[None]
    way = [np.sin(down) * np.cos(turn), np.sin(down) * np.sin(turn), np.cos(down) + 0 * turn]
    return np.stack(way, -1).reshape(-1, 3).astype(np.float32)


def ball(
    centre: Numbers | list[float],
    radii: Numbers | list[float] | float,
    rows: int = 48,
    *,
    shape: Shape | None = None,
) -> Mesh:
    """Make an ellipsoid; `shape` gives from its directions (v, 3) what their length becomes."""
    way = directions(rows)
    reach = way if shape is None else way * shape(way)[:, None]
    vertices = reach * np.asarray(radii, np.float32) + np.asarray(centre, np.float32)
    return vertices.astype(np.float32), grid_faces(rows, 2 * rows, closed=True)


def lathe(radii: Numbers, heights: Numbers, columns: int = 96) -> Mesh:
    """Turn an outline of (rows,) radii and falling heights about the z axis."""
    turn = np.linspace(0, 2 * math.pi, columns, endpoint=False)[None]
    radii, heights = radii[:, None], heights[:, None] + 0 * turn
    vertices = np.stack([radii * np.cos(turn), radii * np.sin(turn), heights], -1)
    faces = grid_faces(len(radii), columns, closed=True)
    return vertices.reshape(-1, 3).astype(np.float32), faces


def sheet(points: Numbers) -> Mesh:
    """Make a surface of a grid of points (rows, columns, 3)."""
    return points.reshape(-1, 3).astype(np.float32), grid_faces(*points.shape[:2])


def tube(path: Numbers, radii: Numbers, columns: int = 12) -> Mesh:
    """Make a tube along a path (k, 3) with radii (k,)."""
    way = unit(np.gradient(path, axis=0))
    side = unit(cross(way, np.array([0.13, 0.21, 0.97])))
    over = cross(way, side)
    turn = np.linspace(0, 2 * math.pi, columns, endpoint=False)[None, :, None]
    ring = np.cos(turn) * side[:, None] + np.sin(turn) * over[:, None]
    vertices = path[:, None] + ring * radii[:, None, None]
    faces = grid_faces(len(path), columns, closed=True)[:, ::-1]
    return vertices.reshape(-1, 3).astype(np.float32), faces


def leaves(
    feet: Numbers,
    ways: Numbers,
    facing: Numbers,
    lengths: Numbers,
    widths: Numbers,
    *,
    outline: Numbers,
    bend: Numbers,
    fold: float = 0.2,
    columns: int = 5,
) -> Mesh:
    """Make many leaves at once, each a grid along its midrib: rows by `outline` (rows,) of width.

    `feet`, `ways` and `facing` are (n, 3), `bend` (n,) is how far each droops, in radians.
    """
    rows = len(outline)
    way = unit(ways)
    side = unit(cross(facing, way))
    over = cross(way, side)
    share = np.linspace(0, 1, rows)[None]
    angle = bend[:, None] * share
    step = lengths[:, None] / (rows - 1)
    ahead = np.cumsum(np.cos(angle) * step, 1) - step
    down = np.cumsum(np.sin(angle) * step, 1)
    place = np.linspace(-1, 1, columns)[None, None, :, None]
    width = (widths[:, None] * outline[None])[..., None, None]
    midrib = feet[:, None] + ahead[..., None] * way[:, None] - down[..., None] * over[:, None]
    vertices = (
        midrib[:, :, None]
        + place * width * side[:, None, None]
        + np.abs(place) * width * fold * over[:, None, None]
    )
    one = grid_faces(rows, columns)
    faces = one[None] + np.arange(len(feet))[:, None, None] * (rows * columns)
    return vertices.reshape(-1, 3).astype(np.float32), faces.reshape(-1, 3).astype(np.int32)


def mottle(
    rng: np.random.Generator,
    vertices: Numbers,
    colour: Numbers,
    spread: float = 0.2,
    frequency: float = 3.0,
) -> Numbers:
    """Vary a colour over a surface, coarsely and finely: (v, 3)."""
    field = swirl(rng, vertices, frequency, 12, 1) + 0.5 * swirl(
        rng, vertices, 4 * frequency, 12, 1
    )
    return np.asarray(np.clip(colour * np.exp(spread * field), 0.003, MOST_TINT), np.float32)
