"""Clear things: bubbles, bottles, glasses, bulbs, bags, drops and splashes.

Alpha is what does not pass straight through: mirrored light, tint, and at rims what is bent.
"""

import math
from collections.abc import Callable

import numpy as np

from ..camera import LUMINANCE, Camera
from ..colours import METAL, alter, dye, pick
from ..growth import (
    noise,
    swirl,
)
from ..meshes import Mesh, ball, lathe, sheet
from ..shading import vertex_normals
from ..shapes import Cord, Scene, Solid, Strands, Surface, make_solid, make_strands
from ..surroundings import Surroundings, surround
from ..vectors import Numbers, dot, unit, vector
from .framing import frame_parts

Parts = tuple[list[Solid], list[tuple[Mesh, "Clear"]], list[Strands]]
ROWS, SMOOTH = 120, 9  # of a smooth mesh, and over how many its outline is rounded
LAMP = 30.0  # times its light: how bright a lamp is where it is mirrored


class Clear:
    """A clear skin: its tint (3,), how much it stops straight on, how it bends light at the rim."""

    def __init__(
        self,
        tint: Numbers,
        stops: float = 0.03,
        bends: float = 0.3,
        film: float = 0.0,
        gloss: float = 1.0,
    ) -> None:
        self.tint, self.stops, self.bends, self.film, self.gloss = tint, stops, bends, film, gloss


def glass(rng: np.random.Generator, detail: float = 1.0) -> Scene:
    """Make something clear; `detail` has little to thin here."""
    style = str(rng.choice(list(STYLES), p=[0.16, 0.18, 0.2, 0.14, 0.14, 0.18]))
    solids, skins, strands = STYLES[style](rng)
    meshes = [make_solid(mesh, np.full(3, 0.5, np.float32)) for mesh, _ in skins]
    camera = frame_parts(
        rng, (strands, [*solids, *meshes]), turn=rng.normal(0, 1), shares=(0.7, 0.25, 0.05)
    )
    surroundings = surround(rng, camera.back)
    clear = [_see(rng, mesh, skin, camera, surroundings) for mesh, skin in skins]
    words = {"style": style, "skins": len(skins)}
    return Scene(tuple(strands), (*solids, *clear), camera, surroundings, words)


def _see(
    rng: np.random.Generator, mesh: Mesh, skin: Clear, camera: Camera, around: Surroundings
) -> Solid:
    """Work out the opacity and the light of a clear skin as the camera sees it."""
    solid = make_solid(mesh, skin.tint, closed=False)
    normals = vertex_normals(solid)
    back = unit(camera.place - solid.vertices)
    facing = dot(normals, back)
    normals = np.where((facing < 0)[:, None], -normals, normals)
    facing = np.abs(facing)[:, None]
    mirror = (0.04 + 0.96 * (1 - facing) ** 5) * skin.gloss
    away = 2 * facing * normals - back
    seen = around.seen(away)
    for light in around.lights:
        if light.sharp:
            near = np.clip((dot(away, light.towards) - 0.965) / 0.02, 0, 1)[:, None]
            seen = seen + near**2 * light.colour * LAMP
    if skin.film:  # a soap film's colours, by how thick it is and how slantwise it is seen
        thick = skin.film * (1.3 + 0.35 * swirl(rng, solid.vertices, 2.2, 10, 1) - facing)
        phase = thick * np.array([1.0, 1.22, 1.45]) * 2 * math.pi
        mirror = mirror * (1 + 0.9 * np.cos(phase)) + 0.03 * (1 - facing) * (1 + np.cos(phase))
    bent = skin.bends * (1 - facing) ** 2.5
    through = around.seen(unit(-back - 0.7 * normals * (1 - facing))) * skin.tint
    stopped = np.clip(skin.stops / np.maximum(facing, 0.25), 0, 0.9)
    body = np.clip(stopped + bent, 0, 0.97)
    light = mirror * seen + (bent * 0.8 + stopped * skin.tint) * through
    white = float(dot(around.panorama, LUMINANCE).mean()) * 2
    glare = np.clip(dot(mirror * seen, LUMINANCE) / (1.5 * white), 0, 1)
    share = mirror.mean(-1) if mirror.ndim > 1 else mirror[:, 0]
    opacity = 1 - (1 - np.clip(share, 0, 0.98)) * (1 - body[:, 0]) * (1 - 0.95 * glare)
    opacity = np.clip(opacity, 0.004, 1)
    return make_solid(
        mesh, skin.tint, closed=False, opacity=opacity, shading=light / opacity[:, None]
    )


def _tint(rng: np.random.Generator) -> Numbers:
    """Draw a glass's colour: clear, green, brown or blue."""
    tints = ((0.93, 0.97, 0.95), (0.25, 0.5, 0.25), (0.4, 0.2, 0.06), (0.2, 0.35, 0.6))
    chosen = np.array(tints[int(rng.choice(4, p=[0.64, 0.14, 0.12, 0.1]))])
    return np.asarray(alter(rng, chosen, 1, 0.05, 0.04)[0])


def _turned(
    rng: np.random.Generator, points: list[tuple[float, float]], columns: int = 160
) -> Mesh:
    """Turn a smooth outline through (radius, height) points, from the top down."""
    corners = np.array(points)
    way = np.linspace(0, len(points) - 1, ROWS)
    outline = np.stack([np.interp(way, np.arange(len(points)), corners[:, c]) for c in (0, 1)], 1)
    kernel = np.hanning(2 * SMOOTH + 1) / SMOOTH
    for axis in range(2):
        padded = np.pad(outline[:, axis], SMOOTH, mode="reflect", reflect_type="odd")
        outline[:, axis] = np.convolve(padded, kernel, "valid")
    return lathe(np.maximum(outline[:, 0], 0.003), outline[:, 1], columns)


def _bubbles(rng: np.random.Generator) -> Parts:
    skins = []
    for _ in range(int(rng.choice([1, 2, 5, 14, 30]))):
        radius = rng.uniform(0.15, 0.9) * (1 if rng.random() < 0.3 else 0.35)
        place = noise(rng, 3) * vector(1.0, 0.5, 0.8)
        mesh = ball(place, radius * rng.uniform(0.97, 1.03, 3), 90)
        film = rng.uniform(0.6, 2.5)
        skins.append((mesh, Clear(np.full(3, 0.97, np.float32), 0.004, 0.04, film, 1.2)))
    return [], skins, []


def _bottle(rng: np.random.Generator) -> Parts:
    wide, neck = rng.uniform(0.3, 0.5), rng.uniform(0.1, 0.17)
    shoulder = rng.uniform(0.3, 0.75)
    outline = [(neck, 1.4), (neck * 1.15, 1.36), (neck, 1.3), (neck, 0.95), (wide, shoulder)]
    outline += [(wide, shoulder - 0.15), (wide * rng.uniform(0.85, 1.05), -0.3), (wide, -0.9)]
    outline += [(wide * 0.9, -1.0), (0.02, -0.97)]
    tint = _tint(rng)
    stops = rng.uniform(0.02, 0.1) if tint.min() > 0.5 else rng.uniform(0.25, 0.6)
    skins = [(_turned(rng, outline), Clear(tint, stops, rng.uniform(0.4, 0.9)))]
    solids: list[Solid] = []
    if rng.random() < 0.5:
        cap = lathe(np.array([0.01, neck * 1.1, neck * 1.1]), np.array([1.47, 1.47, 1.3]), 48)
        solids.append(make_solid(cap, dye(rng), Surface(gloss=0.4)))
    if rng.random() < 0.5:
        level = rng.uniform(-0.5, 0.4)
        liquid = [(0.01, level), (wide * 0.93, level), (wide * 0.93, -0.85), (0.02, -0.9)]
        colour = dye(rng) if rng.random() < 0.6 else np.full(3, 0.95, np.float32)
        skins.append((_turned(rng, liquid), Clear(colour, rng.uniform(0.05, 0.6), 0.5, gloss=0.4)))
    if rng.random() < 0.4:
        high = rng.uniform(0.2, 0.5)
        label = lathe(np.full(12, wide * 1.012), np.linspace(high, -0.5, 12), 160)
        turn = np.arctan2(label[0][:, 1], label[0][:, 0])
        paint = np.where((np.sin(40 * label[0][:, 2]) > 0.6)[:, None], dye(rng), 0.75)
        keep = (np.abs(turn + math.pi / 2) < 0.9)[label[1]].all(1)
        solids.append(make_solid((label[0], label[1][keep]), paint, closed=False))
    return solids, skins, []


def _goblet(rng: np.random.Generator) -> Parts:
    wide, tall = rng.uniform(0.35, 0.6), rng.uniform(0.7, 1.1)
    if rng.random() < 0.6:
        bowl = [(wide * rng.uniform(0.7, 1), tall), (wide, tall * 0.45), (wide * 0.6, 0.1)]
        stem = [
            (0.05, 0.0),
            (0.035, -0.5),
            (0.05, -0.75),
            (0.4, -0.85),
            (0.42, -0.87),
            (0.01, -0.87),
        ]
    else:
        bowl = [(wide, tall), (wide * 0.95, 0.3), (wide * 0.85, -0.7)]
        stem = [(wide * 0.8, -0.76), (0.01, -0.76)]
    skins = [(_turned(rng, bowl + stem), Clear(_tint(rng), 0.025, rng.uniform(0.35, 0.8)))]
    if rng.random() < 0.6:
        level = rng.uniform(0.3, 0.75) * tall
        radii = [
            0.92 * np.interp(z, [0.1, 0.45 * tall, tall], [0.6 * wide, wide, wide * 0.8])
            for z in (level, 0.5 * level)
        ]
        liquid = [
            (0.01, level),
            (radii[0], level),
            (radii[1], 0.5 * level),
            (0.5 * wide, 0.13),
            (0.01, 0.1),
        ]
        colour = np.array([[0.4, 0.015, 0.03], [0.75, 0.62, 0.25], [0.95, 0.97, 0.97]])[
            int(rng.integers(3))
        ]
        stops = 0.75 if colour[1] < 0.1 else rng.uniform(0.05, 0.3)
        skins.append(
            (_turned(rng, liquid), Clear(colour.astype(np.float32), stops, 0.5, gloss=0.5))
        )
    return [], skins, []


def _bulb(rng: np.random.Generator) -> Parts:
    wide = rng.uniform(0.5, 0.65)
    outline = [(0.01, wide + 0.2), (wide * 0.6, wide + 0.1), (wide, 0.2), (wide * 0.85, -0.3)]
    outline += [(0.27, -0.75), (0.25, -0.95)]
    skins = [
        (
            _turned(rng, outline),
            Clear(
                _tint(rng) if rng.random() < 0.2 else np.full(3, 0.97, np.float32),
                0.02,
                rng.uniform(0.1, 0.4),
            ),
        )
    ]
    way = np.linspace(0, 1, 80)
    thread = 0.25 + 0.018 * np.sin(way * 50) - 0.25 * (way > 0.94)
    base = lathe(
        np.concatenate([[0.01], thread, [0.1, 0.01]]),
        np.concatenate([[-0.9], -0.92 - 0.42 * way, [-1.4, -1.42]]),
        64,
    )
    metal = make_solid(base, pick(rng, METAL[:3]), Surface(gloss=1.2, exponent=30.0, mirror=0.3))
    coil = np.linspace(-1, 1, 200)[:, None]
    wire = np.concatenate(
        [0.28 * coil, 0.02 * np.cos(140 * coil), 0.25 + 0.02 * np.sin(140 * coil) - 0.06 * coil**2],
        1,
    )
    posts = [np.linspace([x * 0.4, 0, -0.95], [x, 0, 0.2], 20) for x in (-0.28, 0.28)]
    lit = 0.9 if rng.random() < 0.4 else 0.1
    strands = [
        make_strands(
            np.stack(posts).astype(np.float32), 0.009, np.full(3, 0.4), Cord(0, 1, 20, columns=5)
        ),
        make_strands(wire[None].astype(np.float32), 0.006, np.full(3, lit), Cord(0, 0.8, 20)),
    ]
    return [metal], skins, strands


def _bag(rng: np.random.Generator) -> Parts:
    """Crumple a sheet of plastic or cellophane, closed to a bag or hanging."""
    number = 200
    u, v = np.meshgrid(np.linspace(-1, 1, number), np.linspace(-1, 1, number), indexing="ij")
    flat = np.stack([u, 0 * u, v], -1)
    skins: list[tuple[Mesh, Clear]] = []
    tint = np.full(3, 0.95, np.float32) if rng.random() < 0.7 else np.clip(dye(rng) + 0.2, 0, 0.95)
    for side in (-1, 1):
        bulge = side * rng.uniform(0.15, 0.35) * np.clip((1 - u**2) * (1 - v**2), 0, None) ** 0.5
        crumple = np.zeros_like(u)
        for frequency, size in ((1.5, 0.07), (4, 0.035), (9, 0.012)):
            crumple += size * np.abs(swirl(rng, flat, frequency, 9, 1)[..., 0])
        shape = flat + np.stack([0.2 * crumple, bulge + crumple, 0.3 * crumple], -1)
        waist = (
            1 - 0.6 * np.exp(-(((v - 0.65) / 0.16) ** 2)) if skins or rng.random() < 0.5 else 1.0
        )
        shape[..., 0] *= waist
        skins.append((sheet(shape), Clear(tint, rng.uniform(0.03, 0.22), 0.35, gloss=1.6)))
    return [], skins, []


def _drops(rng: np.random.Generator) -> Parts:
    """Throw water: a crown or a jet of drops, each drawn out along its way."""
    skins, number = [], int(rng.integers(25, 120))
    water = np.full(3, 0.96, np.float32)
    origin, aim = noise(rng, 3) * np.float32(0.2), unit(noise(rng, 3) + vector(0, 0, 1.2))
    for _ in range(number):
        way, time = unit(aim + 0.55 * noise(rng, 3)), rng.uniform(0.05, 1.6)
        place = origin + way * time - vector(0, 0, 0.35 * time**2)
        radius = min(0.012 * rng.pareto(1.3) + 0.012, 0.14)
        drop = ball(place, radius, 36)
        off = drop[0] - place
        off *= 1 + 0.14 * swirl(rng, off / radius, 1.3, 6, 1)
        stretch = rng.uniform(0, 2.2) * rng.random()
        vertices = (place + off + stretch * dot(off, way)[:, None] * way).astype(np.float32)
        skins.append(((vertices, drop[1]), Clear(water, 0.05, rng.uniform(0.5, 0.95), gloss=1.5)))
    if rng.random() < 0.6:
        skins.append((_splash_sheet(rng, origin, aim), Clear(water, 0.06, 0.9, gloss=1.4)))
    return [], skins, []


def _splash_sheet(rng: np.random.Generator, origin: Numbers, aim: Numbers) -> Mesh:
    """Draw out a ragged skin of water from where the drops come from."""
    rows, columns = 90, 160
    turn, way = np.meshgrid(
        np.linspace(0, 2 * math.pi, columns), np.linspace(0, 1, rows), indexing="xy"
    )
    rim = (
        0.45
        + 0.22 * swirl(rng, np.stack([np.cos(turn), np.sin(turn), 0 * turn], -1), 3, 12, 1)[..., 0]
    )
    reach = way * np.clip(rim, 0.1, 1)
    wide = 0.1 + 0.75 * reach**1.3
    shape = np.stack([wide * np.cos(turn), wide * np.sin(turn), 1.1 * reach - 0.5 * reach**2], -1)
    shape = shape + 0.05 * swirl(rng, shape, 5, 10) * way[..., None]
    return sheet(shape + origin)


STYLES: dict[str, Callable[[np.random.Generator], Parts]] = {
    "bubbles": _bubbles,
    "bottle": _bottle,
    "goblet": _goblet,
    "bulb": _bulb,
    "bag": _bag,
    "splash": _drops,
}
