"""Plates of light are finished, cropped, placed and matted in sequences, and stay light."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import RunA2U
from moving import moving
from small_folders import last
from test_compositing import Array, by_oiio, scene, seen_by_oiio, seen_by_openexr

from a2u_cli.foreground import estimate_foreground
from a2u_cli.images import formats, read_grey, read_image, write_image
from a2u_cli.images.colour import INTEROP_IDS, from_linear, to_linear
from a2u_cli.images.exr_header import canvas_header, crop_header
from a2u_cli.images.frames import find_frames
from a2u_cli.jobs.options import LATE, Options
from a2u_cli.matting.finishing import Finish, content_box, crop, finish, finish_cut, place

pytestmark = pytest.mark.usefixtures("environment")
FRAME = (-2, 3, 48, 40)  # left, top, width and height of the plate's display window
FACTS: dict[str, Any] = {
    "FramesPerSecond": ("rational", [25, 1]),
    "chromaticities": ("float[8]", list(INTEROP_IDS["lin_rec2020_scene"])),
}
CHOKE = Finish(choke=1)


@pytest.fixture
def plate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay a plate, its true matte, a background of light and a trimap into a folder."""
    light, alpha, _, background = scene()
    by_oiio(tmp_path / "plate.exr", light, at=FRAME[:2], display=FRAME, **FACTS)
    write_image(tmp_path / "alpha.png", alpha, depth=16)
    by_oiio(tmp_path / "behind.exr", background)
    levels = np.where(alpha <= 0, 0, np.where(alpha >= 1, 255, 128)).astype(np.uint8)
    write_image(tmp_path / "trimap.png", levels)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "plate.exr"


def windows(path: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Give the display and the data window: left, top, width and height."""
    spec = seen_by_oiio(path)[0]
    frame = spec.full_x, spec.full_y, spec.full_width, spec.full_height
    return frame, (spec.x, spec.y, spec.width, spec.height)


def expected_cut(plate: Path) -> tuple[Array, Array]:
    """Give the light of the plate's foreground and its choked matte, as they have to be."""
    light, alpha = read_image(plate).light, read_grey("alpha.png")
    assert light is not None
    return finish_cut(estimate_foreground(light, alpha, light=True), alpha, CHOKE)


def test_a_cropped_exr_keeps_the_frame_and_holds_the_crop(run_a2u: RunA2U, plate: Path) -> None:
    words = ("cutout", plate, "-a", "alpha.png", "--choke", "1", "--depth", "32")
    assert run_a2u(*words, "-o", "whole.exr").code == 0
    for name, padding in (("near", 2), ("beyond", 20)):
        run = run_a2u(*words, "--crop", str(padding), "-o", f"{name}.exr")
        assert run.code == 0, run.stderr
        colours, alpha = expected_cut(plate)
        box = content_box(alpha, padding=str(padding), depth=16)
        top, left, bottom, right = box
        inner = FRAME[0] + left, FRAME[1] + top, right - left, bottom - top
        assert windows(Path(f"{name}.exr")) == (FRAME, inner)
        pixels = seen_by_oiio(Path(f"{name}.exr"))[1]
        np.testing.assert_array_equal(pixels[..., 3], crop(alpha, box))
        assert pixels.max() > 20 and pixels.min() < -0.2
        found, whole = read_image(f"{name}.exr"), read_image("whole.exr")
        assert found.light is not None and whole.light is not None and whole.alpha is not None
        np.testing.assert_array_equal(found.alpha, whole.alpha)  # in the frame, as it was
        shown = whole.alpha > 0
        np.testing.assert_array_equal(found.light[shown], whole.light[shown])
        np.testing.assert_allclose(found.light[shown], colours[shown], rtol=1e-4, atol=1e-3)
        assert seen_by_openexr(Path(f"{name}.exr"))[0]["FramesPerSecond"] == 25


def test_a_photograph_cropped_into_an_exr_keeps_its_frame(run_a2u: RunA2U, plate: Path) -> None:
    write_image("photo.png", np.full((40, 48, 3), 0.5, np.float32))
    run = run_a2u("cutout", "photo.png", "-a", "alpha.png", "--for", "nuke", "--crop", "0")
    assert run.code == 0, run.stderr
    top, left, bottom, right = content_box(read_grey("alpha.png"), padding="0", depth=16)
    frame, data = windows(Path("photo_cutout.exr"))
    assert (frame, data) == ((0, 0, 48, 40), (left, top, right - left, bottom - top))


def test_a_plate_is_choked_cropped_and_laid_on_a_canvas_of_light(
    run_a2u: RunA2U, plate: Path
) -> None:
    words = ("composite", plate, "-a", "alpha.png", "-b", "behind.exr", "--choke", "1")
    words = (*words, "--crop", "10%", "--canvas", "80x60", "--fit", "tile", "--depth", "32")
    for scale in ("original", "100%", "40%"):
        run = run_a2u(*words, "--scale", scale, "-o", f"{scale}.exr", "--force")
        assert run.code == 0, run.stderr
        path = Path(f"{scale}.exr")
        assert windows(path) == ((0, 0, 80, 60), (0, 0, 80, 60))
        header = seen_by_openexr(path)[0]
        assert header["FramesPerSecond"] == 25
        assert header["colorInteropID"] == "lin_rec2020_scene"
        colours, alpha = expected_cut(plate)
        box = content_box(alpha, padding="10%", depth=32)
        cut = crop(colours, box), crop(alpha, box)
        foreground, shape = place(*cut, (60, 80), scale=scale, light=True)
        background = read_image("behind.exr").light
        assert background is not None
        tiled = background[np.arange(60)[:, None] % 40, np.arange(80) % 48]
        mixed = foreground * shape[..., None] + tiled * (1 - shape[..., None])
        found = read_image(path).light
        assert found is not None
        np.testing.assert_allclose(found, mixed, rtol=1e-4, atol=2e-3)
        seen = found[shape > 0.95]
        assert seen.max() > 15 and seen.min() < -0.2
        assert found[shape == 0].max() > 10


@pytest.mark.parametrize("size", [(30, 36), (100, 150)])
def test_light_is_scaled_between_its_darkest_and_its_brightest(size: tuple[int, int]) -> None:
    light, alpha, colours, _ = scene()
    found, shape = place(colours, alpha, size, light=True)
    seen = found[shape > 0]
    assert 20 < seen.max() <= colours.max() + 1e-5
    assert colours.min() - 1e-6 <= seen.min() < -0.3
    assert shape.min() >= 0 and shape.max() <= 1
    same = place(np.full_like(light, 7), alpha, size, light=True)[0]
    np.testing.assert_allclose(same[shape > 0.01], 7, rtol=1e-4)


def test_a_matte_of_floats_is_cropped_as_one_of_16_bits(run_a2u: RunA2U, plate: Path) -> None:
    alpha = np.array([[1e-7, 1e-4, 1, 0]], np.float32)
    assert content_box(alpha, padding="0", depth=32) == (0, 1, 1, 3)
    run = run_a2u("cutout", plate, "-a", "alpha.png", "--crop", "0", "--depth", "32", "-o", "x.tif")
    assert run.code == 0, run.stderr


def test_a_matte_and_its_cut_out_of_a_plate_are_finished_alike(a2u: RunA2U, plate: Path) -> None:
    words = ("matte", plate, "-t", "trimap.png", "--for", "nuke", "--depth", "32")
    assert a2u(*words, "-o", "raw.exr").code == 0
    run = a2u(*words, "--cutout", "cut.exr", "--levels", "0.1,0.9", "--choke", "1")
    assert run.code == 0, run.stderr
    raw, matte, cut = (
        seen_by_oiio(Path(name))[1] for name in ("raw.exr", "plate_alpha.exr", "cut.exr")
    )
    np.testing.assert_array_equal(matte[..., 0], cut[..., 3])
    how = Finish((0.1, 0.9, 1), 1)
    np.testing.assert_allclose(matte[..., 0], finish(raw[..., 0].copy(), how), atol=1e-6)
    assert cut.max() > 15


def test_a_batch_of_plates_is_finished_and_cropped_for_a_program(a2u: RunA2U, plate: Path) -> None:
    Path("in").mkdir()
    plate.rename("in/plate.exr")
    Path("trimap.png").rename("in/plate_trimap.png")
    words: tuple[str, ...] = (
        "batch",
        "in",
        "-o",
        "out",
        "--save",
        "alpha,cutout,composite,foreground",
    )
    words += ("--for", "nuke", "-b", "behind.exr", "--choke", "1", "--crop", "2")
    run = a2u(*words)
    assert run.code == 0, run.stderr
    path = {kind: Path(f"out/{kind}/plate.exr") for kind in words[5].split(",")}
    matte = seen_by_oiio(path["alpha"])[1][..., 0]
    box = content_box(matte, padding="2", depth=16)
    inner = FRAME[0] + box[1], FRAME[1] + box[0], box[3] - box[1], box[2] - box[0]
    assert windows(path["alpha"]) == windows(path["foreground"]) == (FRAME, FRAME)
    assert windows(path["cutout"]) == windows(path["composite"]) == (FRAME, inner)
    cut, mixed = (seen_by_oiio(path[kind])[1] for kind in ("cutout", "composite"))
    np.testing.assert_array_equal(cut[..., 3], crop(matte, box))
    assert cut.max() > 15
    assert mixed.max() > 15
    assert last(a2u(*words)) == "0 done, 1 skipped, 0 failed, 0 without a trimap"
    assert last(a2u(*words[:-2])).startswith("1 done")


def test_late_options_are_left_out_of_a_digest_one_by_one() -> None:
    given = {"invert": True, "finish": CHOKE, "crop": "2", "format": "webp", "premultiplied": True}
    given["provenance"] = False
    assert set(given) == set(LATE)
    plain = Options(save=("cutout",))
    digests = {replace(plain, **{name: value}).digest for name, value in given.items()}  # type: ignore[arg-type]
    assert len(digests | {plain.digest}) == len(LATE) + 1


def test_headers_follow_crops_and_canvases() -> None:
    whole = crop_header(None, (40, 48), (-2, 3, 41, 20))
    assert whole is not None
    assert (whole.display, whole.crop, whole.size) == ((0, 0, 48, 40), (3, -2, 20, 41), (43, 17))
    laid = canvas_header(whole, (5, 6))
    assert laid is not None
    assert (laid.display, laid.data, laid.size) == ((0, 0, 6, 5), (0, 0, 6, 5), (5, 6))
    assert crop_header(None, (40, 48), None) is None
    assert canvas_header(None, (5, 6)) is None


# Sequences


@pytest.fixture
def shot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay three frames of light up to 3, each with its time code, and a key into a folder."""
    (tmp_path / "plates").mkdir()
    for number, frame in enumerate(moving(3), 1001):
        light = (3 * to_linear(frame.image)).astype(np.float32)
        code = {"smpte__TimeCode": ("timecode", [0x01000000 + number % 10, 0])}
        path = tmp_path / "plates" / f"plate.{number}.exr"
        by_oiio(path, light, display=(-4, -2, 140, 132), **FACTS, **code)
        if number == 1001:
            key = np.pad(frame.trimap, ((2, 2), (4, 8)))
            write_image(tmp_path / "keys" / f"plate.{number}.png", key)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "plates"


def test_plates_become_sequences_of_light_that_go_on(a2u: RunA2U, shot: Path) -> None:
    words: tuple[str, ...] = ("sequence", "plates/plate.####.exr", "--trimaps", "keys", "-o", "out")
    words += ("--save", "alpha,cutout,composite", "--for", "nuke", "--choke", "0.5")
    run = a2u(*words)
    assert run.code == 0, run.stderr
    assert last(run) == "3 done, 0 skipped, 0 failed"
    numbers = (1001, 1002, 1003)
    kinds = ("alpha", "composite", "cutout")
    made = sorted(path for path in Path("out").rglob("*.exr"))
    assert made == [Path(f"out/{kind}/plate.{number}.exr") for kind in kinds for number in numbers]
    for number in numbers:
        plain = seen_by_openexr(shot / f"plate.{number}.exr")[0]
        for kind in kinds:
            header = seen_by_openexr(Path(f"out/{kind}/plate.{number}.exr"))[0]
            assert header["timeCode"].frame == plain["timeCode"].frame == number % 10
            assert header["FramesPerSecond"] == 25
            assert windows(Path(f"out/{kind}/plate.{number}.exr"))[0] == (-4, -2, 140, 132)
        cut = read_image(f"out/cutout/plate.{number}.exr")
        plate = read_image(shot / f"plate.{number}.exr").light
        assert cut.light is not None and cut.alpha is not None and plate is not None
        known = cut.alpha == 1
        assert plate[known].max() > 1.5
        np.testing.assert_allclose(cut.light[known], plate[known], rtol=2e-3, atol=1e-3)
    before = {path: path.read_bytes() for path in made}
    assert last(a2u(*words)) == "0 done, 3 skipped, 0 failed"
    assert {path: path.read_bytes() for path in made} == before
    assert last(a2u(*words[:-2])) == "3 done, 0 skipped, 0 failed"  # no longer choked


def test_mattes_of_a_sequence_are_finished_after_they_are_steadied(
    a2u: RunA2U, tmp_path: Path
) -> None:
    for number, frame in enumerate(moving(2), 1):
        write_image(tmp_path / "frames" / f"p.{number:04}.png", frame.image)
        write_image(tmp_path / "keys" / f"p.{number:04}.png", frame.trimap)
    words = ("sequence", tmp_path / "frames", "--trimaps", tmp_path / "keys", "--depth", "16")
    how = ("--levels", "5%,95%,1.5", "--choke", "1", "--feather", "2")
    for name, finishing in (("raw", ()), ("done", how)):
        run = a2u(*words, "-o", tmp_path / name, *finishing)
        assert run.code == 0, run.stderr
    for number in (1, 2):
        raw, found = (
            read_grey(tmp_path / name / "alpha" / f"p.{number:04}.png") for name in ("raw", "done")
        )
        expected = finish(raw, Finish((0.05, 0.95, 1.5), 1, 2))
        np.testing.assert_allclose(found, expected, atol=1e-3)
        assert not np.allclose(found, raw, atol=0.05)


def test_plates_stay_light_unless_a_program_is_named(a2u: RunA2U, shot: Path) -> None:
    words = ("sequence", "plates/plate.####.exr", "--trimaps", "keys", "--save", "alpha,cutout")
    assert a2u(*words, "-o", "told", "--for", "nuke").code == 0
    run = a2u(*words, "-o", "out")
    assert run.code == 0, run.stderr
    assert "sRGB" not in run.stderr
    told, made = (
        {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*.exr")}
        for folder in ("told", "out")
    )
    assert len(made) == 6
    assert made == told
    assert a2u(*words, "-o", "full", "--depth", "32").code == 0
    spec = seen_by_oiio(Path("full/cutout/plate.1001.exr"))[0]
    assert spec.format.basesize() == 4
    run = a2u(*words, "-o", "none", "--depth", "8")
    assert run.code == 2
    assert "frames of light become OpenEXR, expected 16 or 32; --for after-effects" in last(run)
    assert not Path("none").exists()


def test_frames_of_floats_are_light_and_others_are_not(tmp_path: Path) -> None:
    picture = np.full((8, 8, 3), 0.5, np.float32)
    for name, depth in (("float", 32), ("whole", 16)):
        write_image(tmp_path / name / "p.0002.tif", picture, depth=depth, light=depth == 32)
        (tmp_path / name / "p.0001.tif").write_bytes(b"broken")  # tells nothing
    assert find_frames(tmp_path / "float").in_light
    assert not find_frames(tmp_path / "whole").in_light


def test_without_the_extra_plates_say_what_else_there_is(
    a2u: RunA2U, shot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    run = a2u("sequence", "plates", "--trimaps", "keys", "-o", "out")
    assert run.code == 2
    assert "pip install" in last(run)
    assert len(run.stderr.splitlines()) == 1
    assert not Path("out").exists()


def test_in_a_run_clipped_light_is_told_in_one_line(a2u: RunA2U, shot: Path) -> None:
    words = ("sequence", "plates", "--trimaps", "keys", "-o", "out", "--save", "cutout,composite")
    run = a2u(*words, "--for", "after-effects")
    assert run.code == 0, run.stderr
    lines = [line for line in run.stderr.splitlines() if "sRGB" in line]
    assert lines == [
        "warning: in 6 results light beyond what sRGB holds is clipped; --for nuke, or .exr, "
        "keeps it"
    ]
    cut, plate = read_image("out/cutout/plate.1001.png"), read_image(shot / "plate.1001.exr")
    assert cut.alpha is not None and plate.light is not None
    known = cut.alpha == 1
    shown = from_linear(np.clip(plate.light, 0, 1))
    np.testing.assert_allclose(cut.image[known], shown[known], atol=1e-3)


def test_a_film_is_not_made_of_cut_outs_of_light(a2u: RunA2U, shot: Path) -> None:
    words = ("sequence", "plates", "--trimaps", "keys", "-o", "out", "--save", "cutout")
    run = a2u(*words, "--for", "nuke", "--film", "out.mov")
    assert run.code == 2
    assert "would be light in an OpenEXR, expected sRGB values; leave --film out" in last(run)
    assert not Path("out").exists()
