"""Clips rendered from seeds: each frame the same each time, alpha exact, motion smooth."""

import functools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import RunA2U, error_histogram

from a2u_cli import images
from a2u_cli.errors import A2UError
from a2u_cli.foreground import composite
from a2u_cli.rendering import clips, raster, sets
from a2u_cli.rendering.clips import FIRST, Frame, noise_sigma, plan_clips, shot_of
from a2u_cli.rendering.motion import Drift, draw_motion
from a2u_cli.rendering.shapes import Scene, make_strands
from a2u_cli.rendering.surroundings import Surroundings

try:
    raster.library()
except A2UError as error:
    pytest.skip(str(error), allow_module_level=True)

SIDE, FRAMES = 48, 4
CUT = FIRST + FRAMES // 2
DENSE, MOST_RMS = 1024, 0.01  # samples a pixel of the oracle, and as of single pictures
PLAN = {frame.name: frame for frame in plan_clips(5, FRAMES, size=SIDE, detail=0.05)}
PARTS = ("image", "alpha", "trimap", "foreground", "background")


@pytest.fixture(autouse=True, scope="module")
def shots() -> Iterator[None]:
    """Keep every shot, not the last two alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "_prepare", functools.cache(clips._prepare.__wrapped__))
        yield


@functools.cache
def files(frame: Frame) -> dict[str, bytes]:
    rendered = frame.render()
    assert not rendered.failure, rendered.failure
    return rendered.files


def planes(frame: Frame) -> dict[str, np.ndarray]:
    """Read a frame's five pictures as floats, by the names of their folders."""
    found = {
        part: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        for path, data in files(frame).items()
        if (part := path.split("/")[1]) in PARTS
    }
    return {part: plane / np.float32(np.iinfo(plane.dtype).max) for part, plane in found.items()}


def frames(clip: str) -> list[Frame]:
    return [frame for frame in PLAN.values() if frame.clip == clip]


def alphas(clip: str) -> np.ndarray:
    return np.stack([planes(frame)["alpha"] for frame in frames(clip)])


@pytest.mark.parametrize("clip", ["hair", "plants", "cut", "nets"])
def test_alpha_of_things_that_moved_is_that_of_many_more_samples(clip: str) -> None:
    last = frames(clip)[-1]
    shot = shot_of(last)
    _, alpha, _ = shot.at(last.number, SIDE)
    _, dense, _ = shot.at(last.number, SIDE, passes=DENSE // raster.GRID**2)
    soft = (dense > 0.01) & (dense < 0.99)
    rms = float(np.sqrt(np.mean((alpha - dense)[soft] ** 2)))
    assert rms < MOST_RMS, error_histogram(alpha, dense)
    assert np.abs(planes(last)["alpha"] - alpha).max() <= 0.5 / 65535 + 1e-6


@pytest.mark.parametrize("name", [f"plants_000000/{FIRST + 2}", f"cut_000000/{CUT}"])
def test_a_frame_alone_is_that_of_the_whole_clip(name: str, monkeypatch) -> None:
    whole = [files(frame) for frame in frames(PLAN[name].clip)]
    monkeypatch.setattr(clips, "_prepare", functools.cache(clips._prepare.__wrapped__))
    assert PLAN[name].render().files in whole


def test_alpha_changes_little_from_frame_to_frame_and_much_at_the_cut() -> None:
    for clip in ("hair", "plants", "nets", "cut"):
        alpha = alphas(clip)
        steps = np.abs(np.diff(alpha, axis=0)).mean((1, 2)) / alpha.mean()
        cuts = [number for number in range(1, FRAMES) if FIRST + number == frames(clip)[0].cut]
        assert cuts == ([CUT - FIRST] if clip == "cut" else [])
        smooth = np.delete(steps, [number - 1 for number in cuts])
        assert (smooth > 0.001).all() and (smooth < 0.2).all(), (clip, steps)
        assert all(steps[number - 1] > 5 * smooth.max() for number in cuts), (clip, steps)


def test_a_still_model_has_one_alpha_before_a_background_that_moves() -> None:
    alpha, shown = alphas("still"), [planes(frame) for frame in frames("still")]
    assert (alpha == alpha[0]).all()
    for part, same in (("foreground", True), ("trimap", True), ("background", False)):
        assert np.array_equal(shown[0][part], shown[1][part]) is same, part
    solid = alpha[0] == 1
    assert solid.mean() > 0.05
    assert not np.array_equal(shown[0]["image"][solid], shown[1]["image"][solid])  # noise


@pytest.mark.parametrize("noise", [(0.0, 0.0), (6.0, 10.0)])
def test_an_image_is_the_composite_of_its_parts_and_noise_of_the_size_asked_for(noise) -> None:
    grains = []
    for frame in frames("still")[:2]:
        shown = planes(replace(frame, noise=noise))
        clean = composite(shown["foreground"], shown["alpha"], shown["background"])
        sigma = noise_sigma(clean, noise)
        if noise == (0.0, 0.0):
            assert np.array_equal(shown["image"], images.quantise(clean, 8) / np.float32(255))
            continue
        wide = (clean > 4 * sigma) & (clean < 1 - 4 * sigma)  # nothing is cut off there
        grain = np.where(wide, (shown["image"] - clean) / np.maximum(sigma, 1e-6), 0)
        assert grain[wide].std() == pytest.approx(1, abs=0.04)
        assert abs(grain[wide].mean()) < 0.05
        grains.append(grain)
    if grains:
        assert abs(np.corrcoef(grains[0].ravel(), grains[1].ravel())[0, 1]) < 0.05  # fresh


def test_what_a_trimap_knows_is_so() -> None:
    for frame in PLAN.values():
        shown = planes(frame)
        assert (shown["alpha"][shown["trimap"] == 0] < 0.05).all()
        assert (shown["alpha"][shown["trimap"] == 1] > 0.95).all()
        assert 0 < (np.abs(shown["trimap"] - 0.5) < 0.1).mean() < 0.7


@pytest.mark.parametrize("way", [(0.02, 0, 0), (0, 0.02, 0), (0, 0, 0.05)])
def test_a_shaken_camera_moves_things_and_background_alike(way: tuple[float, ...]) -> None:
    """Against a warp of the unmoved: right, down, and clockwise."""
    shot, side = shot_of(frames("still")[0]), 96

    def shaken(*values: float) -> Drift:
        return Drift(np.array([values]), np.zeros((1, len(values))), np.full((1, 1), np.pi / 2))

    def seen(right: float, down: float, roll: float) -> tuple[np.ndarray, ...]:
        at = {"shake": shaken(right, down), "roll": shaken(roll), "pan": shaken(0, 0)}
        return replace(shot, motion=replace(shot.motion, **at)).at(FIRST, side, passes=4)[1:]

    turn = np.array([[np.cos(way[2]), -np.sin(way[2])], [np.sin(way[2]), np.cos(way[2])]])
    middle = np.full(2, (side - 1) / 2)
    place = np.c_[turn, middle - turn @ middle + np.array(way[:2]) * side]
    inside = np.s_[12:-12, 12:-12]
    for before, after in zip(seen(0, 0, 0), seen(*way), strict=True):
        warped = cv2.warpAffine(before, place, (side, side))
        moved = np.abs(before - after)[inside].mean()
        assert np.abs(warped - after)[inside].mean() < 0.2 * moved


def test_roots_stay_and_tips_move_and_time_alone_says_where() -> None:
    line = np.linspace([0, 0, 0], [0, 0, 1], 9, dtype=np.float32)[None]
    scene = Scene(
        (make_strands(line, 0.01, np.full(3, 0.5)),),
        (),
        shot_of(frames("still")[0]).scene.camera,
        Surroundings("", (), np.ones(0)),
        {},
    )
    rng = np.random.default_rng(1)
    motion = draw_motion(rng, "roots", scene.camera, still=False)
    paths = [motion.moved(scene, n / 24).strands[0].points[0] for n in range(25)]
    reach = np.linalg.norm(np.ptp(paths, axis=0), axis=1)
    assert reach[0] == 0 and (np.diff(reach) > 0).all() and reach[-1] > 0.02
    again = motion.moved(scene, 20 / 24).strands[0].points[0]
    assert np.array_equal(again, paths[20])


def test_a_clip_shows_nothing_that_a_set_of_the_same_seed_does() -> None:
    own = PLAN[f"hair_000000/{FIRST}"].rng("hair", 0).random()
    assert own != np.random.default_rng([0, *b"hair", 0]).random()


def test_a_seed_without_a_good_shot_is_told_in_words_once_searched(monkeypatch) -> None:
    looked: list[float] = []

    def find_fault(alpha: np.ndarray) -> str:
        looked.append(float(alpha.mean()))
        return "too bad"

    monkeypatch.setattr(clips, "find_fault", find_fault)
    monkeypatch.setattr(clips, "TRIES", 3)
    failures = [replace(frame, seed=77).render().failure for frame in frames("nets")[:2]]
    assert failures[0] == failures[1] and "nets_000077 gives no good shot of nets" in failures[0]
    assert 0 < len(looked) <= 3


SMALL = ("--clips", 1, "--frames", 2, "--size", 32)


@pytest.fixture
def quick(monkeypatch) -> None:
    """Make the first clip one that is drawn in no time."""
    monkeypatch.setattr(clips, "SCRIPTS", {"nets": clips.SCRIPTS["nets"]})


@pytest.mark.usefixtures("quick")
def test_the_command_writes_numbered_frames_and_goes_on(run_a2u: RunA2U, tmp_path: Path) -> None:
    told = run_a2u("render", tmp_path, *SMALL)
    assert told.code == 0, told.stderr
    clip = tmp_path / "nets_000000"
    written = {path.relative_to(clip).as_posix() for path in clip.rglob("*.*")}
    assert written == {"clip.json", *(f"{part}/{n}.png" for part in PARTS for n in (1001, 1002))}
    assert images.read_grey(clip / "alpha" / "1001.png").shape == (32, 32)
    record = json.loads((clip / "clip.json").read_text())
    assert (record["seed"], record["first"], record["cuts"]) == (0, 1001, [])
    assert record["shots"][0]["kind"] == "nets"
    before = {path: path.read_bytes() for path in clip.rglob("*.png")}
    (clip / "image" / "1002.png").unlink()
    told = run_a2u("render", tmp_path, "--clips", 1, "--frames", 3, "--size", 32)
    assert told.code == 0 and {Path(line).stem for line in told.stdout.decode().split()} == {
        "1002",
        "1003",
    }
    assert all(path.read_bytes() == data for path, data in before.items())
    with pytest.raises(A2UError, match="no rendered pictures"):
        sets.orders_of(tmp_path)


@pytest.mark.usefixtures("quick")
def test_a_clip_is_not_gone_on_with_in_another_way(run_a2u: RunA2U, tmp_path: Path) -> None:
    assert run_a2u("render", tmp_path, *SMALL).code == 0
    told = run_a2u("render", tmp_path, *SMALL, "--noise", "0,0")
    assert told.code == 2 and len(told.stderr.splitlines()) == 1
    assert "was rendered with noise (1.5, 3.0); ask for the same, remove" in told.stderr


def test_a_cut_is_recorded_and_comes_in_the_middle() -> None:
    record = json.loads(files(frames("cut")[0])["cut_000000/clip.json"])
    assert record["cuts"] == [CUT]
    assert [(shot["from"], shot["kind"]) for shot in record["shots"]] == [
        (FIRST, "fur"),
        (CUT, "feathers"),
    ]


@pytest.mark.usefixtures("quick")
def test_photographs_stand_behind_where_there_are_some(run_a2u: RunA2U, tmp_path: Path) -> None:
    images.write_image(tmp_path / "behind" / "wall.png", np.full((40, 60, 3), 0.3, np.float32))
    told = run_a2u("render", tmp_path / "out", *SMALL, "--backgrounds", tmp_path / "behind")
    assert told.code == 0, told.stderr
    wall = images.read_image(tmp_path / "out" / "nets_000000" / "background" / "1001.png").image
    assert np.abs(wall - 0.3).max() < 0.01


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--clips", 1, "--noise", "loud"), "noise 'loud' is no pair of levels from 0 to 64"),
        (("--clips", 1, "--noise", "1,-2"), "expected READ,SHOT as 1.5,3"),
        (("--clips", 1, "--noise", "1,nan"), "expected READ,SHOT as 1.5,3"),
        (("--frames", 3, "--noise", "1,2"), "--frames, --noise would do nothing: it is of --clips"),
        (("--clips", 1, "--kinds", "hair"), "--kinds would do nothing: clips have kinds"),
        (("--clips", 1, "--count", 3), "--count would do nothing"),
        (("--clips", 1, "--composites"), "--composites would do nothing"),
        (("--clips", 1, "--backgrounds", "nowhere"), "nowhere is no folder"),
        (("--clips", 1, "--backgrounds", Path(__file__).parent), "has no pictures"),
        (("--composites", "--backgrounds", Path(__file__).parent), "has no pictures"),
    ],
)
def test_what_does_not_fit_clips_is_one_line_before_any_work(
    run_a2u: RunA2U, tmp_path: Path, options: tuple[object, ...], words: str
) -> None:
    told = run_a2u("render", tmp_path / "out", *options)
    assert told.code == 2 and words in told.stderr
    assert len(told.stderr.splitlines()) == 1 and not (tmp_path / "out").exists()
