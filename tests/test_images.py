"""Pictures come in upright and at full precision, from whole and damaged files."""

import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import SIZES, as_stored, chunk, exif_bytes, png16, random_levels, saved, tiff16
from PIL import Image
from PIL.ExifTags import IFD, Base

from a2u_cli.errors import ImageError
from a2u_cli.images import (
    encode_image,
    quantise,
    read_grey,
    read_image,
    reading,
    write_image,
)


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
def test_cmyk_becomes_rgb_and_a_damaged_profile_of_it_is_lost(kind: str) -> None:
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


def test_a_webp_beyond_pillows_limit_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.new("L", (30, 20)), "WEBP")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match=r"^a\.webp has more pixels than Pillow reads of its kind"):
        read_image(data, name="a.webp")


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
