"""What looks black, is coloured, or lies in a layer is understood, or told in a line."""

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from conftest import RunA2U
from picture_files import png16
from test_meaning import ALPHA, MASK, OPAQUE, PICTURE, PREDICTED, TRIMAP, labels, png, put
from test_reading import tiff, write_exr

from a2u_cli.errors import ImageError
from a2u_cli.images import read_matte
from a2u_cli.images.meaning import GREYS
from a2u_cli.trimap import read_trimap

pytestmark = pytest.mark.usefixtures("environment")
TWO, THREE = MASK // 255, TRIMAP // 127
COLOURS = [(0, 0, 0)] + [(i, 255 - i, 90) for i in range(1, 256)]


@pytest.mark.parametrize("levels", [MASK, TRIMAP, ALPHA], ids=["mask", "trimap", "matte"])
def test_8_bits_in_16_are_no_black_picture(levels: Any) -> None:
    for data in (png(levels.astype(np.uint16)), png16(np.dstack([levels.astype(np.uint16)] * 3))):
        matte = read_matte(data)
        np.testing.assert_allclose(matte.values, levels / 255, atol=1e-6)
        assert matte.taken == "its levels go up to 255 of 65535 and are taken as those of 8 bits"
    assert read_matte(png(levels.astype(np.uint16) * 257)).taken == GREYS


@pytest.mark.parametrize("number", [1, 2, 15, 25])
def test_the_only_number_beside_0_is_the_object(number: int) -> None:
    matte = read_matte(png(TWO * np.uint8(number)))
    np.testing.assert_array_equal(matte.values, TWO)
    assert matte.taken == f"its levels are taken as labels: 0 as 0, {number} as 1"


def test_the_numbers_of_several_things_that_look_black_are_told() -> None:
    for levels in (THREE + (THREE > 0), THREE + 1):
        matte = read_matte(png(levels))
        np.testing.assert_allclose(matte.values, levels / 255, atol=1e-6)
        assert matte.taken == (
            "its greys go up to 3 of 255, so all of it looks black; if they are labels, make a "
            "mask of the object"
        )
    assert read_matte(png(np.zeros((4, 4), np.uint8))).taken == GREYS


@pytest.mark.parametrize("unknown", [127, 128])
def test_a_trimap_by_the_numbers_of_a_palette_in_colours_is_one(unknown: int) -> None:
    levels = np.where(TRIMAP == 128, unknown, TRIMAP).astype(np.uint8)
    np.testing.assert_array_equal(read_trimap(png(labels(levels, *COLOURS))), TRIMAP)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF"])
def test_labels_in_a_palette_mean_the_same_in_every_format(kind: str) -> None:
    data = png(labels(THREE, *COLOURS[:3]), format=kind)
    np.testing.assert_array_equal(read_trimap(data, strict=True), TRIMAP)


def test_a_small_object_in_colour_is_no_grey() -> None:
    for ground in (0, 255):
        levels = np.full((40, 50, 3), ground, np.uint8)
        levels[3:5, 3:6] = 255, 0, 0
        with pytest.raises(ImageError, match=r"^m is a picture in colours \(6 of its 2000 pixels"):
            read_matte(png(levels), name="m")


def test_a_pixel_in_ten_thousand_may_have_a_colour() -> None:
    levels = np.dstack([np.tile(MASK, (4, 4))] * 3)
    levels[0, 0] = 255, 0, 0
    assert read_matte(png(levels)).taken == GREYS


def test_a_white_layer_is_a_trimap_whatever_is_hidden_under_it() -> None:
    taken: Callable[[bytes], str] = lambda data: read_matte(data, drawn=True).taken  # noqa: E731
    layer = np.dstack([np.where(TRIMAP > 0, 255, 0).astype(np.uint8)] * 3 + [TRIMAP])
    stream = BytesIO()
    premultiplied = np.dstack([TRIMAP] * 4)
    tifffile.imwrite(stream, premultiplied, photometric="rgb", extrasamples=["assocalpha"])
    for data in (png(layer), stream.getvalue()):
        np.testing.assert_array_equal(read_trimap(data), TRIMAP)
        assert taken(data) == "its transparency is taken, not its colours"
    strokes = np.where(TRIMAP == 128, 128, 0).astype(np.uint8)  # the unknown alone is painted
    painted = png(np.dstack([strokes] * 3 + [np.where(strokes, 255, 0).astype(np.uint8)]))
    np.testing.assert_array_equal(read_trimap(painted), strokes)
    assert "its colours are taken" in taken(painted)


def test_a_photograph_in_greys_as_a_trimap_is_told(said: Callable[[], list[str]]) -> None:
    rows, columns = np.mgrid[:48, :64]
    photo = (40 + 2 * columns + rows).astype(np.uint8)
    read_trimap(png(photo), name="p")
    assert said() == ["p has greys of all kinds, as a photograph has; a trimap has three"]
    jpeg = png(TRIMAP, format="JPEG", quality=30)
    for data in (png(TRIMAP), jpeg, png(ALPHA), png(np.full((9, 9), 128, np.uint8))):
        read_trimap(data)
    assert len(said()) == 1


def test_every_command_says_what_it_took_of_a_black_file(
    run_a2u: RunA2U, tmp_path: Path, weights: Path
) -> None:
    photo = put(tmp_path / "p" / "p.png", PICTURE)
    mask = put(tmp_path / "m" / "p.png", MASK.astype(np.uint16))
    truth = put(tmp_path / "gt" / "p.png", MASK).parent
    drawn = put(tmp_path / "drawn.png", TRIMAP.astype(np.uint16))
    taken = "its levels go up to 255 of 65535 and are taken as those of 8 bits"
    fixed = ("--weights", weights, "--device", "cpu")
    for words in (
        ("trimap", mask, "-o", tmp_path / "t.png"),
        ("trimap", mask.parent, "-o", tmp_path / "t"),
        ("matte", photo, "--mask", mask, "-o", tmp_path / "a.png", *fixed),
        ("batch", photo.parent, "--masks", mask.parent, "-o", tmp_path / "b", *fixed),
        ("composite", photo, "-a", mask, "-o", tmp_path / "c.png"),
        ("composite", photo.parent, "-a", mask.parent, "-o", tmp_path / "c"),
        ("cutout", photo, "-a", mask, "-o", tmp_path / "d.png"),
        ("explain", photo, "-t", drawn, "-o", tmp_path / "e.png", *fixed),
        ("trimap", "check", drawn),
        ("eval", mask.parent, "--gt", truth),
    ):
        run = run_a2u(*words)
        assert run.code == 0, run.stderr
        assert taken in run.stderr + run.stdout.decode(), words


def test_the_truth_scores_the_same_in_every_kind_of_file(run_a2u: RunA2U, tmp_path: Path) -> None:
    pytest.importorskip("OpenEXR")
    sixteen, cut = ALPHA.astype(np.uint16) * 257, np.dstack([PICTURE, ALPHA])
    premultiplied = {"photometric": "rgb", "extrasamples": ["assocalpha"]}
    truths = {
        "grey.png": png(ALPHA),
        "deep.png": png(sixteen),
        "low.png": png(ALPHA.astype(np.uint16)),
        "cut.webp": png(cut, format="WEBP", lossless=True),
        "grey.tif": tiff(255 - ALPHA, photometric="miniswhite"),
        "deep.tif": tiff(sixteen, photometric="minisblack"),
        "white.tif": tiff(np.dstack([ALPHA] * 4), **premultiplied),
        "y.exr": write_exr({"Y": ALPHA / 255}, (0, 0, 63, 47), (0, 0, 63, 47)),
        "whole.exr": write_exr({"A": ALPHA * 1.0}, (0, 0, 63, 47), (0, 0, 63, 47)),
    }
    for name, data in truths.items():
        stem = name.replace(".", "-")
        put(tmp_path / "pred" / f"{stem}.png", PREDICTED)
        (tmp_path / "gt").mkdir(exist_ok=True)
        (tmp_path / "gt" / f"{stem}{Path(name).suffix}").write_bytes(data)
    run = run_a2u("eval", tmp_path / "pred", "--gt", tmp_path / "gt", "--json", "-")
    rows = [row for row in json.loads(run.stdout)["rows"] if row["state"] == "scored"]
    assert len(rows) == len(truths)
    assert len({row["sad"] for row in rows}) == 1


def test_a_check_of_a_trimap_says_what_is_true_of_it_once(run_a2u: RunA2U, tmp_path: Path) -> None:
    numbers, pages = tmp_path / "numbers.png", tmp_path / "pages.tif"
    labels(THREE, *COLOURS[:3]).save(numbers)
    run = run_a2u("trimap", "check", numbers)
    assert run.stdout.decode().splitlines()[1:] == [
        "warning: its levels are taken as labels: 0 as 0, 1 as 0.5, 2 as 1"
    ]
    tifffile.imwrite(
        pages, np.stack([TRIMAP] * 2).astype(np.uint16) * 257, photometric="minisblack"
    )
    run = run_a2u("trimap", "check", pages)
    assert run.stderr == f"warning: {pages} has 2 pages, the first is taken\n"
    assert b"pages.tif: 64x48, 16 bits, background" in run.stdout
    run = run_a2u("trimap", "check", "-", stdin=png(TRIMAP))
    assert (run.code, run.stdout.startswith(b"stdin: 64x48, 8 bits")) == (0, True), run.stderr


def test_a_mask_without_an_edge_is_not_told_to_be_given_as_a_mask(
    run_a2u: RunA2U, tmp_path: Path, weights: Path
) -> None:
    photo, mask = put(tmp_path / "p.png", PICTURE), put(tmp_path / "p_mask.png", MASK * 0)
    fixed = ("--weights", weights, "--device", "cpu")
    for words in (
        ("matte", photo, "--mask", mask, *fixed),
        ("batch", tmp_path, *fixed),
        ("trimap", mask),
    ):
        run = run_a2u(*words)
        assert run.code, words
        assert f"{mask} has no edge (background 100.0 %" in run.stderr
        assert "--mask" not in run.stderr


def test_a_cut_out_that_hides_nothing_is_told(run_a2u: RunA2U, tmp_path: Path) -> None:
    opaque = put(tmp_path / "p.png", np.dstack([PICTURE, OPAQUE]))
    for command in ("composite", "cutout"):
        run = run_a2u(command, opaque, "-o", tmp_path / f"{command}.png")
        assert (run.code, run.stderr) == (
            0,
            f"warning: {opaque} is opaque all over, so all of it stays; --alpha takes its matte\n",
        )
