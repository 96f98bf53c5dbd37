"""Fur: plush toys, animals, balls and tufts; short, shaggy, long or curly."""

import math
from dataclasses import dataclass

import numpy as np

from ..camera import Camera, look
from ..colours import CLOTH, FUR, alter, dye, pick
from ..growth import (
    Ball,
    clump,
    course,
    curl,
    grow,
    noise,
    on_balls,
    swirl,
    wander,
)
from ..meshes import ball
from ..raster import nearest
from ..shapes import Cord, Hair, Scene, Solid, Strands, Surface, make_solid, make_strands
from ..surroundings import surround
from ..vectors import Numbers, dot, length, unit, vector

DOWN = np.array([0, 0, -1], np.float32)


@dataclass(frozen=True)
class _Coat:
    """How a style grows: knots, length, gravity, how far it is combed, how it differs."""

    knots: int
    length: tuple[float, float]
    gravity: float
    combed: float
    unruly: float


COATS = {
    "plush": _Coat(8, (0.05, 0.12), 0.1, 0.3, 0.3),
    "shaggy": _Coat(14, (0.18, 0.36), 0.5, 0.7, 0.25),
    "curly": _Coat(20, (0.14, 0.28), 0.2, 0.3, 0.4),
    "animal": _Coat(10, (0.09, 0.2), 0.2, 1.1, 0.14),
    "long": _Coat(18, (0.3, 0.6), 0.8, 0.6, 0.25),
}
BODIES = ("toy", "animal", "ball", "tuft")


def fur(rng: np.random.Generator, detail: float = 1.0) -> Scene:
    """Grow a furry thing; `detail` is the share of its strands that are drawn."""
    style = str(rng.choice(list(COATS)))
    body = str(rng.choice(BODIES, p=[0.3, 0.4, 0.15, 0.15]))
    balls = _bodies(rng, body)
    full = bool(rng.random() < 0.65)
    tall = 1.15 * sum(_extent(balls)[:2])
    frame = tall if full else tall * rng.uniform(0.25, 0.6)
    width = math.exp(rng.uniform(math.log(0.45), math.log(1.7))) * frame / 768
    number = int(np.clip(190 / width, 20000, 60000) * detail)
    roots, out, part = _roots(rng, balls, number)
    paths, owner = _grow(rng, style, roots, out, part, len(balls) if body != "ball" else 0)
    base = pick(rng, FUR) if rng.random() < 0.85 else dye(rng)
    tint = _tint(rng, base, roots, out, owner, paths.shape[1])
    radius = width / 2 * detail**-0.5 * rng.lognormal(0, 0.2, len(roots))
    if rng.random() < 0.6:
        material: Hair | Cord = Hair(rng.uniform(0.16, 0.3), 0.7, 0.6)
    else:
        material = Cord(through=0.3, gloss=0.1, exponent=12.0)
    strands = [make_strands(paths, radius, tint, material, taper=0.75)]
    under = np.clip(base * 0.55, 0.004, 0.9)
    solids = [make_solid(ball(c, r * 0.985, 40), under, Surface(gloss=0.0)) for c, r in balls]
    if body in ("toy", "animal"):
        solids += _face(rng, balls)
        if body == "animal":
            strands.append(_whiskers(rng, balls))
    camera = _look(rng, balls, paths, full, frame)
    words = {"style": f"{style} {body}", "colour": base.round(3).tolist(), "strands": number}
    return Scene(tuple(strands), tuple(solids), camera, surround(rng, camera.back), words)


def _bodies(rng: np.random.Generator, body: str) -> list[Ball]:
    """Draw the ellipsoids: the body first, then head, ears and limbs, the muzzle last."""

    def at(x: float, y: float, z: float, *radii: float) -> Ball:
        return np.array([x, y, z], np.float32), np.array(radii, np.float32)

    if body == "ball":
        return [at(0, 0, 0, *rng.uniform(0.85, 1.1, 3))]
    if body == "tuft":
        limbs = [at(0, 0, 0, 0.5, 0.4, 0.7)]
        others = int(rng.integers(1, 4))
        places, sizes = rng.normal(0, 0.5, (others, 3)), rng.uniform(0.25, 0.6, (others, 3))
        return limbs + [at(*place, *size) for place, size in zip(places, sizes, strict=True)]
    wide = rng.uniform(0.6, 0.8)
    head = np.array([0, -0.25, 1.3]) + rng.normal(0, 0.08, 3)
    limbs = [at(0, 0.1, 0, 0.85, 0.85, 1.0), at(*head, wide, 0.66, 0.64)]
    pointed = body == "animal" and rng.random() < 0.7
    ear = rng.uniform(0.5, 0.85) if rng.random() < 0.3 else rng.uniform(0.24, 0.42)
    for side in (-1.0, 1.0):
        place = head + vector(side * wide * 0.72, 0.08, 0.5 + 0.3 * ear)
        limbs.append(at(*place, 0.2 if pointed else 0.26, 0.1, ear))
        if body == "toy":
            limbs.append(at(side * 0.9, -0.3, 0.35, 0.3, 0.32, 0.58))
            limbs.append(at(side * 0.6, -0.65, -0.75, 0.38, 0.58, 0.36))
        else:
            limbs.append(at(side * 0.42, -0.55, -0.5, 0.22, 0.24, 0.75))
    limbs.append(at(*(head + vector(0, -0.55, -0.17)), 0.3, 0.33, 0.22))
    return limbs


def _extent(balls: list[Ball]) -> tuple[float, float, float]:
    """Give how far balls reach up and down, and the height of their middle."""
    top = max(float(c[2] + r[2]) for c, r in balls)
    bottom = min(float(c[2] - r[2]) for c, r in balls)
    return top, -bottom, (top + bottom) / 2


def _roots(
    rng: np.random.Generator, balls: list[Ball], number: int
) -> tuple[Numbers, Numbers, Numbers]:
    """Draw roots on all balls, by their size, where they lie in no other: also each one's ball."""
    sizes = np.array([float(np.prod(r)) ** (2 / 3) for _, r in balls])
    parts: list[tuple[Numbers, Numbers, Numbers]] = []
    for index, own in enumerate(balls):
        points, out = on_balls(rng, int(number * sizes[index] / sizes.sum()) + 20, own)
        free = np.ones(len(points), bool)
        for other, (centre, radii) in enumerate(balls):
            if other != index:
                free &= length((points - centre) / radii) > 0.985
        parts.append((points[free], out[free], np.full(int(free.sum()), index)))
    roots, out, part = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return roots, out, part


def _grow(
    rng: np.random.Generator,
    style: str,
    roots: Numbers,
    out: Numbers,
    part: Numbers,
    parts: int,
) -> tuple[Numbers, Numbers]:
    """Grow fur in tufts: combed along the body, shorter on muzzle and ears."""
    coat, number = COATS[style], len(roots)
    comb = swirl(rng, roots, 0.8) + 0.8 * DOWN + np.array([0, 0.5, 0], np.float32)
    comb -= out * dot(comb, out)[:, None]
    reach = rng.uniform(*coat.length) * np.exp(0.3 * swirl(rng, roots, 2, 10, 1)[:, 0])
    if parts > 4:  # the muzzle is last, then head and ears
        shorter = np.ones(parts)
        shorter[-1], shorter[1] = 0.3, 0.75
        reach = reach * shorter[part]
    reach = reach * rng.uniform(0.55, 1.1, number)
    ways = out + comb * coat.combed + coat.unruly * noise(rng, number, 3)
    paths = grow(
        *(rng, roots, ways, reach, coat.knots),
        pull=DOWN * coat.gravity,
        stiffness=0.87,
        crook=0.02,
    )
    tufts = max(number // int(rng.integers(5, 40)), 4)
    owner = nearest(roots, roots[rng.choice(number, tufts, replace=False)])[:, 0]
    strength = rng.uniform(0.3, 0.9) * rng.beta(2.5, 1, tufts) * (0.4 if style == "plush" else 1)
    paths = clump(paths, owner, tufts, strength, rng.uniform(0.6, 1.5))
    if style == "curly":
        paths = curl(rng, paths, owner, rng.uniform(0.02, 0.045), rng.uniform(2, 4), jitter=0.2)
    way, size = course(coat.knots), reach[:, None, None].astype(np.float32)
    paths = paths + wander(rng, number, coat.knots, (1.5, 4)) * way * size * rng.uniform(0.02, 0.1)
    loose = rng.random(number) < 0.02
    stray = wander(rng, int(loose.sum()), coat.knots, (0.4, 0.9))
    paths[loose] += stray * way * size[loose] * np.float32(0.3)
    return paths.astype(np.float32), owner


def _tint(
    rng: np.random.Generator,
    base: Numbers,
    roots: Numbers,
    out: Numbers,
    owner: Numbers,
    knots: int,
) -> Numbers:
    """Colour fur: one colour, patches, stripes or a pale belly; darker at the root, or ticked."""
    number = len(roots)
    field = swirl(rng, roots, 1.2, 10, 1)
    pattern = str(rng.choice(["plain", "patches", "stripes", "belly"], p=[0.45, 0.2, 0.15, 0.2]))
    share = np.zeros((number, 1), np.float32)
    if pattern == "patches":
        share = np.clip(0.5 + 2.5 * field, 0, 1)
    elif pattern == "stripes":
        share = np.clip(0.5 + 2 * np.sin(7 * roots[:, 2:] + 3 * field), 0, 1)
    elif pattern == "belly":
        share = np.clip(1.2 * (-out[:, 1:2] - 0.5 * out[:, 2:] - 0.3 + 0.2 * field), 0, 1)
    second = pick(rng, FUR) if pattern != "belly" else np.clip(base * 1.8 + 0.15, 0, 0.86)
    spread = rng.uniform(0.04, 0.14)
    tint = alter(rng, base, number, spread, 0.02) * (1 - share)
    tint += alter(rng, second, number, spread, 0.02) * share
    tint *= rng.lognormal(0, 0.1, int(owner.max()) + 1)[owner][:, None]
    shades = np.linspace(rng.uniform(0.45, 0.9), rng.uniform(1.0, 1.25), knots)
    if rng.random() < 0.2:  # dark tips
        shades = shades * np.interp(np.linspace(0, 1, knots), [0, 0.6, 1], [1, 1.1, 0.4])
    return np.asarray(tint[:, None] * shades[None, :, None], np.float32)


def _face(rng: np.random.Generator, balls: list[Ball]) -> list[Solid]:
    """Put eyes and a nose on, and sometimes a ribbon."""
    centre, radii = balls[1]
    muzzle, reach = balls[-1]
    limbs, dark = [], np.full(3, 0.012, np.float32)
    iris = dark if rng.random() < 0.6 else alter(rng, np.array([0.3, 0.2, 0.05]), 1, 0.4, 0.3)[0]
    for side in (-1.0, 1.0):
        at = centre + radii * [side * 0.42, -0.93, 0.18]
        eye = ball(at, 0.095, 28)
        out = unit(eye[0] - at)
        pupil = (out[:, 0] ** 2 + out[:, 2] ** 2 < 0.3)[:, None]
        surface = Surface(gloss=3.0, exponent=160.0, mirror=0.04)
        limbs.append(make_solid(eye, np.where(pupil, dark, iris), surface))
    nose = ball(muzzle + reach * [0, -0.98, 0.35], [0.12, 0.09, 0.08], 28)
    colour = np.array([0.02, 0.017, 0.016]) if rng.random() < 0.7 else np.array([0.4, 0.2, 0.17])
    limbs.append(make_solid(nose, colour, Surface(gloss=1.2, exponent=50.0)))
    if rng.random() < 0.2:
        ribbon = ball(centre + vector(0, 0.1, -0.62), [0.62, 0.6, 0.1], 30)
        limbs.append(make_solid(ribbon, pick(rng, CLOTH), Surface(gloss=0.1, exponent=10.0)))
    return limbs


def _whiskers(rng: np.random.Generator, balls: list[Ball]) -> Strands:
    """Grow long stiff whiskers from the muzzle to both sides."""
    centre, radii = balls[-1]
    number = int(rng.integers(12, 28))
    side = np.where(np.arange(number) % 2, 1.0, -1.0)
    foot = centre + radii * np.stack(
        [side * 0.75, rng.uniform(-0.75, -0.5, number), rng.uniform(-0.3, 0.3, number)], 1
    )
    ways = np.stack([side, rng.normal(-0.2, 0.25, number), rng.normal(0.1, 0.25, number)], 1)
    reach = rng.uniform(0.5, 1.0, number)
    paths = grow(
        rng, foot.astype(np.float32), ways, reach, 14, pull=DOWN, stiffness=0.97, crook=0.01
    )
    pale = np.full(3, rng.choice([0.75, 0.05]))
    return make_strands(paths, 0.0055, pale, Hair(0.12), taper=0.85)


def _look(
    rng: np.random.Generator, balls: list[Ball], paths: Numbers, full: bool, frame: float
) -> Camera:
    """See all of it, or a part of its outline close by."""
    if full:
        middle = np.array([0, 0, _extent(balls)[2]])
        return look(rng, middle, frame * rng.uniform(0.9, 1.25), turn=rng.normal(0, 0.8))
    chosen = paths[rng.integers(len(paths)), -1]
    side = math.atan2(chosen[0], -chosen[1])
    return look(rng, chosen, frame, turn=side + float(rng.choice([-1, 1])) * rng.uniform(0.8, 1.6))
