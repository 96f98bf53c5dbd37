"""What a scene is made of: strands, solids, and how each takes light."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .camera import Camera
from .surroundings import Surroundings
from .vectors import Numbers

Faces = np.ndarray[Any, np.dtype[np.int32]]
MOST_TINT = 0.92  # nothing reflects all light


@dataclass(frozen=True)
class Hair:
    """A fibre that light enters: lobes' roughness in radians, gloss and transmission as shares."""

    roughness: float = 0.14
    gloss: float = 1.0
    transmission: float = 1.0


@dataclass(frozen=True)
class Cord:
    """A round thread or stem, shaded across in `columns`; `through` is the share let through."""

    through: float = 0.25
    gloss: float = 0.15
    exponent: float = 15.0
    sheen: float = 0.5
    columns: int = 1


@dataclass(frozen=True)
class Surface:
    """A skin of triangles: the share let through, gloss and its exponent, mirroring."""

    through: float = 0.0
    gloss: float = 0.3
    exponent: float = 20.0
    mirror: float = 0.0  # share of the surroundings that it mirrors where seen straight on


@dataclass(frozen=True)
class Strands:
    """Curves: points (n, k, 3), radii (n, k), tint (n, k, 3) as albedo, all float32."""

    points: Numbers
    radii: Numbers
    tint: Numbers
    material: Hair | Cord = field(default_factory=Hair)


@dataclass(frozen=True)
class Solid:
    """Triangles: vertices and tint (v, 3), faces int32 (f, 3); `opacity` (v,) if not opaque.

    A closed body has its front alone lit and casts shadows; leaves and cloth are lit on both sides.
    `shading` (v, 3) is light already known, in place of any computed.
    """

    vertices: Numbers
    faces: Faces
    tint: Numbers
    surface: Surface = field(default_factory=Surface)
    closed: bool = True
    opacity: Numbers | None = None
    shading: Numbers | None = None


@dataclass(frozen=True)
class Scene:
    """Things, the camera, what lights them, and the words of the record.

    `portrait` is the number of the solid that is a person's skin: the exposure keeps it from
    burning out, and what is close to it shades it finely.
    """

    strands: tuple[Strands, ...]
    solids: tuple[Solid, ...]
    camera: Camera
    surroundings: Surroundings
    record: dict[str, Any]
    portrait: int | None = None


@dataclass(frozen=True)
class Plate:
    """What is painted without samples: `paint(side)` gives premultiplied linear RGBA, exposed."""

    paint: Callable[[int], Numbers]
    record: dict[str, Any]
    softness: float = 0.6


def make_strands(
    points: Numbers,
    radius: Numbers | float,
    tint: Numbers,
    material: Hair | Cord | None = None,
    *,
    taper: float = 0.0,
) -> Strands:
    """Make strands of (n, k, 3) points: a radius for all, each, or each knot; `taper` to the tip.

    `tint` is (3,), (n, 3) or (n, k, 3).
    """
    number, knots, _ = points.shape
    radii = np.asarray(radius, np.float32)
    radii = radii.reshape(-1, 1) if radii.ndim < 2 else radii
    narrowing = 1 - np.float32(taper) * np.linspace(0, 1, knots, dtype=np.float32) ** 1.6
    radii = np.broadcast_to(radii * narrowing, (number, knots))
    tint = np.asarray(tint, np.float32)
    tint = tint[:, None] if tint.ndim == 2 else tint
    tint = np.broadcast_to(np.clip(tint, 0.003, MOST_TINT), (number, knots, 3))
    points, radii, tint = (np.ascontiguousarray(a, np.float32) for a in (points, radii, tint))
    return Strands(points, radii, tint, material or Hair())


def make_solid(
    mesh: tuple[Numbers, Faces],
    tint: Numbers,
    surface: Surface | None = None,
    *,
    closed: bool = True,
    opacity: Numbers | None = None,
    shading: Numbers | None = None,
) -> Solid:
    """Make a solid of (vertices, faces); `tint` is (3,) or (v, 3)."""
    vertices, faces = np.ascontiguousarray(mesh[0], np.float32), mesh[1]
    tint = np.broadcast_to(np.clip(tint, 0.003, MOST_TINT), vertices.shape)
    return Solid(
        vertices,
        np.ascontiguousarray(faces, np.int32),
        np.ascontiguousarray(tint, np.float32),
        surface or Surface(),
        closed,
        None if opacity is None else np.ascontiguousarray(opacity, np.float32),
        None if shading is None else np.ascontiguousarray(shading, np.float32),
    )
