"""Plants: shrubs, twigs, needles, grass, reeds, ferns, flowers, dandelions."""

import math
from collections.abc import Callable

import numpy as np

from ..colours import BARK, CLOTH, LEAF, LEAF_SHARES, PETAL, STRAW, alter, pick
from ..growth import (
    along,
    course,
    grow,
    noise,
)
from ..meshes import ball, lathe, leaves, mottle
from ..shapes import Cord, Scene, Solid, Strands, Surface, make_solid, make_strands
from ..surroundings import surround
from ..vectors import Numbers, cross, dot, unit, vector
from .framing import frame_parts

Parts = tuple[list[Strands], list[Solid]]
UP = np.array([0, 0, 1], np.float32)
LEAF_SURFACE = Surface(through=0.4, gloss=0.5, exponent=26.0)
WOOD = Cord(through=0.0, gloss=0.1, exponent=8.0, columns=7)
STALK = Cord(through=0.1, gloss=0.25, exponent=20.0, columns=5)
AWN = Cord(through=0.45, gloss=0.15)


def plants(rng: np.random.Generator, detail: float = 1.0) -> Scene:
    """Grow a plant; `detail` is the share of its finest parts that are drawn."""
    style = str(rng.choice(list(STYLES)))
    strands, solids = STYLES[style](rng, detail)
    if style in ("shrub", "twigs", "needles", "flowers", "fern") and rng.random() < 0.35:
        solids += _pot(rng)
    camera = frame_parts(rng, (strands, solids), height=rng.normal(0.12, 0.2), blurred=0.35)
    words = {"style": style, "strands": sum(len(strand.points) for strand in strands)}
    return Scene(tuple(strands), tuple(solids), camera, surround(rng, camera.back), words)


def _pot(rng: np.random.Generator) -> list[Solid]:
    way = np.linspace(0, 1, 40)
    wide = rng.uniform(0.25, 0.42)
    outline = wide * (1 - 0.35 * way * rng.uniform(0.2, 1.2)) + 0.05 * (way < 0.12)
    inner = np.concatenate([[0.01, 0.9 * wide], outline, [0.01]])
    heights = np.concatenate([[-0.03, -0.03], 0.05 - 0.75 * way, [-0.7]])
    mesh = lathe(inner, heights)
    clay = np.array([0.4, 0.17, 0.09]) if rng.random() < 0.4 else pick(rng, CLOTH)
    surface = Surface(gloss=rng.uniform(0.05, 0.8), exponent=30.0)
    return [make_solid(mesh, mottle(rng, mesh[0], clay, 0.06), surface)]


def _branches(
    rng: np.random.Generator, levels: int, twigs: tuple[int, int], crook: float
) -> list[Numbers]:
    """Grow stems and what branches from them: (n, 16, 3) a level."""
    number = int(rng.integers(2, 6))
    feet = noise(rng, number, 3) * vector(0.1, 0.1, 0)
    ways = UP + 0.4 * noise(rng, number, 3)
    boughs = [grow(rng, feet, ways, rng.uniform(1.1, 1.8, number), 16, pull=UP * 0.3, crook=crook)]
    size = 1.1
    for _ in range(levels):
        offspring = int(rng.integers(*twigs))
        parents = np.repeat(np.arange(len(boughs[-1])), offspring)
        feet, ways = along(boughs[-1], parents, rng.uniform(0.25, 1, len(parents)))
        ways = ways + 0.75 * unit(noise(rng, len(parents), 3))
        size *= rng.uniform(0.45, 0.7)
        reach = size * rng.uniform(0.6, 1.2, len(parents))
        boughs.append(grow(rng, feet, ways, reach, 16, pull=UP * 0.3, crook=crook))
    return boughs


def _wood(rng: np.random.Generator, levels: list[Numbers], thick: float) -> list[Strands]:
    bark, boughs = pick(rng, BARK), []
    for level, paths in enumerate(levels):
        radius = thick * 0.5**level * rng.uniform(0.7, 1.2, (len(paths), 1))
        radius = radius * np.linspace(1, 0.4, paths.shape[1])
        boughs.append(make_strands(paths, radius, alter(rng, bark, len(paths)), WOOD))
    return boughs


def _outline(rng: np.random.Generator, rows: int = 11) -> Numbers:
    """Draw a leaf's outline, (rows,): slender or broad, widest near the foot or beyond."""
    way = np.linspace(0, 1, rows)
    shape = np.sin(math.pi * way ** rng.uniform(0.6, 1.2)) ** rng.uniform(0.7, 1.1)
    if rng.random() < 0.3:
        shape *= 1 - 0.25 * (np.arange(rows) % 2)
    return np.asarray(shape, np.float32)


def _leaves(
    rng: np.random.Generator,
    feet: Numbers,
    ways: Numbers,
    size: float,
    colour: Numbers,
    *,
    narrow: float = 0.3,
    facing: Numbers | None = None,
) -> Solid:
    """Set leaves, mottled each by itself, a few of them turning."""
    number = len(feet)
    facing = UP + 0.5 * noise(rng, number, 3) if facing is None else facing
    outline = _outline(rng)
    lengths = size * rng.uniform(0.5, 1.2, number)
    mesh = leaves(
        *(feet, ways, facing, lengths, lengths * narrow * rng.uniform(0.8, 1.2, number)),
        outline=outline,
        bend=rng.normal(0.5, 0.4, number),
        fold=rng.uniform(0.05, 0.4),
    )
    tint = alter(rng, colour, number, 0.22, 0.08)
    turning = rng.random(number) < rng.choice([0, 0.04, 0.3])
    tint[turning] = alter(rng, np.array([0.32, 0.2, 0.05]), int(turning.sum()), 0.3, 0.15)
    offspring = len(mesh[0]) // number
    rib = np.tile(np.abs(np.linspace(-1, 1, 5)), offspring // 5 * number)[:, None]
    tint = np.repeat(tint, offspring, axis=0) * np.where(rib == 0, 1.25, 0.9 + 0.12 * rib)
    return make_solid(mesh, mottle(rng, mesh[0], tint, 0.08, 9), LEAF_SURFACE, closed=False)


def _shrub(rng: np.random.Generator, detail: float) -> Parts:
    levels = _branches(rng, 2, (5, 10), 0.05)
    fine = levels[-1]
    offspring = max(1, int(rng.integers(5, 14) * min(1, detail * 2)))
    parents = np.repeat(np.arange(len(fine)), offspring)
    feet, ways = along(fine, parents, rng.uniform(0.2, 1, len(parents)))
    ways = ways + 0.7 * noise(rng, len(parents), 3) - UP * 0.2
    colour = pick(rng, LEAF, shares=LEAF_SHARES)
    size, narrow = rng.uniform(0.1, 0.34), rng.uniform(0.14, 0.42)
    return _wood(rng, levels, 0.03), [_leaves(rng, feet, ways, size, colour, narrow=narrow)]


def _twigs(rng: np.random.Generator, detail: float) -> Parts:
    levels = _branches(rng, 3, (3, 6), 0.09)
    strands = _wood(rng, levels, rng.uniform(0.02, 0.04))
    if rng.random() < 0.5:
        return strands, []
    number = int(rng.integers(20, 160) * min(1, detail * 4)) + 1
    feet, ways = along(levels[-1], rng.integers(len(levels[-1]), size=number), rng.random(number))
    if rng.random() < 0.5:
        colour = pick(rng, LEAF, shares=LEAF_SHARES)
        return strands, [_leaves(rng, feet, ways + 0.6 * noise(rng, number, 3), 0.15, colour)]
    colour = pick(rng, PETAL)
    berries = []
    for foot in feet[:90]:
        berry = ball(foot - UP * 0.04, rng.uniform(0.02, 0.04), 10)
        berries.append(make_solid(berry, alter(rng, colour, 1)[0], Surface(gloss=1, exponent=60.0)))
    return strands, berries


def _needles(rng: np.random.Generator, detail: float) -> Parts:
    levels = _branches(rng, 2, (6, 12), 0.04)
    fine = np.concatenate(levels[1:])
    parents = np.repeat(np.arange(len(fine)), max(4, int(rng.integers(70, 160) * detail)))
    feet, ways = along(fine, parents, rng.uniform(0.1, 1, len(parents)))
    ways = 0.7 * ways + 0.8 * unit(noise(rng, len(parents), 3))
    reach = rng.uniform(0.07, 0.26) * rng.uniform(0.7, 1.1, len(parents))
    paths = grow(rng, feet, ways, reach, 5, pull=-UP * 0.2)
    colour = pick(rng, LEAF[:6])
    tint = alter(rng, colour * 0.8, len(paths), 0.25, 0.08)
    needles = make_strands(paths, rng.uniform(0.003, 0.006), tint, STALK, taper=0.7)
    return [*_wood(rng, levels, 0.035), needles], []


def _grass(rng: np.random.Generator, detail: float) -> Parts:
    number = int(rng.integers(120, 700) * min(1, detail * 2)) + 8
    feet = noise(rng, number, 3) * vector(0.6, 0.4, 0) - UP * 0.2
    ways, facing = UP + 0.28 * noise(rng, number, 3), noise(rng, number, 3) * [1, 1, 0.1]
    outline = np.sqrt(1 - np.linspace(0, 1, 16) ** 1.5).astype(np.float32)
    lengths = rng.uniform(0.7, 2.4, number)
    mesh = leaves(
        *(feet, ways, facing.astype(np.float32), lengths, rng.uniform(0.007, 0.026, number)),
        outline=outline,
        bend=rng.normal(0.6, 0.6, number),
        columns=3,
    )
    tint = alter(rng, pick(rng, LEAF, shares=LEAF_SHARES), number, 0.3, 0.1)
    dry = rng.random(number) < rng.choice([0.02, 0.1, 0.9])
    tint[dry] = alter(rng, pick(rng, STRAW), int(dry.sum()), 0.2, 0.05)
    blades = make_solid(mesh, np.repeat(tint, 48, axis=0), LEAF_SURFACE, closed=False)
    return [], [blades]


def _reeds(rng: np.random.Generator, detail: float) -> Parts:
    strands, solids = _grass(rng, 0.5 * detail)
    number = int(rng.integers(6, 28))
    feet = noise(rng, number, 3) * vector(0.5, 0.3, 0) - UP * 0.2
    ways = UP + 0.16 * noise(rng, number, 3)
    stems = grow(
        rng, feet, ways, rng.uniform(1.5, 2.6, number), 24, pull=-UP * 0.25, stiffness=0.95
    )
    straw = pick(rng, STRAW)
    strands.append(make_strands(stems, 0.008, alter(rng, straw, number), STALK, taper=0.4))
    offspring = max(10, int(rng.integers(80, 260) * detail))
    parents = np.repeat(np.arange(number), offspring)
    feet, ways = along(stems, parents, rng.uniform(0.66, 1, len(parents)))
    ways = ways + 0.35 * noise(rng, len(parents), 3)
    awns = grow(rng, feet, ways, rng.uniform(0.1, 0.33, len(parents)), 7, pull=-UP * 0.25)
    tint = alter(rng, straw * 1.15, len(parents), 0.2)
    strands.append(make_strands(awns, rng.uniform(0.0015, 0.0035), tint, AWN, taper=0.7))
    return strands, solids


def _fern(rng: np.random.Generator, detail: float) -> Parts:
    number = int(rng.integers(4, 11))
    turn = rng.uniform(0, 2 * math.pi, number)
    ways = np.stack([0.6 * np.cos(turn), 0.6 * np.sin(turn), np.ones(number)], 1)
    feet = np.zeros((number, 3), np.float32)
    fronds = grow(rng, feet, ways, rng.uniform(1.3, 2, number), 40, pull=-UP * 0.5, stiffness=0.95)
    colour = pick(rng, LEAF[:5])
    stalks = make_strands(fronds, 0.014, alter(rng, colour * 0.7, number), STALK, taper=0.7)
    offspring = 2 * max(20, int(65 * min(1, detail * 2)))
    parents = np.repeat(np.arange(number), offspring)
    share = np.tile(np.repeat(np.linspace(0.12, 0.99, offspring // 2), 2), number)
    feet, way = along(fronds, parents, share)
    side = unit(cross(way, UP)) * np.where(np.arange(len(parents)) % 2, 1, -1)[:, None]
    over = cross(way, side)
    over *= np.sign(over[:, 2:] + 1e-6)
    size = 0.42 * np.sin(math.pi * np.clip(1 - share, 0, 1) ** 0.8) + 0.03
    mesh = leaves(
        *(feet, side + 0.45 * way, over, size * rng.uniform(0.85, 1.1, len(size)), 0.09 * size),
        outline=_outline(rng, 13) * (1 - 0.45 * (np.arange(13) % 2)).astype(np.float32),
        bend=rng.normal(0.5, 0.25, len(size)),
    )
    tint = np.repeat(alter(rng, colour, len(size), 0.12), 65, axis=0)
    return [stalks], [make_solid(mesh, tint, LEAF_SURFACE, closed=False)]


def _flowers(rng: np.random.Generator, detail: float) -> Parts:
    strands: list[Strands] = []
    solids: list[Solid] = []
    number, green, petal = int(rng.integers(1, 7)), pick(rng, LEAF[:4]), pick(rng, PETAL)
    feet = noise(rng, number, 3) * vector(0.08, 0.08, 0) - UP * 0.2
    ways = UP + 0.35 * noise(rng, number, 3)
    stems = grow(rng, feet, ways, rng.uniform(1.2, 2.1, number), 24, stiffness=0.97, crook=0.03)
    strands.append(make_strands(stems, 0.02, alter(rng, green, number), STALK, taper=0.3))
    sprigs = int(rng.integers(2, 7)) * number
    foot, way = along(stems, rng.integers(number, size=sprigs), rng.uniform(0.2, 0.75, sprigs))
    solids.append(_leaves(rng, foot, way + 0.8 * noise(rng, sprigs, 3), 0.5, green, narrow=0.2))
    for stem in stems:
        axis = unit(stem[-1] - stem[-2] + 0.3 * noise(rng, 3))
        first = unit(cross(axis, np.array([0.3, 0.5, 0.2])))
        second, size = cross(axis, first), rng.uniform(0.25, 0.5)
        for ring in range(int(rng.integers(1, 4))):
            offspring = int(rng.integers(7, 24))
            turn = np.arange(offspring) / offspring * 2 * math.pi + rng.normal(0, 0.07, offspring)
            ways = np.cos(turn)[:, None] * first + np.sin(turn)[:, None] * second
            ways = ways + axis * (0.1 + 0.3 * ring)
            facing = np.broadcast_to(axis, ways.shape)
            top = np.broadcast_to(stem[-1], ways.shape)
            narrow = rng.uniform(0.12, 0.3)
            leaf = _leaves(rng, top, ways, size, petal, narrow=narrow, facing=facing)
            plain = mottle(rng, leaf.vertices, petal, 0.1, 8)
            solids.append(
                make_solid((leaf.vertices, leaf.faces), plain, leaf.surface, closed=False)
            )
        stamens = max(20, int(350 * detail))
        ways = unit(axis + 0.6 * noise(rng, stamens, 3))
        paths = grow(rng, stem[-1] + 0.02 * ways, ways, rng.uniform(0.04, 0.15, stamens), 5)
        tint = alter(rng, np.array([0.5, 0.33, 0.05]), stamens, 0.3)
        strands.append(make_strands(paths, 0.005, tint, AWN))
    return strands, solids


def _dandelion(rng: np.random.Generator, detail: float) -> Parts:
    centre = np.array([0, 0, 1.1], np.float32)
    seeds = unit(noise(rng, int(rng.integers(90, 200)), 3))
    if rng.random() < 0.5:  # some have flown
        seeds = seeds[dot(seeds, unit(noise(rng, 3))) < rng.uniform(0.0, 0.9)]
    number, size = len(seeds), rng.uniform(0.5, 0.65)
    way = course(6)
    stalks = centre + seeds[:, None] * (0.09 + (size - 0.09) * way)
    white = np.array([0.78, 0.76, 0.71]) * rng.uniform(0.75, 1.08)
    strands = [make_strands(stalks, 0.0035, alter(rng, white * 0.75, number), AWN, taper=0.2)]
    rays = max(10, int(rng.integers(34, 60) * min(1, detail * 2)))
    first = unit(cross(seeds, noise(rng, number, 3)))
    second = cross(seeds, first)
    turn = np.arange(rays) / rays * 2 * math.pi + rng.normal(0, 0.08, (number, rays))
    spread = rng.uniform(0.2, 0.6, (number, 1, 1))
    ways = seeds[:, None] * spread + np.cos(turn)[..., None] * first[:, None]
    ways = (ways + np.sin(turn)[..., None] * second[:, None]).reshape(-1, 3)
    reach = np.repeat(rng.uniform(0.16, 0.24, number), rays) * rng.uniform(0.8, 1.1, len(ways))
    paths = grow(rng, np.repeat(stalks[:, -1], rays, axis=0), ways, reach, 8, crook=0.05)
    tint = alter(rng, white, len(paths), 0.06)
    strands.append(make_strands(paths, rng.uniform(0.0009, 0.0016), tint, AWN, taper=0.5))
    foot = np.array([[0, 0, -1.2]], np.float32)
    stem = grow(rng, foot, UP[None] + 0.02 * noise(rng, 1, 3), 2.25, 20, stiffness=0.97)
    stem = stem + (centre - stem[:, -1:]) * course(stem.shape[1])
    strands.append(make_strands(stem, 0.03, np.array([0.2, 0.24, 0.09]), STALK))
    seedbed = ball(centre, 0.1, 24)
    return strands, [make_solid(seedbed, mottle(rng, seedbed[0], np.array([0.2, 0.14, 0.08])))]


STYLES: dict[str, Callable[[np.random.Generator, float], Parts]] = {
    "shrub": _shrub,
    "twigs": _twigs,
    "needles": _needles,
    "grass": _grass,
    "reeds": _reeds,
    "fern": _fern,
    "flowers": _flowers,
    "dandelion": _dandelion,
}
