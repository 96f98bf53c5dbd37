"""A file means the same to every command, and what was taken of it is said."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import RunA2U
from PIL import Image

from a2u_cli.errors import ImageError, TrimapError
from a2u_cli.images import read_grey, read_image, read_matte
from a2u_cli.images.meaning import GREYS
from a2u_cli.trimap import check_pair, make_trimap, read_trimap

Levels = np.ndarray
pytestmark = pytest.mark.usefixtures("environment")
HEIGHT, WIDTH = 48, 64


def scene() -> tuple[Levels, Levels, Levels]:
    """Make a soft disc on a graded ground: picture, alpha and trimap, all of 8 bits."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    distance = np.hypot(rows - HEIGHT / 2, columns - WIDTH / 2)
    alpha = np.clip((14 - distance) / 4 + 0.5, 0, 1)
    ground = np.dstack([0.2 + columns / 200, 0.5 + rows / 200, 0.3 + 0 * rows])
    picture = np.where(alpha[..., None] > 0, np.float32([0.85, 0.35, 0.15]), ground)
    trimap = np.select([distance < 9, distance > 19], [255, 0], 128).astype(np.uint8)
    return to_u8(picture), to_u8(alpha), trimap


def to_u8(values: Levels) -> Levels:
    return np.rint(values * 255).astype(np.uint8)


PICTURE, ALPHA, TRIMAP = scene()
MASK = np.where(ALPHA > 127, 255, 0).astype(np.uint8)
OPAQUE = np.full_like(ALPHA, 255)


def put(path: Path, levels: Levels, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path, **options)
    return path


def png(picture: Image.Image | Levels, **options: Any) -> bytes:
    stream = BytesIO()
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    picture.save(stream, options.pop("format", "PNG"), **options)
    return stream.getvalue()


def labels(levels: Levels, *colours: tuple[int, int, int]) -> Image.Image:
    picture = Image.fromarray(levels, "P")
    picture.putpalette([value for colour in colours for value in colour])
    return picture


def of_256(values: Levels) -> list[int]:
    return np.rint(np.unique(values) * 255).astype(int).tolist()


@pytest.mark.parametrize(
    ("levels", "taken"),
    [
        (np.dstack([PICTURE, ALPHA]), "its transparency is taken, not its colours"),
        (np.dstack([np.full_like(PICTURE, 255), ALPHA]), "its transparency is taken"),
        (np.dstack([OPAQUE, ALPHA]), "its transparency is taken"),
        (np.dstack([ALPHA] * 3 + [OPAQUE]), GREYS),
        (np.dstack([ALPHA, OPAQUE]), GREYS),
        (np.dstack([ALPHA] * 3 + [np.where(ALPHA > 0, 255, 254).astype(np.uint8)]), GREYS),
        (np.dstack([ALPHA] * 3), GREYS),
        (ALPHA, GREYS),
    ],
    ids=["cut-out", "white", "LA", "opaque RGBA", "opaque LA", "nearly opaque", "RGB", "grey"],
)
def test_a_matte_is_the_transparency_or_where_that_is_opaque_the_greys(
    levels: Levels, taken: str
) -> None:
    matte = read_matte(png(levels))
    np.testing.assert_array_equal(to_u8(matte.values), ALPHA)
    assert matte.taken.startswith(taken)
    np.testing.assert_array_equal(to_u8(read_matte(png(levels), invert=True).values), 255 - ALPHA)


def test_labels_that_look_black_are_stretched() -> None:
    two, three = np.where(MASK > 0, 1, 0).astype(np.uint8), (TRIMAP // 127).astype(np.uint8)
    for levels in (two, np.dstack([two] * 3), two.astype(np.uint16)):
        np.testing.assert_array_equal(to_u8(read_matte(png(levels)).values), MASK)
    matte = read_matte(png(three))
    assert matte.taken == "its levels are taken as labels: 0 as 0, 1 as 0.5, 2 as 1"
    assert of_256(matte.values) == [0, 128, 255]
    np.testing.assert_array_equal(read_trimap(png(three), strict=True), TRIMAP)
    assert not read_matte(png(np.zeros((4, 4), np.uint8))).values.any()


def test_a_palette_of_colours_holds_labels_and_one_of_greys_greys() -> None:
    black, red, green = (0, 0, 0), (128, 0, 0), (0, 128, 0)
    two, three = (MASK // 255).astype(np.uint8), (TRIMAP // 127).astype(np.uint8)
    np.testing.assert_array_equal(read_matte(png(labels(two, black, red))).values, two)
    np.testing.assert_array_equal(read_trimap(png(labels(three, black, red, green))), TRIMAP)
    person = read_matte(png(labels((two * 15).astype(np.uint8), *[black] * 15, red)))
    np.testing.assert_array_equal(person.values, two)
    turned = labels(three, (255, 255, 255), (0, 0, 0), (128, 128, 128))
    assert of_256(read_matte(png(turned)).values) == [0, 128, 255]
    several = labels(np.array([[0, 1, 5]], np.uint8), black, red, green, red, green, red)
    with pytest.raises(ImageError, match=r"labels 0, 1, 5 of several things.*make a mask"):
        read_matte(png(several), name="m.png")


def test_a_photograph_is_neither_a_trimap_nor_a_matte() -> None:
    for read in (read_matte, read_trimap):
        with pytest.raises(ImageError, match=r"^p is a picture in colours \(.*expected greys"):
            read(png(PICTURE), name="p")
    cut = np.dstack([PICTURE, ALPHA])
    with pytest.raises(ImageError, match="is a picture in colours"):
        read_trimap(png(cut), name="p")


def test_a_trimaps_transparency_counts_where_its_colours_say_nothing() -> None:
    white = np.dstack([np.full_like(PICTURE, 255), TRIMAP])
    np.testing.assert_array_equal(read_trimap(png(white)), TRIMAP)
    hidden = np.dstack([TRIMAP] * 3 + [255 - TRIMAP])
    np.testing.assert_array_equal(read_trimap(png(hidden)), TRIMAP)


def test_a_jpeg_of_greys_is_no_picture_in_colours() -> None:
    jpeg = read_matte(png(np.dstack([TRIMAP] * 3), format="JPEG", quality=80))
    assert jpeg.taken == GREYS


def test_an_exr_with_transparency_is_read_by_it(tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR")
    image, alpha = (PICTURE / 255).astype(np.float32), (ALPHA / 255).astype(np.float32)
    channels = {"RGBA": np.dstack([image * alpha[..., None], alpha])}
    header = {"type": exr.scanlineimage}
    exr.File(header, channels).write(str(tmp_path / "cut.exr"))
    np.testing.assert_allclose(read_matte(tmp_path / "cut.exr").values, alpha, atol=1 / 65535)


def test_a_binary_trimap_is_told_about_masks() -> None:
    with pytest.raises(TrimapError, match=r"no unknown pixels.*or give it as a mask: --mask"):
        check_pair((HEIGHT, WIDTH), read_trimap(png(MASK)))


# Commands


@pytest.mark.parametrize("kind", ["cutout", "white"])
def test_a_cut_out_as_the_matte_composes_as_the_matte_itself(
    run_a2u: RunA2U, tmp_path: Path, kind: str
) -> None:
    photo, alpha = put(tmp_path / "p.png", PICTURE), put(tmp_path / "a.png", ALPHA)
    colours = PICTURE if kind == "cutout" else np.full_like(PICTURE, 255)
    cut = put(tmp_path / "cut.png", np.dstack([colours, ALPHA]))
    for command in ("composite", "cutout"):
        outputs = []
        for matte in (alpha, cut):
            outputs.append(tmp_path / f"{command}-{matte.name}")
            run = run_a2u(command, photo, "-a", matte, "-o", outputs[-1])
            assert run.code == 0, run.stderr
        assert run.stderr == f"{cut}: its transparency is taken, not its colours\n"
        assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_invert_turns_a_mask_whose_object_is_black(
    run_a2u: RunA2U, tmp_path: Path, weights: Path
) -> None:
    mask, black = put(tmp_path / "m.png", MASK), put(tmp_path / "photos" / "p_mask.png", 255 - MASK)
    photo = put(tmp_path / "photos" / "p.png", PICTURE)
    expected = make_trimap(MASK / 255, inside=3, outside=3)
    run = run_a2u("trimap", black, "--invert", "--band", "3", "-o", tmp_path / "t.png")
    assert (run.code, "its greys, inverted" in run.stderr) == (0, True)
    np.testing.assert_array_equal(read_trimap(tmp_path / "t.png", strict=True), expected)

    fixed = ("--weights", weights, "--device", "cpu", "--band", "3")
    for hint, out in (((mask,), "1.png"), ((black, "--invert"), "2.png")):
        run = run_a2u("matte", photo, "--mask", *hint, "-o", tmp_path / out, *fixed)
        assert run.code == 0, run.stderr
    alpha = read_grey(tmp_path / "1.png")
    np.testing.assert_array_equal(read_grey(tmp_path / "2.png"), alpha)
    run = run_a2u("batch", photo.parent, "--invert", "-o", tmp_path / "out", *fixed)
    assert run.code == 0, run.stderr
    np.testing.assert_array_equal(read_grey(tmp_path / "out" / "alpha" / "p.png"), alpha)

    on_black = ("-b", "black", "-o", tmp_path / "c.png")
    assert run_a2u("composite", photo, "-a", black, "--invert", *on_black).code == 0
    assert not read_image(tmp_path / "c.png").image[0, 0].any()
    drawn = put(tmp_path / "drawn.png", TRIMAP)
    run = run_a2u("matte", photo, "-t", drawn, "--invert")
    assert (run.code, "this turns a --mask" in run.stderr) == (2, True)
    run = run_a2u("composite", photo, "--invert")
    assert (run.code, "--invert would do nothing" in run.stderr) == (2, True)
