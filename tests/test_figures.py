"""People that hair grows on: outline, skin without folds, clothes over it, hair outside of both."""

import functools
from dataclasses import replace

import numpy as np
import pytest

from a2u_cli.rendering import scenes, shading
from a2u_cli.rendering.camera import look
from a2u_cli.rendering.kinds import faces, figures, hair, heads, mixed, nets, plants
from a2u_cli.rendering.melting import blob, distance, melt
from a2u_cli.rendering.shapes import Solid, Surface, make_strands
from a2u_cli.rendering.surroundings import Light, Surroundings, surround
from a2u_cli.rendering.vectors import dot, length, vector

SEEDS = range(3)
BARE = np.full(3, 0.05, np.float32)


def drawn(seed: int) -> heads.Figure:
    return heads.draw_figure(np.random.default_rng(seed))


@functools.cache
def people(seed: int) -> tuple[heads.Figure, list[Solid]]:
    figure = drawn(seed)
    rng = np.random.default_rng([seed, 1])
    return figure, figures.person(rng, figure, BARE, lambda points: np.zeros(len(points)))[0]


def reach(
    figure: heads.Figure, x: float, y: float, z: float, start_z: float | None = None
) -> float:
    """Measure how far the skin is from the neck's or head's axis in a direction."""
    way = np.array([[x, y, z]], np.float32)
    start = np.array([[0, 0.3, start_z]], np.float32) if start_z is not None else np.zeros((1, 3))
    return float(length(figure.skin(way, start.astype(np.float32)) - start)[0])


@pytest.mark.parametrize("seed", SEEDS)
def test_an_outline_has_chin_throat_nape_and_shoulders(seed: int) -> None:
    figure = drawn(seed)
    chin = figure.face(np.zeros(1), np.full(1, -0.95))[0, 1]
    throat = 0.3 - reach(figure, 0, -1, 0, -1.25)
    assert throat - chin > 0.3  # the jaw stands out before the neck
    occiput, nape = reach(figure, 0, 1, 0), 0.3 + reach(figure, 0, 1, 0, -0.9)
    assert occiput - nape > 0.05
    skull, neck = reach(figure, 1, 0, 0), reach(figure, 1, 0, 0, -1.0)
    assert 0.55 * skull < neck < 0.95 * skull
    turned = figure.turned[0]  # from shoulder to shoulder
    assert reach(figure, *turned, start_z=-2.6) > 2.2 * skull


def test_nose_and_lips_stand_out_and_eyes_lie_deep() -> None:
    figure = drawn(0)
    x = np.array([0, 0, 0, float(figure.eye[0])])
    nose, over_lips, lips, socket = figure.face(x, np.array([-0.3, -0.45, -0.62, 0.0]))[:, 1]
    assert nose < lips < socket and nose < over_lips - 0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_rays_end_on_the_skin_and_make_a_surface_without_folds(seed: int) -> None:
    figure = drawn(seed)
    starts, ways = figure.rays()
    skin = figure.skin(ways.reshape(-1, 3), starts.reshape(-1, 3))
    assert np.percentile(np.abs(figure.outside(skin)), 99.9) < 0.002
    grid = skin.reshape(ways.shape)
    down, round_ = np.diff(grid, axis=0)[:, :-1], np.diff(grid, axis=1)[:-1]
    across = np.cross(down, round_)[heads.ROWS[1] :]
    folded = dot(across, ways[heads.ROWS[1] : -1, :-1]) < 0
    assert folded.mean() < 0.002


@pytest.mark.parametrize("seed", SEEDS)
def test_cloth_lies_over_the_skin_below_its_neckline(seed: int) -> None:
    figure, (skin, cloth, *_) = people(seed)
    rows = figure.outside(cloth.vertices).reshape(-1, heads.COLUMNS // 2)
    assert rows[0].max() < 0.01 and np.percentile(rows[3:], 1) > 0.02
    assert figure.upright(skin.vertices)[-heads.COLUMNS :, 2].max() < cloth.vertices[:, 2].max()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_person_is_fine_enough_to_shade_without_holes(seed: int) -> None:
    _, solids = people(seed)
    assert sum(len(solid.faces) for solid in solids) * 4 <= shading.FACE_POINTS


def test_an_ear_has_a_rim_round_a_hollow_and_stands_off_the_skin() -> None:
    figure = drawn(1)
    ears = [
        faces._ear(np.random.default_rng(0), figure, side, (BARE, Surface())) for side in (-1, 1)
    ]
    for side, ear in zip((-1, 1), ears, strict=True):
        out = side * ear.vertices.reshape(40, -1, 3)[..., 0]
        top = out.shape[1] // 4
        assert out[18, top] > out[14, top] + 0.01 > out[2, top] + 0.04  # rim, groove, hollow
        assert figure.outside(ear.vertices).max() > 0.08
        normals = shading.vertex_normals(ear).reshape(40, -1, 3)
        assert side * normals[10, :, 0].mean() > 0.3  # outwards on both sides


def test_hair_goes_round_skin_and_clothes() -> None:
    figure, rng = drawn(2), np.random.default_rng(0)
    points = rng.uniform([-2, -1, -2.4], [2, 1.2, 1], (2000, 3)).astype(np.float32)
    deep = figure.outside(points)
    near = points[(deep > -0.1) & (deep < 0.3)]
    kept = figure.keep_out(near)
    clear = np.interp(near[:, 2], *heads.ROOM)
    assert np.percentile(figure.outside(kept) - clear, 5) > -0.03
    free = figure.outside(near) > clear
    assert np.array_equal(kept[free], near[free])


def test_every_hair_but_a_few_begins_at_the_skin_and_stays_outside() -> None:
    head = hair._Head(drawn(3), hair._hairline(np.random.default_rng(3)))
    paths, _ = hair._grow(np.random.default_rng(4), "long", head, 400)
    roots = head.figure.outside(paths[:, 0])
    assert np.abs(roots).max() < 0.01
    inside = head.figure.outside(paths[:, ::5].reshape(-1, 3)) < -0.03
    assert inside.mean() < 0.05


def test_heads_differ_by_their_seeds_alone() -> None:
    first, again, other = (drawn(seed).masses for seed in (5, 5, 6))
    assert all(np.array_equal(a.knots, b.knots) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a.knots, b.knots) for a, b in zip(first, other, strict=True))


def test_masses_melt_where_they_meet_and_hollows_are_taken_away() -> None:
    one, two = blob(1, [0, 0, 0, 1, 1, 1]), blob(0.2, [1.5, 0, 0, 0.5, 0.5, 0.5])
    middle, far = vector(1, 0, 0)[None], vector(0, 0, 1.5)[None]
    assert distance([one, two], middle)[0] == pytest.approx(-0.05)  # a quarter of the melt
    assert distance([one, two], far)[0] == pytest.approx(0.5, abs=1e-6)
    assert distance([one, two], -middle)[0] == pytest.approx(-0.05)  # mirrored
    dent = blob(0.1, [0, 0, 1, 0.5, 0.5, 0.5], hollow=True)
    assert distance([one, dent], vector(0, 0, 0.9)[None])[0] == pytest.approx(0.4, abs=1e-6)
    assert melt(vector(1), vector(2), 0.5)[0] == 1


def test_a_face_in_the_light_does_not_burn_out_beside_dark_hair() -> None:
    _, (skin, *_) = people(0)
    few = Solid(skin.vertices[:400], skin.faces[:0], skin.tint[:400])
    hairs = make_strands(np.zeros((99, 40, 3), np.float32), 0.01, BARE)
    light = [np.full((99, 40, 1, 3), 0.01, np.float32)], [3 * few.tint]
    scene = scenes.Scene((hairs,), (few,), None, None, {}, portrait=0)
    whole, face = (scenes._received(replace(scene, portrait=at), *light) for at in (None, 0))
    assert whole < 1 and 2 < face < 3


def test_what_is_close_to_skin_shades_it_finely() -> None:
    _, solids = people(0)
    lit = Surroundings(
        "", (Light(vector(0, 0, 1), np.ones(3, np.float32), False),), np.ones((2, 2, 3))
    )
    camera = look(np.random.default_rng(0), np.zeros(3), 3.0, turn=0.0)
    scene = scenes.Scene((), tuple(solids), camera, lit, {})
    fine, plain = (shading.shade(replace(scene, portrait=at))[1][0][:, 0] for at in (0, None))
    below_nose = length(solids[0].vertices - people(0)[0].face(np.zeros(1), np.full(1, -0.46)))
    at = np.argsort(below_nose)[:20]
    assert fine[at].mean() < 0.9 * plain[at].mean()


def test_a_plant_before_something_rises_from_below_the_picture() -> None:
    camera = look(np.random.default_rng(0), np.zeros(3), 3.0, turn=0.3, blurred=0)
    lit = surround(np.random.default_rng(0), camera.back)
    empty, feet = scenes.Scene((), (), camera, lit, {"style": "nothing"}), []
    for seed in range(8):
        scene = mixed._add(np.random.default_rng(seed), empty, 0.02)
        style = scene.record["style"].removeprefix("nothing, ")
        if style in plants.STYLES:
            things = [s.points.reshape(-1, 3) for s in scene.strands]
            off = np.concatenate(things + [s.vertices for s in scene.solids]) - camera.place
            feet.append(float((dot(off, camera.axes[1]) / dot(off, camera.axes[2])).min()))
        else:
            assert style in nets.STYLES
    assert len(feet) > 2 and max(feet) * camera.focal < -0.5  # of the picture's side


def test_tied_hair_has_the_colours_of_the_hair_on_its_head() -> None:
    colour, wisps, paths = (
        np.array([0.1, 0.06, 0.03]),
        np.arange(2000) // 20,
        np.zeros((2000, 6, 3)),
    )
    greys = []
    for seed in range(12):
        on_head = hair._tint(seed, colour, wisps, paths, tips=False)
        hanging = hair._tint(seed, colour, wisps[:600], paths[:600])
        grey = [
            float((tint.reshape(len(tint), -1)[:, 2] > 0.3).mean()) for tint in (on_head, hanging)
        ]
        assert grey[0] == pytest.approx(grey[1], abs=0.1)
        assert on_head.ndim == 2  # tips are where it hangs
        greys.append(grey[0] > 0.02)
    assert 0 < sum(greys) < 12
