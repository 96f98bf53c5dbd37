"""Files for compositing: light beyond white goes in and comes out, as other programs read it."""

import logging
import sys
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from a2u_cli.backgrounds import make_background
from a2u_cli.errors import ImageError
from a2u_cli.foreground import composite, estimate_colours, estimate_foreground
from a2u_cli.images import encode_image, read_image, read_matte, write_image
from a2u_cli.images.colour import INTEROP_IDS, from_linear, to_linear, view
from a2u_cli.images.exr_header import read_header

OpenEXR = pytest.importorskip("OpenEXR")
oiio = pytest.importorskip("OpenImageIO")

Array = np.ndarray
HALF = 2**-11  # the rounding of a half float, of its size


def plate(height: int = 12, width: int = 16, seed: int = 0) -> Array:
    """Make light from -0.5 to 30, most of it below white."""
    rng = np.random.default_rng(seed)
    light = rng.uniform(0, 0.9, (height, width, 3)).astype(np.float32)
    light[2:5, 3:6] = rng.uniform(1, 30, (3, 3, 3))
    light[7, 8:11] = -rng.uniform(0, 0.5, (3, 3))
    return light.astype(np.float16).astype(np.float32)


def by_oiio(path: Path, pixels: Array, *, display: Any = None, **attributes: Any) -> Path:
    """Write an OpenEXR by OpenImageIO: `display` (x, y, width, height) where it is not the data."""
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], oiio.HALF)
    if display:
        spec.full_x, spec.full_y, spec.full_width, spec.full_height = display
    spec.x, spec.y = attributes.pop("at", (0, 0))
    spec.attribute("compression", "piz")
    for name, value in attributes.items():
        kind, value = value if isinstance(value, tuple) else (None, value)
        name = name.replace("__", ":")
        spec.attribute(name, oiio.TypeDesc(kind), value) if kind else spec.attribute(name, value)
    file = oiio.ImageOutput.create(str(path))
    assert file.open(str(path), spec), oiio.geterror()
    file.write_image(pixels)
    file.close()
    return path


def seen_by_oiio(path: Path) -> tuple[Any, Array]:
    file = oiio.ImageInput.open(str(path))
    spec, pixels = file.spec(), file.read_image(oiio.FLOAT)
    file.close()
    return spec, pixels


def seen_by_openexr(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    part = OpenEXR.File(str(path), separate_channels=True).parts[0]
    return part.header, {name: channel.pixels for name, channel in part.channels.items()}


def test_light_beyond_white_and_below_black_is_read_as_it_is(tmp_path: Path) -> None:
    light = plate()
    found = read_image(by_oiio(tmp_path / "a.exr", light))
    np.testing.assert_array_equal(found.light, light)
    assert found.image.min() == 0
    assert found.image.max() == 1
    assert len(np.unique(found.image[2:5, 3:6])) == 27  # what is beyond white differs
    order = np.argsort(light.ravel(), kind="stable")
    assert (np.diff(found.image.ravel()[order]) >= 0).all()


def test_the_view_is_the_light_itself_where_nothing_is_beyond_white() -> None:
    light = np.linspace(-0.1, 1, 999, dtype=np.float32)
    np.testing.assert_array_equal(view(light, 1.0), from_linear(np.clip(light, 0, 1)))


@pytest.mark.parametrize("white", [1.0001, 1.5, 30, 65504])
def test_the_view_rises_to_white_and_is_the_light_up_to_its_knee(white: float) -> None:
    light = np.linspace(0, white, 5000).astype(np.float32)
    shown = view(light, white)
    assert (np.diff(shown) >= 0).all()
    assert shown[-1] == pytest.approx(1, abs=1e-6)
    low = light <= 0.5
    np.testing.assert_array_equal(shown[low], from_linear(light[low]))


@pytest.mark.parametrize(
    ("depth", "dtype"), [(None, np.float16), (16, np.float16), (32, np.float32)]
)
def test_an_exr_holds_premultiplied_light_for_two_readers(
    tmp_path: Path, depth: int | None, dtype: Any
) -> None:
    light, alpha = plate(), np.linspace(0, 1, 12 * 16, dtype=np.float32).reshape(12, 16)
    path = tmp_path / "out.exr"
    write_image(path, light, alpha=alpha, depth=depth, light=True)
    spec, pixels = seen_by_oiio(path)
    expected = np.dstack([light * alpha[..., None], alpha]).astype(dtype)
    np.testing.assert_array_equal(pixels, expected)
    assert spec.channelnames == ("R", "G", "B", "A")
    assert spec.getattribute("compression") == "zips"
    assert spec.getattribute("colorInteropID") == "lin_rec709_scene"
    header, channels = seen_by_openexr(path)
    assert sorted(channels) == ["A", "B", "G", "R"]
    assert {plane.dtype for plane in channels.values()} == {np.dtype(dtype)}
    np.testing.assert_array_equal(channels["G"], expected[..., 1])
    assert header["compression"] == OpenEXR.ZIPS_COMPRESSION
    again = read_image(path)
    np.testing.assert_allclose(again.light[alpha > 0.1], light[alpha > 0.1], rtol=4 * HALF)


def test_windows_primaries_and_attributes_come_back_as_they_were(tmp_path: Path) -> None:
    light = plate(12, 16)
    path = by_oiio(
        tmp_path / "plate.exr",
        light,
        at=(-3, -2),
        display=(-1, 0, 12, 9),  # overscan on all sides
        FramesPerSecond=("rational", [24000, 1001]),
        smpte__TimeCode=("timecode", [0x01181906, 0]),
        chromaticities=("float[8]", list(INTEROP_IDS["lin_ap1_scene"])),
        ImageDescription="take 7",
        reel="A007",
        stops=2.5,
        number=7,
        oiio__ColorSpace="lin_ap1_scene",
    )
    picture = read_image(path)
    assert picture.size == (9, 12)
    write_image(tmp_path / "out.exr", picture.light, light=True, header=picture.header)
    spec, pixels = seen_by_oiio(tmp_path / "out.exr")
    assert (spec.full_x, spec.full_y, spec.full_width, spec.full_height) == (-1, 0, 12, 9)
    assert (spec.x, spec.y, spec.width, spec.height) == (-1, 0, 12, 9)
    np.testing.assert_allclose(pixels, light[2:11, 2:14], rtol=HALF, atol=30 * 1e-5)
    assert spec.getattribute("colorInteropID") == "lin_ap1_scene"
    header, was = seen_by_openexr(tmp_path / "out.exr")[0], seen_by_openexr(path)[0]
    kept = set(was) - {"channels", "compression", "dataWindow"}
    for name in kept:
        assert str(header[name]) == str(was[name]), name
    assert header["FramesPerSecond"] == Fraction(24000, 1001)
    assert (header["timeCode"].hours, header["timeCode"].frame) == (1, 6)


def test_a_result_with_nothing_outside_keeps_the_window_that_was_stored(tmp_path: Path) -> None:
    box = by_oiio(tmp_path / "box.exr", plate()[:4, :5], at=(3, 2), display=(0, 0, 10, 8))
    picture = read_image(box)
    alpha = np.zeros((8, 10), np.float32)
    alpha[2:6, 3:8] = 0.5
    path = tmp_path / "cut.exr"
    write_image(path, picture.light, alpha=alpha, light=True, header=picture.header)
    spec = seen_by_oiio(path)[0]
    assert (spec.x, spec.y, spec.width, spec.height, spec.full_width) == (3, 2, 5, 4, 10)
    alpha[0, 0] = 1
    write_image(path, picture.light, alpha=alpha, light=True, header=picture.header)
    spec = seen_by_oiio(path)[0]
    assert (spec.x, spec.y, spec.width, spec.height, spec.full_width) == (0, 0, 10, 8, 10)


def test_a_plate_that_does_not_name_its_primaries_is_given_none(tmp_path: Path) -> None:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    planes = dict(zip("RGB", np.moveaxis(plate(), 2, 0).copy(), strict=True))
    OpenEXR.File(header, planes).write(str(tmp_path / "a.exr"))
    picture = read_image(tmp_path / "a.exr")
    write_image(tmp_path / "b.exr", picture.light, light=True, header=picture.header)
    written = seen_by_openexr(tmp_path / "b.exr")[0]
    assert not {"colorInteropID", "chromaticities"} & set(written)


def test_primaries_by_name_are_converted_and_an_unknown_name_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    light = plate()
    by_name, by_number = (
        read_image(by_oiio(tmp_path / f"{number}.exr", light, **facts)).light
        for number, facts in enumerate(
            (
                {"oiio__ColorSpace": "lin_rec2020_scene"},
                {"chromaticities": ("float[8]", list(INTEROP_IDS["lin_rec2020_scene"]))},
            )
        )
    )
    np.testing.assert_allclose(by_name, by_number, atol=1e-4)
    assert np.abs(by_name - light).max() > 1
    assert not caplog.records
    read_image(by_oiio(tmp_path / "c.exr", light, colorInteropID="my:log3_scene"))
    assert "calls its colours my:log3_scene, which is not known: not converted" in caplog.text


def test_attributes_of_other_types_cost_no_picture(caplog: pytest.LogCaptureFixture) -> None:
    window = (np.zeros(2, np.int32), np.ones(2, np.int32))
    facts = {"displayWindow": window, "dataWindow": window, "colorInteropID": [1, 2]}
    found = read_header(facts | {"chromaticities": 3, "odd": {}}, "x.exr")
    assert (found.primaries, found.lost, found.attributes) == (None, ("odd",), {})
    assert "x.exr has primaries that are no colours" in caplog.text
    data = encode_image(np.zeros((2, 2), np.float32), "exr", header=found, name="x.exr")
    assert data
    assert "x.exr: attributes of unusual types are not kept: odd" in caplog.text


def test_a_matte_is_all_four_channels_and_data(tmp_path: Path) -> None:
    alpha = np.linspace(0, 1, 12 * 16, dtype=np.float32).reshape(12, 16)
    write_image(tmp_path / "matte.exr", alpha)
    spec, pixels = seen_by_oiio(tmp_path / "matte.exr")
    assert spec.channelnames == ("R", "G", "B", "A")
    np.testing.assert_array_equal(pixels, np.dstack([alpha.astype(np.float16)] * 4))
    assert seen_by_openexr(tmp_path / "matte.exr")[0]["colorInteropID"] == "data"


def test_srgb_pictures_become_light_in_an_exr_and_in_a_tiff_of_floats(tmp_path: Path) -> None:
    image = np.random.default_rng(1).random((6, 7, 3), np.float32)
    alpha = np.full((6, 7), 0.5, np.float32)
    write_image(tmp_path / "a.exr", image, alpha=alpha, depth=32)
    pixels = seen_by_oiio(tmp_path / "a.exr")[1]
    np.testing.assert_allclose(pixels[..., :3], to_linear(image) / 2, rtol=1e-6)
    multiplied = image * alpha[..., None]
    write_image(tmp_path / "b.exr", multiplied, alpha=alpha, depth=32, premultiplied=True)
    np.testing.assert_allclose(seen_by_oiio(tmp_path / "b.exr")[1], pixels, rtol=1e-5)
    write_image(tmp_path / "c.tif", image, depth=32)
    spec, found = seen_by_oiio(tmp_path / "c.tif")
    assert spec.format == oiio.FLOAT
    np.testing.assert_allclose(found, to_linear(image), rtol=1e-6)


@pytest.mark.parametrize("multiplied", [False, True])
def test_a_tiff_of_floats_says_whether_its_colours_are_multiplied(
    tmp_path: Path, multiplied: bool
) -> None:
    import tifffile

    light, alpha = plate(), np.full((12, 16), 0.25, np.float32)
    path = tmp_path / "a.tif"
    write_image(path, light, alpha=alpha, depth=32, premultiplied=multiplied, light=True)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert page.extrasamples == (1 if multiplied else 2,)
        np.testing.assert_array_equal(page.asarray(), np.dstack([light, alpha]))


def test_light_beyond_what_srgb_holds_is_clipped_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    light = plate()
    write_image(tmp_path / "a.png", light, depth=16, light=True)
    found = read_image(tmp_path / "a.png").image
    np.testing.assert_allclose(found, from_linear(np.clip(light, 0, 1)), atol=1 / 65535)
    assert "a.png: 6.2 % of the pixels have light beyond what sRGB holds" in caplog.text


def test_half_floats_do_not_become_infinite(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    light = np.full((2, 2, 3), 1e6, np.float32)
    write_image(tmp_path / "a.exr", light, light=True)
    assert seen_by_oiio(tmp_path / "a.exr")[1].max() == 65504
    assert "light up to 1e+06 counts as 65504" in caplog.text
    write_image(tmp_path / "b.exr", light, light=True, depth=32)
    assert seen_by_oiio(tmp_path / "b.exr")[1].max() == 1e6


@pytest.mark.parametrize("suffix", ["webp", "avif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_webp_and_avif_are_read_by_other_libraries(
    tmp_path: Path, suffix: str, channels: int
) -> None:
    from PIL import Image

    rows, columns = np.mgrid[:32, :48].astype(np.float32)
    smooth = np.dstack([rows / 32, columns / 48, np.full_like(rows, 0.4), 1 - rows / 40])
    image = smooth[..., 0] if channels == 1 else smooth[..., :channels]
    path = tmp_path / f"a.{suffix}"
    write_image(path, image)
    with Image.open(path) as found:
        assert found.format == suffix.upper()
        assert found.has_transparency_data == (channels == 4)
        levels = np.asarray(found.convert("RGBA" if channels == 4 else "RGB"))
    expected = np.rint((image if channels > 1 else np.dstack([image] * 3)) * 255)
    limit = 0 if suffix == "webp" else 6
    assert np.abs(levels - expected).max() <= limit


@pytest.mark.parametrize(("suffix", "limit", "theirs_limit"), [("webp", 0, 0), ("avif", 6, 8)])
def test_webp_and_avif_of_opencv_are_read_and_ours_by_opencv(
    tmp_path: Path, suffix: str, limit: int, theirs_limit: int
) -> None:
    """Not Pillow's, by which ours are written and read.

    OpenCV halves both sides of an AVIF's colours, ours do not: its file, whoever reads it, is up to
    7 levels off.
    """
    rows, columns = np.mgrid[:32, :48].astype(np.float32)
    smooth = np.dstack([rows / 32, columns / 48, np.full_like(rows, 0.4), 1 - rows / 40])
    levels = np.rint(smooth * 255).astype(np.uint8)
    theirs, ours = tmp_path / f"theirs.{suffix}", tmp_path / f"ours.{suffix}"
    finest = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == "webp" else [cv2.IMWRITE_AVIF_QUALITY, 95]
    assert cv2.imwrite(str(theirs), cv2.cvtColor(levels, cv2.COLOR_RGBA2BGRA), finest)
    found = read_image(theirs)
    assert found.alpha is not None
    read = np.rint(255 * np.dstack([found.image, found.alpha]))
    assert np.abs(read - levels).max() <= theirs_limit
    write_image(ours, smooth[..., :3], alpha=smooth[..., 3])
    seen = cv2.imread(str(ours), cv2.IMREAD_UNCHANGED)
    assert seen is not None
    again = cv2.cvtColor(seen, cv2.COLOR_BGRA2RGBA).astype(int)
    assert np.abs(again - levels).max() <= limit


@pytest.mark.parametrize(
    ("kind", "depth", "expected"),
    [
        ("exr", 8, "x: OpenEXR cannot hold 8 bits a channel; choose .png or .tif"),
        ("png", 32, "x: PNG cannot hold 32 bits a channel; choose .tif or .exr"),
        ("webp", 16, "x: WebP cannot hold 16 bits a channel; choose .png or .tif"),
        ("avif", 32, "x: AVIF cannot hold 32 bits a channel; choose .tif or .exr"),
    ],
)
def test_a_depth_that_a_format_cannot_hold_is_one_line(
    kind: Any, depth: int, expected: str
) -> None:
    with pytest.raises(ImageError) as caught:
        encode_image(np.zeros((2, 2, 3), np.float32), kind, depth=depth, name="x")
    assert str(caught.value) == expected


def test_without_the_extra_an_exr_is_refused_before_any_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(ImageError, match=r"^x is an OpenEXR picture, which needs an extra; pip"):
        encode_image(np.zeros((2, 2), np.float32), "exr", name="x")


def test_exif_that_an_exr_cannot_hold_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        encode_image(np.zeros((2, 2, 3), np.float32), "exr", exif=b"Exif\0\0", name="x")
    assert "x: OpenEXR holds no EXIF" in caplog.text


def test_equal_channels_of_a_matte_cost_next_to_nothing() -> None:
    alpha = np.random.default_rng(0).random((8, 512), np.float32)
    data = encode_image(alpha, "exr")
    stream = BytesIO()
    kind = {"compression": OpenEXR.ZIPS_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(kind, {"Y": alpha.astype(np.float16)}).write(stream)
    assert len(data) < 1.15 * len(stream.getvalue())


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("layout", ["strips", "tiles", "planes"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_floats_of_tifffile_are_light(dtype: Any, order: str, layout: str, channels: int) -> None:
    import tifffile

    light, alpha = plate(19, 37), np.full((19, 37, 1), 0.5, np.float32)
    stored = {1: light[..., 0], 3: light, 4: np.dstack([light / 2, alpha])}[channels].astype(dtype)
    planes = layout == "planes" and channels > 1
    stream = BytesIO()
    tifffile.imwrite(
        stream,
        np.moveaxis(stored, 2, 0) if planes else stored,
        byteorder=order,
        photometric="minisblack" if channels == 1 else "rgb",
        planarconfig="separate" if planes else None,
        extrasamples=["assocalpha"] if channels == 4 else None,
        tile=(16, 16) if layout == "tiles" else None,
        compression="zlib",
        metadata=None,
    )
    found = read_image(stream.getvalue(), name="x")
    expected = light[..., :1] if channels == 1 else light
    np.testing.assert_array_equal(found.light, np.broadcast_to(expected, light.shape))
    assert (found.alpha is None) == (channels != 4)


@pytest.mark.parametrize("tile", [0, 16])
@pytest.mark.parametrize("predictor", [1, 2, 3])
def test_floats_of_openimageio_are_light(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, predictor: int, tile: int
) -> None:
    light = plate(19, 37)
    spec = oiio.ImageSpec(37, 19, 3, oiio.FLOAT)
    spec.attribute("compression", "zip")
    spec.attribute("tiff:predictor", predictor)
    spec.tile_width = spec.tile_height = tile
    path = str(tmp_path / "a.tif")
    file = oiio.ImageOutput.create(path)
    assert file.open(path, spec), oiio.geterror()
    file.write_image(light)
    file.close()
    np.testing.assert_array_equal(read_image(path).light, light)
    assert "a.tif holds floats, which count as linear light of sRGB's primaries" in caplog.text


def test_a_matte_of_floats_keeps_its_numbers(tmp_path: Path) -> None:
    alpha = np.linspace(0, 1, 12 * 16, dtype=np.float32).reshape(12, 16)
    for name in ("a.tif", "a.exr"):
        write_image(tmp_path / name, alpha, depth=32)
        found = read_matte(tmp_path / name).values
        np.testing.assert_allclose(found, alpha, atol=1 / 65535)


def scene() -> tuple[Array, Array, Array, Array]:
    """Make light of a foreground over a background, up to 30 and below 0, and its true alpha."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:40, :48].astype(np.float32)
    alpha = np.clip((16 - np.hypot(rows - 20, columns - 24)) / 8 + 0.5, 0, 1)
    foreground = np.dstack([0.2 + rows / 50, 30 - columns / 2, np.full_like(rows, -0.4)])
    background = np.dstack([columns / 4, np.full_like(rows, 0.05), 5 - rows / 10])
    background += rng.normal(0, 0.02, background.shape)
    both = (layer.astype(np.float32) for layer in (foreground, background))
    foreground, background = both
    share = alpha[..., None]
    return (foreground * share + background * (1 - share)), alpha, foreground, background


@pytest.mark.parametrize("method", ["multilevel", "blur-fusion"])
def test_colours_of_light_explain_the_plate_and_have_no_bounds(method: Any) -> None:
    light, alpha, true, _ = scene()
    foreground, background = estimate_colours(light, alpha, method=method, light=True)
    share = alpha[..., None]
    again = foreground * share + background * (1 - share)
    scale = np.maximum(np.abs(foreground * share), np.abs(background * (1 - share)))
    assert (np.abs(again - light) <= 4e-7 * np.maximum(scale, 1)).all()
    alone = estimate_foreground(light, alpha, method=method, light=True)
    np.testing.assert_array_equal(alone, foreground)
    soft = (alpha > 0.5) & (alpha < 1)
    assert np.abs(foreground - true)[soft].mean() < 0.5  # of light up to 30
    assert foreground.max() > 20
    assert foreground.min() < -0.3


def test_light_that_is_not_finite_is_refused() -> None:
    light, alpha, _, _ = scene()
    light[0, 0, 0] = np.inf
    with pytest.raises(ImageError, match="image holds values that are not finite"):
        estimate_foreground(light, alpha, light=True)


def test_light_is_laid_over_light_without_bounds() -> None:
    light, alpha, foreground, background = scene()
    np.testing.assert_array_equal(composite(foreground, alpha, background, light=True), light)


@pytest.mark.parametrize("what", ["white", "#808080", "blur", "gradient", "checker"])
def test_backgrounds_of_light_are_light(what: str) -> None:
    light = scene()[0]
    made = make_background(what, light, light=True)
    if what == "blur":
        assert made.max() > 10
        return
    shown = make_background(what, np.zeros_like(light))
    np.testing.assert_array_equal(made, to_linear(shown))


def test_a_background_picture_keeps_its_light(tmp_path: Path) -> None:
    light = plate()
    path = by_oiio(tmp_path / "b.exr", light)
    np.testing.assert_array_equal(make_background(str(path), light, light=True), light)
    write_image(tmp_path / "b.png", from_linear(np.clip(light, 0, 1)), depth=16)
    made = make_background(str(tmp_path / "b.png"), light, light=True)
    np.testing.assert_allclose(made, np.clip(light, 0, 1), atol=1e-4)
