"""What a face has beside its bones: complexion, eyes with lids and lashes, brows, ears."""

import math

import numpy as np

from ..colours import alter
from ..growth import course, wander
from ..meshes import ball, grid_faces, mottle, sheet
from ..shapes import Hair, Solid, Strands, Surface, make_solid, make_strands
from ..vectors import Numbers, unit, vector
from .heads import Figure

EYE = 0.125
LID = 1.07  # eyes' radii
CORNER = 1.05  # radians from an eye's middle to its corners


def _hill(x: Numbers, middle: float, width: float) -> Numbers:
    return np.asarray(np.exp(-(((x - middle) / width) ** 2)), np.float32)


def paint_skin(rng: np.random.Generator, figure: Figure, colour: Numbers, skin: Numbers) -> Numbers:
    """Colour skin (v, 3): mottled, flushed at cheeks and nose, and lips."""
    tint = mottle(rng, skin, colour, 0.04, 3)
    x, y, z = np.abs(skin[:, 0]), skin[:, 1], skin[:, 2]
    half, high = figure.mouth
    front, mouth = np.clip(-3 * y - 1, 0, 1), (x < 1.05 * half) & (y < -0.7)
    bow = 0.085 * np.clip(1.1 - (x / half) ** 2, 0.05, 1) ** 0.7
    lips = mouth * np.clip(1.5 - 1.2 * np.abs(z - high) / bow, 0, 1)
    flush = _hill(x, 0.42, 0.2) * _hill(z, -0.28, 0.2) + _hill(x, 0, 0.12) * _hill(z, -0.32, 0.1)
    redder = front * (rng.uniform(0.4, 1) * lips + rng.uniform(0.1, 0.4) * flush)
    tint *= 1 + redder[:, None] * vector(-0.1, -0.42, -0.36)
    return np.asarray(tint * (1 - 0.5 * mouth * _hill(z, high, 0.018))[:, None], np.float32)


def make_features(
    rng: np.random.Generator, figure: Figure, skin: tuple[Numbers, Surface], hair: Numbers
) -> tuple[list[Solid], list[Strands]]:
    """Make eyes with lids and lashes, brows and ears; `skin` is a colour (3,) and how it shines."""
    iris = alter(rng, np.array([0.1, 0.07, 0.045]), 1, 0.5, 0.2)[0]
    gaze, opened = rng.normal(0, 0.12, 2), rng.uniform(0.25, 0.5)
    solids: list[Solid] = []
    hairs: list[Strands] = []
    for side in (-1.0, 1.0):
        eye = figure.eye * vector(side, 1, 1)
        solids.append(_eye(eye, iris, gaze))
        for lid in (1.0, -1.0):
            rim = _rim(side, lid, opened)
            solids.append(_lid(eye, lid, rim, skin))
            hairs.append(_lashes(rng, eye, lid, rim, hair))
        hairs.append(_brow(rng, figure, side, hair))
        solids.append(_ear(rng, figure, side, skin))
    return solids, hairs


def _eye(at: Numbers, iris: Numbers, gaze: Numbers) -> Solid:
    eye = ball(at, EYE, 26)
    out = unit(eye[0] - at)
    seen = (out[:, 0] - gaze[0]) ** 2 + (out[:, 2] - gaze[1]) ** 2
    tint = np.where((seen < 0.2)[:, None], iris, vector(0.45, 0.42, 0.4))
    tint = np.where(((seen < 0.035) | ((seen > 0.19) & (seen < 0.23)))[:, None], 0.01, tint)
    return make_solid(eye, tint, Surface(gloss=0.8, exponent=120.0, mirror=0.012))


def _rim(side: float, lid: float, opened: float) -> tuple[Numbers, Numbers]:
    """Give the rim of a lid by angles about the eye, from the nose's side: turns and heights."""
    share = np.linspace(-1, 1, 33)
    bow = np.clip(1 - share**2, 0, 1) ** (0.7 if lid > 0 else 0.9)
    high = (opened if lid > 0 else -0.6 * opened) * bow + 0.06 * share
    return side * CORNER * share, high


def _on(eye: Numbers, turn: Numbers, high: Numbers, reach: float) -> Numbers:
    flat = np.cos(high)
    way = np.stack([flat * np.sin(turn), -flat * np.cos(turn), np.sin(high)], -1)
    return np.asarray(eye + EYE * reach * way, np.float32)


def _lid(
    eye: Numbers, lid: float, rim: tuple[Numbers, Numbers], skin: tuple[Numbers, Surface]
) -> Solid:
    """Draw a lid from its rim over the eye, its edge turned in."""
    turn, high = rim
    share = np.linspace(0, 1, 10)[:, None]
    heights = high + (lid * 1.5 - high) * share
    over = _on(eye, np.broadcast_to(turn, heights.shape), heights, LID)
    edge = _on(eye, turn, high, 0.98)[None]
    colour, surface = skin
    return make_solid(sheet(np.concatenate([edge, over])), 0.85 * colour, surface, closed=False)


def _lashes(
    rng: np.random.Generator, eye: Numbers, lid: float, rim: tuple[Numbers, Numbers], tint: Numbers
) -> Strands:
    """Grow lashes from a lid's rim: outwards, and bent away from the eye."""
    number, reach = (64, 0.06) if lid > 0 else (28, 0.03)
    place = rng.uniform(2, 30, number)
    turn, high = (np.interp(place, np.arange(33), values) for values in rim)
    foot = _on(eye, turn, high, LID)
    ways = unit(unit(foot - eye) + vector(0, -0.4, 0.2 * lid) + rng.normal(0, 0.1, foot.shape))
    reaches, way = reach * rng.uniform(0.6, 1, (number, 1, 1)), course(8)
    bow = np.array([0, 0, lid]) * way**2 * reaches * 0.8
    path = foot[:, None] + ways[:, None] * way * reaches + bow
    return make_strands(path, 0.0021, tint * 0.5, Hair(), taper=0.8)


def _brow(rng: np.random.Generator, figure: Figure, side: float, tint: Numbers) -> Strands:
    number = int(rng.integers(150, 420))
    share = rng.random(number)
    thick = 0.02 * (1.25 - share) * np.clip(0.3 + 4 * share, 0, 1)
    high = 0.15 + 0.07 * np.sin(2.4 * share) + rng.normal(0, 1, number) * thick
    foot = figure.face(side * (0.13 + 0.36 * share), high)
    ways = np.stack([side * (0.3 + share), -0.12 + 0 * share, 0.5 - 0.8 * share], 1)
    reach = rng.uniform(0.04, 0.085, (number, 1, 1))
    path = foot[:, None] + unit(ways)[:, None] * course(6) * reach
    path = path + wander(rng, number, 6, (1, 2)) * 0.004
    return make_strands(path, 0.0024, alter(rng, tint, number, 0.2), Hair(), taper=0.7)


def _ear(
    rng: np.random.Generator, figure: Figure, side: float, skin: tuple[Numbers, Surface]
) -> Solid:
    """Shape an ear: rings from the canal over hollow and ridge to the rim, and back behind."""
    turn = np.linspace(0, 2 * math.pi, 44, endpoint=False)[None]
    ring = np.linspace(0, 1, 20)[:, None] ** 0.8
    back, up = np.cos(turn), np.sin(turn)
    wide = 0.17 * (1 - 0.3 * np.clip(-up, 0, 1) ** 2) * (1 - 0.2 * np.clip(-back, 0, 1))
    ridge = 0.05 * _hill(ring, 0.55, 0.13) * np.clip(0.3 + back, 0, 1)
    rim = 0.055 * _hill(ring, 0.92, 0.09) * np.clip(0.45 + 0.9 * up + 0.35 * back, 0.1, 1)
    edge = 0.02 - 0.05 * ring**12 + 0 * turn
    out = np.concatenate(
        [
            edge - 0.05 * _hill(ring, 0, 0.4) + ridge + rim,
            edge[::-1] - 0.05 * (1 - ring[::-1] ** 2),
        ]
    )
    ring = np.concatenate([ring, ring[::-1]])
    y, z = ring * wide * back, 0.29 * ring * up
    canal = _hill(y, 0, 0.035) * _hill(z, 0, 0.035)
    flare, lean = rng.uniform(0.15, 0.45), 0.15
    y, z = y * math.cos(lean) + z * math.sin(lean), z * math.cos(lean) - y * math.sin(lean)
    out = out + 0.01 + math.sin(flare) * (y + 0.12)
    root = figure.skin(vector(side * 0.97, 0.15, -0.14)[None])[0]
    points = root + np.stack([side * out, math.cos(flare) * y + 0.05, z], -1)
    faces = grid_faces(*out.shape, closed=True)[:, :: int(side)]
    colour, surface = skin
    tint = colour * vector(1, 0.88, 0.86) * (1 - 0.8 * canal.reshape(-1, 1))
    return make_solid((points.reshape(-1, 3), faces), tint, surface)
