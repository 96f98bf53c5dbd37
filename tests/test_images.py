"""Pictures come in upright and at full precision, and go out whole or not at all."""

import errno
import os
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms
from PIL.ExifTags import GPS, IFD, Base

from a2u_cli import images
from a2u_cli.errors import ImageError
from a2u_cli.images import (
    encode_image,
    output_format,
    quantise,
    read_grey,
    read_image,
    reading,
    write_image,
    writing,
)

Array = npt.NDArray[Any]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SIZES = [(1, 1), (1, 7), (5, 3), (13, 17)]


def random_levels(*shape: int, depth: int = 8, seed: int = 0) -> Array:
    dtype = np.uint8 if depth == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**depth, shape, dtype=dtype)


def saved(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def png16(levels: Array) -> bytes:
    """Encode (H, W), RGB or RGBA uint16 independently of the module under test."""
    bgr = levels if levels.ndim == 2 else levels[..., [2, 1, 0, 3][: levels.shape[2]]]
    return cv2.imencode(".png", bgr)[1].tobytes()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def tiff16(levels: Array, photometric: int, **extra: tuple[int, int]) -> bytes:
    """Write an uncompressed little-endian 16-bit TIFF, with extra name=(tag, value)."""
    height, width = levels.shape[:2]
    channels = 1 if levels.ndim == 2 else levels.shape[2]
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: photometric, 277: channels, 278: height}
    tags |= {279: levels.nbytes} | dict(extra.values())
    end = 8 + 2 + 12 * (len(tags) + 1) + 4
    tags[273] = end + 2 * channels
    body = struct.pack("<H", len(tags))
    for tag, value in sorted(tags.items()):
        if tag == 258 and channels > 2:
            body += struct.pack("<HHII", tag, 3, channels, end)
        else:
            body += struct.pack("<HHIHH", tag, 3, 1, value, 0)
    depths = struct.pack(f"<{channels}H", *[16] * channels)
    return b"II*\0\x08\0\0\0" + body + b"\0" * 4 + depths + levels.astype("<u2").tobytes()


def as_stored(upright: Array, orientation: int) -> Array:
    """Store an upright array so that the EXIF orientation brings it back (EXIF 2.3, 4.6.4)."""
    return {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation].copy()


def exif_bytes(orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    exif[Base.Artist] = "A. Painter"
    exif[IFD.Exif] = {Base.ExposureTime: 0.5, Base.ExifImageWidth: 999}
    return exif.tobytes()


@pytest.fixture
def quiet_opencv() -> Iterator[None]:
    """Silence OpenCV as the command line does for its process; the library leaves it as it is."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    yield
    cv2.utils.logging.setLogLevel(level)


# Reading


@pytest.mark.parametrize("size", SIZES)
def test_rgb_is_read_as_rgb_in_unit_range(size: tuple[int, int]) -> None:
    levels = random_levels(*size, 3)
    picture = read_image(saved(Image.fromarray(levels)))
    np.testing.assert_array_equal(picture.image, levels.astype(np.float32) / np.float32(255))
    assert picture.image.dtype == np.float32
    assert picture.image.flags.c_contiguous
    assert (picture.size, picture.depth, picture.alpha, picture.orientation) == (size, 8, None, 1)


def test_grey_becomes_rgb() -> None:
    levels = random_levels(5, 3)
    picture = read_image(saved(Image.fromarray(levels)))
    np.testing.assert_array_equal(quantise(picture.image, 8), np.dstack([levels] * 3))
    assert picture.alpha is None


def test_one_bit_becomes_black_and_white() -> None:
    levels = random_levels(5, 3) > 127
    picture = read_image(saved(Image.fromarray(levels)))
    np.testing.assert_array_equal(picture.image[..., 1], levels.astype(np.float32))


def test_palette_is_resolved() -> None:
    levels = random_levels(7, 5, 3) // 128 * 255
    paletted = Image.fromarray(levels).convert("P", palette=Image.Palette.ADAPTIVE)
    picture = read_image(saved(paletted))
    np.testing.assert_array_equal(quantise(picture.image, 8), levels)


def test_palette_transparency_becomes_alpha() -> None:
    paletted = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    paletted.putpalette([255, 0, 0, 0, 0, 255])
    picture = read_image(saved(paletted, transparency=1))
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, [[1, 0], [0, 1]])
    np.testing.assert_array_equal(picture.image[0, 0], [1, 0, 0])


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_channel_is_kept_apart(channels: int) -> None:
    levels = random_levels(5, 7, channels)
    picture = read_image(saved(Image.fromarray(levels)))
    assert picture.alpha is not None
    np.testing.assert_array_equal(quantise(picture.alpha, 8), levels[..., -1])
    np.testing.assert_array_equal(quantise(picture.image, 8)[..., 0], levels[..., 0])


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb_and_loses_its_profile(kind: str) -> None:
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    profile = b"\0" * 16 + b"CMYK" + b"\0" * 108
    picture = read_image(saved(cmyk, kind, icc_profile=profile))
    np.testing.assert_allclose(picture.image[4, 4], [1, 0, 0], atol=0.02)
    assert picture.icc is None


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "BMP", "WEBP", "GIF", "TIFF"])
def test_other_formats_are_read(kind: str) -> None:
    assert read_image(saved(Image.new("RGB", (7, 5), "white"), kind)).image.min() > 0.99


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (5, 7, 3), (5, 7, 4)])
def test_16_bit_png_is_read_at_16_bits(shape: tuple[int, ...]) -> None:
    levels = random_levels(*shape, depth=16)
    picture = read_image(png16(levels))
    assert picture.depth == 16
    colours = levels[..., :3] if levels.ndim == 3 else np.dstack([levels] * 3)
    np.testing.assert_array_equal(quantise(picture.image, 16), colours)
    if shape[-1] == 4:
        assert picture.alpha is not None
        np.testing.assert_array_equal(quantise(picture.alpha, 16), levels[..., 3])


def test_16_bit_grey_with_alpha_is_read_at_16_bits() -> None:
    levels = random_levels(5, 7, 2, depth=16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 7, 5, 16, 4, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    picture = read_image(b"\x89PNG\r\n\x1a\n" + header + pixels)
    assert picture.alpha is not None
    np.testing.assert_array_equal(quantise(picture.alpha, 16), levels[..., 1])
    np.testing.assert_array_equal(quantise(picture.image[..., 2], 16), levels[..., 0])


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_16_bit_tiff_is_read_at_16_bits(shape: tuple[int, ...]) -> None:
    levels = random_levels(*shape, depth=16)
    picture = read_image(tiff16(levels, photometric=1 if levels.ndim == 2 else 2))
    assert picture.depth == 16
    np.testing.assert_array_equal(
        quantise(picture.image, 16), levels if levels.ndim == 3 else np.dstack([levels] * 3)
    )


def test_16_bit_tiff_where_white_is_zero_is_inverted() -> None:
    levels = random_levels(5, 7, depth=16)
    found = quantise(read_grey(tiff16(levels, photometric=0)), 16)
    np.testing.assert_array_equal(found, 65535 - levels)


def test_premultiplied_16_bit_tiff_becomes_straight() -> None:
    premultiplied = np.array([[[10000, 20000, 0, 40000], [0, 0, 0, 0]]], np.uint16)
    picture = read_image(tiff16(premultiplied, photometric=2, extra_samples=(338, 1)))
    np.testing.assert_allclose(picture.image[0], [[0.25, 0.5, 0.0], [0.0, 0.0, 0.0]], atol=1e-5)


@pytest.mark.parametrize(
    ("photometric", "extra"), [(5, {}), (2, {"signed": (339, 2)})], ids=["CMYK", "signed"]
)
def test_unusual_16_bit_samples_are_refused(photometric: int, extra: Any) -> None:
    levels = random_levels(5, 7, 4 if photometric == 5 else 3, depth=16)
    with pytest.raises(ImageError, match=r"expected"):
        read_image(tiff16(levels, photometric, **extra))


def test_float_tiff_is_refused() -> None:
    data = saved(Image.fromarray(np.zeros((5, 7), np.float32)), "TIFF")
    with pytest.raises(ImageError, match=r"a\.tif has 32 bits a channel, expected 8 or 16; export"):
        read_image(data, name="a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    upright = random_levels(5, 3, 3)
    stored = Image.fromarray(as_stored(upright, orientation))
    picture = read_image(saved(stored, kind, exif=exif_bytes(orientation)))
    np.testing.assert_array_equal(quantise(picture.image, 8), upright)
    assert picture.orientation == orientation
    assert picture.size == (5, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_to_jpeg(orientation: int) -> None:
    upright = np.repeat(np.repeat(random_levels(3, 2), 16, axis=0), 16, axis=1)
    stored = Image.fromarray(as_stored(upright, orientation))
    picture = read_image(saved(stored, "JPEG", exif=exif_bytes(orientation), quality=95))
    np.testing.assert_allclose(picture.image[..., 0], upright / 255, atol=0.05)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_exif_orientation_is_applied_at_16_bits(orientation: int, kind: str) -> None:
    upright = random_levels(5, 3, 3, depth=16)
    stored = as_stored(upright, orientation)
    if kind == "png":
        data = png16(stored)
        data = data[:33] + chunk(b"eXIf", exif_bytes(orientation)[6:]) + data[33:]
    else:
        data = tiff16(stored, photometric=2, orientation=(274, orientation))
    picture = read_image(data)
    np.testing.assert_array_equal(quantise(picture.image, 16), upright)
    assert picture.orientation == orientation


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_meaningless_orientation_counts_as_none(orientation: int) -> None:
    levels = random_levels(5, 3, 3)
    picture = read_image(saved(Image.fromarray(levels), exif=exif_bytes(orientation)))
    np.testing.assert_array_equal(quantise(picture.image, 8), levels)
    assert picture.orientation == 1


def test_broken_exif_does_not_hide_the_picture() -> None:
    data = png16(random_levels(5, 3, 3, depth=16))
    data = data[:33] + chunk(b"eXIf", b"MM nonsense") + data[33:]
    picture = read_image(data)
    assert (picture.exif, picture.orientation) == (None, 1)


def test_exif_is_kept_without_orientation_layout_and_thumbnail() -> None:
    picture = read_image(saved(Image.new("RGB", (8, 6)), "TIFF", exif=exif_bytes(6)))
    exif = Image.Exif()
    assert picture.exif is not None
    exif.load(picture.exif)
    assert exif[Base.Artist] == "A. Painter"
    assert exif.get_ifd(IFD.Exif) == {Base.ExposureTime: 0.5}
    assert set(exif) == {Base.Artist, IFD.Exif}


def test_grey_keeps_16_bits() -> None:
    levels = random_levels(13, 17, depth=16)
    grey = read_grey(png16(levels))
    assert grey.dtype == np.float32
    np.testing.assert_array_equal(quantise(grey, 16), levels)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_grey_is_the_same_however_it_is_stored(mode: str) -> None:
    levels = np.array([[0, 128, 255], [102, 26, 229]], np.uint8)
    picture = Image.fromarray(levels).convert(mode)
    if mode in ("LA", "RGBA"):
        picture.putalpha(Image.fromarray(random_levels(2, 3)))
    np.testing.assert_array_equal(read_grey(saved(picture)), levels / np.float32(255))


def test_grey_of_colours_is_their_mean() -> None:
    grey = read_grey(saved(Image.new("RGB", (1, 1), (255, 0, 51))))
    np.testing.assert_allclose(grey, [[0.4]], rtol=1e-6)


def test_grey_is_turned_upright() -> None:
    upright = random_levels(5, 3)
    data = saved(Image.fromarray(as_stored(upright, 6)), exif=exif_bytes(6))
    np.testing.assert_array_equal(quantise(read_grey(data), 8), upright)


@pytest.mark.parametrize("name", ["фото моё.png", "写真 一.png", "a b ç ñ.png"])
def test_any_path_is_written_and_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "папка 夹 x" / name
    levels = random_levels(5, 3, 3)
    write_image(path, levels)
    np.testing.assert_array_equal(quantise(read_image(path).image, 8), levels)
    assert [entry.name for entry in path.parent.iterdir()] == [name]


# Refusals


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no\.png does not exist, expected a picture; check"):
        read_image(tmp_path / "no.png")


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"is a folder, expected a picture; name one file"):
        read_image(tmp_path)


def test_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(ImageError, match=r"a\.png is empty \(0 bytes\), expected a picture; write"):
        read_image(tmp_path / "a.png")


def test_text_under_a_picture_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("not a picture")
    with pytest.raises(ImageError, match=r"a\.png is not a picture .* expected .*PNG.*; export"):
        read_image(tmp_path / "a.png")


def test_bytes_are_named_standard_input_unless_told() -> None:
    with pytest.raises(ImageError, match=r"^standard input is not a picture"):
        read_image(b"rubbish")
    with pytest.raises(ImageError, match=r"^shop\.zip:a\.png is not a picture"):
        read_grey(b"rubbish", name="shop.zip:a.png")


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "png16", "tiff16"])
@pytest.mark.usefixtures("quiet_opencv")
def test_truncated_files_are_refused_in_one_line(
    kind: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    if kind == "png16":
        data = png16(random_levels(64, 48, 3, depth=16))
    elif kind == "tiff16":
        data = tiff16(random_levels(64, 48, 3, depth=16), photometric=2)
    else:
        data = saved(Image.fromarray(random_levels(64, 48, 3)), kind)
    with pytest.raises(ImageError, match=r"^a\.x is (truncated|not a picture)") as caught:
        read_image(data[: int(len(data) * share)], name="a.x")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("depth", [8, 16])
def test_a_png_with_a_flipped_byte_is_refused(depth: int) -> None:
    data = bytearray(encode_image(random_levels(64, 48, 3, depth=depth), "png", depth=depth))
    for position in range(41, len(data) - 12, 997):
        data[position] ^= 0x55
        with pytest.raises(ImageError, match="is truncated or damaged"):
            read_image(bytes(data))
        data[position] ^= 0x55


def test_absurd_sizes_are_refused_before_decoding() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 50000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100))
    expected = r"bomb\.png is 60000x50000 \(3000\.0 million pixels\), expected at most 300\.0"
    with pytest.raises(ImageError, match=expected):
        read_image(bomb, name="bomb.png")


def test_the_limit_of_pixels_can_be_set() -> None:
    data = saved(Image.new("L", (30, 20)))
    assert read_image(data, max_pixels=600).size == (20, 30)
    with pytest.raises(ImageError, match="30x20"):
        read_grey(data, max_pixels=599)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "GIF"])
def test_pillow_keeps_its_own_limit_and_gives_no_warning(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    data = saved(Image.new("L", (30, 20)), kind)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(data)
    assert Image.MAX_IMAGE_PIXELS == 100


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "TIFF", "GIF", "WEBP", "png16"]), st.data())
def test_damaged_bytes_are_a_picture_or_an_image_error(kind: str, draw: st.DataObject) -> None:
    levels = random_levels(9, 7, 3)
    good = (
        png16(levels * np.uint16(257)) if kind == "png16" else saved(Image.fromarray(levels), kind)
    )
    data = bytearray(good)
    for _ in range(draw.draw(st.integers(1, 6))):
        position = draw.draw(st.integers(0, len(data) - 1))
        data[position] = draw.draw(st.integers(0, 255))
    try:
        read_image(bytes(data), max_pixels=10**6)
    except ImageError as error:
        assert "\n" not in str(error)


# Writing


@pytest.mark.parametrize("extension", [".png", ".tif", ".TIFF", ".jpg", ".JPEG"])
def test_the_extension_decides_the_format(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a{extension}"
    write_image(path, random_levels(5, 3, 3))
    with Image.open(path) as picture:
        assert picture.format is not None
        assert picture.format.lower() == output_format(path, channels=3, depth=8)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(["png", "tiff"]), st.sampled_from([8, 16]))
def test_levels_survive_the_round_trip(draw: st.DataObject, kind: Any, depth: int) -> None:
    sides = st.integers(1, 9)
    shape = draw.draw(st.one_of(st.tuples(sides, sides), st.tuples(sides, sides, st.just(3))))
    dtype = np.uint8 if depth == 8 else np.uint16
    levels = draw.draw(hnp.arrays(dtype, shape))
    values = levels.astype(np.float32) / np.float32(2**depth - 1)
    picture = read_image(encode_image(values, kind, depth=depth))
    expected = levels if levels.ndim == 3 else np.dstack([levels] * 3)
    assert picture.depth == depth
    np.testing.assert_array_equal(quantise(picture.image, depth), expected)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("size", [*SIZES, (700, 401)])
def test_cut_outs_stay_straight(kind: Any, depth: int, size: tuple[int, int]) -> None:
    levels = random_levels(*size, 4, depth=depth)
    picture = read_image(encode_image(levels, kind, depth=depth))
    assert picture.alpha is not None
    np.testing.assert_array_equal(quantise(picture.image, depth), levels[..., :3])
    np.testing.assert_array_equal(quantise(picture.alpha, depth), levels[..., 3])


# Not RGBA at 8 bits: OpenCV premultiplies that on reading.
@pytest.mark.parametrize(("channels", "depth"), [(1, 8), (3, 8), (1, 16), (3, 16), (4, 16)])
def test_another_library_reads_our_tiff(channels: int, depth: int) -> None:
    levels = random_levels(300, 401, channels, depth=depth)
    levels = levels[..., 0] if channels == 1 else levels
    data = encode_image(levels, "tiff", depth=depth, icc=SRGB, exif=exif_bytes())
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    found = found if channels == 1 else found[..., [2, 1, 0, 3][:channels]]
    np.testing.assert_array_equal(found, levels)


def test_values_are_rounded_not_truncated() -> None:
    values = np.array([[0.5, 0.999, 1 / 255 - 1e-4, 0.4999 / 255]], np.float32)
    np.testing.assert_array_equal(quantise(values, 8), [[128, 255, 1, 0]])
    np.testing.assert_array_equal(quantise(np.array([[0.5, 0.99999]]), 16), [[32768, 65534]])


def test_values_outside_the_range_are_clipped() -> None:
    np.testing.assert_array_equal(quantise(np.array([[-0.5, 1.5]]), 8), [[0, 255]])


def test_half_precision_is_not_rounded_twice() -> None:
    values = np.array([[0.5, 1]], np.float16)
    np.testing.assert_array_equal(quantise(values, 16), [[32768, 65535]])


def test_quantise_leaves_its_argument_alone() -> None:
    values = np.array([[-1.0, 0.3, 2.0]], np.float32)
    quantise(values, 8)
    np.testing.assert_array_equal(values, np.array([[-1.0, 0.3, 2.0]], np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ImageError, match=r"not finite, expected \[0, 1\]"):
        quantise(np.array([[value]]), 8)


def test_levels_of_another_depth_are_refused() -> None:
    with pytest.raises(ImageError, match="found uint8 values, expected floats"):
        encode_image(random_levels(5, 3), "png", depth=16)


@pytest.mark.parametrize("shape", [(5,), (5, 3, 2), (0, 3), (1, 5, 3, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ImageError, match=r"has shape .*, expected \(H, W\), \(H, W, 3\), \(H, W, 4\)"
    ):
        encode_image(np.zeros(shape, np.float32), "png")


@pytest.mark.parametrize(
    ("name", "channels", "depth", "expected"),
    [
        ("a.jpg", 4, 8, r"a\.jpg: JPEG cannot hold transparency; choose \.png or \.tif"),
        ("a.jpeg", 3, 16, r"a\.jpeg: JPEG cannot hold 16 bits a channel; choose"),
        ("a.xyz", 3, 8, r"a\.xyz has extension \.xyz, expected one of \.png, .*; rename"),
        ("a", 3, 8, r"a has no extension, expected one of \.png, .*; rename"),
        ("a.png", 3, 12, r"a\.png: depth 12 was asked for, expected 8 or 16"),
    ],
)
def test_a_format_that_cannot_hold_it_is_refused(
    tmp_path: Path, name: str, channels: int, depth: int, expected: str
) -> None:
    with pytest.raises(ImageError, match=expected):
        output_format(tmp_path / name, channels=channels, depth=depth)
    with pytest.raises(ImageError, match=expected):
        write_image(tmp_path / "new" / name, np.zeros((2, 2, channels)), depth=depth)
    assert list(tmp_path.iterdir()) == []


def test_sizes_that_a_format_cannot_hold_are_refused() -> None:
    with pytest.raises(ImageError, match="the output cannot be written as jpeg"):
        encode_image(np.zeros((1, 65536)), "jpeg")


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", ["png", "tiff", "jpeg"])
@pytest.mark.parametrize("channels", [3, 4])
def test_profile_and_exif_survive(kind: Any, depth: int, channels: int) -> None:
    if kind == "jpeg" and (depth == 16 or channels == 4):
        pytest.skip("JPEG has neither")
    source = read_image(saved(Image.new("RGB", (8, 6)), icc_profile=SRGB, exif=exif_bytes(6)))
    array = np.zeros((8, 6, channels), np.float32)
    data = encode_image(array, kind, depth=depth, icc=source.icc, exif=source.exif)
    result = read_image(data)
    assert (result.size, result.orientation) == ((8, 6), 1)
    assert result.icc == SRGB
    assert result.exif is not None
    exif = Image.Exif()
    exif.load(result.exif)
    assert exif[Base.Artist] == "A. Painter"
    assert exif.get_ifd(IFD.Exif)[Base.ExposureTime] == 0.5


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", ["png", "tiff", "jpeg"])
def test_grey_files_take_no_rgb_profile(kind: Any, depth: int) -> None:
    if kind == "jpeg" and depth == 16:
        pytest.skip("JPEG has 8 bits")
    data = encode_image(np.zeros((5, 3)), kind, depth=depth, icc=SRGB, exif=exif_bytes())
    with Image.open(BytesIO(data)) as picture:
        assert "icc_profile" not in picture.info
        assert picture.getexif()[Base.Artist] == "A. Painter"


def test_exif_too_long_for_jpeg_is_refused() -> None:
    exif = Image.Exif()
    exif[Base.Artist] = "x" * 70000
    with pytest.raises(ImageError, match="cannot be written as jpeg"):
        encode_image(np.zeros((5, 3, 3)), "jpeg", exif=exif.tobytes())


@pytest.mark.parametrize("broken", ["os.fsync", "pathlib.Path.replace"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, failure: BaseException
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(broken, fail)
    expected = ImageError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        write_image(path, np.zeros((5, 3)))
    if expected is ImageError:
        text = f"{path} cannot be written (No space left), expected a folder with room"
        assert str(caught.value).startswith(text)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]
    assert path.read_bytes() == b"old"


def test_writing_replaces_the_old_file_and_makes_folders(tmp_path: Path) -> None:
    path = tmp_path / "new" / "newer" / "a.png"
    write_image(path, np.zeros((5, 3)))
    write_image(path, np.ones((5, 3)))
    assert read_grey(path).min() == 1
    assert len(list(path.parent.iterdir())) == 1


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_the_file_gets_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_image(tmp_path / "a.png", np.zeros((5, 3)))
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_file_where_a_folder_is_needed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    for path in (tmp_path / "out" / "a.png", tmp_path / "out" / "b" / "a.png"):
        with pytest.raises(ImageError, match=r"cannot be written \(.+\), expected a folder"):
            write_image(path, np.zeros((5, 3)))


def test_a_folder_where_the_file_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ImageError, match=r"a\.png cannot be written"):
        write_image(tmp_path / "a.png", np.zeros((5, 3)))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


def test_images_and_trimap_do_not_load_torch() -> None:
    code = "import sys, a2u_cli.images, a2u_cli.trimap; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# Nothing of the process is changed, and nobody waits


def process_state() -> tuple[Any, ...]:
    return Image.MAX_IMAGE_PIXELS, [*warnings.filters], cv2.utils.logging.getLogLevel()


def test_threads_read_whole_and_damaged_files_and_change_nothing(tmp_path: Path) -> None:
    files: list[bytes] = []
    for seed, kind in enumerate(["PNG", "JPEG", "TIFF", "WEBP"]):
        whole = saved(Image.fromarray(random_levels(40, 30, 3, seed=seed)), kind)
        files += [whole, whole[: len(whole) // 2]]
    for number, data in enumerate(files):
        (tmp_path / str(number)).write_bytes(data)
    before = process_state()
    seen: list[tuple[Any, ...]] = []

    def read(number: int) -> bytes | None:
        try:
            picture = read_image(tmp_path / str(number))
        except ImageError:
            return None
        finally:
            seen.append(process_state())
        return picture.image.tobytes()

    alone = [read(number) for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        together = [list(threads.map(read, range(8))) for _ in range(5)]
    assert all(found == alone for found in together)
    assert [image is None for image in alone] == [False, True] * 4
    assert seen == [before] * len(seen)
    assert process_state() == before


def test_two_reads_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = threading.Barrier(2, timeout=20)
    decode = reading.decode_levels

    def meet(*arguments: Any) -> Any:
        assert Image.MAX_IMAGE_PIXELS == 100
        meeting.wait()
        return decode(*arguments)

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr(reading, "decode_levels", meet)
    data = saved(Image.new("L", (30, 20)))
    with ThreadPoolExecutor(2) as threads:
        sizes = [picture.size for picture in threads.map(read_image, [data, data])]
    assert sizes == [(20, 30)] * 2


def test_heic_is_not_registered_with_pillow() -> None:
    pytest.importorskip("pillow_heif")
    code = (
        "from PIL import Image; from a2u_cli.images import read_image\n"
        "from a2u_cli.errors import ImageError\n"
        "try: read_image(b'\\0\\0\\0\\x18ftypheic' + bytes(12))\n"
        "except ImageError: pass\n"
        "assert 'HEIF' not in Image.OPEN"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# TIFF, as others read it


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_our_tiff_is_what_its_tags_say(channels: int, depth: int) -> None:
    levels = random_levels(300, 401, channels, depth=depth)
    levels = levels[..., 0] if channels == 1 else levels
    icc = SRGB if channels > 1 else None
    exif = Image.Exif()
    exif[Base.Artist] = "A. Painter"
    exif[Base.ImageDescription] = "A picture"
    exif[Base.XResolution], exif[Base.YResolution], exif[Base.ResolutionUnit] = 300, 150, 2
    exif[IFD.Exif] = {Base.ExposureTime: 0.5, Base.DateTimeOriginal: "2020:01:01 00:00:00"}
    exif[IFD.GPSInfo] = {GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: (59.0, 30.0, 0.5)}
    data = encode_image(levels, "tiff", depth=depth, icc=icc, exif=exif.tobytes())
    with tifffile.TiffFile(BytesIO(data)) as file:
        (page,) = file.pages
        assert (page.photometric, page.predictor, page.compression) == (min(channels, 2), 2, 8)
        assert page.extrasamples == ((2,) if channels == 4 else ())  # 2: straight
        assert page.tags.get("InterColorProfile") is None if channels == 1 else page.iccprofile
        assert page.description == "A picture"
        assert page.tags["XResolution"].value == (300, 1)
        assert page.tags["ExifTag"].value["DateTimeOriginal"] == "2020:01:01 00:00:00"
        np.testing.assert_array_equal(page.asarray(), levels)
    with Image.open(BytesIO(data)) as picture:
        found = picture.getexif()
        assert (found[Base.Artist], found[Base.YResolution]) == ("A. Painter", 150)
        assert found[Base.ResolutionUnit] == 2
        assert found.get_ifd(IFD.Exif)[Base.ExposureTime] == 0.5
        assert found.get_ifd(IFD.GPSInfo)[GPS.GPSLatitude] == (59.0, 30.0, 0.5)
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    codes = [struct.unpack_from("<H", data, start + 2 + 12 * n)[0] for n in range(count)]
    assert codes == sorted(set(codes))  # as TIFF 6.0 asks
    again = encode_image(levels, "tiff", depth=depth, icc=icc, exif=read_image(data).exif)
    assert again == data


@pytest.mark.parametrize("resolution", ["72", (1, 2), None])
def test_an_odd_resolution_does_not_hinder_writing(resolution: Any) -> None:
    exif = Image.Exif()
    exif[Base.Artist] = "A. Painter"
    if resolution:
        exif[Base.XResolution] = 72
        exif[Base.ResolutionUnit] = 9
    data = encode_image(random_levels(5, 3), "tiff", exif=exif.tobytes())
    assert read_image(data).size == (5, 3)


# What is said


@pytest.mark.parametrize("wrong", [Image.new("L", (3, 2)), torch.zeros(2, 3), [[0.0]], None, 3])
def test_what_is_no_array_is_refused_in_words(tmp_path: Path, wrong: Any) -> None:
    calls = [
        lambda: write_image(tmp_path / "a.png", wrong),
        lambda: write_image(tmp_path / "a.png", np.zeros((2, 3, 3)), alpha=wrong),
        lambda: encode_image(wrong, "png"),
        lambda: quantise(wrong, 8),
    ]
    for number, call in enumerate(calls):
        if wrong is None and number == 1:
            continue
        with pytest.raises(ImageError, match=r" is a .*, expected a numpy array .*convert it with"):
            call()
    if not isinstance(wrong, str | bytes):
        with pytest.raises(ImageError, match=r"found a .* to read, expected a path or the bytes"):
            read_image(wrong)


def test_paths_may_be_text(tmp_path: Path) -> None:
    path = f"{tmp_path}/a.png"
    write_image(path, np.ones((2, 3)))
    assert read_image(path).size == read_grey(path).shape == images.picture_size(path) == (2, 3)
    with pytest.raises(ImageError, match=r"no\.png does not exist"):
        read_image("no.png")


@pytest.mark.parametrize("depth", [8, 16])
def test_an_alpha_is_laid_beside_the_colours(tmp_path: Path, depth: int) -> None:
    colours, alpha = random_levels(5, 7, 3, depth=depth), random_levels(5, 7, depth=depth)
    write_image(tmp_path / "a.png", colours, alpha=alpha / (2.0**depth - 1), depth=depth)
    picture = read_image(tmp_path / "a.png")
    assert picture.alpha is not None
    np.testing.assert_array_equal(quantise(picture.alpha, depth), alpha)
    np.testing.assert_array_equal(quantise(picture.image, depth), colours)
    with pytest.raises(ImageError, match=r"b\.png: the colours are 7x5 but the alpha is 5x7; use"):
        write_image(tmp_path / "b.png", np.zeros((5, 7, 3)), alpha=np.zeros((7, 5)))
    with pytest.raises(ImageError, match="JPEG cannot hold transparency"):
        write_image(tmp_path / "b.jpg", np.zeros((5, 7, 3)), alpha=np.zeros((5, 7)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_refused_values_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "matte.png"
    for array in (np.full((2, 2), np.nan), np.zeros((2, 2), np.int32), np.zeros((2, 2, 5))):
        with pytest.raises(ImageError, match=r"matte\.png.* expected "):
            write_image(path, array)


def test_a_large_picture_is_rounded_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((37, 11, 3), np.float32)
    whole = quantise(values, 16)
    monkeypatch.setattr(writing, "STRIP", 70)
    np.testing.assert_array_equal(quantise(values, 16), whole)


def test_a_name_that_no_system_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot be read \(embedded null byte\)"):
        read_image(tmp_path / "a\0.png")
    for write in (write_image, lambda path, _: images.require_free(path, [tmp_path], force=False)):
        with pytest.raises(ImageError, match=r"cannot be written \(.*null byte"):
            write(tmp_path / "a\0.png", np.zeros((2, 2)))


@pytest.mark.parametrize(("kind", "reason"), [("JPEG", "truncated"), ("WEBP", "webp|WEBP|decod")])
def test_a_damaged_file_is_told_with_its_decoders_words(kind: str, reason: str) -> None:
    data = saved(Image.fromarray(random_levels(40, 30, 3)), kind)
    with pytest.raises(ImageError, match=rf"^a\.x is truncated or damaged \(.*{reason}.*\)"):
        read_image(data[: len(data) // 2], name="a.x")


def test_what_cannot_be_encoded_is_told_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with pytest.raises(ImageError, match=r"a\.tif cannot be written as tiff \(.+\); choose"):
        write_image(path, np.zeros((2, 2)), exif=b"Exif\0\0II*\0\xff\xff")
    with pytest.raises(ImageError, match=r"a\.png cannot be written as png \(.+\); choose"):
        write_image(tmp_path / "a.png", np.zeros((1, 2**20 + 1), np.uint8))
    assert not [*tmp_path.iterdir()]


def test_every_public_name_is_handed_on() -> None:
    for name in images.__all__:
        assert getattr(images, name) is not None
