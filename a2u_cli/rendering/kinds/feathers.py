"""Feathers: vaned with a downy foot, plumes, and tufts of down."""

import math

import numpy as np

from ..colours import PLUMAGE, alter, pick
from ..growth import (
    along,
    clump,
    course,
    grow,
    noise,
    swirl,
    wander,
)
from ..shapes import Cord, Scene, Strands, make_strands
from ..surroundings import surround
from ..vectors import Numbers, cross, unit, vector
from .framing import frame_parts

STYLES = ("feather", "plume", "down")
BARB = Cord(through=0.4, gloss=0.25, exponent=20.0)
BARBULE = Cord(through=0.5, gloss=0.1)
QUILL = Cord(through=0.1, gloss=0.6, exponent=30.0, columns=7)
UP = np.array([0, 0, 1], np.float32)


def feathers(rng: np.random.Generator, detail: float = 1.0) -> Scene:
    """Grow one to four feathers; `detail` is the share of their barbs that are drawn."""
    style = str(rng.choice(STYLES, p=[0.5, 0.25, 0.25]))
    colour, number = pick(rng, PLUMAGE), int(rng.integers(1, 5))
    strands: list[Strands] = []
    for index in range(number):
        lean = (index - (number - 1) / 2) * 0.35
        foot = np.array([0.25 * lean + rng.normal(0, 0.05), rng.normal(0, 0.15), 0], np.float32)
        way = UP + np.array([lean + rng.normal(0, 0.15), rng.normal(0, 0.2), 0], np.float32)
        if style == "down":
            strands += _down(rng, foot + 0.3 * noise(rng, 3), way, colour, detail)
        else:
            strands += _vane(rng, foot, way, colour, detail, plume=style == "plume")
    camera = frame_parts(
        rng,
        (strands, []),
        roll=rng.uniform(-math.pi, math.pi),
        turn=rng.normal(0, 0.5),
        shares=(0.5, 0.35, 0.15),
    )
    words = {"style": style, "colour": colour.round(3).tolist(), "strands": number}
    return Scene(tuple(strands), (), camera, surround(rng, camera.back), words)


def _vane(
    rng: np.random.Generator,
    foot: Numbers,
    way: Numbers,
    colour: Numbers,
    detail: float,
    *,
    plume: bool,
) -> list[Strands]:
    """Grow a quill with barbs to both sides, and barbules on these."""
    bow = vector(rng.normal(0, 0.25), rng.normal(0, 0.1), -0.05)
    quill = grow(rng, foot[None], way[None], 2.3, 60, pull=bow, stiffness=0.96, crook=0.004)
    number = 2 * max(40, int(rng.integers(500, 1100) * (0.5 if plume else 1) * detail))
    share = np.sort(rng.uniform(0.14, 1, number))
    down = np.clip((0.33 - share) / 0.16, 0, 1)  # towards the foot
    loose = np.full(number, 0.5) if plume else down
    paths = _barbs(rng, quill, share, loose, plume=plume)
    tint = _pattern(rng, colour, share, paths.shape[1])
    thick = (0.0016 if plume else 0.0022) / math.sqrt(min(1, 2 * detail))
    barbs = make_strands(paths, thick, tint, BARB, taper=0.5)
    barbules = _barbules(rng, paths, tint, loose, detail, 0.035 if plume else 0.02)
    shade = np.clip(1.2 * colour + 0.08, 0, 0.85)
    radii = 0.017 * np.linspace(1, 0.12, 60)[None]
    return [barbs, barbules, make_strands(quill, radii, shade, QUILL)]


def _barbs(
    rng: np.random.Generator, quill: Numbers, share: Numbers, loose: Numbers, *, plume: bool
) -> Numbers:
    """Grow barbs at shares (n,) of the way up: hooked to each other, split here and there."""
    number, knots = len(share), 18
    feet, ahead = along(quill, np.zeros(number, np.int64), share)
    side = np.where(np.arange(number) % 2, 1.0, -1.0)
    across = unit(cross(ahead, noise(rng, 3))) * side[:, None]
    narrow = np.where(side > 0, 1, rng.uniform(0.45, 1))  # one vane is often narrower
    reach = np.sin(math.pi * np.clip(share - 0.04, 0, 1) ** 0.8) ** 0.55 * narrow
    reach = reach * rng.uniform(0.22, 0.42) * rng.uniform(0.93, 1.04, number)
    reach = reach + 0.03 + 0.05 * share**14
    slant = rng.uniform(0.7, 1.3) - 0.5 * loose + 3 * share**14  # the last close the tip
    stray = noise(rng, number, 3) * (0.02 + 0.4 * loose[:, None])
    ways, droop = across + ahead * slant[:, None] + stray, vector(0, 0, -0.6 if plume else 0)
    paths = grow(rng, feet, ways, reach * (1 + 0.25 * loose), knots, pull=droop, stiffness=0.96)
    paths = paths + 0.12 * ahead[:, None] * course(knots) ** 2 * reach[:, None, None]
    size = (0.002 + 0.06 * loose)[:, None, None]
    paths = paths + wander(rng, number, knots, (1, 3)) * course(knots) * size
    groups = max(6, int(rng.integers(8, 70) * (4 if plume else 1)))
    owner = (share * (groups - 1)).astype(np.int64) * 2 + (side > 0)
    held = rng.uniform(0.1, 0.7) * rng.random(2 * groups)
    return clump(paths.astype(np.float32), owner, 2 * groups, held, 2.0)


def _pattern(rng: np.random.Generator, colour: Numbers, share: Numbers, knots: int) -> Numbers:
    """Colour barbs: plain, barred across the feather, tipped or speckled; the down is pale."""
    other = np.clip(colour * rng.uniform(0.2, 2.0) + 0.01, 0.005, 0.86)
    style = str(rng.choice(["plain", "barred", "tipped", "speckled"], p=[0.4, 0.25, 0.2, 0.15]))
    way, number = np.linspace(0, 1, knots)[None], len(share)
    mix = np.zeros((number, knots))
    place = share[:, None] + 0.13 * way
    if style == "barred":
        mix = np.clip(0.5 + 2 * np.sin(place * rng.uniform(15, 50)), 0, 1)
    elif style == "tipped":
        mix = np.clip((place - rng.uniform(0.6, 0.9)) * 10, 0, 1)
    elif style == "speckled":
        spots = swirl(rng, np.stack([place * 25, way * 9 + 0 * place, 0 * place], -1), 1.0, 10, 1)
        mix = np.clip(2 * spots[..., 0] - 1, 0, 1)
    tint = colour * (1 - mix[..., None]) + other * mix[..., None]
    down = np.clip((0.33 - share) / 0.16, 0, 1)[:, None, None]
    tint = tint * (1 - down) + np.clip(0.5 * colour + 0.35, 0, 0.85) * down
    return np.asarray(tint * rng.lognormal(0, 0.06, (number, 1, 1)), np.float32)


def _barbules(
    rng: np.random.Generator,
    barbs: Numbers,
    tint: Numbers,
    loose: Numbers,
    detail: float,
    reach: float,
) -> Strands:
    """Grow the finest fibres from both sides of barbs: short and straight, or long where loose."""
    number = max(100, int(16000 * detail))
    which = rng.integers(len(barbs), size=number)
    share = rng.uniform(0.05, 0.98, number)
    feet, way = along(barbs, which, share)
    across = unit(cross(way, noise(rng, number, 3)))
    soft = loose[which]
    ways = way + across * rng.uniform(0.4, 1, (number, 1)) * (0.4 + 0.6 * soft[:, None])
    lengths = reach * (1 + 2.2 * soft) * rng.uniform(0.5, 1.2, number)
    paths = grow(rng, feet, ways, lengths, 6, crook=0.05, stiffness=0.95)
    shade = tint[which, (share * (tint.shape[1] - 1)).astype(np.int64)]
    return make_strands(paths, 0.0009 / math.sqrt(min(1, 2 * detail)), shade, BARBULE, taper=0.5)


def _down(
    rng: np.random.Generator, foot: Numbers, way: Numbers, colour: Numbers, detail: float
) -> list[Strands]:
    """Grow a tuft of down: long limp barbs from one foot, fringed with barbules finer still."""
    number, knots = int(rng.integers(45, 110)), 22
    ways = unit(way) * rng.uniform(0.3, 1.0) + noise(rng, number, 3) * np.float32(0.75)
    reach = rng.uniform(0.4, 0.9) * rng.uniform(0.4, 1.1, number)
    feet = np.broadcast_to(foot, (number, 3)) + 0.02 * noise(rng, number, 3)
    seed = int(rng.integers(1 << 31))

    def air(points: Numbers, _share: float) -> Numbers:
        return 0.8 * swirl(np.random.default_rng(seed), points, 2.5)

    paths = grow(rng, feet, ways, reach, knots, crook=0.1, stiffness=0.88, flow=air)
    pale = np.clip(colour * 0.6 + 0.3, 0, 0.87)
    barbs = make_strands(paths, 0.0018, alter(rng, pale, number, 0.06), BARB, taper=0.6)
    many = max(200, int(number * 260 * detail))
    which = rng.integers(number, size=many)
    feet, ahead = along(paths, which, rng.random(many) ** 0.8)
    across = unit(cross(ahead, noise(rng, many, 3)))
    lengths = rng.uniform(0.05, 0.1) * rng.lognormal(0, 0.35, many)
    ways = 0.6 * ahead + across + 0.15 * noise(rng, many, 3)
    fine = grow(rng, feet, ways, lengths, 7, crook=0.12, stiffness=0.9)
    thick = 0.0007 / math.sqrt(min(1, 2 * detail))
    return [barbs, make_strands(fine, thick, alter(rng, pale, many, 0.08), BARBULE, taper=0.4)]
