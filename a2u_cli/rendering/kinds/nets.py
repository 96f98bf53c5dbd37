"""Nets, tulle, lace, knits, fringes, ropes, wire fences and wicker."""

import math
from collections.abc import Callable

import numpy as np

from ..colours import CLOTH, METAL, STRAW, alter, dye, pick
from ..growth import (
    course,
    fuzz,
    grow,
    noise,
    normals,
    swirl,
    wander,
)
from ..meshes import sheet
from ..shapes import Cord, Scene, Solid, Strands, Surface, make_solid, make_strands
from ..surroundings import surround
from ..vectors import Numbers, unit, vector
from .framing import frame_parts

Parts = tuple[list[Strands], list[Solid]]
Drape = Callable[[Numbers], Numbers]
YARN = Cord(through=0.1, gloss=0.05, exponent=10.0, columns=7)
FINE = Cord(through=0.35, gloss=0.2, exponent=20.0)
LOOSE = Cord(through=0.4, gloss=0.1)


def nets(rng: np.random.Generator, detail: float = 1.0) -> Scene:
    """Make something of threads with holes between; `detail` is the share of its finest fibres."""
    style = str(rng.choice(list(STYLES), p=[0.16, 0.14, 0.18, 0.12, 0.14, 0.1, 0.08, 0.08]))
    strands, solids = STYLES[style](rng, detail)
    camera = frame_parts(
        rng,
        (strands, solids),
        turn=rng.normal(0, 0.45),
        height=rng.normal(0, 0.18),
        shares=(0.45, 0.35, 0.2),
        blurred=0.3,
    )
    words = {"style": style, "strands": sum(len(strand.points) for strand in strands)}
    return Scene(tuple(strands), tuple(solids), camera, surround(rng, camera.back), words)


def _thread(rng: np.random.Generator) -> Numbers:
    """Draw a thread's colour: white and black are the most frequent."""
    if rng.random() < 0.4:
        return np.array([0.8, 0.79, 0.76] if rng.random() < 0.6 else [0.02] * 3) * rng.uniform(
            0.8, 1.05
        )
    return pick(rng, CLOTH) if rng.random() < 0.75 else dye(rng)


def _drape(rng: np.random.Generator, depth: float = 0.3) -> Drape:
    """Draw folds: what takes points (..., 2) of flat cloth to space, mostly falling in z."""
    folds = [
        (rng.normal(0, 1, 2) * [2.2, 0.8], rng.uniform(0, 6), rng.normal(0, 1, 3) * [0.25, 1, 0.15])
        for _ in range(7)
    ]

    def hang(flat: Numbers) -> Numbers:
        place = np.stack([flat[..., 0], 0 * flat[..., 0], flat[..., 1]], -1)
        for way, phase, size in folds:
            wave = np.sin(flat[..., 0] * way[0] + flat[..., 1] * way[1] + phase)
            place = place + depth * 0.45 * wave[..., None] * size
        return place.astype(np.float32)

    return hang


def _lines(
    number: int, knots: int, reach: float, turn: float, shift: Numbers | float = 0.0
) -> Numbers:
    """Rule parallel lines over a square of +-reach, turned: (number, knots, 2)."""
    across = np.linspace(-reach, reach, number)[:, None] + shift
    way = np.linspace(-reach, reach, knots)[None] + 0 * across
    across = across + 0 * way
    cosine, sine = math.cos(turn), math.sin(turn)
    return np.stack([across * cosine - way * sine, across * sine + way * cosine], -1)


def _net(rng: np.random.Generator, detail: float) -> Parts:
    """Knot two families of cords into a fishing, hair or sports net."""
    gap, drape = rng.uniform(0.05, 0.2), _drape(rng)
    number, turn = int(2.6 / gap), rng.uniform(0, math.pi)
    knots = int(np.clip(number * 3, 60, 200))
    thick, made = gap * rng.uniform(0.05, 0.16), []
    for family in range(2):
        slack = 0.12 * gap * wander(rng, number, knots, (2, 5))[..., 0]
        flat = _lines(number, knots, 1.3, turn + family * math.pi / 2, slack)
        path = drape(flat)
        over = np.arange(knots)[None] * (2.6 / knots / gap) + np.arange(number)[:, None] + family
        path[..., 1] += 0.4 * thick * np.cos(math.pi * over)
        made.append(path)
    paths = np.concatenate(made)
    tint = alter(rng, _thread(rng), len(paths), 0.1)
    radii = thick / 2 * rng.lognormal(0, 0.06, len(paths))
    strands = [make_strands(paths, radii, tint, YARN)]
    if rng.random() < 0.5:
        strands.append(_fuzz(rng, paths, int(4000 * detail), 0.05, tint))
    return strands, []


def _fuzz(
    rng: np.random.Generator, paths: Numbers, number: int, reach: float, tint: Numbers
) -> Strands:
    fibres, which = fuzz(rng, paths, max(number, 4), reach)
    lighter = tint[which] * rng.uniform(0.8, 1.3, (len(which), 1))
    return make_strands(fibres, 0.0014, lighter, LOOSE, taper=0.5)


def _tulle(rng: np.random.Generator, detail: float) -> Parts:
    """Hang a veil: a net too fine to see its holes, in deep folds; sometimes two layers."""
    strands, colour = [], _thread(rng)
    for _ in range(int(rng.integers(1, 3))):
        drape = _drape(rng, rng.uniform(0.4, 0.9))
        number = max(30, int(rng.integers(150, 340) * min(1, detail * 3)))
        turn, thick = rng.uniform(0.5, 1.0), rng.uniform(0.12, 0.3) * 2.8 / number
        for side in (-1, 1):
            paths = drape(_lines(number, 110, 1.4, side * turn) * [0.85, 1])
            strands.append(make_strands(paths, thick / 2, alter(rng, colour, number, 0.05), FINE))
    return strands, []


def _lace(rng: np.random.Generator, detail: float) -> Parts:
    """Work flowers into a fine ground, with a hem and scallops along the lower edge."""
    drape, colour = _drape(rng, rng.uniform(0.05, 0.25)), _thread(rng)
    lines = max(24, int(rng.integers(60, 120) * min(1, detail * 3)))
    size, pitch = rng.uniform(0.24, 0.42), 2.2 / lines
    scallops = int(2.4 / size)

    def edge(flat: Numbers) -> Numbers:
        """Pull what hangs over the edges up to them."""
        low = -1.02 - 0.09 * np.abs(np.sin(flat[..., 0] * scallops * math.pi / 2.4))
        across = np.clip(flat[..., 0], -1.12, 1.12)
        return np.stack([across, np.clip(flat[..., 1], low, 1.1)], -1)

    strands = []
    for turn in (math.pi / 6, -math.pi / 6, math.pi / 2):
        zigzag = pitch * 0.12 * np.sign(np.sin(np.arange(150) * 2.1))[None, :, None]
        flat = _lines(lines, 150, 1.15, turn) + zigzag * vector(math.cos(turn), math.sin(turn))
        tint, thick = alter(rng, colour, lines, 0.04), pitch * rng.uniform(0.06, 0.1)
        strands.append(make_strands(drape(edge(flat)), thick, tint, FINE))
    hem = edge(np.stack([np.linspace(-1.2, 1.2, 240), np.full(240, -9.0)], -1)[None])
    hem = np.repeat(hem, 3, axis=0) + np.array([[[0, 0]], [[0, 0.03]], [[0, 0.055]]])
    strands.append(make_strands(drape(hem), 0.009, np.tile(colour, (3, 1)), YARN))
    strands += _flowers(rng, drape, size, colour)
    rims = strands[-1]
    return [*strands, _fuzz(rng, rims.points, int(2500 * detail), 0.02, rims.tint[:, 0])], []


def _flowers(rng: np.random.Generator, drape: Drape, size: float, colour: Numbers) -> list[Strands]:
    """Work flowers in rows: petals filled with stitches, then their rims, a little before."""
    petals, fills, rims = int(rng.integers(4, 8)), [], []
    for row, high in enumerate(np.arange(-1, 1.01, size * 0.95)):
        for across in np.arange(-1, 1.01, size * 1.15):
            spot = np.array([across + 0.5 * size * (row % 2), high]) + rng.normal(0, 0.04 * size, 2)
            spin = rng.uniform(0, 6)
            for petal in range(petals):
                angle = spin + petal * 2 * math.pi / petals
                fills.append(_petal(rng, spot, angle, 0.42 * size, petals, 22))
                rims.append(_rim(spot, angle, 0.42 * size, petals))
            rims.append(spot + 0.07 * size * _circle(40))
    fill, rim = drape(np.concatenate(fills)), drape(np.stack(rims))
    fill[..., 1] -= 0.004
    rim[..., 1] -= 0.007
    return [
        make_strands(fill, size * 0.0075, alter(rng, colour, len(fill), 0.08), FINE),
        make_strands(rim, size * rng.uniform(0.012, 0.02), alter(rng, colour, len(rim)), YARN),
    ]


def _circle(knots: int) -> Numbers:
    turn = np.linspace(0, 2 * math.pi, knots)
    return np.stack([np.cos(turn), np.sin(turn)], -1).astype(np.float32)


def _rim(spot: Numbers, angle: float, size: float, petals: int) -> Numbers:
    """Outline one petal: (40, 2)."""
    way = np.linspace(0, 2 * math.pi, 40)
    along, wide = 0.55 - 0.45 * np.cos(way), 1.5 / petals * np.sin(way)
    cosine, sine = math.cos(angle), math.sin(angle)
    flat = np.stack([along * cosine - wide * sine, along * sine + wide * cosine], -1)
    return spot + size * flat


def _petal(
    rng: np.random.Generator,
    spot: Numbers,
    angle: float,
    size: float,
    petals: int,
    stitches: int,
) -> Numbers:
    """Fill one petal with stitches across it: (stitches, 40, 2), straight but for the thread."""
    along = np.linspace(0.14, 0.96, stitches)[:, None]
    half = 1.5 / petals * np.sqrt(np.clip(1 - ((along - 0.55) / 0.45) ** 2, 0.01, 1))
    wide = np.linspace(-1, 1, 40)[None] * half
    along = along + 0.03 * rng.normal(0, 1, (stitches, 1)) + 0 * wide
    cosine, sine = math.cos(angle), math.sin(angle)
    flat = np.stack([along * cosine - wide * sine, along * sine + wide * cosine], -1)
    return spot + size * flat


def _knit(rng: np.random.Generator, detail: float) -> Parts:
    """Loop rows of yarn of three plies through each other."""
    rows, drape = int(rng.integers(7, 20)), _drape(rng)
    gap = 2.2 / rows
    loops = int(2.4 / gap)
    knots = min(loops * 14, 250)
    turn = np.linspace(0, 2 * math.pi * loops, knots)
    paths = []
    for row in range(rows):
        across = gap * (turn / (2 * math.pi) + 0.28 * np.sin(2 * turn)) - 1.2
        high = gap * 0.62 * np.cos(turn) + (row - rows / 2) * gap * 0.85
        path = drape(np.stack([across, high], -1))
        path[:, 1] += 0.16 * gap * np.cos(2 * turn)
        paths.append(path)
    yarn = np.stack(paths)
    tint = alter(rng, _thread(rng), rows, 0.03, 0.004)
    if rng.random() < 0.3:
        tint[rng.random(rows) < 0.4] = _thread(rng)
    plies, loose = rng.uniform(0.08, 0.11) * gap, rng.uniform(0.02, 0.1)
    strands = []
    _, over, side = normals(yarn)
    for ply in range(3):
        angle = (turn * 2.2 + ply * 2.1)[None, :, None]
        path = yarn + plies * (np.cos(angle) * over + np.sin(angle) * side)
        strands.append(make_strands(path.astype(np.float32), plies * 1.15, tint, YARN))
    number = int(rng.integers(5000, 22000) * detail)
    strands.append(_fuzz(rng, yarn, number, loose, tint))
    return strands, []


def _twisted(
    rng: np.random.Generator, spines: Numbers, radius: float, tint: Numbers, fibres: int
) -> Strands:
    """Twist each spine of three plies of fibres that open towards the end."""
    number, knots, _ = spines.shape
    _, over, side = normals(spines)
    ply = rng.integers(0, 3, (fibres, number, 1, 1))
    way = course(knots)
    angle = way * rng.uniform(25, 55) + ply * (2 * math.pi / 3)
    own = rng.uniform(0, 2 * math.pi, (fibres, number, 1, 1)) + angle
    reach = radius * 0.48 * np.sqrt(rng.random((fibres, number, 1, 1)))
    reach = reach * (1 + 2.5 * np.clip(4 * way - 3, 0, 1))
    paths = spines + (0.5 * radius * np.cos(angle) + reach * np.cos(own)) * over
    paths = paths + (0.5 * radius * np.sin(angle) + reach * np.sin(own)) * side
    paths = paths.reshape(-1, knots, 3) + wander(rng, fibres * number, knots, (3, 8)) * (
        0.06 * radius
    )
    tint = np.tile(tint, (fibres, 1)) * rng.lognormal(0, 0.1, (fibres * number, 1))
    thick = radius * 0.9 / math.sqrt(fibres)
    return make_strands(paths.astype(np.float32), thick, tint, Cord(through=0.2), taper=0.1)


def _fringe(rng: np.random.Generator, detail: float) -> Parts:
    """Hang tassels from the edge of a cloth."""
    number, knots = int(rng.integers(14, 60)), 70
    feet = np.stack([np.linspace(-1.1, 1.1, number), np.zeros(number), np.ones(number)], 1)
    ways = 0.13 * noise(rng, number, 3) - vector(0, 0, 1)
    pull = vector(0, 0, -0.6)
    reach = rng.uniform(0.8, 1.6) * rng.uniform(0.85, 1.1, number)
    spines = grow(rng, feet, ways, reach, knots, pull=pull, stiffness=0.93, crook=0.05)
    palette = np.stack([_thread(rng) for _ in range(int(rng.integers(1, 4)))])
    tint = alter(rng, palette[rng.integers(len(palette), size=number)], number, 0.08)
    radius = rng.uniform(0.25, 0.6) * 2.2 / number
    strands = [_twisted(rng, spines, radius, tint, max(4, int(34 * detail)))]
    strands.append(_fuzz(rng, spines, int(3000 * detail), 0.05, tint))
    x, z = np.meshgrid(np.linspace(-1.15, 1.15, 160), np.linspace(0.97, 1.5, 50), indexing="ij")
    weave = 0.006 * np.sin(300 * x) * np.sin(300 * z)
    cloth = sheet(np.stack([x, 0.03 * np.sin(7 * x) + weave, z], -1))
    shade = np.clip(palette[0] * (1 + 0.2 * swirl(rng, cloth[0], 30, 8, 1)), 0.004, 0.9)
    return strands, [make_solid(cloth, shade, Surface(through=0.1, gloss=0.04), closed=False)]


def _rope(rng: np.random.Generator, detail: float) -> Parts:
    """Hang or lay ropes of three plies."""
    number, knots = int(rng.integers(1, 4)), 110
    feet = np.stack(
        [rng.normal(0, 0.35, number), 0.2 * rng.normal(0, 1, number), np.full(number, 1.3)], 1
    )
    ways = 0.3 * noise(rng, number, 3) - vector(0, 0, 1)
    pull = vector(0, 0, -0.3)
    spines = grow(rng, feet, ways, 2.7, knots, pull=pull, stiffness=0.95, crook=0.05)
    colour = pick(rng, STRAW) if rng.random() < 0.6 else _thread(rng)
    tint, radius = alter(rng, colour, number, 0.1), rng.uniform(0.04, 0.13)
    strands = [_twisted(rng, spines, radius, tint, max(12, int(170 * detail)))]
    shell = [make_strands(spines, radius * 0.75, tint * 0.5, YARN)]
    return [*strands, *shell, _fuzz(rng, spines, int(1500 * detail), 0.07, tint)], []


def _fence(rng: np.random.Generator, detail: float) -> Parts:
    """Weave wires: chain link, or a plain grid."""
    number, thick, drape = int(rng.integers(7, 22)), rng.uniform(0.004, 0.016), _drape(rng, 0.05)
    gap, metal = 2.4 / number, pick(rng, METAL)
    wire = Cord(through=0.0, gloss=rng.uniform(0.4, 1.6), exponent=30.0, columns=7)
    if rng.random() < 0.4:
        families = [drape(_lines(number, 40, 1.2, turn)) for turn in (0, math.pi / 2)]
        families[1][..., 1] -= thick
        paths = np.concatenate(families)
    else:
        knots = 4 * number + 1
        corner = np.abs((np.arange(knots) / 2) % 2 - 1) - 0.5
        corners = np.where(np.arange(number)[:, None] % 2, -1.04, 1.04) * gap * corner
        flat = _lines(number, knots, 1.2, 0) + np.stack([corners, 0 * corners], -1)
        paths = drape(flat)
        paths[..., 1] += 0.8 * thick * np.cos(math.pi * np.arange(knots))
    tint = alter(rng, metal, len(paths), 0.08)
    return [make_strands(paths, thick, tint, wire)], []


def _wicker(rng: np.random.Generator, detail: float) -> Parts:
    """Wind a ball of hoops, as of willow or wire."""
    number, knots = int(rng.integers(30, 120)), 90
    turn = np.linspace(0, 2 * math.pi, knots)[None, :, None]
    first = unit(noise(rng, number, 1, 3))
    second = noise(rng, number, 1, 3)
    second = unit(second - first * (first * second).sum(-1, keepdims=True))
    radius = rng.normal(1, 0.03, (number, 1, 1))
    bent = 1 + 0.015 * np.sin(5 * turn + rng.uniform(0, 6, (number, 1, 1)))
    paths = (radius * bent * (np.cos(turn) * first + np.sin(turn) * second)).astype(np.float32)
    colour = pick(rng, STRAW) if rng.random() < 0.6 else _thread(rng)
    thick = rng.uniform(0.012, 0.04) * rng.lognormal(0, 0.2, number)
    tint = alter(rng, colour, number, 0.2)
    return [make_strands(paths, thick, tint, Cord(0.0, 0.4, 25.0, columns=7))], []


STYLES: dict[str, Callable[[np.random.Generator, float], Parts]] = {
    "net": _net,
    "tulle": _tulle,
    "lace": _lace,
    "knit": _knit,
    "fringe": _fringe,
    "rope": _rope,
    "fence": _fence,
    "wicker": _wicker,
}
