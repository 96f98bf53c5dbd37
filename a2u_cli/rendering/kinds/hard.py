"""Hard things: wheels of spokes, frames of tubes, blocks, rings, tools; often blurred."""

import math
from collections.abc import Callable

import numpy as np

from ..colours import BARK, CLOTH, METAL, alter, dye, pick
from ..growth import (
    noise,
)
from ..meshes import Mesh, ball, grid_faces, lathe, mottle, tube
from ..shapes import Cord, Scene, Solid, Strands, Surface, make_solid, make_strands
from ..surroundings import surround
from ..vectors import Numbers, unit, vector
from .framing import frame_parts

Parts = tuple[list[Strands], list[Solid]]
WIRE = Cord(through=0.0, gloss=0.9, exponent=30.0, columns=7)


def hard(rng: np.random.Generator, detail: float = 1.0) -> Scene:
    """Make hard-edged things; sharp, out of focus, or moving. `detail` has little to thin."""
    style = str(rng.choice(list(STYLES)))
    strands, solids = STYLES[style](rng)
    camera = frame_parts(
        rng,
        (strands, solids),
        turn=rng.normal(0, 0.7),
        blurred=0.4,
        moving=0.35,
        shares=(0.7, 0.22, 0.08),
    )
    words = {"style": style, "solids": len(solids)}
    return Scene(tuple(strands), tuple(solids), camera, surround(rng, camera.back), words)


def _paint(rng: np.random.Generator, mesh: Mesh, *, closed: bool = True) -> Solid:
    """Paint a thing: cloth-like, painted or bare metal, plain, striped or chequered."""
    kind = rng.random()
    if kind < 0.3:
        colour, surface = pick(rng, METAL), Surface(gloss=1.0, exponent=25.0, mirror=0.25)
    elif kind < 0.75:
        colour, surface = dye(rng), Surface(gloss=rng.uniform(0.1, 1.5), exponent=40.0)
    else:
        palette = BARK if rng.random() < 0.5 else CLOTH
        colour, surface = pick(rng, palette), Surface(gloss=0.05, exponent=8.0)
    tint = mottle(rng, mesh[0], colour, rng.uniform(0.02, 0.15), rng.uniform(1, 6))
    if rng.random() < 0.35:
        way, pace = unit(rng.normal(0, 1, 3)), rng.uniform(8, 40)
        band = np.sin(pace * (mesh[0] * way).sum(-1))
        if rng.random() < 0.4:
            other = unit(np.cross(way, rng.normal(0, 1, 3)))
            band = band * np.sin(pace * (mesh[0] * other).sum(-1))
        tint = np.where((band > 0.1)[:, None], tint, pick(rng, CLOTH))
    return make_solid(mesh, tint, surface, closed=closed)


def _block(centre: Numbers, sizes: Numbers, turn: Numbers, power: float) -> Mesh:
    """Make a rounded block: a superellipsoid whose `power` is 2 for a ball, more for corners."""
    vertices, faces = ball([0, 0, 0], 1.0, 90)
    reach = (np.abs(vertices) ** power).sum(-1, keepdims=True) ** (-1 / power)
    shaped = vertices * reach * sizes
    rolled = np.stack([(shaped * axis).sum(-1) for axis in turn], -1)
    return (rolled + centre).astype(np.float32), faces


def _axes(rng: np.random.Generator) -> Numbers:
    first = unit(noise(rng, 3))
    second = unit(np.cross(first, noise(rng, 3)))
    return np.stack([first, second, np.cross(first, second)]).astype(np.float32)


def _ring(centre: Numbers, axes: Numbers, radius: float, thick: float) -> Mesh:
    turn = np.linspace(0, 2 * math.pi, 200)[:, None]
    path = centre + radius * (np.cos(turn) * axes[0] + np.sin(turn) * axes[1])
    return tube(path, np.full(200, thick), 20)


def _wheel(rng: np.random.Generator) -> Parts:
    """Spoke one or two wheels, each with rim, tyre and hub."""
    strands: list[Strands] = []
    solids: list[Solid] = []
    metal = pick(rng, METAL)
    for index in range(int(rng.integers(1, 3))):
        centre = np.array([index * rng.uniform(1.6, 2.4), 0.1 * index, 0])
        axes = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]], np.float32)
        spokes, radius = int(rng.integers(8, 40)), rng.uniform(0.8, 1.0)
        turn = np.arange(spokes) / spokes * 2 * math.pi
        cross_ = turn + np.where(np.arange(spokes) % 2, 1, -1) * rng.uniform(0, 1.4)
        side = np.where(np.arange(spokes) % 2, 0.06, -0.06)
        foot = np.stack([0.09 * np.cos(cross_), side, 0.09 * np.sin(cross_)], 1)
        rim = np.stack([radius * np.cos(turn), 0 * turn, radius * np.sin(turn)], 1)
        way = np.linspace(0, 1, 24)[None, :, None]
        paths = centre + foot[:, None] * (1 - way) + rim[:, None] * way
        tint = alter(rng, metal, spokes, 0.05)
        strands.append(make_strands(paths, rng.uniform(0.004, 0.012), tint, WIRE))
        solids.append(_paint(rng, _ring(centre, axes, radius, rng.uniform(0.025, 0.05))))
        tyre = _ring(centre, axes, radius + 0.07, rng.uniform(0.04, 0.09))
        solids.append(make_solid(tyre, np.full(3, 0.025), Surface(gloss=0.1, exponent=10.0)))
        hub = _block(centre, np.array([0.1, 0.12, 0.1]), np.eye(3, dtype=np.float32), 4.0)
        solids.append(make_solid(hub, metal, Surface(gloss=1.0, exponent=25.0, mirror=0.2)))
    return strands, solids


def _frame(rng: np.random.Generator) -> Parts:
    """Join tubes to a frame, as of a chair, a rack or a scaffold, with a few plates."""
    solids, paint = [], dye(rng)
    wide, deep, tall = rng.uniform(0.5, 1.0), rng.uniform(0.3, 0.6), rng.uniform(0.8, 1.4)
    thick = rng.uniform(0.015, 0.045)
    corners = [np.array([x, y, 0]) for x in (-wide, wide) for y in (-deep, deep)]
    up = np.array([0, 0, tall])
    bars = [(corner, corner + up * rng.uniform(0.7, 1.3)) for corner in corners]
    for height in rng.uniform(0.1, 1.0, int(rng.integers(2, 6))):
        ring = [corners[i] + up * height for i in (0, 1, 3, 2)]
        bars += [(ring[i], ring[(i + 1) % 4]) for i in range(4)]
    for start, end in bars:
        path = np.linspace(start, end, 12) + np.float32(0)
        mesh = tube(path, np.full(12, thick), 16)
        solids.append(make_solid(mesh, paint, Surface(gloss=0.8, exponent=35.0)))
    for height in rng.uniform(0.2, 1.0, int(rng.integers(0, 3))):
        sizes = np.array([wide, deep, 0.02])
        plate = _block(up * height, sizes, np.eye(3, dtype=np.float32), 12.0)
        solids.append(_paint(rng, plate))
    return [], solids


def _blocks(rng: np.random.Generator) -> Parts:
    """Pile blocks and balls, of all roundnesses."""
    solids = []
    for _ in range(int(rng.integers(2, 12))):
        sizes = rng.uniform(0.12, 0.5) * rng.uniform(0.4, 1.4, 3)
        place = noise(rng, 3) * vector(0.7, 0.5, 0.6)
        power = float(rng.choice([2.0, 3.0, 6.0, 14.0]))
        solids.append(_paint(rng, _block(place, sizes, _axes(rng), power)))
    return [], solids


def _rings(rng: np.random.Generator) -> Parts:
    """Link rings, or loop wires and cables about each other."""
    strands: list[Strands] = []
    solids: list[Solid] = []
    place = np.zeros(3)
    for _ in range(int(rng.integers(4, 16))):
        radius = rng.uniform(0.18, 0.45)
        solids.append(
            _paint(rng, _ring(place, _axes(rng), radius, radius * rng.uniform(0.06, 0.25)))
        )
        place = place + unit(noise(rng, 3) + vector(0.6, 0, -0.3)) * radius * 1.3
    cables = int(rng.integers(0, 12))
    if cables:
        turn = np.linspace(0, 1, 120)[None, :, None]
        waves = [rng.normal(0, 0.7 / wave, (2, cables, 1, 3)) for wave in (1, 2, 3)]
        paths = sum(
            a * np.sin(6.3 * n * turn) + b * np.cos(6.3 * n * turn)
            for n, (a, b) in zip((1, 2, 3), waves, strict=True)
        )
        tint = np.stack([dye(rng) for _ in range(cables)])
        strands.append(make_strands(paths, rng.uniform(0.006, 0.03), tint, WIRE))
    return strands, solids


def _gears(rng: np.random.Generator) -> Parts:
    """Cut discs into gears, fans or stars, with holes between their arms."""
    solids = []
    for _ in range(int(rng.integers(1, 5))):
        teeth, inner = int(rng.integers(3, 28)), rng.uniform(0.15, 0.7)
        steps, rows = teeth * 24, 24
        turn = np.linspace(0, 2 * math.pi, steps, endpoint=False)
        wave = np.clip(rng.uniform(1.5, 6) * np.sin(teeth * turn), -1, 1)
        outer = 1 + rng.uniform(0.05, 0.3) * wave
        way = np.linspace(0, 1, rows)[:, None]
        radius = inner + (outer - inner) * way
        half = rng.uniform(0.03, 0.12)
        flat = np.stack([radius * np.cos(turn), 0 * radius - half, radius * np.sin(turn)], -1)
        back = flat[::-1] + vector(0, 2 * half, 0)
        shell = np.concatenate([flat, back, flat[:1]])
        size, axes = rng.uniform(0.3, 0.8), _axes(rng)
        spun = np.stack([(shell.reshape(-1, 3) * axis).sum(-1) for axis in axes], -1)
        place = noise(rng, 3) * vector(0.7, 0.3, 0.6)
        mesh = (
            (size * spun + place).astype(np.float32),
            grid_faces(2 * rows + 1, steps, closed=True),
        )
        solids.append(_paint(rng, (mesh[0], mesh[1][:, ::-1])))
    return [], solids


def _vessels(rng: np.random.Generator) -> Parts:
    """Turn vases, cups, lamps and spools, some with a handle."""
    solids = []
    for index in range(int(rng.integers(1, 4))):
        way = np.linspace(0, 1, 90)
        radii = 0.25 + 0.12 * sum(
            rng.normal(0, 1) * np.sin(way * wave * math.pi + rng.uniform(0, 6))
            for wave in (1, 2, 4)
        )
        radii = np.clip(radii * np.clip(way * 30, 0.02, 1), 0.02, 0.7)
        mesh = lathe(radii, 1.3 * (0.5 - way) * rng.uniform(0.6, 1.2))
        solids.append(_paint(rng, (mesh[0] + vector(index * 0.8, 0, 0), mesh[1])))
        if rng.random() < 0.5:
            turn = np.linspace(-1.5, 1.5, 40)[:, None]
            out, high = np.array([1, 0, 0]), np.array([0, 0, 1])
            middle = np.array([index * 0.8 + radii[45] - 0.03, 0, 0])
            path = middle + 0.3 * np.cos(turn) * out + 0.32 * np.sin(turn) * high
            solids.append(_paint(rng, tube(path, np.full(40, 0.035), 16)))
    return [], solids


STYLES: dict[str, Callable[[np.random.Generator], Parts]] = {
    "wheel": _wheel,
    "frame": _frame,
    "blocks": _blocks,
    "rings": _rings,
    "gears": _gears,
    "vessels": _vessels,
}
