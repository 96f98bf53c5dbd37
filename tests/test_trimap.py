"""A trimap means the same however it was drawn, and one that cannot be used is refused in words."""

from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from a2u_cli.errors import TrimapError
from a2u_cli.images import read_grey, write_image
from a2u_cli.images.meaning import look_at, read_matte
from a2u_cli.trimap import (
    UNKNOWN,
    TrimapShares,
    band_pixels,
    check_pair,
    describe,
    make_trimap,
    parse_trimap,
    read_trimap,
    restore_known,
)
from a2u_cli.units import BACKGROUND, FOREGROUND

Levels = npt.NDArray[np.uint8]
NAMES = ("photo.png", "trimap.png")


def clean_trimap(height: int = 40, width: int = 60) -> Levels:
    trimap = np.full((height, width), BACKGROUND, np.uint8)
    trimap[height // 4 : -height // 4, width // 4 : -width // 4] = UNKNOWN
    trimap[height // 3 : -height // 3, width // 3 : -width // 3] = FOREGROUND
    return trimap


def grey(*levels: int) -> npt.NDArray[np.float32]:
    return np.array([levels], np.float32) / np.float32(255)


def reread(picture: Image.Image, kind: str = "PNG", **options: int) -> Levels:
    stream = BytesIO()
    picture.save(stream, kind, **options)
    return parse_trimap(read_grey(stream.getvalue()))


# Parsing


def test_tenths_at_either_end_are_known() -> None:
    parsed = parse_trimap(grey(0, 25, 26, 102, 127, 128, 229, 230, 255))
    assert parsed.dtype == np.uint8
    np.testing.assert_array_equal(parsed, [[0, 0, 128, 128, 128, 128, 128, 255, 255]])


def test_a_tenth_itself_is_known_and_what_lies_within_is_not() -> None:
    inner = np.nextafter([0.1, 0.9], 0.5)
    parsed = parse_trimap(np.array([[0.1, inner[0], inner[1], 0.9]]))
    np.testing.assert_array_equal(parsed, [[0, 128, 128, 255]])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_ends_of_the_range_are_known_in_any_precision(dtype: type) -> None:
    np.testing.assert_array_equal(parse_trimap(np.array([[0, 1]], dtype)), [[0, 255]])


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7)))
def test_parsing_is_idempotent(levels: Levels) -> None:
    once = parse_trimap(levels / 255)
    assert set(np.unique(once)) <= {BACKGROUND, UNKNOWN, FOREGROUND}
    np.testing.assert_array_equal(parse_trimap(once / 255, strict=True), once)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_dirty_containers_mean_the_same_as_a_clean_grey_file(mode: str) -> None:
    trimap = clean_trimap()
    np.testing.assert_array_equal(reread(Image.fromarray(trimap).convert(mode)), trimap)


def test_transparency_of_a_trimap_means_nothing() -> None:
    trimap = clean_trimap()
    picture = Image.fromarray(trimap).convert("RGBA")
    picture.putalpha(Image.fromarray(255 - trimap))
    np.testing.assert_array_equal(reread(picture), trimap)


def test_a_palette_in_any_order_is_resolved() -> None:
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    picture.putpalette([255] * 3 + [0] * 3 + [128] * 3)
    np.testing.assert_array_equal(reread(picture, transparency=1), [[255, 0, 128]])


def test_grey_102_is_unknown() -> None:
    trimap = clean_trimap()
    drawn = np.where(trimap == UNKNOWN, 102, trimap).astype(np.uint8)
    np.testing.assert_array_equal(reread(Image.fromarray(drawn)), trimap)


def test_jpeg_noise_leaves_known_pixels_known() -> None:
    trimap = clean_trimap(240, 360)
    found = reread(Image.fromarray(trimap), "JPEG", quality=75)
    assert (found != trimap).mean() < 0.01
    flat = np.zeros((240, 360), bool)
    flat[:40] = True
    np.testing.assert_array_equal(found[flat], trimap[flat])


def test_strict_takes_exactly_three_levels() -> None:
    np.testing.assert_array_equal(
        parse_trimap(grey(0, 128, 255), strict=True), np.array([[0, 128, 255]])
    )


def test_strict_counts_and_names_other_greys() -> None:
    expected = (
        r"^dirty\.png has 4 pixels of other greys \(such as 102, 1, 127\), "
        r"expected only 0, 128 and 255; redraw them or do without strict$"
    )
    with pytest.raises(TrimapError, match=expected):
        parse_trimap(grey(0, 102, 1, 102, 127, 255), strict=True, name="dirty.png")
    with pytest.raises(TrimapError, match=r"has 1 pixel of other greys \(such as 3\)"):
        parse_trimap(grey(3), strict=True)


@pytest.mark.parametrize(
    "wrong",
    [
        np.array([[0, 128, 255]], np.float32),
        np.array([[1.5]]),
        np.array([[-0.1]]),
        np.array([[np.nan]]),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4)),
    ],
    ids=["levels", "above", "negative", "nan", "colours", "empty"],
)
def test_values_that_are_no_greys_are_refused(wrong: npt.NDArray[np.float32]) -> None:
    expected = (
        r"^t\.png (holds values from \S+ to \S+, expected \[0, 1\]; divide"
        r"|has shape \(.*\), expected \(H, W\) with at least one pixel; bring)"
    )
    with pytest.raises(TrimapError, match=expected):
        parse_trimap(wrong, name="t.png")


@pytest.mark.parametrize("parse", [parse_trimap, partial(make_trimap, inside=1, outside=1)])
def test_what_a_resize_has_overshot_is_no_error(
    parse: Callable[[npt.NDArray[Any]], Levels],
) -> None:
    grey = np.zeros((9, 12), np.float32)
    grey[:, 4:] = 1
    shot = grey.copy()
    shot[0, 0], shot[0, -1] = -1e-6, np.nextafter(np.float32(1), np.float32(2))
    np.testing.assert_array_equal(parse(shot), parse(grey))
    shot[0, -1] = 1.0001
    with pytest.raises(
        TrimapError, match=r"holds values from -1e-06 to 1\.0001, expected \[0, 1\]"
    ):
        parse(shot)


@pytest.mark.parametrize("wrong", [Image.new("L", (3, 2)), torch.zeros(2, 3), [[0.5]], None])
def test_what_is_no_array_is_refused_in_words(wrong: Any) -> None:
    for call in (
        partial(parse_trimap, wrong),
        partial(make_trimap, wrong, inside=1, outside=1),
        partial(check_pair, (2, 3), wrong),
        partial(restore_known, np.zeros((2, 3), np.float32), wrong),
        partial(restore_known, wrong, np.zeros((2, 3), np.uint8)),
    ):
        with pytest.raises(
            TrimapError, match=r" is a .*, expected a numpy array \(H, W\); convert"
        ):
            call()


def test_levels_are_no_greys() -> None:
    with pytest.raises(
        TrimapError, match=r"trimap holds uint8 values, expected floats in \[0, 1\]"
    ):
        parse_trimap(clean_trimap())
    with pytest.raises(TrimapError, match=r"is float64 .* such as 0, 0\.5, 1, expected uint8"):
        check_pair((1, 3), np.array([[0, 0.5, 1]]))


def test_a_trimap_is_read_from_its_file(tmp_path: Path) -> None:
    trimap = clean_trimap()
    write_image(tmp_path / "t.png", trimap)
    for source in (tmp_path / "t.png", str(tmp_path / "t.png"), (tmp_path / "t.png").read_bytes()):
        np.testing.assert_array_equal(read_trimap(source, strict=True), trimap)
    write_image(tmp_path / "dirty.png", np.full((3, 4), 102, np.uint8))
    with pytest.raises(TrimapError, match=r"dirty\.png has 12 pixels of other greys"):
        read_trimap(tmp_path / "dirty.png", strict=True)


# Describing


def test_shares_are_told_in_one_line() -> None:
    trimap = np.repeat(np.array([0, 128, 255], np.uint8), [612, 89, 299])[None]
    assert describe(trimap) == TrimapShares(0.612, 0.089, 0.299)
    assert str(describe(trimap)) == "background 61.2 %, unknown 8.9 %, foreground 29.9 %"


# Pairing


def test_a_good_pair_gives_no_warning() -> None:
    assert check_pair((40, 60), clean_trimap(40, 60), names=NAMES) == []


def test_different_sizes_are_told_as_width_by_height() -> None:
    expected = r"^trimap\.png is 640x480 but photo\.png is 800x600; resize one$"
    with pytest.raises(TrimapError, match=expected):
        check_pair((600, 800), clean_trimap(480, 640), names=NAMES)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_trimap_of_the_unrotated_picture_is_told_how_to_turn(orientation: int) -> None:
    with pytest.raises(TrimapError) as caught:
        check_pair((60, 40), clean_trimap(40, 60), names=NAMES, image_orientation=orientation)
    text = str(caught.value)
    assert text.startswith("trimap.png is 60x40 but photo.png is 40x60 upright: it was drawn on")
    stored = np.arange(2400).reshape(40, 60)
    turned = np.fliplr(stored) if "mirror it left to right, then" in text else stored
    turned = np.rot90(turned, 1 if "counter-clockwise" in text else -1)
    upright = {
        5: stored.T,
        6: np.rot90(stored, -1),
        7: np.rot90(stored, 2).T,
        8: np.rot90(stored, 1),
    }[orientation]
    np.testing.assert_array_equal(turned, upright)


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_swapped_sizes_without_a_quarter_turn_are_a_plain_mismatch(orientation: int) -> None:
    with pytest.raises(TrimapError, match=r"is 40x60; resize one$"):
        check_pair((60, 40), clean_trimap(40, 60), names=NAMES, image_orientation=orientation)


def scene(*, square: bool = False) -> tuple[npt.NDArray[np.float32], Levels]:
    """Make an upright picture of an object in a corner, and its trimap."""
    rows, columns = np.mgrid[:60, : 60 if square else 80].astype(np.float32)
    alpha = np.clip((14 - np.hypot(rows - 18, columns - 22)) / 4, 0, 1)
    noise = np.random.default_rng(1).random((*alpha.shape, 3), np.float32) * 0.2
    image = noise + np.where(alpha[..., None] > 0.5, np.float32([0.7, 0.1, 0.1]), np.float32(0.3))
    return image, make_trimap(alpha, inside=2, outside=2)


def stored(upright: Levels, orientation: int) -> Levels:
    """Turn upright pixels into those that the EXIF orientation turns back."""
    return {
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: np.rot90(upright, 2).T,
        8: np.rot90(upright, -1),
    }[orientation].copy()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_trimap_of_the_unturned_pixels_is_told_by_the_colours(orientation: int) -> None:
    image, trimap = scene(square=orientation >= 5)
    check = partial(check_pair, trimap.shape, names=NAMES, image_orientation=orientation)
    assert check(trimap, image=image) == []
    wrong = stored(trimap, orientation)
    with pytest.raises(TrimapError) as caught:
        check(wrong, image=image)
    text = str(caught.value)
    assert text.startswith("trimap.png fits photo.png as its pixels are stored and not as its EXIF")
    turned = np.fliplr(wrong) if "mirror it left to right" in text else wrong
    turned = np.flipud(turned) if "mirror it top to bottom" in text else turned
    turned = np.rot90(turned, 2) if "by 180 degrees" in text else turned
    if "by 90" in text:
        turned = np.rot90(turned, 1 if "counter-clockwise" in text else -1)
    np.testing.assert_array_equal(turned, trimap)


def test_where_the_colours_cannot_tell_the_turn_is_a_warning() -> None:
    image, trimap = scene()
    plain = np.full_like(image, 0.5)
    no_foreground = np.where(trimap == FOREGROUND, UNKNOWN, trimap).astype(np.uint8)
    expected = (
        "photo.png is turned upright by its EXIF (orientation 3); if trimap.png was drawn on the "
        "unturned pixels, rotate it by 180 degrees"
    )
    check = partial(check_pair, trimap.shape, names=NAMES, image_orientation=3)
    assert check(trimap) == check(trimap, image=plain) == [expected]
    assert check(no_foreground, image=image)[1:] == [expected]
    assert check_pair(trimap.shape, trimap, image=plain) == []
    assert check_pair(trimap.shape, trimap, image_orientation=6) == []  # its size has told


def test_nothing_unknown_is_refused() -> None:
    trimap = np.array([[BACKGROUND, FOREGROUND]], np.uint8)
    expected = r"trimap\.png has no unknown pixels \(background 50\.0 %.*nothing to matte; paint"
    with pytest.raises(TrimapError, match=expected):
        check_pair((1, 2), trimap, names=NAMES)


def test_a_missing_kind_is_only_a_warning() -> None:
    no_foreground = np.array([[BACKGROUND, UNKNOWN]], np.uint8)
    (warning,) = check_pair((1, 2), no_foreground, names=NAMES)
    assert warning.startswith("trimap.png has no foreground")
    (warning,) = check_pair((1, 2), np.array([[UNKNOWN, FOREGROUND]], np.uint8), names=NAMES)
    assert warning.startswith("trimap.png has no background")
    assert len(check_pair((1, 1), np.array([[UNKNOWN]], np.uint8))) == 2


# Restoring


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 13), st.integers(1, 13), st.integers(0, 2**32 - 1))
def test_known_pixels_are_exact_and_unknown_ones_untouched(
    height: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    trimap = rng.choice(np.array([BACKGROUND, UNKNOWN, FOREGROUND], np.uint8), (height, width))
    alpha = rng.random((height, width), np.float32)
    before = alpha.copy()
    restored = restore_known(alpha, trimap)
    assert restored.dtype == np.float32
    assert (restored[trimap == FOREGROUND] == 1).all()
    assert (restored[trimap == BACKGROUND] == 0).all()
    np.testing.assert_array_equal(restored[trimap == UNKNOWN], alpha[trimap == UNKNOWN])
    np.testing.assert_array_equal(alpha, before)


def test_restoring_refuses_another_size() -> None:
    with pytest.raises(TrimapError, match="resize one"):
        restore_known(np.zeros((2, 3), np.float32), np.zeros((3, 2), np.uint8))


@settings(max_examples=60, deadline=None)
@given(
    mask=hnp.arrays(
        np.uint8,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=14),
        elements=st.sampled_from([0, 1, 128, 250, 255]),
    ),
    inside=st.sampled_from([0.0, 1.0, 1.5, 3.0]),
    outside=st.sampled_from([0.0, 1.0, 2.3, 4.0]),
)
def test_a_made_trimap_is_what_brute_force_gives(
    mask: Levels, inside: float, outside: float
) -> None:
    alpha = mask.astype(np.float32) / np.float32(255)
    found = make_trimap(alpha, inside=inside, outside=outside)
    for row, column in np.ndindex(*alpha.shape):
        value = alpha[row, column]
        expected = UNKNOWN
        for kind, solid, reach in (
            (FOREGROUND, alpha > 0.98, inside),
            (BACKGROUND, alpha < 0.02, outside),
        ):
            if solid[row, column]:
                others = np.argwhere(~solid)
                distances = np.hypot(*(others - (row, column)).T)
                if not len(others) or distances.min() > reach:
                    expected = kind
        assert found[row, column] == expected, (row, column, value)


def test_made_trimaps_keep_holes_and_soft_pixels() -> None:
    alpha = np.ones((40, 40), np.float32)
    alpha[18:22, 18:22] = 0.0
    alpha[5, 5] = 0.5
    trimap = make_trimap(alpha, inside=2, outside=1)
    assert trimap[19, 19] == UNKNOWN or trimap[20, 20] == BACKGROUND
    assert (trimap[19:21, 19:21] == BACKGROUND).all()
    assert trimap[5, 5] == UNKNOWN
    assert trimap[30, 30] == FOREGROUND


@pytest.mark.parametrize(
    ("text", "expected"), [("12", 12), ("12px", 12), ("0.5 px", 0.5), ("2%", 10), (" 10 % ", 50)]
)
def test_bands_are_pixels_or_a_share_of_the_diagonal(text: str, expected: float) -> None:
    assert band_pixels(text, (300, 400)) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "-3", "wide", "3em", "1,5%"])
def test_other_bands_are_refused(text: str) -> None:
    with pytest.raises(TrimapError, match=r"expected pixels as 12, or 1\.5%"):
        band_pixels(text, (3, 4))


def test_what_is_two_hundredths_from_an_end_is_still_soft() -> None:
    trimap = make_trimap(np.array([[0.0, 0.02, 0.98, 1.0]]), inside=0, outside=0)
    assert trimap.dtype == np.uint8
    np.testing.assert_array_equal(trimap, [[0, 128, 128, 255]])


def test_a_mask_that_is_none_is_refused() -> None:
    with pytest.raises(TrimapError, match=r"the mask holds values from 1\.5 to 1\.5, expected \[0"):
        make_trimap(np.full((2, 2), 1.5), inside=1, outside=1)
    with pytest.raises(TrimapError, match="expected 0 or more"):
        make_trimap(np.zeros((2, 2)), inside=-1, outside=1)


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([[0, 1, 2]], [[0, 1, 1]], [[0, 0.5, 0.5]]),  # labels
        ([[0, 9, 255]], [[0, 9, 9]], [[0, 9 / 255, 9 / 255]]),  # a faint rest
        ([[0, 0, 200 * 257]], [[0, 0, 207]], [[0, 0, 207 / 65535]]),  # of 16 bits
        ([[0, 0, 255]], [[0, 0, 300]], [[0, 0, 300 / 65535]]),
    ],
)
def test_files_that_mean_the_same_are_judged_together(
    tmp_path: Path, first: list[list[int]], second: list[list[int]], expected: Any, drawn: bool
) -> None:
    deep = max(*first[0], *second[0]) > 255
    paths = [tmp_path / "first.png", tmp_path / "second.png"]
    for path, levels in zip(paths, (first, second), strict=True):
        dtype = np.uint16 if deep else np.uint8
        write_image(path, np.array(levels, dtype), depth=16 if deep else 8)
    looks = look_at(paths[0], drawn=drawn) | look_at(paths[1], drawn=drawn)
    found = read_matte(paths[1], drawn=drawn, guess=looks).values
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.allclose(read_matte(paths[1], drawn=drawn).values, expected, atol=0.01)


@pytest.mark.parametrize("drawn", [False, True])
def test_cut_outs_are_judged_together_too(tmp_path: Path, drawn: bool) -> None:
    """The transparency counts in each, or in none: also where all of a frame is opaque."""
    white, paths = np.ones((4, 6, 3), np.float32), [tmp_path / "soft.png", tmp_path / "full.png"]
    alpha = np.tile(np.linspace(0, 1, 6, dtype=np.float32), (4, 1))
    write_image(paths[0], white, alpha=alpha)
    write_image(paths[1], 0 * white, alpha=np.ones_like(alpha))
    looks = look_at(paths[0], drawn=drawn) | look_at(paths[1], drawn=drawn)
    assert read_matte(paths[1], drawn=drawn, guess=looks).values.min() == 1
    assert read_matte(paths[1], drawn=drawn).values.max() == 0
    shaded = np.where(alpha[..., None] > 0.5, 0.6, white)
    write_image(paths[0], shaded.astype(np.float32), alpha=alpha)
    looks = look_at(paths[0], drawn=drawn) | look_at(paths[1], drawn=drawn)
    assert read_matte(paths[1], drawn=drawn, guess=looks).values.max() == (0 if drawn else 1)
