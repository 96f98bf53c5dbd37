"""Hair on heads: long, wavy, curly, afro, cropped, blown, tied, braided, and stray hairs."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..camera import Camera, look
from ..colours import HAIR, alter, dye, pick
from ..growth import (
    Ball,
    children,
    clump,
    course,
    curl,
    cut,
    grow,
    noise,
    normals,
    on_balls,
    swirl,
    wander,
)
from ..raster import nearest
from ..shapes import Hair, Scene, Strands, make_strands
from ..surroundings import surround
from ..vectors import Numbers, dot, unit, vector
from .figures import person
from .heads import Figure, draw_figure

STYLES = ("long", "wavy", "curly", "afro", "blown", "bob", "cropped", "tail", "braids")
SHARES = (0.17, 0.16, 0.14, 0.1, 0.13, 0.08, 0.08, 0.07, 0.07)


@dataclass(frozen=True)
class _Cut:
    """How a style grows: knots, length in head radii, what pulls it, its curls."""

    knots: int
    length: tuple[float, float]
    gravity: float = 1.6
    stiffness: tuple[float, float] = (0.78, 0.88)
    radius: tuple[float, float] = (0, 0)
    turns: tuple[float, float] = (0, 0)


TIED = ("tail", "braids")
CUTS = {
    "long": _Cut(30, (1.6, 3.2)),
    "wavy": _Cut(40, (1.3, 3.0), radius=(0.03, 0.08), turns=(2, 5)),
    "curly": _Cut(52, (0.9, 2.4), radius=(0.04, 0.1), turns=(5, 10)),
    "afro": _Cut(48, (0.45, 1.1), 0.1, (0.88, 0.92), (0.025, 0.05), (6, 10)),
    "blown": _Cut(30, (1.0, 2.6), 0.4, (0.8, 0.86)),
    "bob": _Cut(24, (0.9, 1.4), 1.8),
    "cropped": _Cut(14, (0.18, 0.5), 0.25, (0.85, 0.92)),
    "tail": _Cut(24, (0.7, 1.0), 0),
    "braids": _Cut(24, (0.7, 1.0), 0),
}


SCALP: Ball = (np.zeros(3, np.float32), np.array([0.74, 0.93, 1.02], np.float32))


@dataclass(frozen=True)
class _Head:
    """A figure, and how far directions (n, 3) from its head's middle are above its hairline."""

    figure: Figure
    above: Callable[[Numbers], Numbers]

    def covered(self, points: Numbers) -> Numbers:
        """Tell how much of the scalp (n, 3) the shade of its hair hides, (n,)."""
        return 0.8 * np.clip(self.above(points), 0, 1)


def hair(rng: np.random.Generator, detail: float = 1.0) -> Scene:
    """Grow a head of hair; `detail` is the share of its strands that are drawn."""
    style = str(rng.choice(STYLES, p=SHARES))
    head = _Head(draw_figure(rng), _hairline(rng))
    colour = pick(rng, HAIR) if rng.random() < 0.93 else dye(rng)
    full = bool(rng.random() < 0.6)
    frame = 3.4 if full else math.exp(rng.uniform(math.log(0.9), math.log(2.4)))
    width = math.exp(rng.uniform(math.log(0.35), math.log(1.3))) * frame / 768
    number = int(np.clip(60 / width, 7000, 36000) * min(1, 32 / CUTS[style].knots) * detail)
    paths, wisps = _grow(rng, style, head, number)
    radius = width / 2 * detail**-0.5 * rng.lognormal(0, 0.2, number)
    material = Hair(rng.uniform(0.09, 0.2), rng.uniform(0.6, 1.3))
    tied, dyed = style in TIED, int(rng.integers(1 << 31))
    tint = _tint(dyed, colour, wisps, paths, tips=not tied)
    strands = [make_strands(paths, radius, tint, material, taper=0.6)]
    if tied:
        strands += _tied(rng, style, width, (dyed, colour), detail, material)
    solids, features = person(rng, head.figure, 0.5 * colour, head.covered)
    camera = _look(rng, head.figure.up, paths, full, frame)
    words = {"style": style, "colour": colour.round(3).tolist(), "strands": number}
    lit = surround(rng, camera.back)
    return Scene((*strands, *features), tuple(solids), camera, lit, words, portrait=0)


def _hairline(rng: np.random.Generator) -> Callable[[Numbers], Numbers]:
    """Draw a hairline that frays: how far above it directions are, 1 where all grows."""
    seed, high, back = int(rng.integers(1 << 31)), rng.normal(0, 0.05), rng.uniform(-0.05, 0.1)

    def above(ways: Numbers) -> Numbers:
        way = unit(ways / SCALP[1])
        marks = [0.55 + high, 0.53 + high, 0.36 + high + back, 0.0 + back, -0.3]
        line = np.interp(np.abs(way[:, 0]), [0, 0.4, 0.7, 0.88, 0.98], marks)
        line = np.where(way[:, 1] < 0.1, line, np.interp(way[:, 1], [0.1, 0.6], [-0.35, -0.62]))
        line = line + 0.035 * swirl(np.random.default_rng(seed), way, 5, 8, 1)[:, 0]
        return np.asarray((way[:, 2] - line) / 0.11)

    return above


def _roots(rng: np.random.Generator, number: int, head: _Head) -> tuple[Numbers, Numbers, Numbers]:
    """Draw roots within the hairline: points, normals and how much of a hair grows."""
    points, out = on_balls(rng, number * 4, SCALP)
    above = head.above(points)
    keep = np.flatnonzero(rng.random(len(points)) < np.clip(above + 0.12, 0, 1) ** 1.3)
    keep = np.resize(keep, number)
    grown = np.clip(0.25 + 0.75 * np.clip(above[keep], 0, 1), 0, 1)
    return head.figure.skin(unit(points[keep])), out[keep], grown.astype(np.float32)


def _guides(
    rng: np.random.Generator, style: str, figure: Figure, roots: Numbers, out: Numbers
) -> Numbers:
    """Grow the guides of a style from their roots."""
    own, number = CUTS[style], len(roots)
    lengths = rng.uniform(*own.length) * rng.uniform(0.8, 1.12, number)
    part = rng.normal(0, 0.2)
    aside = np.sign(roots[:, :1] - part) * np.array([[1, 0, 0]], np.float32)
    front = np.clip(-roots[:, 1:2], 0, 1) * (rng.random() < 0.75)  # else it falls on the face
    ways = 0.4 * out + (0.5 + 0.6 * front) * aside + vector(0, 0.3, 0.15)
    ways = ways + front * vector(0, 0.9, 0.3)
    pull = -figure.up * own.gravity
    if style == "blown":
        wind = unit(np.array([rng.normal(), rng.normal(0, 0.4), rng.uniform(0, 0.4)]))
        ways, pull = out + 0.4 * wind, pull + 1.6 * wind
    elif style == "afro":
        ways = out
    elif style == "cropped":
        comb = np.array([rng.normal(0, 0.5), rng.choice([-0.5, 0.6]), rng.uniform(-0.1, 0.7)])
        ways = out * rng.uniform(0.5, 1.2) + comb
    elif style in TIED:
        ways = _knot(style, roots) - roots
        lengths = 1.12 * np.sqrt(dot(ways, ways))
        pull = np.float32(0) * pull
        ways = ways - out * dot(ways, out)[:, None]
    seed = int(rng.integers(1 << 31))

    def flow(points: Numbers, _share: float) -> Numbers:
        bent = 0.5 * swirl(np.random.default_rng(seed), points, 1.5)
        if style in TIED:
            return np.asarray(0.2 * bent + 4 * unit(_knot(style, points) - points))
        return bent

    return grow(
        *(rng, roots, ways, lengths, own.knots),
        pull=pull,
        stiffness=rng.uniform(*own.stiffness),
        crook=0.02 if style != "afro" else 0.07,
        keep_out=figure.keep_out,
        flow=flow,
    )


def _knot(style: str, points: Numbers) -> Numbers:
    """Give where hair at points is gathered: a tail behind, or a braid to each side."""
    if style == "tail":
        return np.broadcast_to(vector(0, 1.05, 0.3), points.shape)
    side = np.where(points[:, :1] < 0, -0.53, 0.53)
    return np.concatenate([side, 0.61 + 0 * side, -0.43 + 0 * side], 1).astype(np.float32)


def _grow(
    rng: np.random.Generator, style: str, head: _Head, number: int
) -> tuple[Numbers, Numbers]:
    """Grow all strands between guides, in locks of wisps; gives them and each one's wisp."""
    own, locks = CUTS[style], int(rng.integers(180, 500))
    feet, out, _ = _roots(rng, locks, head)
    guides = _guides(rng, style, head.figure, feet, out)
    roots, _, grown = _roots(rng, number, head)
    near = nearest(roots, feet, 3)
    tied = style in TIED
    paths = children(guides, roots, near, 0.15 if tied else rng.uniform(0.5, 1.1))
    strength = rng.uniform(0.1, 0.75) * rng.uniform(0.4, 1, locks)
    paths = clump(paths, near[:, 0], locks, strength, rng.uniform(0.5, 1.2))
    wisps = max(number // int(rng.integers(8, 40)), 8)
    owner = nearest(roots, roots[rng.choice(number, wisps, replace=False)])[:, 0]
    strength = rng.uniform(0.2, 0.9) * rng.beta(2, 1.2, wisps)
    paths = clump(paths, owner, wisps, strength, rng.uniform(0.5, 1.0))
    if own.turns[1]:
        lock = near[:, 0] if style == "wavy" else owner
        radius, turns = rng.uniform(*own.radius), rng.uniform(*own.turns)
        paths = curl(rng, paths, lock, radius, turns, jitter=rng.uniform(0.05, 0.3))
    paths = _mess(rng, paths, style)
    share = np.where(rng.random(number) < 0.15, rng.uniform(0.25, 1, number), 1)
    return cut(paths, share * rng.uniform(0.8, 1, number) * (1 if tied else grown)), owner


def _mess(rng: np.random.Generator, paths: Numbers, style: str) -> Numbers:
    """Add frizz to all strands, and let a few stand off."""
    number, knots, _ = paths.shape
    way, short = course(knots), style in ("cropped", *TIED)
    frizz = rng.uniform(0.003, 0.022) * (0.4 if short else 1.0)
    paths = paths + wander(rng, number, knots, (2, 5, 11)) * way * np.float32(frizz)
    few = int(number * rng.choice([0.008, 0.025, 0.06])) + 4
    loose = rng.choice(number, few, replace=False)
    reach = rng.uniform(0.06, 0.3) * (0.4 if short else 1.0) * rng.random((few, 1, 1))
    paths[loose] += wander(rng, few, knots, (0.5, 1, 2.5)) * way**0.8 * reach.astype(np.float32)
    return np.asarray(paths, np.float32)


def _tint(
    seed: int, colour: Numbers, wisps: Numbers, paths: Numbers, *, tips: bool = True
) -> Numbers:
    """Colour strands by wisp and hair; sometimes with strands of grey, or paler tips.

    What the seed decides is the same for all parts of one head.
    """
    number, knots, _ = paths.shape
    rng = np.random.default_rng(seed)
    spreads = rng.uniform(0.05, 0.25), rng.uniform(0.05, 0.15)
    grey = rng.uniform(0.05, 0.6) if rng.random() < 0.2 else 0
    start, paler = -rng.uniform(0.2, 0.8), rng.uniform(1.3, 2.6)
    tips = tips and rng.random() < 0.3
    tint = alter(rng, colour, int(wisps.max()) + 1, spreads[0], 0.01)[wisps]
    tint = alter(rng, tint, number, spreads[1], 0.01)
    old = rng.random(number) < grey
    tint[old] = alter(rng, np.array([0.6, 0.59, 0.58]), int(old.sum()), 0.15)
    if not tips:
        return tint
    share = np.clip(np.linspace(start, 1.2, knots), 0, 1)[None, :, None]
    pale = np.clip(colour * paler + 0.02, 0, 0.85)
    return np.asarray(tint[:, None] * (1 - share) + share * pale, np.float32)


def _tied(
    rng: np.random.Generator,
    style: str,
    width: float,
    dye: tuple[int, Numbers],
    detail: float,
    material: Hair,
) -> list[Strands]:
    """Grow what hangs from the knots: a tail, or two braids."""
    tresses = []
    for side in (0,) if style == "tail" else (-1, 1):
        root = _knot(style, vector(side, 0, 0)[None])
        paths = _mess(rng, _hank(rng, root, side, int(4500 * detail) + 20), style)
        tint = _tint(*dye, np.arange(len(paths)) // 20, paths)
        shorter = cut(paths, rng.uniform(0.75, 1, len(paths)))
        tresses.append(make_strands(shorter, width / 2 * detail**-0.5, tint, material, taper=0.4))
    return tresses


def _hank(rng: np.random.Generator, root: Numbers, side: int, number: int) -> Numbers:
    """Hang strands from a root: loose behind the head, or to a side, braided of three locks."""
    knots = 70
    way = course(knots)[0]
    reach, lean = rng.uniform(1.0, 2.2), rng.normal(0, 0.15)
    bow = np.sin(way * math.pi / 2) * (0.12 if side else 0.5)
    fall = -reach * way ** (1 if side else 1.5)
    spine = root + np.concatenate([side * 0.2 * way + lean * way**2, bow, fall], 1)
    _, across, over = normals(spine[None].astype(np.float32))
    thick = (0.13 if side else 0.2) * (1 - 0.45 * way) * np.clip(0.2 + way * 4, 0, 1)
    angle = rng.uniform(0, 2 * math.pi, (number, 1, 1))
    off = np.sqrt(rng.random((number, 1, 1)))
    if side:
        lock = (
            2
            * math.pi
            * (rng.uniform(1.3, 2) * reach * way + rng.integers(0, 3, (number, 1, 1)) / 3)
        )
        middle = thick * (np.sin(lock) * across + 0.6 * np.sin(2 * lock) * over)
        thick = 0.6 * thick
    else:
        middle = 0.1 * np.sin(3 * way) * across
    paths = spine + middle + off * thick * (np.cos(angle) * across + np.sin(angle) * over)
    paths = paths + wander(rng, number, knots, (1.5, 4)) * way * (0.012 if side else 0.03)
    return np.asarray(paths, np.float32)


def _look(
    rng: np.random.Generator, up: Numbers, paths: Numbers, full: bool, frame: float
) -> Camera:
    """See the whole head, or a part of the hair's outline close by."""
    low = float(np.percentile(paths[:, -1, 2], 5))
    if full:
        bottom = max(low, -1.9) - 0.3
        tall = 1.5 - bottom
        target = np.array([0, 0, (1.35 + bottom) / 2])
        turn = float(rng.normal(0, 1.3))
        roll = -math.atan2(float(up[0] * math.cos(turn) + up[1] * math.sin(turn)), float(up[2]))
        return look(rng, target, tall * rng.uniform(1.0, 1.3), turn=turn, roll=roll)
    chosen = paths[rng.integers(len(paths)), int(paths.shape[1] * rng.uniform(0.4, 0.95))]
    side = math.atan2(chosen[0], -chosen[1])
    turn = side + float(rng.choice([-1, 1])) * rng.uniform(0.9, 1.8)
    return look(rng, chosen + 0.1 * frame * unit(noise(rng, 3)), frame, turn=turn)
