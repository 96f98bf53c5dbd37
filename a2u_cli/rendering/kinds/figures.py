"""Heads with features, and shoulders: grown from our own shapes."""

import math

import numpy as np

from ..colours import CLOTH, SKIN, alter, dye, pick
from ..growth import (
    Ball,
    course,
    swirl,
    wander,
)
from ..meshes import Shape, ball, directions, grid_faces, mottle
from ..shapes import Hair, Solid, Strands, Surface, make_solid, make_strands
from ..vectors import Numbers, unit, vector

ROWS = 110
NECK = np.array([0.0, 0.12, -1.15], np.float32)
SHOULDERS: Ball = (
    np.array([0, 0.15, -2.8], np.float32),
    np.array([2.05, 0.78, 1.3], np.float32),
)
Parts = tuple[list[Solid], list[Strands]]


def skull(rng: np.random.Generator) -> Ball:
    """Draw a head's ellipsoid; the face looks to -y."""
    radii = np.array([0.74, 0.93, 1.02]) * rng.uniform(0.95, 1.05, 3)
    return np.zeros(3, np.float32), radii.astype(np.float32)


def _hill(x: Numbers, middle: float, width: float) -> Numbers:
    return np.asarray(np.exp(-(((x - middle) / width) ** 2)), np.float32)


def _features(rng: np.random.Generator, way: Numbers) -> Numbers:
    """Give how far the face stands out from the skull at directions (v, 3)."""
    x, z = np.abs(way[:, 0]), way[:, 2]
    size = rng.uniform(0.8, 1.2, 8)
    ridge = np.interp(z, [-0.34, -0.27, 0.02, 0.2], [0, 0.23, 0.05, 0]) * size[0]
    out = ridge * _hill(x, 0, 0.085) + 0.09 * size[1] * _hill(x, 0.09, 0.06) * _hill(z, -0.25, 0.06)
    out -= 0.1 * size[2] * _hill(x, 0.29, 0.13) * _hill(z, 0.03, 0.1)
    out += 0.045 * size[3] * _hill(x, 0.28, 0.2) * _hill(z, 0.19, 0.08)
    out += 0.05 * size[4] * _hill(x, 0.42, 0.2) * _hill(z, -0.2, 0.16)
    lips = _hill(z, -0.43, 0.05) + 1.1 * _hill(z, -0.53, 0.05) - 0.7 * _hill(z, -0.478, 0.02)
    out += 0.055 * size[5] * _hill(x, 0, 0.19) * lips
    out += 0.1 * size[6] * _hill(x, 0, 0.22) * _hill(z, -0.78, 0.13)
    return np.asarray(out * np.clip(-way[:, 1] * 3, 0, 1))


def _face(rng: np.random.Generator, of: Ball) -> Shape:
    """Draw a face: what gives points on the skin for directions (v, 3) from the head's middle."""
    centre, radii = of
    seed, chin = int(rng.integers(1 << 31)), 0.3 * rng.uniform(0.7, 1.2)

    def skin(way: Numbers) -> Numbers:
        jaw = 1 - chin * np.clip(-way[:, 2], 0, 1) ** 1.5
        points = way * radii * np.float32(0.985)
        points[:, 0] *= jaw
        out = _features(np.random.default_rng(seed), way)
        points[:, 1] += np.where(way[:, 1] < 0, 0.13 * (1 - jaw), 0) - out
        return np.asarray(points + centre, np.float32)

    return skin


def head(rng: np.random.Generator, of: Ball, brow: Numbers) -> Parts:
    """Make a head: skin with painted lips, eyes, ears, brows and lashes of colour `brow` (3,)."""
    centre, radii = of
    way, face = directions(ROWS), _face(rng, of)
    skin = pick(rng, SKIN)
    tint = mottle(rng, way, skin, 0.05, 6)
    x, z, front = np.abs(way[:, 0]), way[:, 2], way[:, 1] < 0
    mouth = front * _hill(x, 0, 0.17) * _hill(z, -0.478, 0.075)
    flush = _hill(x, 0.4, 0.2) * _hill(z, -0.2, 0.18) + _hill(x, 0, 0.1) * _hill(z, -0.25, 0.1)
    redder = (np.clip(mouth * 1.5, 0, 1) * 0.7 + 0.25 * front * flush)[:, None]
    tint *= 1 + redder * np.array([0, -0.45, -0.4], np.float32)
    surface = Surface(gloss=rng.uniform(0.15, 0.5), exponent=14.0)
    faces = grid_faces(ROWS, 2 * ROWS, closed=True)
    solids = [make_solid((face(way), faces), tint, surface)]
    for side in (-1.0, 1.0):
        ear = ball(
            centre + radii * [side * 0.98, 0.1, -0.08],
            [0.07, 0.15, 0.23],
            24,
            shape=lambda way: 1 - 0.25 * _hill(np.abs(way[:, 0]), 1, 0.4),
        )
        solids.append(make_solid(ear, skin * [1, 0.9, 0.88], surface))
    neck = ball(NECK, [0.37, 0.37, 0.62], 32)
    solids.append(make_solid(neck, skin, surface))
    iris = alter(rng, np.array([0.1, 0.07, 0.045]), 1, 0.5, 0.2)[0]
    gaze, hairs = rng.normal(0, 0.1, 2), []
    for side in (-1.0, 1.0):
        solids.append(_eye(_on(face, side * 0.29, 0.04) + vector(0, 0.075, 0), iris, gaze))
        hairs += _lashes(rng, solids[-1].vertices.mean(0), brow)
        hairs.append(_brow(rng, face, side, brow))
    return solids, hairs


def _on(face: Shape, x: Numbers | float, z: Numbers | float) -> Numbers:
    """Give points on the face before (x, z)."""
    x, z = np.atleast_1d(x), np.atleast_1d(z)
    way = np.stack([x, -np.sqrt(1 - x**2 - z**2), z], 1).astype(np.float32)
    return face(way)


def _eye(at: Numbers, iris: Numbers, gaze: Numbers) -> Solid:
    eye = ball(at, 0.12, 40)
    out = unit(eye[0] - at)
    seen = (out[:, 0] - gaze[0]) ** 2 + (out[:, 2] - gaze[1]) ** 2
    tint = np.where((seen < 0.2)[:, None], iris, 0.62)
    tint = np.where(((seen < 0.035) | ((seen > 0.2) & (seen < 0.24)))[:, None], 0.01, tint)
    return make_solid(eye, tint, Surface(gloss=2.5, exponent=120.0, mirror=0.012))


def _lashes(rng: np.random.Generator, eye: Numbers, colour: Numbers) -> list[Strands]:
    """Grow lashes from both lids: a bow over the eye, outwards and up."""
    parts = []
    for lid, number, reach in ((1.0, 90, 0.085), (-1.0, 40, 0.04)):
        turn = rng.uniform(0.12, 0.88, number) * math.pi
        lift = lid * 0.055 * np.sin(turn) + 0.01
        foot = eye + np.stack([0.115 * np.cos(turn), -0.118 + 0.05 * np.cos(turn) ** 2, lift], 1)
        ways = np.stack([0.6 * np.cos(turn), -1 + 0 * turn, 0.3 * lid * np.sin(turn)], 1)
        ways = unit(ways + rng.normal(0, 0.1, ways.shape))
        reaches, way = reach * rng.uniform(0.6, 1, (number, 1, 1)), course(8)
        bow = np.array([0, 0, lid]) * way**2 * reaches * 0.8
        path = foot[:, None] + ways[:, None] * way * reaches + bow
        parts.append(make_strands(path, 0.0028, colour * 0.5, Hair(), taper=0.8))
    return parts


def _brow(rng: np.random.Generator, face: Shape, side: float, colour: Numbers) -> Strands:
    number = int(rng.integers(150, 420))
    share = rng.random(number)
    high = 0.22 + 0.08 * np.sin(2.4 * share) + rng.normal(0, 0.02, number) * (1.2 - share)
    foot = _on(face, side * (0.13 + 0.36 * share), high) - np.array([0, 0.004, 0])
    ways = np.stack([side * (0.3 + share), -0.1 - 0 * share, 0.6 - 0.8 * share], 1)
    reach = rng.uniform(0.04, 0.085, (number, 1, 1))
    path = foot[:, None] + unit(ways)[:, None] * course(6) * reach
    path = path + wander(rng, number, 6, (1, 2)) * 0.004
    return make_strands(path, 0.003, alter(rng, colour, number, 0.2), Hair(), taper=0.7)


def torso(rng: np.random.Generator) -> list[Solid]:
    """Make clothed shoulders, plain or striped, with a few folds."""
    centre, radii = SHOULDERS
    folds = int(rng.integers(4, 9))
    body = ball(
        centre, radii, 90, shape=lambda way: 1 + 0.018 * swirl(rng, way, folds, 12, 1)[:, 0]
    )
    colour = pick(rng, CLOTH) if rng.random() < 0.8 else dye(rng)
    tint = mottle(rng, body[0], colour, 0.05, 5)
    if rng.random() < 0.3:
        other = pick(rng, CLOTH)
        stripes = np.sin(body[0][:, 2] * rng.uniform(20, 50)) > rng.uniform(-0.5, 0.7)
        tint = np.where(stripes[:, None], tint, other)
    cloth = Surface(gloss=0.04, exponent=8.0)
    collar = ball(NECK - [0, 0, 0.42], [0.56, 0.5, 0.32], 40)
    return [make_solid(body, tint, cloth), make_solid(collar, colour * 0.9, cloth)]
