"""Hair on heads: long, wavy, curly, afro, cropped, blown, tied, braided, and stray hairs."""

import math
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
from .figures import SHOULDERS, head, skull, torso

STYLES = ("long", "wavy", "curly", "afro", "blown", "bob", "cropped", "tail", "braids")
SHARES = (0.17, 0.16, 0.14, 0.1, 0.13, 0.08, 0.08, 0.07, 0.07)
DOWN = np.array([0, 0, -1], np.float32)


@dataclass(frozen=True)
class _Cut:
    """How a style grows: knots, length in head radii, what pulls it, its curls."""

    knots: int
    length: tuple[float, float]
    gravity: float = 1.6
    stiffness: tuple[float, float] = (0.78, 0.88)
    radius: tuple[float, float] = (0, 0)
    turns: tuple[float, float] = (0, 0)


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


def hair(rng: np.random.Generator, detail: float = 1.0) -> Scene:
    """Grow a head of hair; `detail` is the share of its strands that are drawn."""
    style = str(rng.choice(STYLES, p=SHARES))
    scalp = skull(rng)
    colour = pick(rng, HAIR) if rng.random() < 0.93 else dye(rng)
    full = bool(rng.random() < 0.6)
    frame = 3.4 if full else math.exp(rng.uniform(math.log(0.9), math.log(2.4)))
    width = math.exp(rng.uniform(math.log(0.35), math.log(1.3))) * frame / 768
    number = int(np.clip(60 / width, 7000, 36000) * min(1, 32 / CUTS[style].knots) * detail)
    paths, wisps = _grow(rng, style, scalp, number)
    radius = width / 2 * detail**-0.5 * rng.lognormal(0, 0.2, number)
    material = Hair(rng.uniform(0.09, 0.2), rng.uniform(0.6, 1.3))
    strands = [make_strands(paths, radius, _tint(rng, colour, wisps, paths), material, taper=0.6)]
    if style in ("tail", "braids"):
        strands += _tied(rng, style, scalp, width, colour, detail, material)
    solids, features = head(rng, scalp, 0.5 * colour)
    solids += torso(rng)
    camera = _look(rng, paths, full, frame)
    words = {"style": style, "colour": colour.round(3).tolist(), "strands": number}
    return Scene((*strands, *features), tuple(solids), camera, surround(rng, camera.back), words)


def _roots(rng: np.random.Generator, number: int, scalp: Ball) -> tuple[Numbers, Numbers, Numbers]:
    """Draw roots within a hairline that frays: points, normals and how much of a hair grows."""
    centre, radii = scalp
    points, out = on_balls(rng, number * 4, scalp)
    way = (points - centre) / radii
    line = np.interp(np.abs(way[:, 0]), [0, 0.45, 0.62, 0.8, 1], [0.56, 0.5, 0.2, -0.1, -0.35])
    line = np.where(way[:, 1] < 0.1, line, np.interp(way[:, 1], [0.1, 0.6], [-0.35, -0.62]))
    line = line + 0.035 * swirl(np.random.default_rng(number), way, 5, 8, 1)[:, 0]
    above = (way[:, 2] - line) / 0.14
    grown = np.clip(above, 0, 1)
    keep = np.flatnonzero(rng.random(len(points)) < np.clip(above + 0.12, 0, 1) ** 1.3)
    keep = np.resize(keep, number)
    return points[keep], out[keep], np.clip(0.25 + 0.75 * grown[keep], 0, 1).astype(np.float32)


def _guides(
    rng: np.random.Generator, style: str, scalp: Ball, roots: Numbers, out: Numbers
) -> Numbers:
    """Grow the guides of a style from their roots."""
    own, number = CUTS[style], len(roots)
    lengths = rng.uniform(*own.length) * rng.uniform(0.8, 1.12, number)
    part = rng.normal(0, 0.2)
    aside = np.sign(roots[:, :1] - part) * np.array([[1, 0, 0]], np.float32)
    front = np.clip(-roots[:, 1:2], 0, 1) * (rng.random() < 0.75)  # else it falls on the face
    ways = 0.4 * out + (0.5 + 0.6 * front) * aside + vector(0, 0.3, 0.15)
    ways = ways + front * vector(0, 0.9, 0.3)
    pull, bodies = DOWN * own.gravity, (scalp, SHOULDERS)
    if style == "blown":
        wind = unit(np.array([rng.normal(), rng.normal(0, 0.4), rng.uniform(0, 0.4)]))
        ways, pull = out + 0.4 * wind, pull + 1.6 * wind
    elif style == "afro":
        ways = out
    elif style == "cropped":
        comb = np.array([rng.normal(0, 0.5), rng.choice([-0.5, 0.6]), rng.uniform(-0.1, 0.7)])
        ways = out * rng.uniform(0.5, 1.2) + comb
    elif style in ("tail", "braids"):
        ways = _knot(scalp, style, roots) - roots
        lengths = 1.12 * np.sqrt(dot(ways, ways))
        pull = np.float32(0) * DOWN
        ways = ways - out * dot(ways, out)[:, None]
    seed = int(rng.integers(1 << 31))

    def flow(points: Numbers, _share: float) -> Numbers:
        bent = 0.5 * swirl(np.random.default_rng(seed), points, 1.5)
        if style in ("tail", "braids"):
            return np.asarray(0.2 * bent + 4 * unit(_knot(scalp, style, points) - points))
        return bent

    return grow(
        *(rng, roots, ways, lengths, own.knots),
        pull=pull,
        stiffness=rng.uniform(*own.stiffness),
        crook=0.02 if style != "afro" else 0.07,
        bodies=bodies,
        flow=flow,
    )


def _knot(scalp: Ball, style: str, points: Numbers) -> Numbers:
    """Give where hair at points is gathered: a tail behind, or a braid to each side."""
    centre, radii = scalp
    if style == "tail":
        return np.broadcast_to(centre + radii * vector(0, 1.05, 0.3), points.shape)
    side = np.where(points[:, :1] < centre[0], -0.72, 0.72)
    place = np.concatenate([side, 0.66 + 0 * side, -0.42 + 0 * side], 1)
    return np.asarray(centre + radii * place, np.float32)


def _grow(
    rng: np.random.Generator, style: str, scalp: Ball, number: int
) -> tuple[Numbers, Numbers]:
    """Grow all strands between guides, in locks of wisps; gives them and each one's wisp."""
    own, locks = CUTS[style], int(rng.integers(180, 500))
    feet, out, _ = _roots(rng, locks, scalp)
    guides = _guides(rng, style, scalp, feet, out)
    roots, _, grown = _roots(rng, number, scalp)
    near = nearest(roots, feet, 3)
    tied = style in ("tail", "braids")
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
    return cut(paths, share * rng.uniform(0.8, 1, number) * grown), owner


def _mess(rng: np.random.Generator, paths: Numbers, style: str) -> Numbers:
    """Add frizz to all strands, and let a few stand off."""
    number, knots, _ = paths.shape
    way, short = course(knots), style in ("cropped", "tail", "braids")
    frizz = rng.uniform(0.003, 0.022) * (0.4 if short else 1.0)
    paths = paths + wander(rng, number, knots, (2, 5, 11)) * way * np.float32(frizz)
    few = int(number * rng.choice([0.008, 0.025, 0.06])) + 4
    loose = rng.choice(number, few, replace=False)
    reach = rng.uniform(0.06, 0.3) * (0.4 if short else 1.0) * rng.random((few, 1, 1))
    paths[loose] += wander(rng, few, knots, (0.5, 1, 2.5)) * way**0.8 * reach.astype(np.float32)
    return np.asarray(paths, np.float32)


def _tint(rng: np.random.Generator, colour: Numbers, wisps: Numbers, paths: Numbers) -> Numbers:
    """Colour strands by wisp and hair; sometimes with strands of grey, or paler tips."""
    number, knots, _ = paths.shape
    tint = alter(rng, colour, int(wisps.max()) + 1, rng.uniform(0.05, 0.25), 0.01)[wisps]
    tint = alter(rng, tint, number, rng.uniform(0.05, 0.15), 0.01)
    if rng.random() < 0.2:
        grey = rng.random(number) < rng.uniform(0.05, 0.6)
        tint[grey] = alter(rng, np.array([0.6, 0.59, 0.58]), int(grey.sum()), 0.15)
    if rng.random() > 0.3:
        return tint
    share = np.clip(np.linspace(-rng.uniform(0.2, 0.8), 1.2, knots), 0, 1)[None, :, None]
    tips = np.clip(colour * rng.uniform(1.3, 2.6) + 0.02, 0, 0.85)
    return np.asarray(tint[:, None] * (1 - share) + share * tips, np.float32)


def _tied(
    rng: np.random.Generator,
    style: str,
    scalp: Ball,
    width: float,
    colour: Numbers,
    detail: float,
    material: Hair,
) -> list[Strands]:
    """Grow what hangs from the knots: a tail, or two braids."""
    centre, radii = scalp
    tresses = []
    for side in (0,) if style == "tail" else (-1, 1):
        root = _knot(scalp, style, centre + radii * vector(side * 0.5, 0.5, 0)[None])
        paths = _mess(rng, _hank(rng, root, side, int(4500 * detail) + 20), style)
        tint = _tint(rng, colour, np.arange(len(paths)) // 20, paths)
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
    thick = (0.13 if side else 0.2) * (1 - 0.45 * way) * np.clip(0.35 + way * 5, 0, 1)
    angle = rng.uniform(0, 2 * math.pi, (number, 1, 1))
    off = np.sqrt(rng.random((number, 1, 1)))
    if side:
        lock = 2 * math.pi * (rng.uniform(4, 7) * way + rng.integers(0, 3, (number, 1, 1)) / 3)
        middle = thick * (np.sin(lock) * across + 0.6 * np.sin(2 * lock) * over)
        thick = 0.6 * thick
    else:
        middle = 0.1 * np.sin(3 * way) * across
    paths = spine + middle + off * thick * (np.cos(angle) * across + np.sin(angle) * over)
    paths = paths + wander(rng, number, knots, (1.5, 4)) * way * 0.012
    return np.asarray(paths, np.float32)


def _look(rng: np.random.Generator, paths: Numbers, full: bool, frame: float) -> Camera:
    """See the whole head, or a part of the hair's outline close by."""
    low = float(np.percentile(paths[:, -1, 2], 5))
    if full:
        bottom = max(low, -1.9) - 0.3
        tall = 1.5 - bottom
        target = np.array([0, 0, (1.35 + bottom) / 2])
        return look(rng, target, tall * rng.uniform(1.0, 1.3), turn=rng.normal(0, 1.3))
    chosen = paths[rng.integers(len(paths)), int(paths.shape[1] * rng.uniform(0.4, 0.95))]
    side = math.atan2(chosen[0], -chosen[1])
    turn = side + float(rng.choice([-1, 1])) * rng.uniform(0.9, 1.8)
    return look(rng, chosen + 0.1 * frame * unit(noise(rng, 3)), frame, turn=turn)
