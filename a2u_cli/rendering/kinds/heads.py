"""A head on shoulders as masses of bone and flesh that melt into each other; it looks to -y.

A head's middle is the origin, and its height about 2.1: one unit is some 10 cm.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..melting import Blob, blob, distance, melt, reach_skin
from ..vectors import Numbers, dot, unit, vector

PIVOT = vector(0, 0.35, -1.1)  # of the head on the neck
TORSO = (
    blob(1, [0, 0.36, -3.0, 1.5, 0.8, 1.35]),
    blob(0.3, [1.5, 0.4, -2.3, 0.6, 0.55, 0.55], [1.8, 0.4, -4.2, 0.6, 0.55, 0.55]),
    blob(0.5, [0.3, 0.46, -1.45, 0.4, 0.36, 0.28], [1.1, 0.42, -1.95, 0.4, 0.36, 0.26]),
)
ROOM = (-1.6, -1.2), (0.13, 0.015)  # by height: what hair keeps from skin
PROBE = 0.01
COLUMNS = 160
ROWS = (0, 28, 108, 120, 134, 152, 172)
NECK = 108  # the row from which on a garment may begin
AIMS = {  # of rays at those rows: where they start, and what they pass, by height and distance
    "start": (0, 0, 0, -0.9, -1.4, -2.4, -3.4),
    "height": (1, 0.45, None, -1.1, -1.4, -1.85, -3.8),
    "distance": (0.01, 0.9, None, 0.5, 0.55, 1.4, 2.2),
}


@dataclass(frozen=True)
class Figure:
    """A head's masses, how the shoulders are turned below it, and where eyes and mouth go.

    `turned` (3, 3) takes places about the neck to where they would be without the turn; `eye` is
    the middle of the one at x > 0, `mouth` half its width and its height.
    """

    masses: tuple[Blob, ...]
    turned: Numbers
    eye: Numbers
    mouth: tuple[float, float]

    @property
    def up(self) -> Numbers:
        """What is up where the shoulders are upright, (3,)."""
        return np.asarray(self.turned[2])

    def upright(self, points: Numbers) -> Numbers:
        """Give where points (..., 3) of the shoulders would be without the turn."""
        return _turn(points - PIVOT, self.turned) + PIVOT

    def outside(self, points: Numbers) -> Numbers:
        """Tell roughly how far points (n, 3) lie outside, (n,)."""
        return melt(distance(self.masses, points), distance(TORSO, self.upright(points)), 0.25)

    def keep_out(self, points: Numbers) -> Numbers:
        """Give where hair at points (n, 3) goes that would lie in the skin, or in clothes."""
        free = points.copy()
        room = np.interp(points[:, 2], *ROOM) - self.outside(points)
        inner = np.flatnonzero(room > 0)
        beside = points[inner] + PROBE * np.eye(3, dtype=np.float32)[:, None]  # (3, n, 3)
        there = self.outside(beside.reshape(-1, 3)).reshape(3, -1)
        free[inner] += room[inner, None] * unit((there - self.outside(points[inner])).T)
        return free.astype(np.float32)

    def skin(self, ways: Numbers, starts: Numbers | None = None) -> Numbers:
        """Give points on the skin in directions (n, 3), from the head's middle or elsewhere."""
        return reach_skin(self.outside, np.zeros(3) if starts is None else starts, ways)

    def face(self, x: Numbers, z: Numbers) -> Numbers:
        """Give points on the face before (x, z), (n,) each: (n, 3)."""
        starts = np.stack([x, np.full(x.shape, -0.4), z], 1).astype(np.float32)
        return self.skin(np.broadcast_to(vector(0, -1, 0), starts.shape), starts)

    def rays(self) -> tuple[Numbers, Numbers]:
        """Give where rays that meet all the skin start, and their directions: (ROWS, COLUMNS, 3).

        They spread from the head's middle, from crown to jaw, and then from a spine down.
        """
        even = np.linspace(0, 2 * math.pi, COLUMNS, endpoint=False)
        turn = even - 0.55 * np.sin(even)  # more of them in the face, from 0 on
        front = 0.5 + 0.5 * np.cos(turn)
        start = _aim("start", 0 * front)
        off = _aim("distance", 0.85 - 0.3 * front)
        rise = _aim("height", -0.5 - 0.52 * front) - start
        spine = np.stack([0 * start, -0.25 * start.clip(-1.4), start], -1)
        ways = unit(np.stack([off * np.sin(turn), -off * np.cos(turn), rise], -1))
        share = np.clip(-start - 0.9, 0, 1)[..., None]  # of the shoulders' turn
        starts = spine + share * (_turn(spine - PIVOT, self.turned.T) + PIVOT - spine)
        ways = unit(ways + share * (_turn(ways, self.turned.T) - ways))
        return starts.astype(np.float32), ways.astype(np.float32)


def _aim(name: str, jaw: Numbers) -> Numbers:
    """Lay an aim's marks over all rows; `jaw` (columns,) is what they are at the jaw."""
    ways = [[side if mark is None else mark for mark in AIMS[name]] for side in jaw]
    return np.stack([np.interp(np.arange(ROWS[-1]), ROWS, marks) for marks in ways], 1)


def _turn(points: Numbers, matrix: Numbers) -> Numbers:
    return np.stack([dot(points, row) for row in matrix], -1).astype(np.float32)


def _posture(rng: np.random.Generator) -> Numbers:
    """Draw how the shoulders are turned against the head, as a matrix (3, 3)."""
    turn, nod, tilt = np.clip(rng.normal(0, [0.35, 0.1, 0.1]), -0.7, 0.7) * [1, 0.8, 0.8]
    matrix = np.eye(3)
    for axis, angle in ((2, turn), (0, nod), (1, tilt)):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        cosine, sine = math.cos(angle), math.sin(angle)
        first, second = matrix[a].copy(), matrix[b].copy()
        matrix[a], matrix[b] = cosine * first - sine * second, sine * first + cosine * second
    return matrix.astype(np.float32)


@dataclass(frozen=True)
class _Build:
    """What makes a head one's own: most are normal numbers, and `child` is 0 for who is grown up.

    `low` and `wide` are how far the face reaches down and to the sides.
    """

    strong: float
    child: float
    low: float
    wide: float
    cheek: float
    sizes: Numbers  # of nose, its wings, lips and mouth, about 1
    corner: float  # of the mouth: its height

    def at(self, x: float, y: float, z: float, *radii: float) -> Numbers:
        """Place a mass of a plain head on this one: (6,)."""
        first, *others = radii
        return np.array(
            [x * self.wide, y, z * self.low if z < 0 else z, first * self.wide, *others]
        )


def draw_figure(rng: np.random.Generator) -> Figure:
    """Draw a head's build: broad or slight, strong-jawed or soft, a child's or grown up."""
    strong, stout, child = rng.normal(0, 1, 3)
    child = float(np.clip(child - 0.6, 0, 1.5))
    build = _Build(
        strong,
        child,
        low=1 - 0.09 * child + 0.02 * strong,
        wide=1 + 0.04 * stout + 0.02 * (strong + child),
        cheek=0.21 + 0.025 * stout + 0.03 * child,
        sizes=rng.normal(1, 0.08, 4),
        corner=rng.normal(-0.585, 0.015),
    )
    eye = build.at(0.31, -0.66, -0.01, 0)[:3]
    mouth = float(0.25 * build.sizes[3] * build.wide), -0.588 * build.low
    return Figure((*_bones(build), *_flesh(build)), _posture(rng), eye, mouth)


def _bones(of: _Build) -> tuple[Blob, ...]:
    """Give skull, neck, jaw and cheekbones."""
    at, jut, bone = of.at, 0.02 * of.strong - 0.03 * of.child, 0.012 * of.strong
    brow = 0.06, 0.05, 0.05  # its ridge's radii at the temple
    return (
        blob(1, [0, 0.08, 0.19, 0.75, 0.93, 0.83]),
        blob(0.3, at(0, -0.28, 0.3, 0.58, 0.52, 0.5)),  # forehead
        blob(0.25, at(0, 0.34, -0.5, 0.46, 0.46, 0.3), at(0, 0.52, -1.9, 0.56, 0.52, 0.4)),  # neck
        blob(0.3, at(0, -0.36, -0.32, 0.5, 0.44, 0.55)),  # face
        blob(0.25, at(0.44, 0, -0.66, 0.1, 0.16, 0.15), at(0, -0.69 - jut, -0.98, 0.2, 0.14, 0.14)),
        blob(0.35, at(0.45, -0.05, -0.35, 0.16, 0.3, 0.4)),  # side of the jaw, then to the chin
        blob(0.3, at(0.3, -0.5, -0.78, 0.16, 0.16, 0.16)),
        blob(0.25, at(0, -0.71 - jut, -1.0, 0.2, 0.12, 0.11)),
        blob(0.25, at(0.36, -0.66, -0.22, 0.15, 0.13, 0.13), at(0.6, -0.1, -0.1, 0.08, 0.15, 0.09)),
        blob(0.3, at(0.33, -0.5, -0.52, of.cheek, of.cheek, of.cheek)),
        blob(0.15, at(0.1, -0.8 - bone, 0.17, 0.1, 0.07, 0.08), at(0.44, -0.66, 0.17, *brow)),
        blob(0.14, at(0.33, -0.95, -0.02, 0.17, 0.2, 0.1), hollow=True),  # the eye's socket
    )


def _flesh(of: _Build) -> tuple[Blob, ...]:
    """Give nose and mouth."""
    at, (nose, wings, lips, mouth) = of.at, of.sizes
    tip, lip, smile = -0.86 - 0.17 * nose * (1 - 0.12 * of.child), 0.045 * lips, 0.25 * mouth
    corner = at(smile, -0.74, of.corner, 0.04, 0.04, 0.02)
    return (
        blob(0.2, at(0, -0.68, -0.62, 0.36, 0.22, 0.28)),  # round the mouth
        blob(0.14, at(0, -0.82, 0.08, 0.075, 0.07, 0.06), at(0, tip, -0.31, 0.1, 0.1, 0.085)),
        blob(0.07, at(0.11 * wings, -0.88, -0.34, 0.075, 0.11, 0.07)),
        blob(0.02, at(0.06, 0.82 * tip - 0.145, -0.415, 0.03, 0.05, 0.03), hollow=True),
        blob(0.05, at(0.03, -0.88, -0.54, 0.08, 0.06, lip), corner),
        blob(0.05, at(0, -0.865, -0.64, 0.14, 0.07, 1.2 * lip), corner - [0, 0, 0.015, 0, 0, 0]),
    )
