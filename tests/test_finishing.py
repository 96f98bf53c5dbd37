"""A matte is finished by the formulas that the page states, and a cut-out lies where it was put."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import RunA2U
from PIL import Image, ImageCms

from a2u_cli.errors import A2UError, ImageError, OutOfMemory
from a2u_cli.foreground import composite, estimate_foreground
from a2u_cli.images import read_grey, read_image, write_image
from a2u_cli.images.memory import Bound
from a2u_cli.jobs.journal import JOURNAL
from a2u_cli.jobs.options import OUTPUTS, Options
from a2u_cli.jobs.places import hash_file, make_recipe
from a2u_cli.matting.finishing import (
    PLACES,
    UNFINISHED,
    Finish,
    choke,
    content_box,
    crop,
    crop_to_content,
    extend_colours,
    feather,
    finish,
    padding_pixels,
    place,
    read_canvas,
    read_levels,
    read_place,
    read_scale,
    set_levels,
)

Array = np.ndarray
RED, GREEN = (0.9, 0.1, 0.1), (0.1, 0.8, 0.2)


def disk(radius: float, soft: float = 1.0, side: int = 65) -> Array:
    """A round matte whose edge is a ramp of so many pixels."""
    rows, columns = np.mgrid[:side, :side] - side // 2
    distance = np.hypot(rows, columns)
    return np.clip((radius - distance) / soft + 0.5, 0, 1).astype(np.float32)


# The matte


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("5%,95%", (0.05, 0.95, 1)),
        ("0.05,0.95", (0.05, 0.95, 1)),
        ("0,1,2", (0, 1, 2)),
        ("10%, 0.9, 0.5", (0.1, 0.9, 0.5)),
    ],
)
def test_levels_are_read_as_shares_or_percent(
    text: str, levels: tuple[float, float, float]
) -> None:
    assert read_levels(text) == pytest.approx(levels)


def test_levels_stretch_between_black_and_white_and_a_gamma_above_1_makes_more_opaque() -> None:
    alpha = np.array([[0, 0.2, 0.5, 0.8, 1]], np.float32)
    np.testing.assert_allclose(set_levels(alpha, 0.2, 0.8), [[0, 0, 0.5, 1, 1]], atol=1e-6)
    found = set_levels(alpha, 0.2, 0.8, 2.0)
    np.testing.assert_allclose(found, [[0, 0, math.sqrt(0.5), 1, 1]], atol=1e-6)


@pytest.mark.parametrize("pixels", [0.25, 0.5, 1, 1.5, 2, 3.7, -0.5, -1, -2.3])
def test_a_choke_moves_an_edge_by_its_pixels_in_every_direction(pixels: float) -> None:
    found = choke(disk(20), pixels)
    assert math.sqrt(found.sum() / math.pi) == pytest.approx(20 - pixels, abs=0.06)
    across, diagonal = found[32, 32:].sum() - 0.5, np.diag(found)[32:].sum() - 0.5
    assert across == pytest.approx(20 - pixels, abs=0.02)
    assert diagonal * math.sqrt(2) == pytest.approx(20 - pixels, abs=0.25)  # a coarser ruler


@pytest.mark.parametrize("pixels", [1, 2.5, -3])
def test_a_choke_leaves_a_soft_edge_as_soft(pixels: float) -> None:
    found = choke(disk(18, soft=16), pixels)
    np.testing.assert_allclose(found, disk(18 - pixels, soft=16), atol=0.02)


@pytest.mark.parametrize("pixels", [0.6, 1.7, -1.7])
def test_a_choke_is_the_least_alpha_on_a_disk(rng: np.random.Generator, pixels: float) -> None:
    alpha = rng.random((7, 9), np.float32)
    radius, pick = abs(pixels), min if pixels > 0 else max
    expected = np.empty_like(alpha)
    turns = 2 * np.pi * np.arange(16) / 16
    offsets = [(radius * math.sin(turn), radius * math.cos(turn)) for turn in turns]
    offsets += [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y * y + x * x <= radius**2]
    padded = np.pad(alpha, 4, mode="edge").astype(np.float64)
    for row, column in np.ndindex(alpha.shape):
        seen = []
        for down, across in offsets:
            y, x = row + 4 + down, column + 4 + across
            top, left = math.floor(y), math.floor(x)
            upper, lower = padded[top : top + 2, left : left + 2] @ (left + 1 - x, x - left)
            seen.append(upper * (top + 1 - y) + lower * (y - top))
        expected[row, column] = pick(seen)
    np.testing.assert_allclose(choke(alpha, pixels), expected, atol=1e-5)


def test_a_choke_eats_hair_where_levels_leave_it() -> None:
    alpha = disk(10)
    alpha[32] = np.maximum(alpha[32], 0.6)  # a strand of one pixel
    assert choke(alpha, 1)[32, 60] == 0
    assert set_levels(alpha, 0.1, 0.9)[32, 60] == pytest.approx(0.625)


@pytest.mark.parametrize("pixels", [1.0, 4.0])
def test_a_feather_is_a_gaussian_of_half_its_pixels(pixels: float) -> None:
    edge = np.repeat((np.arange(60) >= 30).astype(np.float32)[None], 5, 0)
    found = feather(edge, pixels)
    weights = np.exp(-0.5 * (np.arange(-60, 61) / (pixels / 2)) ** 2)
    ramp = np.cumsum(weights / weights.sum())[30:90]  # of the edge at 30, seen from each pixel
    np.testing.assert_allclose(found, np.repeat(ramp[None], 5, 0), atol=2e-3)
    reach = math.ceil(pixels)
    assert found[2, 29 - reach] < 0.025 and found[2, 30 + reach] > 0.975
    np.testing.assert_allclose(feather(np.ones((6, 3), np.float32), 8), 1, atol=1e-6)


def test_beyond_the_border_a_matte_goes_on_as_it_ends_there() -> None:
    alpha = np.zeros((20, 20), np.float32)
    alpha[:, 10:] = 1
    for finished in (choke(alpha, 3), choke(alpha, -3), feather(alpha, 3)):
        np.testing.assert_allclose(finished, np.repeat(finished[:1], 20, 0), atol=1e-6)
        assert finished[0, -1] == pytest.approx(1) and finished[0, 0] == 0


def test_a_matte_is_finished_in_one_order() -> None:
    alpha, how = disk(20, soft=8), Finish((0.1, 0.9, 1.3), 1.5, 2)
    expected = feather(choke(set_levels(alpha, *how.levels), 1.5), 2)
    np.testing.assert_array_equal(finish(alpha, how), expected)
    assert finish(alpha, how).dtype == np.float32


def test_nothing_given_leaves_every_bit(rng: np.random.Generator) -> None:
    alpha = rng.random((9, 7), np.float32)
    before = alpha.copy()
    assert finish(alpha, UNFINISHED) is alpha
    for how in (Finish((0.2, 0.7, 2)), Finish(choke=1), Finish(feather=1)):
        finish(alpha, how)
        np.testing.assert_array_equal(alpha, before)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Finish((0.5, 0.5, 1)), "expected 0 <= black < white <= 1"),
        (lambda: Finish((-0.1, 1, 1)), "levels of black -0.1"),
        (lambda: Finish((0, 1.2, 1)), "white 1.2"),
        (lambda: Finish((math.nan, 1, 1)), "levels of black nan"),
        (lambda: Finish((0, 1, 0)), "a gamma from 0.01 to 100"),
        (lambda: Finish(choke=math.nan), "a choke of nan pixels"),
        (lambda: Finish(choke=-51), "expected from -50"),
        (lambda: Finish(feather=-1), "a feather of -1 pixels, expected from 0"),
        (lambda: Finish(feather=math.inf), "a feather of inf"),
        (lambda: read_levels("10"), "expected BLACK,WHITE or BLACK,WHITE,GAMMA"),
        (lambda: read_levels("0,1,1,1"), "cannot be read"),
        (lambda: read_levels("0,one"), "cannot be read"),
        (lambda: read_levels("10,245"), "expected 0 <= black < white <= 1"),
        (lambda: padding_pixels("50%", (1, 1)), "less than 50%"),
        (lambda: padding_pixels("-5", (1, 1)), "expected pixels as 20"),
        (lambda: read_canvas("2000"), "expected pixels as 2000x1500"),
        (lambda: read_canvas("0x10"), "is no size"),
        (lambda: read_place("middle"), "expected X,Y in pixels, or center, top"),
        (lambda: read_scale("0%"), "expected up to 100% of what fits"),
        (lambda: read_scale("101%"), "or original"),
        (lambda: read_scale("2"), "cannot be had"),
        (lambda: Options(crop="wide"), "padding 'wide' cannot be had"),
        (lambda: finish(np.zeros((2, 2), np.uint8), UNFINISHED), "expected floats"),
    ],
)
def test_impossible_numbers_are_refused_in_one_line(make: Callable[[], object], text: str) -> None:
    with pytest.raises(A2UError) as error:
        make()
    assert text in str(error.value) and "\n" not in str(error.value)


def test_hidden_pixels_get_the_colour_of_the_nearest_that_is_seen() -> None:
    alpha = np.zeros((5, 9), np.float32)
    alpha[:, 0], alpha[:, 8] = 1, 0.2
    colours = np.zeros((5, 9, 3), np.float32)
    colours[:, 0], colours[:, 8] = RED, GREEN
    found = extend_colours(colours, alpha)
    np.testing.assert_allclose(found[:, :4], np.broadcast_to(np.float32(RED), (5, 4, 3)))
    np.testing.assert_allclose(found[:, 5:], np.broadcast_to(np.float32(GREEN), (5, 4, 3)))
    for shape in (np.zeros_like(alpha), np.ones_like(alpha)):
        assert extend_colours(colours, shape) is colours


# The frame


def test_percent_of_padding_are_of_the_result() -> None:
    assert [padding_pixels(text, (40, 90)) for text in ("0", "7", "7px", "5%")] == [0, 7, 7, 5]
    alpha = np.zeros((60, 200), np.float32)
    alpha[20:40, 50:140] = 1
    box = content_box(alpha, padding="5%", depth=8)
    assert box == (15, 45, 45, 145)  # 90 of 100 are content


def test_content_is_what_is_not_0_at_the_output_s_depth() -> None:
    alpha = np.zeros((9, 9), np.float32)
    alpha[4, 4], alpha[1, 2] = 1, 1e-3
    assert content_box(alpha, padding="0", depth=8) == (4, 4, 5, 5)
    assert content_box(alpha, padding="0", depth=16) == (1, 2, 5, 5)
    alpha[4, 4] = 0
    with pytest.raises(ImageError, match="x is empty at 8 bits, expected an object to crop to"):
        content_box(alpha, padding="0", depth=8, name="x")


def test_beyond_the_picture_there_is_transparent_room(rng: np.random.Generator) -> None:
    colours, alpha = rng.random((4, 5, 3), np.float32), np.ones((4, 5), np.float32)
    box = (-2, -1, 5, 9)
    shape, wide = crop(alpha, box), crop(colours, box)
    assert shape.shape == (7, 10) and wide.shape == (7, 10, 3)
    np.testing.assert_array_equal(shape[2:6, 1:6], alpha)
    np.testing.assert_array_equal(wide[2:6, 1:6], colours)
    assert shape.sum() == alpha.sum()
    np.testing.assert_array_equal(wide[0, 1:6], colours[0])
    np.testing.assert_array_equal(crop(alpha, (1, 2, 3, 4)), alpha[1:3, 2:4])


def test_padding_that_memory_cannot_hold_is_refused_before_it_is_made() -> None:
    with pytest.raises(OutOfMemory, match="cropped and padded, is 20005x20005"):
        crop_to_content(
            disk(2, side=9), padding="10000", depth=8, bound=Bound(1 << 20), name="x.png"
        )


@pytest.mark.parametrize("scale", ["100%", "31%", "original"])
@pytest.mark.parametrize("side", [17, 50, 230])
def test_a_white_object_on_white_has_no_fringe(side: int, scale: str) -> None:
    alpha = disk(14, soft=5)
    colours = np.zeros((65, 65, 3), np.float32)  # black where nothing is seen
    colours[alpha > 0] = 1
    foreground, shape = place(colours, alpha, (side, side), scale=scale)
    assert shape.shape == (side, side) and shape.min() >= 0 and shape.max() <= 1
    mixed = composite(foreground, shape, np.ones((side, side, 3), np.float32))
    np.testing.assert_allclose(mixed, 1, atol=1e-6)
    dark = composite(foreground, shape, np.zeros((side, side, 3), np.float32))
    np.testing.assert_allclose(dark, np.repeat(shape[..., None], 3, 2), atol=1e-6)


def test_what_is_placed_fits_the_canvas_and_keeps_its_shape() -> None:
    alpha = np.ones((10, 40), np.float32)
    colours = np.ones((10, 40, 3), np.float32)

    def box(**words: str) -> tuple[int, ...]:
        shape = place(colours, alpha, (50, 80), **words)[1]
        return content_box(shape, padding="0", depth=8)

    assert box() == (15, 0, 35, 80)
    assert box(scale="50%") == (20, 20, 30, 60)
    assert box(scale="original") == (20, 20, 30, 60)
    assert box(scale="50%", where="bottom") == (40, 20, 50, 60)
    assert box(scale="50%", where="top-right") == (0, 40, 10, 80)
    assert box(scale="50%", where="7,3") == (3, 7, 13, 47)
    assert set(PLACES) == {"center", *("top", "bottom", "left", "right")} | {
        f"{side}-{end}" for side in ("top", "bottom") for end in ("left", "right")
    }


def test_what_lies_beyond_the_canvas_is_told_or_refused(said: Callable[[], list[str]]) -> None:
    alpha = np.ones((10, 40), np.float32)
    colours = np.ones((10, 40, 3), np.float32)
    words = {"scale": "original", "name": "x.png"}
    shape = place(colours, alpha, (50, 80), where="-30,45", **words)[1]
    assert shape.sum() == 50 and shape[45:, :10].all()
    assert said() == ["x.png reaches beyond the canvas: what lies there is cut off"]
    with pytest.raises(ImageError, match=r"x\.png would lie beyond the canvas of 80x50"):
        place(colours, alpha, (50, 80), where="80,0", **words)
    alpha[:, :30] = 0  # what is not seen may lie there
    place(colours, alpha, (50, 80), where="-30,0", **words)
    assert len(said()) == 1


# The commands


def laid(alpha: Array) -> Array:
    """A red object before green."""
    red, green = (np.broadcast_to(np.float32(c), (*alpha.shape, 3)).copy() for c in (RED, GREEN))
    return composite(red, alpha, green)


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Path, weights: Path
) -> Path:
    """A picture with its matte, a cut-out of it, and a folder to matte."""
    alpha = disk(10, soft=6)[8:56]  # (48, 65)
    trimap = np.where(alpha == 0, 0, np.where(alpha == 1, 255, 128)).astype(np.uint8)
    own = np.where(alpha[..., None] > 0, np.float32(RED), np.float32(GREEN))  # hidden: green
    exif = Image.Exif()
    exif[0x010E] = "a ball"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_image(tmp_path / "p.png", laid(alpha), exif=exif.tobytes(), icc=icc)
    write_image(tmp_path / "a.png", alpha)
    write_image(tmp_path / "cut.png", own, alpha=alpha)
    write_image(tmp_path / "photos" / "p.png", laid(alpha))
    write_image(tmp_path / "photos" / "p_trimap.png", trimap)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A2U_WEIGHTS", str(weights))
    monkeypatch.setenv("A2U_DEVICE", "cpu")
    return tmp_path


def done(run_a2u: RunA2U, command: str) -> str:
    """Run a command that has to succeed, and give what it said."""
    run = run_a2u(*command.split())
    assert run.code == 0, run.stderr
    return run.stderr


ALL = "--levels 10%,90% --choke 1 --feather 2"
HOW = Finish((0.1, 0.9, 1), 1, 2)


@pytest.mark.parametrize("colours", ["multilevel", "blur-fusion"])
def test_colours_belong_to_the_matte_before_it_is_finished(
    run_a2u: RunA2U, folder: Path, colours: str
) -> None:
    image, alpha = read_image(folder / "p.png").image, read_grey(folder / "a.png")
    for options in ("", f"{ALL} --choke -3"):
        name = f"{bool(options)}.png"
        done(run_a2u, f"cutout p.png -a a.png --colours {colours} {options} -o {name}")
    plain, finished = read_image(folder / "False.png"), read_image(folder / "True.png")
    seen = alpha > 0
    np.testing.assert_array_equal(plain.image[seen], finished.image[seen])
    expected = estimate_foreground(image, alpha, method=colours)  # type: ignore[arg-type]
    np.testing.assert_allclose(finished.image[seen], expected[seen], atol=0.51 / 255)
    np.testing.assert_allclose(
        finished.alpha, finish(alpha, replace(HOW, choke=-3)), atol=0.51 / 255
    )
    assert np.abs(finished.image[finished.alpha > 0] - RED).max() < 0.05  # also where it is spread


def test_a_spread_shows_nothing_that_a_cut_out_hid(run_a2u: RunA2U, folder: Path) -> None:
    done(run_a2u, "composite cut.png -b #e61a1a --choke -3 --feather 3 -o laid.png")
    mixed = read_image(folder / "laid.png").image
    np.testing.assert_allclose(mixed, np.broadcast_to(np.float32(RED), mixed.shape), atol=0.01)


def test_a_matte_and_its_cut_out_are_finished_alike(run_a2u: RunA2U, folder: Path) -> None:
    pair = "matte photos/p.png -t photos/p_trimap.png"
    done(run_a2u, f"{pair} -o raw.png --cutout raw_cut.png")
    done(run_a2u, f"{pair} -o done.png --cutout done_cut.png --choke 1")
    raw, finished = read_grey(folder / "raw.png"), read_grey(folder / "done.png")
    np.testing.assert_allclose(finished, choke(raw, 1), atol=1 / 255)  # of a matte in 8 bits
    assert not np.array_equal(raw, finished)
    cut = read_image(folder / "done_cut.png")
    np.testing.assert_array_equal(cut.alpha, finished)
    np.testing.assert_array_equal(cut.image, read_image(folder / "raw_cut.png").image)


def test_a_crop_keeps_the_pixels_and_what_the_file_says(run_a2u: RunA2U, folder: Path) -> None:
    done(run_a2u, "cutout p.png -a a.png -o whole.png")
    done(run_a2u, "cutout p.png -a a.png --crop 3 -o cropped.png")
    done(run_a2u, "cutout p.png -a a.png --crop 30 -o beyond.png")
    whole, cropped = read_image(folder / "whole.png"), read_image(folder / "cropped.png")
    top, left, bottom, right = content_box(whole.alpha, padding="3", depth=8)
    np.testing.assert_array_equal(cropped.image, whole.image[top:bottom, left:right])
    np.testing.assert_array_equal(cropped.alpha, whole.alpha[top:bottom, left:right])
    beyond = read_image(folder / "beyond.png")
    assert beyond.size == (bottom - top + 54, right - left + 54)
    assert not beyond.alpha[:20].any() and beyond.alpha.sum() == pytest.approx(whole.alpha.sum())
    with Image.open(folder / "cropped.png") as file:
        assert file.getexif()[0x010E] == "a ball" and file.info["icc_profile"]
    write_image(folder / "empty.png", np.zeros((48, 65), np.uint8))
    run = run_a2u("cutout", "p.png", "-a", "empty.png", "--crop", "0", "-o", "none.png")
    assert (run.code, "p.png is empty at 8 bits" in run.stderr) == (2, True)
    assert not (folder / "none.png").exists()


def test_a_product_stands_in_the_middle_of_its_canvas(run_a2u: RunA2U, folder: Path) -> None:
    alpha = np.zeros((48, 65), np.float32)
    alpha[3:21, 20:56] = 1
    write_image(folder / "box.png", laid(alpha), alpha=alpha)
    done(run_a2u, "composite box.png -b white --crop 5% --canvas 200x300 -o shop.png")
    mixed = read_image(folder / "shop.png").image
    assert mixed.shape == (300, 200, 3)
    red = mixed[..., 1] < 0.5
    rows, columns = (np.flatnonzero(red.any(axis)) for axis in (1, 0))
    assert [columns[0], columns[-1], rows[0], rows[-1]] == [10, 189, 105, 194]  # 5 % of 200
    assert mixed[0].min() == 1


def test_a_blur_behind_a_crop_is_that_of_what_is_seen(run_a2u: RunA2U, folder: Path) -> None:
    done(run_a2u, "composite p.png -a a.png -b blur --crop 4 -o blur.png")
    cropped = read_image(folder / "blur.png").image
    np.testing.assert_allclose(cropped[0, 0], GREEN, atol=0.05)
    done(run_a2u, "composite p.png -a a.png -b blur --canvas 30x90 --scale 50% -o tall.png")
    assert read_image(folder / "tall.png").size == (90, 30)


def test_a_canvas_that_memory_cannot_hold_is_refused(run_a2u: RunA2U, folder: Path) -> None:
    large = "--canvas", "30000x30000", "--max-memory", "2GB"
    run = run_a2u("composite", "p.png", "-a", "a.png", *large, "-o", "x.png")
    assert (run.code, "p.png on its canvas is 30000x30000" in run.stderr) == (4, True)
    assert not (folder / "x.png").exists()


def test_mattes_of_a_folder_are_finished_and_keep_their_size(run_a2u: RunA2U, folder: Path) -> None:
    batch = f"batch photos -o out --save {','.join(OUTPUTS)}"
    done(run_a2u, batch)
    out = folder / "out"
    raw = {kind: read_image(out / kind / "p.png") for kind in ("cutout", "foreground")}
    alpha = read_grey(out / "alpha" / "p.png")
    done(run_a2u, f"{batch} --choke 1 --crop 1")
    finished = read_grey(out / "alpha" / "p.png")
    np.testing.assert_allclose(finished, choke(alpha, 1), atol=1 / 255)
    assert not np.array_equal(alpha, finished)
    cut = read_image(out / "cutout" / "p.png")
    box = content_box(finished, padding="1", depth=8)
    np.testing.assert_array_equal(cut.alpha, crop(finished, box))
    np.testing.assert_array_equal(cut.image, crop(raw["cutout"].image, box))
    foreground = read_image(out / "foreground" / "p.png").image
    np.testing.assert_array_equal(foreground, raw["foreground"].image)
    assert read_image(out / "composite" / "p.png").size == cut.size
    assert "0 done, 1 skipped" in done(run_a2u, f"{batch} --choke 1 --crop 1")


# What was made before


def test_what_is_not_finished_is_called_done_as_before() -> None:
    late = Options(finish=HOW, crop="5%", save=OUTPUTS)
    plain = Options(save=OUTPUTS)
    of = {kind: (late.of_output(kind, is_mask=False), plain) for kind in OUTPUTS}
    assert of["foreground"][0] == plain.of_output("foreground", is_mask=False)
    alpha = of["alpha"][0]
    assert (alpha.finish, alpha.crop) == (HOW, None)
    assert (of["cutout"][0].finish, of["cutout"][0].crop) == (HOW, "5%")
    assert len({options.digest for options, _ in of.values()}) == 4
    assert Options().digest == "98aa9c726ea871ea"  # of version 0.1.0


@pytest.mark.parametrize(
    ("command", "shaping"),
    [
        ("cutout", ("cutout", "multilevel", False, None, False, False)),
        (
            "composite",
            ("composite", "multilevel", "white", "cover", False, None, False, False),
        ),
    ],
)
def test_results_of_folders_made_before_there_was_finishing_hold(
    run_a2u: RunA2U, folder: Path, command: str, shaping: tuple[object, ...]
) -> None:
    write_image(folder / "mattes" / "p.png", read_grey(folder / "a.png"))
    done(run_a2u, f"{command} photos -a mattes -o out")
    entry = json.loads((folder / "out" / JOURNAL).read_text().splitlines()[-1])
    files = [hash_file(folder / name) for name in ("photos/p.png", "mattes/p.png")]
    assert make_recipe(files, shaping) in json.dumps(entry)
    assert "1 skipped" in done(run_a2u, f"{command} photos -a mattes -o out")
    assert "1 done" in done(run_a2u, f"{command} photos -a mattes -o out {ALL} --crop 2")
    assert "1 skipped" in done(run_a2u, f"{command} photos -a mattes -o out {ALL} --crop 2")
