"""Files as people have them come in with the right pixels and colours, or in one true line."""

import io
import itertools
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from picture_files import chunk, exif_bytes, png16, random_levels, saved
from PIL import Image, ImageCms
from PIL.ExifTags import IFD, Base

from a2u_cli.errors import ImageError, OutOfMemory
from a2u_cli.images import (
    encode_image,
    picture_size,
    quantise,
    read_grey,
    read_image,
    read_matte,
    read_stream,
    write_image,
)
from a2u_cli.images.colour import from_linear
from a2u_cli.images.profiles import SRGB_TO_XYZ

PNG = b"\x89PNG\r\n\x1a\n"


def tiff(levels: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, levels, metadata=None, **{"photometric": "rgb"} | options)
    return stream.getvalue()


# TIFF (B01, B24, B11, B28)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("order", "<>")
def test_a_tiff_is_right_in_any_layout(depth: int, order: str) -> None:
    levels = random_levels(37, 53, 3, depth=depth)
    layouts = itertools.product(("contig", "separate"), (None, (16, 32)), (None, "zlib"))
    for planes, tile, compression in layouts:
        stored = levels if planes == "contig" else np.moveaxis(levels, -1, 0)
        data = tiff(
            stored,
            planarconfig=planes,
            tile=tile,
            compression=compression,
            predictor=bool(compression),
            byteorder=order,
        )
        picture = read_image(data)
        assert picture.depth == depth
        np.testing.assert_array_equal(quantise(picture.image, depth), levels)


@pytest.mark.parametrize("compression", ["zstd", "tiff_lzw", "packbits", "lzma"])
def test_a_16_bit_tiff_of_any_lossless_compression_is_read(compression: str) -> None:
    levels = random_levels(24, 32, depth=16)
    data = saved(Image.fromarray(levels), "TIFF", compression=compression)
    np.testing.assert_array_equal(quantise(read_grey(data), 16), levels)


@pytest.mark.parametrize("depth", [8, 16])
def test_only_what_a_tiff_calls_transparency_is_that(depth: int, said: Any) -> None:
    levels = random_levels(6, 7, 5, depth=depth)
    unnamed = read_image(tiff(levels[..., :4], extrasamples=["unspecified"]), name="a.tif")
    assert unnamed.alpha is None
    second = read_image(tiff(levels, extrasamples=["unspecified", "unassalpha"]), name="b.tif")
    assert second.alpha is not None
    np.testing.assert_array_equal(quantise(second.alpha, depth), levels[..., 4])
    np.testing.assert_array_equal(quantise(second.image, depth), levels[..., :3])
    assert said() == [
        "a.tif has 1 more channel of no known meaning, not used",
        "b.tif has 1 more channel of no known meaning, not used",
    ]


@pytest.mark.parametrize("depth", [8, 16])
def test_a_premultiplied_tiff_becomes_straight(depth: int) -> None:
    most = 2**depth - 1
    levels = np.array([[[most // 4, most // 2, 0, most // 2], [0, 0, 0, 0]]])
    data = tiff(levels.astype(f"u{depth // 8}"), extrasamples=["assocalpha"])
    np.testing.assert_allclose(read_image(data).image[0, 0], [0.5, 1, 0], atol=0.01)


@pytest.mark.parametrize(
    ("kind", "channels", "words"),
    [
        (np.float64, 3, "64 bits a channel of floating-point numbers"),
        (np.float64, 1, "64 bits a channel of floating-point numbers"),
        (np.int16, 1, "16 bits a channel of signed integers"),
        (np.uint32, 3, "32 bits a channel"),
    ],
)
def test_samples_that_are_no_levels_are_named(kind: Any, channels: int, words: str) -> None:
    levels = np.ones((4, 5, channels), kind)
    data = tiff(levels) if channels == 3 else tiff(levels[..., 0], photometric="minisblack")
    with pytest.raises(ImageError, match=rf"^x\.tif has {words}, expected integers of 8 or 16"):
        read_image(data, name="x.tif")


def test_a_camera_raw_is_refused_and_never_its_thumbnail_matted() -> None:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        dng = [(50706, "B", 4, bytes([1, 4, 0, 0]), True)]
        small = random_levels(6, 8, 3)
        writer.write(small, photometric="rgb", subfiletype=1, subifds=1, extratags=dng)
        writer.write(random_levels(24, 32, depth=16), photometric="minisblack", subfiletype=0)
    nef = io.BytesIO()
    with tifffile.TiffWriter(nef) as writer:
        writer.write(small, photometric="rgb", subfiletype=1, subifds=1)
        writer.write(random_levels(24, 32, depth=16), photometric="minisblack", subfiletype=0)
    starts = (b"FUJIFILMCCD-RAW 0201", b"\0\0\0\x18ftypcrx " + bytes(9), b"IIU\0" + bytes(20))
    for data in (stream.getvalue(), nef.getvalue(), *starts):
        with pytest.raises(ImageError, match=r"^x is a camera raw, .* develop it to TIFF or PNG"):
            read_image(data, name="x")


def test_a_bigtiff_that_no_decoder_reads_is_not_called_damaged() -> None:
    data = tiff(random_levels(4, 5, 3), bigtiff=True, byteorder=">")
    with pytest.raises(ImageError, match="is a BigTIFF with the most significant byte first"):
        read_image(data)


def test_pages_and_frames_beyond_the_first_are_told(said: Any) -> None:
    pages = random_levels(2, 6, 7, 3)
    image = read_image(tiff(pages), name="stack.tif").image
    np.testing.assert_array_equal(quantise(image, 8), pages[0])
    frames = [Image.fromarray(page) for page in pages]
    for kind in ("WEBP", "GIF", "PNG"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        read_image(data, name=f"anim.{kind.lower()}")
    assert said() == [
        "stack.tif has 2 pages, the first is taken",
        *(f"anim.{kind} has 2 frames, the first is taken" for kind in ("webp", "gif", "png")),
    ]


def test_smaller_copies_and_a_phones_second_picture_are_no_pages(said: Any) -> None:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(random_levels(8, 8, 3), photometric="rgb")
        writer.write(random_levels(4, 4, 3), photometric="rgb", subfiletype=1)
    read_image(stream.getvalue())
    read_image(saved(Image.new("RGB", (8, 8)), "MPO", append_images=[Image.new("RGB", (4, 4))]))
    assert said() == []


# PNG (B02)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("kind", ["ztxt", "itxt", "icc", "many"])
def test_a_png_with_much_text_or_a_large_profile_is_whole(kind: str, depth: int) -> None:
    levels = random_levels(6, 7, 3, depth=depth)
    base = encode_image(levels, "png", depth=depth)
    icc = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    icc[:4] = struct.pack(">I", len(icc) + 1_500_000)
    text = zlib.compress(b'{"node":1}' * 200_000)
    extra = {
        "ztxt": chunk(b"zTXt", b"workflow\0\0" + text),
        "itxt": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + text),
        "icc": chunk(b"iCCP", b"big\0\0" + zlib.compress(bytes(icc) + bytes(1_500_000))),
        "many": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000))) * 80,
    }[kind]
    picture = read_image(base[:33] + extra + base[33:])
    np.testing.assert_array_equal(quantise(picture.image, depth), levels)
    assert (picture.icc is not None) == (kind == "icc")


@pytest.mark.parametrize("behind", [False, True])
def test_a_png_with_much_text_tells_its_size_its_turn_and_its_labels(
    behind: bool, tmp_path: Path
) -> None:
    labels = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8))
    labels.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    data = saved(labels, exif=exif_bytes(6))
    text = chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(2_000_000)))
    at = len(data) - 12 if behind else 33
    path = tmp_path / "labels.png"
    path.write_bytes(data[:at] + text + data[at:])
    turned = np.array([[1, 0], [0.5, 0.5], [0, 1]], np.float32)
    np.testing.assert_array_equal(read_matte(path).values, turned)
    assert picture_size(path) == (3, 2)


@pytest.mark.parametrize("colour", ["grey", "rgb"])
def test_a_16_bit_png_keeps_the_transparency_of_one_colour(colour: str) -> None:
    levels = np.full((3, 4, 3), 700, np.uint16)
    levels[1, 2] = 5
    kind, clear, stored = (0, 1, levels[..., 0]) if colour == "grey" else (2, 3, levels)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in stored)
    data = PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 16, kind, 0, 0, 0))
    data += chunk(b"tRNS", struct.pack(">H", 5) * clear) + chunk(b"IDAT", zlib.compress(rows))
    picture = read_image(data + chunk(b"IEND", b""))
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, levels[..., 0] != 5)
    np.testing.assert_array_equal(quantise(picture.image, 16), levels)


def test_a_palette_picture_without_its_palette_is_one_line() -> None:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 8, 3, 0, 0, 0))
    data = PNG + head + chunk(b"IDAT", zlib.compress(bytes(15))) + chunk(b"IEND", b"")
    with pytest.raises(
        ImageError, match=r"truncated or damaged \(its pixels name colours of a palette, and"
    ):
        read_image(data)


# Colours (B19)


def profile(gamma: float, primaries: Any, *, table: bool = False) -> bytes:
    """Write a matrix profile (ICC.1:2022, 8.3.3) with a curve of one gamma, or of a table."""

    def fixed(*numbers: float) -> bytes:
        return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)

    points = np.rint(65535 * np.linspace(0, 1, 4096) ** gamma).astype(">u2")
    curve = struct.pack(">4sIIH", b"curv", 0, 1, round(gamma * 256)) + b"\0\0"
    if table:
        curve = struct.pack(">4sII", b"curv", 0, 4096) + points.tobytes()
    tags = [(b"wtpt", b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249))]
    for number, letter in enumerate(b"rgb"):
        xyz = b"XYZ \0\0\0\0" + fixed(*np.asarray(primaries)[:, number])
        tags += [(bytes([letter]) + b"XYZ", xyz), (bytes([letter]) + b"TRC", curve)]
    at, listed, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags:
        listed += struct.pack(">4sII", name, at + len(body), len(data))
        body += data
    head = struct.pack(
        ">I4sI4s4s4s", at + len(body), b"\0" * 4, 0x02400000, b"mntr", b"RGB ", b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + listed + body


ADOBE = np.array(
    [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
)


def seen(levels: Any) -> Any:
    """Give what Adobe RGB levels are in sRGB, float64 in [0, 1]: by the definition."""
    light = (np.asarray(levels, float) ** 2.19921875) @ (np.linalg.inv(SRGB_TO_XYZ) @ ADOBE).T
    return from_linear(np.clip(light, 0, 1))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("table", [False, True])
def test_a_colour_profile_is_converted_to_srgb(depth: int, table: bool) -> None:
    levels = random_levels(20, 30, 3, depth=depth)
    icc = profile(2.19921875, ADOBE, table=table)
    picture = read_image(encode_image(levels, "png", depth=depth, icc=icc))
    expected = seen(levels / (2**depth - 1))
    bright = levels.min(axis=2) > 2**depth // 8  # near black one level of 8 bits is steep
    error = np.abs(picture.image - expected)[bright].max()
    assert error < (1.6 / 255 if depth == 8 else 3e-4)
    assert picture.depth == depth
    assert picture.icc is not None
    assert picture.icc != icc


def test_an_srgb_profile_changes_nothing() -> None:
    levels = random_levels(20, 30, 3)
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = read_image(encode_image(levels, "png", icc=icc))
    np.testing.assert_array_equal(quantise(picture.image, 8), levels)
    assert picture.icc == icc


def test_masks_keep_their_numbers_whatever_the_profile() -> None:
    levels = np.dstack([random_levels(20, 30)] * 3)
    icc = profile(2.19921875, ADOBE)
    grey = read_grey(encode_image(levels, "png", icc=icc))
    np.testing.assert_array_equal(quantise(grey, 8), levels[..., 0])


def test_a_damaged_profile_is_told_and_the_picture_read(said: Any) -> None:
    levels = random_levels(5, 7, 3)
    picture = read_image(encode_image(levels, "png", icc=b"nonsense" * 30), name="a.png")
    np.testing.assert_array_equal(quantise(picture.image, 8), levels)
    assert len(said()) == 1
    assert said()[0].startswith("a.png has a")


def test_cmyk_without_a_profile_is_told(said: Any) -> None:
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    np.testing.assert_allclose(read_image(saved(cmyk, "TIFF"), name="a.tif").image[4, 4], [1, 0, 0])
    assert said() == ["a.tif is CMYK and has no colour profile; its colours are a guess"]


def table_profile(space: bytes, colours: Any) -> bytes:
    """Write a profile of a table of two points a channel: Lab colours, the last channel first."""

    def fixed(*numbers: float) -> bytes:
        return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)

    channels, ramp = len(space.strip()), bytes(range(256))
    table = b"".join(
        bytes([round(light * 2.55), round(a + 128), round(b + 128)]) for light, a, b in colours
    )
    lut = b"mft1\0\0\0\0" + bytes([channels, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut += ramp * channels + table + ramp * 3
    white = b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249)
    tags = [(b"wtpt", white), (b"A2B0", lut + bytes(-len(lut) % 4))]
    at, listed, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags:
        listed += struct.pack(">4sII", name, at + len(body), len(data))
        body += data
    head = struct.pack(">I4xI", at + len(body), 0x02100000) + b"prtr" + space + b"Lab "
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + listed + body


def press_profile() -> bytes:
    """Write the profile of a press: Lab colours of its inks, alone and over one another."""
    inks = {
        (0, 0, 0): (95, 0, 0),
        (1, 0, 0): (57, -37, -44),
        (0, 1, 0): (47, 71, -4),
        (0, 0, 1): (88, -6, 88),
        (1, 1, 0): (26, 20, -43),
        (1, 0, 1): (50, -62, 25),
        (0, 1, 1): (47, 65, 45),
        (1, 1, 1): (24, 0, 0),
    }
    colours = []
    for *ink, black in itertools.product((0, 1), repeat=4):
        lab = inks[tuple(ink)]  # type: ignore[index]
        colours.append((18 * lab[0] / 95, lab[1] * 0.1, lab[2] * 0.1) if black else lab)
    return table_profile(b"CMYK", colours)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_srgb_by_its_presss_profile(kind: str, said: Any) -> None:
    cmyk = np.zeros((120, 160, 4), np.uint8)
    cmyk[:] = 255, 0, 255, 0
    cmyk[40:80, 50:110] = 0, 200, 180, 20
    picture = Image.fromarray(cmyk, "CMYK")
    options = {"quality": 98} if kind == "JPEG" else {}
    found = read_image(saved(picture, kind, icc_profile=press_profile(), **options))
    np.testing.assert_allclose(255 * found.image[60, 80], [209, 92, 85], atol=2)
    np.testing.assert_allclose(255 * found.image[5, 5], [0, 142, 72], atol=2)
    assert said() == []


def test_16_bit_colours_with_a_profile_of_tables_become_srgb_at_8_bits_and_that_is_told(
    said: Any,
) -> None:
    colours = [(50 * sum(c), 60 * (c[0] - c[1]), 0) for c in itertools.product((0, 0.6), repeat=3)]
    icc = table_profile(b"RGB ", colours)
    levels = random_levels(9, 9, 3, depth=16)
    found = read_image(encode_image(levels, "png", depth=16, icc=icc), name="a.png")
    eight = read_image(encode_image((levels / 257).round().astype(np.uint8), "png", icc=icc))
    np.testing.assert_array_equal(found.image, eight.image)
    assert found.depth == 8
    assert said() == ["a.png has a colour profile of tables: it becomes sRGB at 8 bits"]


@pytest.mark.parametrize("depth", [8, 16])
def test_a_profile_of_greys_is_converted(depth: int) -> None:
    levels = random_levels(20, 30, depth=depth)
    light = profile(1.8, ADOBE)
    icc = light[:16] + b"GRAY" + light[20:].replace(b"rTRC", b"kTRC")
    kind = tiff(levels, photometric="minisblack", iccprofile=icc)
    found = read_image(kind).image
    expected = from_linear((levels / (2**depth - 1)) ** 1.8)
    bright = levels > 2**depth // 8
    assert np.abs(found - expected[..., None])[bright].max() < (1.6 / 255 if depth == 8 else 3e-4)
    np.testing.assert_array_equal(quantise(read_grey(kind), depth), levels)


# EXIF


def test_a_tag_that_cannot_be_kept_costs_neither_the_turn_nor_the_others(
    said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from a2u_cli.images import metadata

    def writable(tag: int, value: Any) -> Any:
        if tag == Base.Artist or value == {Base.ExposureTime: 0.5}:
            raise ValueError
        return value

    monkeypatch.setattr(metadata, "_writable", writable)
    data = png16(random_levels(5, 3, 3, depth=16))
    exif = Image.Exif()
    exif.load(exif_bytes(6))
    exif[Base.Copyright] = "me"
    exif[IFD.Exif] = {Base.ExposureTime: 0.5}
    data = data[:33] + chunk(b"eXIf", exif.tobytes()[6:]) + data[33:]
    picture = read_image(data, name="a.png")
    assert picture.orientation == 6
    kept = Image.Exif()
    assert picture.exif is not None
    kept.load(picture.exif)
    assert kept[Base.Copyright] == "me"
    assert said() == ["a.png has EXIF that cannot be kept: Artist, ExposureTime"]


# OpenEXR (B03, B04)


def write_exr(planes: dict[str, Any], data_window: Any, display_window: Any) -> bytes:
    """Encode an uncompressed scanline EXR; windows are x0, y0, x1, y1, inclusive."""
    pytest.importorskip("OpenEXR")
    names, (_, y0, _, y1) = sorted(planes), data_window
    height = y1 - y0 + 1

    def attribute(name: bytes, kind: bytes, body: bytes) -> bytes:
        return name + b"\0" + kind + b"\0" + struct.pack("<i", len(body)) + body

    channels = b"".join(n.encode() + b"\0" + struct.pack("<iB3xii", 2, 0, 1, 1) for n in names)
    head = b"\x76\x2f\x31\x01" + struct.pack("<i", 2)
    head += attribute(b"channels", b"chlist", channels + b"\0")
    head += attribute(b"compression", b"compression", b"\0")
    head += attribute(b"dataWindow", b"box2i", struct.pack("<4i", *data_window))
    head += attribute(b"displayWindow", b"box2i", struct.pack("<4i", *display_window))
    head += attribute(b"lineOrder", b"lineOrder", b"\0")
    head += attribute(b"pixelAspectRatio", b"float", struct.pack("<f", 1))
    head += attribute(b"screenWindowCenter", b"v2f", bytes(8))
    head += attribute(b"screenWindowWidth", b"float", struct.pack("<f", 1)) + b"\0"
    rows = []
    for row in range(height):
        body = b"".join(planes[n][row].astype("<f4").tobytes() for n in names)
        rows.append(struct.pack("<ii", y0 + row, len(body)) + body)
    places = len(head) + 8 * height + np.cumsum([0, *map(len, rows[:-1])])
    return head + places.astype("<u8").tobytes() + b"".join(rows)


LIGHT = np.random.default_rng(1).random((24, 32, 3), np.float32)
FULL = (0, 0, 31, 23)


def rgb(light: Any, layer: str = "") -> dict[str, Any]:
    return {f"{layer}{channel}": light[..., i] for i, channel in enumerate("RGB")}


def test_an_exr_is_its_display_window() -> None:
    full = read_image(write_exr(rgb(LIGHT), FULL, FULL)).image
    padded = np.pad(LIGHT, ((6, 2), (4, 8), (0, 0)))
    overscan = write_exr(rgb(padded), (-4, -6, 39, 25), FULL)
    np.testing.assert_array_equal(read_image(overscan).image, full)
    box = write_exr({"A": LIGHT[5:9, 7:20, 0]}, (7, 5, 19, 8), FULL)
    expected = np.zeros((24, 32), np.float32)
    expected[5:9, 7:20] = LIGHT[5:9, 7:20, 0]
    np.testing.assert_allclose(read_grey(box), expected, atol=1e-5)
    moved = read_image(write_exr(rgb(LIGHT[10:, 20:]), (20, 10, 31, 23), FULL)).image
    np.testing.assert_array_equal(moved[10:, 20:], full[10:, 20:])
    assert not moved[:10].any()
    away = write_exr(rgb(LIGHT), FULL, (100, 0, 131, 23))
    with pytest.raises(ImageError, match="no pixel inside its display window"):
        read_image(away)


@pytest.mark.parametrize("layer", ["RGBA", "ViewLayer.Combined", "rgba"])
def test_an_exrs_only_layer_is_the_picture(layer: str) -> None:
    full = read_image(write_exr(rgb(LIGHT), FULL, FULL)).image
    one = write_exr(rgb(LIGHT, layer + "."), FULL, FULL)
    np.testing.assert_array_equal(read_image(one).image, full)
    beside = rgb(LIGHT, layer + ".") | rgb(LIGHT * 0, "diffuse.") | {"depth.Z": LIGHT[..., 0]}
    np.testing.assert_array_equal(read_image(write_exr(beside, FULL, FULL)).image, full)


@pytest.mark.parametrize("channel", ["R", "Object_0.Y", "mask.A", "a"])
def test_an_exrs_only_channel_is_the_matte(channel: str) -> None:
    data = write_exr({channel: LIGHT[..., 0]}, FULL, FULL)
    np.testing.assert_allclose(read_grey(data), LIGHT[..., 0], atol=1e-5)


def test_layers_that_could_all_be_meant_are_listed() -> None:
    data = write_exr(rgb(LIGHT, "key.") | rgb(LIGHT, "fill."), FULL, FULL)
    with pytest.raises(ImageError, match=r"2 layers that could be meant \(fill, key\), expected"):
        read_image(data)


def test_of_many_channels_only_those_of_the_picture_are_read(monkeypatch: Any) -> None:
    openexr = pytest.importorskip("OpenEXR")
    planes = rgb(LIGHT) | {f"L{i:03}.V": LIGHT[..., 0] for i in range(400)}
    data = write_exr(planes, FULL, FULL)
    whole = openexr.File

    def file(*arguments: Any, **options: Any) -> Any:
        assert options == {"header_only": True}
        return whole(*arguments, **options)

    monkeypatch.setattr(openexr, "File", file)
    assert read_image(data).size == (24, 32)


def test_channels_of_less_than_full_size_are_named() -> None:
    data = write_exr({"BY": LIGHT[..., 0], "RY": LIGHT[..., 0], "Y": LIGHT[..., 0]}, FULL, FULL)
    at = data.index(b"\0Y\0") + 3
    data = data[: at + 8] + struct.pack("<ii", 2, 2) + data[at + 16 :]
    with pytest.raises(ImageError, match=r"has channels of less than full size"):
        read_image(data)


# Bounds: a shortage is exit code 4 and never called damage


def webp_of_one_colour(side: int) -> bytes:
    """Write a whole lossless WebP of one colour in 34 bytes (RFC 9649, 3)."""
    bits = (side - 1) | (side - 1) << 14
    body = b"\x2f" + struct.pack("<I", bits) + bytes([0x88, 0x88, 0x08, 0x08])
    return b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBPVP8L" + struct.pack("<I", 9) + body


def test_a_tiny_webp_of_a_giant_picture_is_refused_before_its_decoder_takes_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from a2u_cli.images import reading

    data = webp_of_one_colour(16384) + b"\0"
    monkeypatch.setattr(reading, "open_picture", lambda *_: pytest.fail("opened"))
    with pytest.raises(OutOfMemory, match=r"is 16384x16384 and takes about 6\.4 GB to read") as too:
        read_image(data, max_memory=2 * 10**9)
    assert too.value.exit_code == 4
    with pytest.raises(ImageError, match=r"16384x16384 \(268\.4 million pixels\)"):
        read_image(data, max_pixels=10**6)


SHORTAGES = (
    MemoryError(),
    OSError("Cannot allocate memory"),
    RuntimeError("std::bad_alloc"),
    cv2.error("OpenCV(5.0) error: (-4:Insufficient memory) Failed to allocate 9 bytes"),
    RuntimeError("could not create a primitive"),
    RuntimeError("Memory allocation error"),
)


@pytest.mark.parametrize("error", SHORTAGES)
def test_a_shortage_is_never_called_damage(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    from a2u_cli.images import reading

    def decode(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(reading, "decode_levels", decode)
    with pytest.raises(OutOfMemory, match=r"^a\.png does not fit into the memory there is"):
        read_image(saved(Image.new("L", (3, 3))), name="a.png")
    openexr = pytest.importorskip("OpenEXR")
    data = write_exr(rgb(LIGHT), FULL, FULL)
    monkeypatch.setattr(openexr, "InputFile", decode)
    with pytest.raises(OutOfMemory, match=r"^a\.exr does not fit"):
        read_image(data, name="a.exr")


def test_hidden_colours_that_are_used_are_told(said: Any, tmp_path: Path) -> None:
    from a2u_cli.backgrounds import make_background
    from a2u_cli.images import tell_of_hidden

    levels = random_levels(10, 10, 4)
    levels[..., 3] = 255
    opaque = read_image(encode_image(levels, "png"))
    levels[:, :7, 3] = 0
    cut_out = encode_image(levels, "png")
    (tmp_path / "b.png").write_bytes(cut_out)
    tell_of_hidden(opaque, "a.png")
    make_background(str(tmp_path / "b.png"), opaque.image)
    assert said() == [
        f"{tmp_path / 'b.png'} is transparent in 70.0 % of its pixels; their hidden colours are "
        "used"
    ]


class Endless(io.RawIOBase):
    """Give a start, and then zeros for ever."""

    def __init__(self, start: bytes) -> None:
        self.start, self.given = start, 0

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "read to the end"
        given, self.start = self.start[:size], self.start[size:]
        self.given += size
        return given + bytes(size - len(given))


def test_a_pipe_without_end_is_given_up_early() -> None:
    nothing = Endless(b"")
    with pytest.raises(ImageError, match=r"^stdin is not a picture"):
        read_stream(nothing, "stdin")
    assert nothing.given == 16
    small = Endless(encode_image(random_levels(9, 9, 3), "png"))
    with pytest.raises(ImageError, match=r"^stdin goes on beyond 0\.1 GB, more than its picture"):
        read_stream(small, "stdin")
    assert small.given < 70 << 20
    with pytest.raises(OutOfMemory, match=r"^stdin goes on beyond the 0\.0 GB"):
        read_stream(Endless(b"II*\0" + bytes(30)), "stdin", max_memory=10**7)
    assert read_stream(io.BytesIO(b""), "stdin") == b""
    whole = encode_image(random_levels(9, 9, 3), "png")
    assert read_stream(io.BytesIO(whole), "stdin") == whole


def test_the_command_line_tells_and_bounds_too(tmp_path: Path) -> None:
    (tmp_path / "giant.webp").write_bytes(webp_of_one_colour(16384) + b"\0")
    (tmp_path / "a.tif").write_bytes(tiff(random_levels(2, 32, 32, 3)))
    trimap = np.full((32, 32), 128, np.uint8)
    trimap[:8], trimap[-8:] = 0, 255
    Image.fromarray(trimap).save(tmp_path / "t.png")
    code = (
        "import sys; sys.argv = ['a2u', *sys.argv[1:]]\n"
        "from a2u_cli.cli import main\n"
        "try: main()\n"  # ru_maxrss would count what this process held before its exec
        "finally: print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        whole = [sys.executable, "-c", code, *arguments]
        return subprocess.run(whole, capture_output=True, text=True, cwd=tmp_path)

    giant = run("matte", "giant.webp", "-t", "t.png", "--max-memory", "2GB")
    assert giant.returncode == 4
    assert giant.stderr.splitlines()[-1].startswith("error: giant.webp is 16384x16384 and takes")
    assert int(giant.stdout.split()[-1]) < 10**6  # KB
    Image.new("1", (8000, 8000)).save(tmp_path / "giant.png")
    small = ("matte", "a.tif", "--max-memory", "800MB")
    for words in ((*small, "-t", "giant.png"), (*small, "--mask", "giant.png")):
        giant = run(*words)
        assert giant.returncode == 4
        assert "giant.png is 8000x8000 and takes about 1.5 GB to read" in giant.stderr
        assert int(giant.stdout.split()[-1]) < 600_000  # KB
    pages = run("matte", "a.tif", "-t", "t.png")
    assert pages.returncode == 0
    assert "warning: a.tif has 2 pages, the first is taken" in pages.stderr.splitlines()


@pytest.mark.parametrize("depth", [8, 16])
def test_premultiplied_colours_are_called_so_and_come_back_straight(
    depth: int, said: Any, tmp_path: Path
) -> None:
    colours, alpha = np.full((4, 5, 3), 0.8, np.float32), np.full((4, 5), 0.5, np.float32)
    for kind in ("tif", "png"):
        path = tmp_path / f"a.{kind}"
        write_image(path, colours * 0.5, alpha=alpha, depth=depth, premultiplied=True)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif").image, colours, atol=0.005)
    assert len(said()) == 1
    assert said()[0].startswith(f"{tmp_path / 'a.png'}: a PNG's colours count as straight")
