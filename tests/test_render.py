"""Foregrounds rendered from seeds: the same each time, alpha exact, colours straight."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import RunA2U, error_histogram
from PIL import Image

from a2u_cli import images
from a2u_cli.errors import A2UError
from a2u_cli.rendering import colours, raster, scenes, sets, shading
from a2u_cli.rendering.camera import LUMINANCE, Camera, straighten
from a2u_cli.rendering.growth import mean_by
from a2u_cli.rendering.meshes import ball, sheet
from a2u_cli.rendering.raster import nearest, rasterise
from a2u_cli.rendering.shapes import Cord, Scene, make_solid, make_strands
from a2u_cli.rendering.surroundings import Light, Surroundings, surround
from a2u_cli.rendering.vectors import vector

try:
    raster.library()
except A2UError as error:
    pytest.skip(str(error), allow_module_level=True)

SIDE, DETAIL = 96, 0.08
DENSE = 1024  # samples a pixel of the oracle
MOST_RMS = 0.01
ROOT = Path(__file__).parent.parent


def small(kind: str, seed: int = 3, **options):
    return scenes.render_scene(kind, seed, SIDE, detail=DETAIL, **options)


def head_on(distance: float = 4.0) -> Camera:
    """Look along +y at the origin; a frame of 2 fills the picture."""
    place = np.array([0, -distance, 0], np.float32)
    axes = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]], np.float32)
    return Camera(place, axes, distance / 2, distance, 2.0)


def square(half: float, depth: float = 0.0):
    grid = np.array([[[x * half, depth, z * half] for z in (-1, 1)] for x in (-1, 1)], np.float32)
    return sheet(grid)


def drawn(strands=(), solids=(), side: int = 32, **options):
    white = [(thing, np.ones((*thing.radii.shape, 1, 3), np.float32)) for thing in strands]
    grey = [(thing, np.full(thing.vertices.shape, 0.25, np.float32)) for thing in solids]
    return rasterise(white, grey, head_on(), side, **options)


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_alpha_is_that_of_many_more_samples_and_the_same_again(kind: str) -> None:
    colour, alpha, record = small(kind)
    wandering = record.get("defocus", 0) > 0 or any(record.get("motion", ()))
    grid = raster.FINE_GRID if wandering else raster.GRID
    _, dense, _ = small(kind, passes=DENSE // grid**2)
    soft = (dense > 0.01) & (dense < 0.99)
    rms = float(np.sqrt(np.mean((alpha - dense)[soft] ** 2)))
    assert rms < MOST_RMS, error_histogram(alpha, dense)
    again, alpha_again, record_again = small(kind)
    assert record == record_again
    assert (colour.tobytes(), alpha.tobytes()) == (again.tobytes(), alpha_again.tobytes())


@pytest.mark.parametrize("kind", scenes.KINDS)
def test_a_picture_is_whole_and_worth_training_on(kind: str) -> None:
    colour, alpha, record = small(kind, seed=5)
    assert (colour.shape, alpha.shape) == ((SIDE, SIDE, 3), (SIDE, SIDE))
    assert colour.dtype == alpha.dtype == np.float32
    for plane in (colour, alpha):
        assert plane.min() >= 0
        assert plane.max() <= 1
    assert scenes.find_fault(alpha) == ""
    assert record["kind"] == kind and record["seed"] == 5 and "style" in record
    json.dumps(record)


def test_threads_of_the_libraries_change_no_byte() -> None:
    code = (
        "import hashlib; from a2u_cli.rendering.scenes import render_scene\n"
        f"c, a, _ = render_scene('hair', 3, {SIDE}, detail={DETAIL})\n"
        "print(hashlib.sha256(c.tobytes() + a.tobytes()).hexdigest())"
    )
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    digests = []
    for threads in ("1", "3"):
        environment = os.environ | dict.fromkeys(names, threads) | {"PYTHONPATH": str(ROOT)}
        told = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.append(told.stdout)
    assert digests[0] == digests[1]


def test_a_square_covers_what_it_covers() -> None:
    alpha = drawn(solids=[make_solid(square(0.53), np.full(3, 0.5), closed=False)])[..., 3]
    assert alpha.sum() == pytest.approx(32 * 32 * 0.53**2, rel=2e-3)
    assert alpha[16, 16] == 1 and alpha[0, 0] == 0


def test_a_thin_strand_covers_its_width() -> None:
    line = np.linspace([-0.5, 0, -0.41], [0.5, 0, 0.37], 7, dtype=np.float32)[None]
    thin = make_strands(line, 0.004, np.full(3, 0.5))
    alpha = drawn(strands=[thin], side=64, passes=64)[..., 3]
    length = np.linalg.norm(line[0, -1] - line[0, 0])
    assert alpha.sum() == pytest.approx(length * 0.008 * 32**2, rel=0.03)


def test_a_wide_cord_covers_its_width() -> None:
    line = np.linspace([-0.5, 0, -0.41], [0.5, 0, 0.37], 7, dtype=np.float32)[None]
    cord = make_strands(line, 0.08, np.full(3, 0.5), Cord(columns=7))
    alpha = rasterise([(cord, np.ones((1, 7, 7, 3), np.float32))], [], head_on(), 64)[..., 3]
    length = np.linalg.norm(line[0, -1] - line[0, 0])
    assert alpha.sum() == pytest.approx((length + 0.6 * 0.08) * 0.16 * 32**2, rel=0.02)


def test_the_nearer_thing_hides_the_farther_in_any_order() -> None:
    near = make_solid(square(0.5, -0.5), np.full(3, 0.5), closed=False)
    far = make_solid(square(0.5, 0.5), np.full(3, 0.5), closed=False)
    colours = [(near, np.full((4, 3), 0.25, np.float32)), (far, np.ones((4, 3), np.float32))]
    first = rasterise([], colours, head_on(), 16)
    second = rasterise([], colours[::-1], head_on(), 16)
    assert first.tobytes() == second.tobytes()
    assert first[8, 8, 0] == pytest.approx(0.25, rel=2e-3)


@pytest.mark.parametrize("opacity", [0.1, 0.5, 0.73])
def test_clear_layers_let_through_the_product_of_what_each_does(opacity: float) -> None:
    layers = [
        make_solid(square(0.9, depth), np.full(3, 0.5), closed=False, opacity=np.full(4, opacity))
        for depth in (-0.5, 0.0, 0.5)
    ]
    alpha = drawn(solids=layers, passes=16)[12:20, 12:20, 3]
    one = drawn(solids=layers[:1], passes=16)[12:20, 12:20, 3]
    assert np.abs(one - opacity).max() < 0.006
    assert np.abs(alpha - (1 - (1 - opacity) ** 3)).mean() < 0.02


def test_colours_are_straight_down_to_the_faintest_alpha() -> None:
    for opacity in (0.02, 0.6):
        solid = make_solid(square(0.53), np.full(3, 0.5), closed=False, opacity=np.full(4, opacity))
        linear, alpha = straighten(drawn(solids=[solid]))
        assert np.allclose(linear[alpha > 0], 0.25, atol=2e-3)
        assert np.allclose(linear[alpha == 0], 0.25, atol=2e-3)  # filled by what is near


def test_more_motion_and_a_wider_lens_spread_but_keep_what_is_covered() -> None:
    solid = make_solid(square(0.3), np.full(3, 0.5), closed=False)
    light = np.full((4, 3), 0.25, np.float32)
    sharp = head_on()
    moving = Camera(**(vars(sharp) | {"motion": np.array([0.3, 0, 0], np.float32)}))
    blurred = Camera(**(vars(sharp) | {"aperture": 0.3, "focus": 2.0}))
    areas = [
        rasterise([], [(solid, light)], camera, 64)[..., 3] for camera in (sharp, moving, blurred)
    ]
    soft = [((area > 0.05) & (area < 0.95)).sum() for area in areas]
    assert soft[1] > 3 * soft[0] and soft[2] > 3 * soft[0]
    for area in areas[1:]:
        assert area.sum() == pytest.approx(areas[0].sum(), rel=0.01)


def test_a_coarse_body_shades_without_holes() -> None:
    body = make_solid(ball([0, 0, 0], 1.0, 40), np.full(3, 0.5))
    camera, light = head_on(), Light(vector(0, 1, 0), np.ones(3, np.float32), True)
    lit = surround(np.random.default_rng(0), camera.back)
    _, closed = shading._stopping(Scene((), (body,), camera, lit, {}))
    x, z = np.mgrid[-0.6:0.6:80j, -0.6:0.6:80j].astype(np.float32)
    behind = np.stack([x, np.full_like(x, -2), z], -1).reshape(-1, 3)
    depth = shading._Grid(closed, light).towards(behind)
    assert depth.min() > 1.5  # of the 6 that two walls of 3 are


@pytest.mark.parametrize("sharp", [True, False])
def test_a_leaf_or_a_row_of_strands_shades_the_body_behind_it(sharp: bool) -> None:
    body, tint = make_solid(ball([0, 0, 0], 0.5, 24), np.full(3, 0.5)), np.full(3, 0.5)
    line = np.linspace(-0.3, 0.3, 40, dtype=np.float32)
    row = np.stack(np.broadcast_arrays(line[:, None], np.float32(-0.8), line), -1)  # (40, 40, 3)
    leaf, strands = make_solid(sheet(row), tint, closed=False), make_strands(row, 0.012, tint)
    lit = Surroundings("", (Light(vector(0, -1, 0), np.ones(3, np.float32), sharp),), np.ones(0))
    shown = []
    for hairs, solids in (((), (body,)), ((), (body, leaf)), ((strands,), (body,))):
        light = shading.shade(Scene(hairs, solids, head_on(), lit, {}))[1][0]
        middle = np.abs(body.vertices[:, [0, 2]]).max(1) < 0.2
        shown.append(light[middle & (body.vertices[:, 1] < 0)].mean())
    assert max(shown[1:]) < 0.75 * shown[0], shown


def test_seeds_give_the_pictures_of_the_committed_sheet() -> None:
    committed = images.read_image(ROOT / "docs" / "rendering_seeds.png")
    sheet = runpy.run_path(str(ROOT / "docs" / "rendering_seeds.py"))["sheet"]()
    assert committed.alpha is not None
    shown = committed.image * committed.alpha[..., None]
    found = np.dstack([sheet[..., :3] * sheet[..., 3:], sheet[..., 3]])
    gap = np.abs(found - np.dstack([shown, committed.alpha])) * 255
    assert (gap > 4).mean() < 0.005, error_histogram(found, np.dstack([shown, committed.alpha]))
    assert gap.mean() < 0.5  # of which the file's rounding is about 0.25


@pytest.mark.parametrize("palette", ["HAIR", "FUR", "CLOTH", "PLUMAGE"])
def test_palettes_are_muted_and_reach_from_nearly_black_to_nearly_white(rng, palette: str) -> None:
    drawn = np.stack([colours.pick(rng, getattr(colours, palette)) for _ in range(200)])
    light = drawn @ LUMINANCE
    assert light.min() < 0.05 and light.max() > 0.6
    shown = images.colour.from_linear(drawn)
    saturation = 1 - shown.min(1) / shown.max(1)
    assert np.median(saturation) < 0.4 and np.percentile(saturation, 90) < 0.75


@pytest.mark.parametrize(
    ("alpha", "words"),
    [
        (np.ones((8, 8)), "mean alpha 1.000"),
        (np.zeros((8, 8)), "mean alpha 0.000"),
        (np.eye(8), "0.00% is soft"),
        (np.full((8, 8), 0.5), ""),
    ],
)
def test_poor_pictures_are_rejected_in_words(alpha: np.ndarray, words: str) -> None:
    fault = scenes.find_fault(alpha.astype(np.float32))
    assert fault.startswith(words) and bool(fault) == bool(words)


def test_the_next_draw_of_a_seed_is_taken_where_one_is_poor(monkeypatch) -> None:
    faults = iter(["too bad", "", ""])
    monkeypatch.setattr(scenes, "find_fault", lambda _alpha: next(faults))
    assert small("smoke")[2]["draw"] == 1
    monkeypatch.setattr(scenes, "find_fault", lambda _alpha: "too bad")
    with pytest.raises(A2UError, match=r"smoke of seed 3 gives no good picture \(too bad\)"):
        small("smoke")


def test_an_unknown_kind_is_named_with_those_there_are() -> None:
    with pytest.raises(A2UError, match="'hare' is unknown; expected one of hair, fur"):
        scenes.render_scene("hare", 0, 32)


def test_the_nearest_sites_are_those_of_a_slow_search(rng) -> None:
    points, sites = rng.normal(0, 1, (50, 3)), rng.normal(0, 1, (20, 3))
    gaps = np.linalg.norm(points[:, None] - sites, axis=2)
    assert np.array_equal(nearest(points, sites, 3), np.argsort(gaps, axis=1)[:, :3])


def test_means_of_owners_without_any_are_zero() -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    means = mean_by(np.array([2, 0, 2, 2]), values, 5)
    assert np.array_equal(means[[0, 2]], [values[1], values[[0, 2, 3]].mean(0)])
    assert not means[[1, 3, 4]].any()


ORDERS = [sets.Order("smoke", seed, 48) for seed in (1, 2, 3)]


def test_files_are_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    for workers in (1, 3):
        list(sets.render_set(tmp_path / str(workers), ORDERS, workers=workers))
    names = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert names == ["journal.jsonl", *(f"smoke_{seed:06d}.webp" for seed in (1, 2, 3))]
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_webp_keeps_alpha_as_it_is(tmp_path: Path) -> None:
    list(sets.render_set(tmp_path, ORDERS[:1]))
    colour, alpha, _ = scenes.render_scene("smoke", 1, 48)
    with Image.open(tmp_path / "smoke_000001.webp") as picture:
        levels = np.asarray(picture)
    assert np.array_equal(levels[..., 3], images.quantise(alpha, 8))
    shown = levels[..., 3] > 60
    error = np.abs(levels[..., :3][shown] / 255.0 - colour[shown])
    assert error.mean() < 0.03


def test_a_set_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = next(iter(sets.render_set(tmp_path, ORDERS)))
    assert first.order == ORDERS[0]
    journal = tmp_path / sets.JOURNAL
    journal.write_bytes(journal.read_bytes() + b'{"name": "smoke_0')  # torn
    assert [r.order.seed for r in sets.render_set(tmp_path, ORDERS)] == [2, 3]
    (tmp_path / "smoke_000002.webp").unlink()
    assert [r.order.seed for r in sets.render_set(tmp_path, ORDERS)] == [2]


def test_a_journal_from_before_there_were_bands_is_gone_on_with(tmp_path: Path) -> None:
    list(sets.render_set(tmp_path, ORDERS[:1]))
    journal = tmp_path / sets.JOURNAL
    entry = json.loads(journal.read_text())
    del entry["order"]["bands"]
    journal.write_text(json.dumps(entry) + "\n")
    assert not list(sets.render_set(tmp_path, ORDERS[:1]))


def test_the_command_writes_pictures_and_a_line_for_each(run_a2u: RunA2U, tmp_path: Path) -> None:
    options = ("--count", 2, "--kinds", "smoke", "--seed", 7, "--size", 48, "--format", "png")
    told = run_a2u("render", tmp_path, *options)
    assert told.code == 0, told.stderr
    paths = [Path(line) for line in told.stdout.decode().splitlines()]
    assert [path.name for path in paths] == ["smoke_000007.png", "smoke_000008.png"]
    picture = images.read_image(paths[0])
    assert picture.size == (48, 48) and picture.alpha is not None
    lines = [json.loads(line) for line in (tmp_path / sets.JOURNAL).read_text().splitlines()]
    assert [line["record"]["seed"] for line in lines] == [7, 8]


def test_composites_are_those_of_their_parts(run_a2u: RunA2U, tmp_path: Path) -> None:
    behind = tmp_path / "behind"
    images.write_image(behind / "wall.png", np.full((40, 60, 3), 0.3, np.float32))
    options = ("--count", 1, "--kinds", "smoke", "--seed", 1, "--size", 48)
    out = tmp_path / "out"
    told = run_a2u("render", out, *options, "--composites", "--backgrounds", behind)
    assert told.code == 0, told.stderr
    name = "smoke_000001.png"
    parts = {at: images.read_image(out / at / name).image for at in ("fg", "bg", "merged")}
    alpha = images.read_grey(out / "alpha" / name)[..., None]
    mixed = parts["fg"] * alpha + parts["bg"] * (1 - alpha)
    assert np.abs(mixed - parts["merged"]).max() <= 0.5 / 255 + 1e-6
    trimap = images.read_grey(out / "trimaps" / name)
    assert np.all(alpha[trimap == 0] < 0.05) and np.all(alpha[trimap == 1] > 0.95)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--kinds", "hair,feather"), "kind 'feather' is unknown; expected hair, fur"),
        (("--format", "gif"), "format 'gif' is unknown; expected webp or png"),
        (("--composites",), "--composites needs --backgrounds"),
        (("--composites", "--backgrounds", "nowhere"), "nowhere is no folder"),
        (("--backgrounds", "."), "--backgrounds would do nothing"),
        (("--composites", "--backgrounds", ".", "--format", "png"), "--format would do nothing"),
    ],
)
def test_what_does_not_fit_is_one_line_before_any_work(
    run_a2u: RunA2U, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    told = run_a2u("render", tmp_path / "out", *options)
    assert told.code == 2 and words in told.stderr
    assert len(told.stderr.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    run_a2u: RunA2U, tmp_path: Path, monkeypatch
) -> None:
    def full(_path: Path, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    told = run_a2u("render", tmp_path, "--count", 1, "--kinds", "smoke", "--size", 48)
    assert told.code == 2 and len(told.stderr.splitlines()) == 1
    assert "No space left on device" in told.stderr
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".a2u.lock", ".journal.jsonl.lock"}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_is_one_line_and_what_is_done_is_kept(tmp_path: Path, workers: int) -> None:
    command = [sys.executable, "-m", "a2u_cli", "render", str(tmp_path), "--size", "48"]
    command += ["--count", "500", "--kinds", "smoke", "--workers", str(workers)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()  # the first picture is there
    process.send_signal(2)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told, told
    assert "interrupted; nothing half-written" in told
    lines = (tmp_path / sets.JOURNAL).read_text().splitlines()
    files = {path.name for path in tmp_path.iterdir()} - {".journal.jsonl.lock", sets.JOURNAL}
    named = {file for line in lines for file in json.loads(line)["files"]}
    assert named <= files and len(files - named) <= 1
    assert not any(name.endswith(".part") for name in files)


def test_a_missing_library_is_told_in_words(run_a2u: RunA2U, tmp_path: Path, monkeypatch) -> None:
    def missing():
        raise A2UError("the renderer is not built; install a C compiler, then install a2u again")

    monkeypatch.setattr(raster, "library", missing)
    assert raster.describe().startswith("the renderer is not built")
    told = run_a2u("render", tmp_path, "--count", 1, "--kinds", "hair", "--size", 48)
    assert told.code == 1 and "the renderer is not built" in told.stderr
