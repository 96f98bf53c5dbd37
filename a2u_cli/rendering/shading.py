"""Light at knots and vertices: lobes of hair and cords, shade through all that stands in between.

Shade is optical depth in a grid aligned with each light (after Yuksel and Keyser, "Deep Opacity
Maps", 2008). Closed bodies have a grid of their own, read a little outside them, or they would
stand in their own light.
"""

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .raster import count, library, pointer
from .shapes import Cord, Hair, Scene, Solid, Strands
from .surroundings import Light
from .vectors import Numbers, cross, dot, length, unit

SHARP = (192, 64)  # cells of a lamp's grid, across and towards it
BROAD = (64, 32)  # of one direction of the surroundings
BROAD_ON_SKIN = (128, 48)  # the same in portraits: nose, lids and chin are close to what they shade
MOST_POINTS = 150_000  # that shade the light of the surroundings
FACE_POINTS, MOST_SPLIT = 300_000, 4  # of all faces together, and of one to its side
OUTSIDE_CELLS = 2.0


class _Shade(ctypes.Structure):
    """A grid of optical depth; mirrors raster.c."""

    _fields_ = (
        ("axes", ctypes.c_float * 9),
        ("low", ctypes.c_float * 3),
        ("scale", ctypes.c_float * 3),
        ("across", ctypes.c_int32),
        ("deep", ctypes.c_int32),
        ("depth", ctypes.c_void_p),
    )


@dataclass(frozen=True)
class _Stopping:
    """What stops light: points (m, 3), and the area of each (m,)."""

    points: Numbers
    areas: Numbers

    def thinned(self) -> "_Stopping":
        """Take every so manieth, with as much area as all have."""
        step = -(-len(self.points) // MOST_POINTS)
        if step <= 1:
            return self
        points = np.ascontiguousarray(self.points[::step])
        return _Stopping(points, np.ascontiguousarray(self.areas[::step] * np.float32(step)))


class _Grid:
    """Optical depth towards one light."""

    def __init__(self, stopping: _Stopping, light: Light, broad: tuple[int, int] = BROAD) -> None:
        self._empty = not len(stopping.points)
        if self._empty:
            return
        towards = light.towards
        side = np.array([0.0, 0.0, 1.0] if abs(towards[2]) < 0.9 else [1.0, 0.0, 0.0])
        first = unit(cross(side, towards))
        axes = np.stack([first, cross(towards, first), towards]).astype(np.float32)
        across, deep = SHARP if light.sharp else broad
        some = stopping.points[:: max(1, len(stopping.points) // 20000)]
        placed = np.stack([dot(some, axis) for axis in axes], 1)
        low, high = (np.percentile(placed, q, axis=0) for q in (0.1, 99.9))
        margin = 0.03 * np.maximum(high - low, 1e-3)
        low, high = low - margin, high + margin
        scale = (np.array([across, across, deep]) - 1) / (high - low)
        self.cell = float(1 / scale[:2].min())
        depth = np.zeros((across, across, deep), np.float32)
        self._shade = _Shade(
            (ctypes.c_float * 9)(*axes.ravel()),
            (ctypes.c_float * 3)(*low),
            (ctypes.c_float * 3)(*scale),
            *(across, deep, depth.ctypes.data),
        )
        number = count(len(stopping.points))
        library().a2u_deposit(
            ctypes.byref(self._shade), pointer(stopping.points), pointer(stopping.areas), number
        )
        soft = np.asarray(cv2.GaussianBlur(depth, (3, 3), 0.6), np.float32)
        beyond = np.cumsum(soft[..., ::-1], axis=2, dtype=np.float32)[..., ::-1]
        self._depth = np.ascontiguousarray(beyond - soft * np.float32(0.7))
        self._shade.depth = self._depth.ctypes.data

    def towards(self, points: Numbers) -> Numbers:
        """Give the optical depth from points (n, 3) to the light, (n,)."""
        depth = np.zeros(len(points), np.float32)
        if not self._empty:
            points = np.ascontiguousarray(points, np.float32)
            library().a2u_shade(
                ctypes.byref(self._shade), pointer(points), count(len(points)), pointer(depth)
            )
        return np.clip(depth, 0, 30)

    def outside(self, points: Numbers, normals: Numbers, light: Light) -> Numbers:
        """Give the depth read a little off a surface, so that it does not shade itself."""
        if self._empty:
            return np.zeros(len(points), np.float32)
        return self.towards(points + (normals + light.towards) * (OUTSIDE_CELLS * self.cell))


def shade(scene: Scene) -> tuple[list[Numbers], list[Numbers]]:
    """Give the light that comes from each knot and vertex: linear RGB, unbounded.

    Returns (n, k, columns, 3) for each of the scene's strands and (v, 3) for each of its solids.
    """
    loose, closed = _stopping(scene)
    few, few_closed = loose.thinned(), closed.thinned()
    broad = BROAD if scene.portrait is None else BROAD_ON_SKIN
    strands = [_Lit(strand, scene.camera.place) for strand in scene.strands]
    solids = [_LitSolid(solid, scene.camera.place) for solid in scene.solids]
    for light in scene.surroundings.lights:
        grids = [
            _Grid(stopping if light.sharp else thinned, light, cells)
            for stopping, thinned, cells in ((loose, few, BROAD), (closed, few_closed, broad))
        ]
        for lit in strands:
            lit.add(light, grids)
        for body in solids:
            body.add(light, grids)
    for body in solids:
        body.mirror(scene)
    return [lit.out for lit in strands], [body.out for body in solids]


def _stopping(scene: Scene) -> tuple[_Stopping, _Stopping]:
    """Gather what stops light: strands and open surfaces, then closed bodies."""
    loose: list[tuple[Numbers, Numbers]] = []
    closed: list[tuple[Numbers, Numbers]] = []
    for strands in scene.strands:
        ends = strands.points[:, 1:], strands.points[:, :-1]
        width = strands.radii[:, 1:] + strands.radii[:, :-1]
        area = np.float32(0.85) * width * length(ends[0] - ends[1])
        loose.append((((ends[0] + ends[1]) / 2).reshape(-1, 3), area.ravel()))
    faces = sum(len(solid.faces) for solid in scene.solids)
    shares = _split(int(np.clip(math.sqrt(FACE_POINTS / max(faces, 1)), 1, MOST_SPLIT)))
    for solid in scene.solids:
        corners = solid.vertices[solid.faces]  # (f, 3, 3)
        a, b, c = (corners[:, corner] for corner in range(3))
        stops = length(cross(b - a, c - a)) / 2 * (3 if solid.closed else 0.7)
        if solid.opacity is not None:
            stops = stops * solid.opacity[solid.faces[:, 0]] * np.float32(0.5)
        points = sum(shares[:, k, None, None] * corners[:, k] for k in range(3))  # (n * n, f, 3)
        areas = np.tile(stops / np.float32(len(shares)), len(shares))
        (closed if solid.closed else loose).append((np.reshape(points, (-1, 3)), areas))
    return _join(loose), _join(closed)


def _split(parts: int) -> Numbers:
    """Give the middles of the parts * parts triangles of a triangle, as shares of its corners.

    A face wider than a grid's cells that stops light at one point would shade as a dot.
    """
    middles = [
        ((i + third) / parts, (j + third) / parts)
        for third, rows in ((1 / 3, parts), (2 / 3, parts - 1))
        for i in range(rows)
        for j in range(rows - i)
    ]
    first, second = np.array(middles, np.float32).T
    return np.stack([first, second, 1 - first - second], 1)


def _join(parts: Sequence[tuple[Numbers, Numbers]]) -> _Stopping:
    points = [np.zeros((0, 3), np.float32), *(points for points, _ in parts)]
    areas = [np.zeros(0, np.float32), *(areas for _, areas in parts)]
    joined = (np.concatenate(arrays).astype(np.float32) for arrays in (points, areas))
    return _Stopping(*joined)


class _Lit:
    """Strands, the frame at each knot, and the light gathered so far."""

    def __init__(self, strands: Strands, place: Numbers) -> None:
        self._strands = strands
        along = unit(np.gradient(strands.points, axis=1))
        back = unit(place - strands.points)
        self._frame = [np.ascontiguousarray(array, np.float32) for array in (along, back)]
        material = strands.material
        columns = material.columns if isinstance(material, Cord) else 1
        self.out = np.zeros((*strands.points.shape[:2], columns, 3), np.float32)

    def add(self, light: Light, grids: Sequence[_Grid]) -> None:
        strands, material = self._strands, self._strands.material
        points = strands.points.reshape(-1, 3)
        depth = np.ascontiguousarray(grids[0].towards(points) + grids[1].towards(points))
        frame = (*(pointer(array) for array in self._frame), pointer(strands.tint))
        colour = np.ascontiguousarray(light.colour, np.float32)
        towards = np.ascontiguousarray(light.towards, np.float32)
        if isinstance(material, Hair):
            kind = np.array([material.roughness, material.gloss, material.transmission], np.float32)
            library().a2u_light_hair(
                *(pointer(depth), *frame, count(len(points)), pointer(towards), pointer(colour)),
                *(pointer(kind), ctypes.c_int32(not light.sharp), pointer(self.out)),
            )
        else:
            kind = np.array(
                [material.through, material.gloss, material.exponent, material.sheen], np.float32
            )
            library().a2u_light_cords(
                *(pointer(depth), *frame, count(len(points)), material.columns),
                *(pointer(towards), pointer(colour), pointer(kind), pointer(self.out)),
            )


class _LitSolid:
    """A solid, its normals, and the light gathered so far."""

    def __init__(self, solid: Solid, place: Numbers) -> None:
        self._solid = solid
        self.out = np.zeros(solid.vertices.shape, np.float32)
        if solid.shading is not None:
            self.out += solid.shading
            return
        self._back = unit(place - solid.vertices).astype(np.float32)
        self._normals = vertex_normals(solid)
        if not solid.closed:
            turned = dot(self._normals, self._back) < 0
            self._normals = np.where(turned[:, None], -self._normals, self._normals)

    def add(self, light: Light, grids: Sequence[_Grid]) -> None:
        solid, surface = self._solid, self._solid.surface
        if solid.shading is not None:
            return
        facing = dot(self._normals, light.towards)
        hard = grids[1].outside(solid.vertices, self._normals, light)
        depth = grids[0].towards(solid.vertices) + hard
        lit = (1 - surface.through) * np.clip(facing, 0, 1)
        lit += surface.through * np.clip(-facing, 0, 1)
        if not light.sharp:  # of a wide direction, some comes round the edge
            lit = lit * 0.8 + 0.1
        half = unit(self._back + light.towards)
        exponent = surface.exponent if light.sharp else min(surface.exponent, 5.0)
        shine = np.clip(dot(self._normals, half), 0, 1) ** exponent * surface.gloss
        shine = shine if light.sharp else shine * min(0.05, 0.15 / (surface.gloss + 0.1))
        gloss = np.where(facing > 0, 0.25 * shine, 0)
        seen = np.exp(-0.9 * depth)[:, None]
        colour = lit[:, None] / np.pi * solid.tint + gloss[:, None]
        self.out += (light.colour * seen * colour).astype(np.float32)

    def mirror(self, scene: Scene) -> None:
        """Add what a smooth surface mirrors of the surroundings (Schlick's Fresnel term)."""
        solid, share = self._solid, self._solid.surface.mirror
        if solid.shading is not None or not share:
            return
        facing = np.clip(dot(self._normals, self._back), 0, 1)[:, None]
        way = 2 * facing * self._normals - self._back
        part = share + (1 - share) * (1 - facing) ** 5
        self.out += (part * scene.surroundings.seen(way)).astype(np.float32)


def vertex_normals(solid: Solid) -> Numbers:
    """Give outward normals (v, 3): the mean of the faces around each vertex."""
    a, b, c = (solid.vertices[solid.faces[:, corner]] for corner in range(3))
    faces = cross(b - a, c - a)
    total = np.zeros((len(solid.vertices), 3))
    for corner in range(3):
        for axis in range(3):
            own = solid.faces[:, corner]
            total[:, axis] += np.bincount(own, faces[:, axis], len(total))
    return unit(total).astype(np.float32)
