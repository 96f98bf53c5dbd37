"""A supersampled z-buffer for strands and triangles: exact coverage, over lens and motion."""

import ctypes
import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import A2UError
from .camera import Camera
from .shapes import Solid, Strands
from .vectors import Numbers, dot

ABI = 1
GRID, PASSES = 4, 8  # samples to a pixel's side in a pass, and passes: 128 a pixel
FINE_GRID, FINE_PASSES = 2, 64  # where the lens or a motion has to be covered too: 256
PIECE = 12.0  # samples: as long as one straight piece of a strand may be
TILE = 16  # samples to the side of a square whose farthest is known, as in raster.c
LIGHT = 120_000  # knots, or four times as many faces: scenes of fewer are sampled twice as often
BATCH = 4000  # strands between two looks at what they hide
_SUFFIXES = {".so", ".pyd", ".dll", ".dylib"}


class View(ctypes.Structure):
    """Where one pass looks from; mirrors raster.c."""

    _fields_ = (
        ("turn", ctypes.c_float * 9),
        ("place", ctypes.c_float * 3),
        ("shift", ctypes.c_float * 3),
        ("focal", ctypes.c_float),
        ("centre", ctypes.c_float * 2),
        ("lens", ctypes.c_float * 2),
        ("focus", ctypes.c_float),
    )


class Canvas(ctypes.Structure):
    """The samples of one pass; mirrors raster.c."""

    _fields_ = (
        ("samples", ctypes.c_void_p),
        ("side", ctypes.c_int32),
        ("grid", ctypes.c_int32),
        ("first", ctypes.c_int32),
        ("total", ctypes.c_int32),
        ("farthest", ctypes.c_void_p),
    )


@functools.cache
def library() -> ctypes.CDLL:
    """Load the compiled rasteriser; raises A2UError where it was not built, or does not fit."""
    for path in sorted(Path(__file__).parent.glob("_raster*")):
        if path.suffix not in _SUFFIXES:
            continue
        try:
            result = ctypes.CDLL(str(path))
            if result.a2u_raster_abi() == ABI:
                return result
        except (OSError, AttributeError):  # of another machine, or damaged
            continue
    raise A2UError("the renderer is not built; install a C compiler, then install a2u again")


def describe() -> str:
    """Say whether the rasteriser is built, and if not, what to do."""
    try:
        library()
    except A2UError as error:
        return str(error)
    return "C"


def pointer(array: np.ndarray[Any, Any] | None) -> ctypes.c_void_p | None:
    """Hand an array to the library; it must be contiguous and of the library's type."""
    if array is None:
        return None
    assert array.flags.c_contiguous, array.strides
    return array.ctypes.data_as(ctypes.c_void_p)


def count(number: int) -> ctypes.c_int64:
    return ctypes.c_int64(number)


def nearest(points: Numbers, sites: Numbers, most: int = 1) -> np.ndarray[Any, Any]:
    """Find the `most` (up to 4) nearest of `sites` (m, 3) for points (n, 3): int32 (n, most)."""
    points, sites = (np.ascontiguousarray(array, np.float32) for array in (points, sites))
    result = np.empty((len(points), most), np.int32)
    library().a2u_nearest(
        *(pointer(points), count(len(points)), pointer(sites), count(len(sites))),
        *(ctypes.c_int32(most), pointer(result)),
    )
    return result


def rasterise(
    strands: Sequence[tuple[Strands, Numbers]],
    solids: Sequence[tuple[Solid, Numbers]],
    camera: Camera,
    side: int,
    *,
    passes: int | None = None,
) -> Numbers:
    """Draw things with their colours, each linear in [0, 1]: premultiplied linear RGBA.

    Colours are (n, k, columns, 3) for strands and (v, 3) for solids. Returns float32 (side, side,
    4). `passes` is a power of two; the number of samples is exact coverage's only limit.
    """
    passes, grid = passes or _passes(strands, solids, camera), _grid(camera)
    ordered = [_front_first(strand, np.sqrt(light), camera) for strand, light in strands]
    coded = [(solid, np.sqrt(light, dtype=np.float32)) for solid, light in solids]
    samples = np.empty((side * grid,) * 2, np.uint64)
    farthest = np.empty((-(-side * grid // TILE),) * 2, np.uint32)
    out = np.zeros((side, side, 4), np.float32)
    for number in range(passes):
        samples.fill(np.iinfo(np.uint64).max)
        sizes = side * grid, grid, number * grid**2, passes * grid**2
        canvas = Canvas(samples.ctypes.data, *sizes, farthest.ctypes.data)
        view = _view(camera, side * grid, number, passes)
        for layer, (solid, colours) in enumerate(coded):
            _draw_solid(canvas, view, solid, colours, layer)
        library().a2u_look(ctypes.byref(canvas))
        for strand, colours in ordered:
            _draw_strands(canvas, view, strand, colours)
        library().a2u_resolve(ctypes.byref(canvas), pointer(out))
    return out


def _grid(camera: Camera) -> int:
    return FINE_GRID if camera.aperture > 0 or camera.motion.any() else GRID


def _passes(
    strands: Sequence[tuple[Strands, Numbers]],
    solids: Sequence[tuple[Solid, Numbers]],
    camera: Camera,
) -> int:
    """Tell how many passes keep alpha within 0.01 of the truth where it is soft."""
    passes = PASSES if _grid(camera) == GRID else FINE_PASSES
    if camera.aperture > 0 and camera.motion.any():  # a pass is one point of both
        passes *= 2
    if any(solid.opacity is not None for solid, _ in solids):  # layers have to be told apart
        return passes * 4
    parts = sum(strand.radii.size for strand, _ in strands)
    parts += sum(len(solid.faces) for solid, _ in solids) // 4
    return passes * 2 if parts < LIGHT else passes


def _front_first(strands: Strands, colours: Numbers, camera: Camera) -> tuple[Strands, Numbers]:
    """Order strands by their distance, so that the front ones hide the others early."""
    middle = strands.points[:, strands.points.shape[1] // 2]
    order = np.argsort(dot(middle - camera.place, camera.axes[2]), kind="stable")
    arrays = (strands.points, strands.radii, strands.tint, colours)
    points, radii, tint, colours = (np.ascontiguousarray(array[order]) for array in arrays)
    return Strands(points, radii, tint, strands.material), colours


def _view(camera: Camera, samples: int, number: int, passes: int) -> View:
    """Place one pass: a lattice's point in the pixel, on the lens and in time."""
    golden = (math.sqrt(5) - 1) / 2
    share = (number + 0.5) / passes
    offsets = (number * 0.5698402910 + 0.5) % 1 - 0.5, number * golden % 1 - 0.5
    radius, angle = camera.aperture * math.sqrt(share), 2 * math.pi * golden * number
    moment = (number * 0.7548776662 + 0.5) % 1 - 0.5  # not in step with radius or angle
    return View(
        (ctypes.c_float * 9)(*camera.axes.ravel()),
        (ctypes.c_float * 3)(*camera.place),
        (ctypes.c_float * 3)(*camera.motion * moment),
        camera.focal * samples,
        (ctypes.c_float * 2)(*(samples / 2 + offset for offset in offsets)),
        (ctypes.c_float * 2)(radius * math.cos(angle), radius * math.sin(angle)),
        camera.focus,
    )


def _draw_strands(canvas: Canvas, view: View, strands: Strands, colours: Numbers) -> None:
    number, knots, columns, _ = colours.shape
    for first in range(0, number, BATCH):
        part = slice(first, first + BATCH)
        library().a2u_draw_strands(
            *(ctypes.byref(canvas), ctypes.byref(view)),
            *(pointer(strands.points[part]), pointer(strands.radii[part]), pointer(colours[part])),
            *(count(len(colours[part])), knots, columns, ctypes.c_float(PIECE)),
        )
        if number > BATCH // 2:
            library().a2u_look(ctypes.byref(canvas))


def _draw_solid(canvas: Canvas, view: View, solid: Solid, colours: Numbers, layer: int) -> None:
    corners = np.empty((len(solid.vertices), 4), np.float32)
    vertices = count(len(corners))
    library().a2u_project(ctypes.byref(view), pointer(solid.vertices), vertices, pointer(corners))
    library().a2u_draw_triangles(
        *(ctypes.byref(canvas), pointer(corners), pointer(colours), pointer(solid.opacity)),
        *(pointer(solid.faces), count(len(solid.faces)), ctypes.c_uint32(layer)),
    )


def blur(picture: Numbers, sigma: float) -> Numbers:
    """Blur as a lens and a sensor do; float32 (H, W, C)."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)
