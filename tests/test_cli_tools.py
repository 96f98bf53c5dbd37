"""`a2u trimap`, `a2u composite`, `a2u cutout`: a file in, a file out, a line where it fails."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import RunA2U

from a2u_cli.images import read_grey, read_image, write_image

Array = np.ndarray
pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    levels = np.zeros((60, 80), np.uint8)
    levels[20:40, 20:60] = 255
    write_image(tmp_path / "маска 1.png", levels)
    return tmp_path / "маска 1.png"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    image = np.random.default_rng(4).random((60, 80, 3), np.float32)
    write_image(tmp_path / "photo.png", image)
    return tmp_path / "photo.png"


def test_a_trimap_is_made_from_a_mask(run_a2u: RunA2U, mask: Path, tmp_path: Path) -> None:
    run = run_a2u("trimap", mask, "--inside", "3", "--outside", "5px")
    path = tmp_path / "маска 1_trimap.png"
    assert (run.code, run.stdout.decode().strip()) == (0, str(path))
    levels = np.rint(255 * read_grey(path)).astype(int)
    assert set(np.unique(levels)) == {0, 128, 255}
    assert [levels[30, x] for x in (14, 15, 22, 23)] == [0, 128, 128, 255]
    again = run_a2u("trimap", mask)
    assert (again.code, "exists; choose another output" in again.stderr) == (2, True)
    assert run_a2u("trimap", "make", mask, "--force", "--band", "2%").code == 0


def test_the_transparency_of_a_picture_is_a_mask(run_a2u: RunA2U, tmp_path: Path) -> None:
    rgba = np.ones((30, 30, 4), np.float32)
    rgba[:15, :, 3] = 0
    write_image(tmp_path / "rgba.png", rgba)
    run = run_a2u("trimap", tmp_path / "rgba.png", "--band", "2", "-o", tmp_path / "t.png")
    assert run.code == 0
    levels = np.rint(255 * read_grey(tmp_path / "t.png")[:, 0]).astype(int)
    assert list(levels[11:19]) == [0, 0, 128, 128, 128, 128, 255, 255]


@pytest.mark.parametrize(
    ("levels", "arguments", "text"),
    [
        (0, [], "has no edge"),
        (255, [], "has no edge"),
        (None, ["--band", "wide"], "is no width; expected pixels"),
        (None, ["-o", "x.jpg"], "JPEG would blur the trimap"),
        (None, ["-o", "x.avif"], "AVIF would blur the trimap"),
        (None, ["-o", "x.exr"], "OpenEXR cannot hold 8 bits a channel"),
        (None, ["-o", "x.gif"], "expected one of .png"),
    ],
)
def test_no_trimap_is_made_of_what_cannot_be_one(
    run_a2u: RunA2U, mask: Path, levels: int | None, arguments: list[str], text: str
) -> None:
    if levels is not None:
        write_image(mask, np.full((9, 9), levels, np.uint8))
    run = run_a2u("trimap", mask, *arguments)
    assert run.code == 2
    assert run.stderr.count("\n") == 1 and text in run.stderr


def test_check_says_what_is_in_a_trimap(run_a2u: RunA2U, tmp_path: Path, photo: Path) -> None:
    rgba = np.zeros((60, 80, 4), np.uint8)
    rgba[..., 3] = 255
    rgba[:20, :, :3], rgba[20:40, :, :3] = 255, 102
    rgba[0, 0, 0] = 240
    rgba[50:, 0, 3] = 0
    write_image(tmp_path / "t.png", rgba)
    run = run_a2u("trimap", "check", tmp_path / "t.png", "--image", photo)
    out = run.stdout.decode()
    assert run.code == 0, run.stderr
    assert "80x60, 8 bits, background 33.3 %, unknown 33.3 %, foreground 33.3 %" in out
    assert "1601 pixels are neither 0, 128 nor 255" in out
    assert "alpha channel, which is ignored" in out and "it has colours" in out
    facts = json.loads(run_a2u("trimap", "check", tmp_path / "t.png", "--json").stdout)
    assert (facts["width"], facts["height"], facts["depth"]) == (80, 60, 8)
    assert len(facts["warnings"]) == 3
    write_image(tmp_path / "small.png", np.zeros((6, 8, 3), np.uint8))
    run = run_a2u("trimap", "check", tmp_path / "t.png", "--image", tmp_path / "small.png")
    assert (run.code, "resize one" in run.stderr) == (2, True)


def test_matte_takes_a_mask_in_place_of_a_trimap(
    run_a2u: RunA2U, photo: Path, mask: Path, weights: Path
) -> None:
    fixed = ("--weights", weights, "--device", "cpu", "--json")
    run = run_a2u("matte", photo, "--mask", mask, "--band", "4", *fixed)
    assert run.code == 0, run.stderr
    alpha = read_grey(photo.with_name("photo_alpha.png"))
    assert alpha[0, 0] == 0 and alpha[30, 40] == 1
    assert 0 < json.loads(run.stdout)["unknown"] < 0.3
    for wrong in ((), ("--mask", mask, "--trimap", mask)):
        run = run_a2u("matte", photo, *wrong, *fixed)
        assert (run.code, "either --trimap, or --mask" in run.stderr) == (2, True)


@pytest.mark.parametrize("linear", [False, True])
def test_a_composite_shows_the_foreground_on_the_background(
    run_a2u: RunA2U, photo: Path, mask: Path, linear: bool
) -> None:
    run = run_a2u("composite", photo, "--alpha", mask, "-b", "#00ff00", *["--linear"] * linear)
    path = photo.with_name("photo_composite.png")
    assert (run.code, run.stdout.decode().strip()) == (0, str(path))
    mixed, image = read_image(path).image, read_image(photo).image
    np.testing.assert_allclose(mixed[30, 40], image[30, 40], atol=1 / 255)
    np.testing.assert_array_equal(mixed[0, 0], (0, 1, 0))


def test_a_cut_out_is_composed_without_a_matte(run_a2u: RunA2U, photo: Path, mask: Path) -> None:
    assert run_a2u("cutout", photo, "-a", mask).code == 0
    cut = photo.with_name("photo_cutout.png")
    picture = read_image(cut)
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, read_grey(mask))
    out = photo.with_name("c.png")
    assert run_a2u("composite", cut, "-b", photo, "--fit", "tile", "-o", out).code == 0
    np.testing.assert_array_equal(read_image(out).image[0, 0], read_image(photo).image[0, 0])
    run = run_a2u("cutout", photo, "-a", mask, "--premultiplied", "--force", "--depth", "16")
    assert run.code == 0
    assert read_image(cut).depth == 16
    assert read_image(cut).image[0, 0].max() == 0


def test_what_does_not_fit_is_refused(run_a2u: RunA2U, photo: Path, mask: Path) -> None:
    write_image(mask.with_name("small.png"), np.zeros((5, 5), np.uint8))
    for arguments, text in (
        (("composite", photo), "has no transparency; give its matte with --alpha"),
        (("cutout", photo), "has no transparency; give its matte with --alpha"),
        (("cutout", photo, "-a", mask.with_name("small.png")), "is 5x5 but"),
        (("composite", photo, "-a", mask, "-b", "nowhere.png"), "neither a file nor a colour"),
        (("composite", photo, "-a", mask, "-o", photo), "is an input or another output"),
    ):
        run = run_a2u(*arguments)
        assert (run.code, text in run.stderr) == (2, True), run.stderr


def test_folders_keep_their_tree_and_name_what_failed(run_a2u: RunA2U, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    alpha = np.repeat(np.linspace(0, 1, 40, dtype=np.float32)[None], 30, 0)
    photos, mattes, beaches = tmp_path / "photos", tmp_path / "mattes", tmp_path / "beaches"
    for name in ("a", "deep/b", "alone"):
        write_image(photos / f"{name}.png", rng.random((30, 40, 3), np.float32))
    for name in ("a_alpha", "deep/b"):
        write_image(mattes / f"{name}.png", alpha)
    for name, grey in (("a", 0.25), ("z", 0.75)):
        write_image(beaches / f"{name}.png", np.full((30, 40, 3), grey, np.float32))

    made = run_a2u("trimap", str(mattes), "-o", str(tmp_path / "trimaps"))
    assert made.code == 0
    assert {p.name for p in (tmp_path / "trimaps").rglob("*.png")} == {"a_alpha.png", "b.png"}
    checked = run_a2u("trimap", "check", str(tmp_path / "trimaps"), "--json")
    facts = [json.loads(line) for line in checked.stdout.splitlines()]
    assert [Path(fact["trimap"]).name for fact in facts] == ["a_alpha.png", "b.png"]

    laid = run_a2u("composite", str(photos), "--alpha", str(mattes), "-b", str(beaches))
    assert laid.code == 1
    assert laid.stderr.splitlines()[-2:] == [
        f"failed: {photos / 'alone.png'}: no matte",
        "2 done, 1 failed",
    ]
    out = photos / "a2u_output" / "composite"
    assert read_image(out / "a.png").image[0, 0] == pytest.approx(64 / 255)  # of its own name
    assert (out / "deep" / "b.png").is_file()

    (photos / "alone.png").unlink()
    cut = run_a2u("cutout", str(photos), "--alpha", str(mattes), "-o", str(tmp_path / "cut"))
    assert cut.code == 0
    again = run_a2u("composite", str(tmp_path / "cut"), "-o", str(tmp_path / "laid"))
    assert again.code == 0
    assert (tmp_path / "laid" / "deep" / "b.png").is_file()
    skipped = run_a2u("composite", str(tmp_path / "cut"), "-o", str(tmp_path / "laid"))
    assert skipped.code == 0
    assert skipped.stderr.splitlines()[-1] == "0 done, 2 skipped, 0 failed"
