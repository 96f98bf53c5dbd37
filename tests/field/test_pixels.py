"""Rarer kinds of picture files come in with the right pixels, or in one line that is true."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from picture_files import SRGB, as_stored, chunk, exif_bytes, png16, random_levels, saved
from PIL import Image
from PIL.ExifTags import IFD, Base
from test_reading import ADOBE, FULL, LIGHT, PNG, profile, rgb, tiff, write_exr

from a2u_cli.errors import ImageError
from a2u_cli.images import picture_size, quantise, read_image, read_matte
from a2u_cli.images.colour import from_linear, primaries_to_srgb

# TIFF


def pages(*written: tuple[Any, dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for levels, options in written:
            writer.write(levels, metadata=None, **{"photometric": "rgb"} | options)
    return stream.getvalue()


@pytest.mark.parametrize("depth", [8, 16])
def test_a_thumbnail_before_the_picture_is_passed_by(depth: int, said: Any, tmp_path: Any) -> None:
    small, large = random_levels(6, 8, 3), random_levels(24, 32, 3, depth=depth)
    shrunk = (small, {"subfiletype": 1, "iccprofile": profile(2.2, ADOBE)})
    path = tmp_path / "a.tif"
    path.write_bytes(pages(shrunk, (large, {})))
    np.testing.assert_array_equal(quantise(read_image(path).image, depth), large)
    assert picture_size(path) == (24, 32)
    alone = read_image(pages((small, {"subfiletype": 1})))
    np.testing.assert_array_equal(quantise(alone.image, 8), small)
    assert said() == []
    read_image(pages(shrunk, (large, {}), (large, {})), name="b.tif")
    assert said() == ["b.tif has 2 pages, the first is taken"]


def with_tag(data: bytes, tag: int, value: int) -> bytes:
    """Change a short number in the first directory of a little-endian TIFF."""
    (at,) = struct.unpack_from("<I", data, 4)
    while struct.unpack_from("<H", data, at + 2)[0] != tag:
        at += 12
    return data[: at + 10] + struct.pack("<H", value) + data[at + 12 :]


def test_a_channel_that_is_not_used_is_told_however_a_tiff_is_packed(said: Any) -> None:
    four = Image.fromarray(random_levels(16, 16, 4))
    for kind in ("tiff_lzw", "jpeg"):
        data = with_tag(saved(four, "TIFF", compression=kind), 338, 0)
        assert read_image(data, name=kind).alpha is None
    ink = tiff(random_levels(5, 6, 5), photometric="separated", extrasamples=["unspecified"])
    read_image(ink, name="cmyk")
    not_used = "has 1 more channel of no known meaning, not used"
    assert [line for line in said() if "guess" not in line] == [
        f"{kind} {not_used}" for kind in ("tiff_lzw", "jpeg", "cmyk")
    ]


@pytest.mark.parametrize("compression", [50001, 34887])
def test_a_compression_without_a_decoder_is_not_called_damage(compression: int) -> None:
    data = with_tag(tiff(random_levels(4, 5, 3)), 259, compression)
    with pytest.raises(ImageError, match=rf"of a kind that cannot be read .*{compression}\)"):
        read_image(data)


# PNG, BMP, JPEG


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_transparent_grey_of_any_depth_is_transparent(bits: int) -> None:
    most = 2**bits - 1
    levels = random_levels(5, 8) & most
    planes = np.unpackbits(levels[..., None], axis=2)[..., 8 - bits :].reshape(5, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(planes, axis=1))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 5, bits, 0, 0, 0, 0))
    for clear in (0, 1, most):
        data = PNG + head + chunk(b"tRNS", struct.pack(">H", clear))
        picture = read_image(data + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
        assert picture.alpha is not None
        np.testing.assert_array_equal(picture.alpha, levels != clear)
        np.testing.assert_allclose(picture.image[..., 0], levels / most, atol=1e-6)


def bmp(indices: Any, bits: int, shades: list[int]) -> bytes:
    """Write a BMP of `bits` a pixel with a palette of greys."""
    height, width = indices.shape
    planes = np.unpackbits(indices[::-1, :, None], axis=2)[..., 8 - bits :].reshape(height, -1)
    rows = b"".join(row.tobytes().ljust(-len(row) // 4 * -4) for row in np.packbits(planes, axis=1))
    palette = b"".join(bytes([shade] * 3 + [0]) for shade in shades)
    at = 54 + len(palette)
    head = struct.pack("<2sIHHI", b"BM", at + len(rows), 0, 0, at)
    body = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, 0, 0, 0, len(shades), 0)
    return head + body + palette + rows


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("shades", [[0, 255], list(range(16)), [0, 128, 255, 9]])
def test_a_bmp_with_a_palette_of_greys_is_right(bits: int, shades: list[int]) -> None:
    shades = shades[: 2**bits]
    indices = random_levels(7, 11) % len(shades)
    found = read_image(bmp(indices, bits, shades)).image[..., 0]
    np.testing.assert_array_equal(quantise(found, 8), np.uint8(shades)[indices])


@pytest.mark.parametrize(("at", "value", "what"), [(4, 12, "of 12 bits"), (1, 0xC3, "that is los")])
def test_a_jpeg_of_a_rare_kind_is_not_called_damaged(at: int, value: int, what: str) -> None:
    data = bytearray(saved(Image.fromarray(random_levels(8, 8, 3)), "JPEG"))
    data[data.index(b"\xff\xc0") + at] = value
    with pytest.raises(ImageError, match=rf"^a is a JPEG {what}.* cannot be read, expected one"):
        read_image(bytes(data), name="a")


# Profiles


def grey_profile(space: bytes) -> bytes:
    icc = profile(1.8, ADOBE)
    return icc[:16] + b"GRAY" + space + icc[24:].replace(b"rTRC", b"kTRC")


@pytest.mark.parametrize("depth", [8, 16])
def test_a_profile_of_greys_takes_no_colour_away(depth: int, said: Any) -> None:
    levels = random_levels(6, 7, 3, depth=depth)
    data = tiff(levels, iccprofile=grey_profile(b"XYZ "))
    np.testing.assert_array_equal(quantise(read_image(data, name="a").image, depth), levels)
    assert said() == ["a has a colour profile for 'GRAY', no RGB; its colours count as sRGB"]
    grey = tiff(np.dstack([levels[..., :1]] * 3), iccprofile=grey_profile(b"XYZ "))
    expected = from_linear(np.float32(levels[..., 0] / (2**depth - 1)) ** 1.8)
    np.testing.assert_allclose(read_image(grey).image[..., 2], expected, atol=0.03)


def test_a_profile_of_greys_by_their_lightness_means_the_same_at_8_and_at_16_bits() -> None:
    levels, icc = np.arange(256, dtype=np.uint8)[None], grey_profile(b"Lab ")
    eight = read_image(tiff(levels, photometric="minisblack", iccprofile=icc)).image
    sixteen = tiff(levels.astype(np.uint16) * 257, photometric="minisblack", iccprofile=icc)
    np.testing.assert_array_equal(read_image(sixteen).image, eight)


def test_a_profile_that_cannot_be_unpacked_is_told_and_the_picture_read(said: Any) -> None:
    levels = random_levels(5, 7, 3, depth=16)
    whole, eight = png16(levels), saved(Image.fromarray(random_levels(5, 7, 3)))
    for body in (b"", b"no zero", b"x\0\0garbage", b"x\0\0" + zlib.compress(SRGB)[:99]):
        for data in (whole, eight):
            data = data[:33] + chunk(b"iCCP", body) + data[33:]
            assert read_image(data, name="a").size == (5, 7)
    jpeg = saved(Image.fromarray(random_levels(8, 8, 3)), "JPEG", icc_profile=SRGB)
    at = jpeg.index(b"ICC_PROFILE\0") + 12
    read_image(jpeg[:at] + b"\2\5" + jpeg[at + 2 :], name="a")
    assert len(said()) == 9
    assert all(line.startswith("a has a damaged colour profile (") for line in said())


def test_cmyk_with_the_profile_of_something_else_is_told_so(said: Any) -> None:
    read_image(saved(Image.new("CMYK", (8, 8)), "JPEG", icc_profile=SRGB), name="a")
    what = "a is CMYK and has a colour profile for something else; its colours are a guess"
    assert said() == [what]


@pytest.mark.parametrize(
    ("kind", "body", "what"),
    [
        (b"gAMA", struct.pack(">I", 100_000), "a gamma of 1"),
        (b"gAMA", struct.pack(">I", 45_455), ""),
        (b"cICP", bytes([12, 13, 0, 1]), "Display P3"),
        (b"cICP", bytes([9, 16, 0, 1]), "BT.2020, PQ"),
        (b"cICP", bytes([1, 13, 0, 1]), ""),
        (b"cICP", bytes([77, 1, 0, 1]), "primaries 77"),
        (b"cICP", b"1", ""),
    ],
)
def test_what_a_png_says_of_its_colours_without_a_profile_is_told(
    kind: bytes, body: bytes, what: str, said: Any
) -> None:
    levels = random_levels(5, 7, 3)
    data = saved(Image.fromarray(levels))
    data = data[:33] + chunk(kind, body) + data[33:]
    np.testing.assert_array_equal(quantise(read_image(data, name="a").image, 8), levels)
    told = [f"a has {what} for its colours, not converted: they count as sRGB"] if what else []
    assert said() == told
    read_image(data[:33] + chunk(b"iCCP", b"x\0\0" + zlib.compress(SRGB)) + data[33:])
    if kind == b"gAMA":
        read_image(data[:33] + chunk(b"sRGB", b"\0") + data[33:])
    assert said() == told


def test_what_avif_and_exif_say_of_their_colours_is_told(said: Any) -> None:
    picture = Image.fromarray(random_levels(16, 16, 3))
    avif = saved(picture, "AVIF")
    read_image(avif)
    assert said() == []
    at = avif.index(b"colrnclx") + 8
    read_image(avif[:at] + struct.pack(">HH", 12, 13) + avif[at + 4 :], name="a")
    exif = Image.Exif()
    exif[IFD.Exif] = {IFD.Interop: {1: "R03"}}
    read_image(saved(picture, "JPEG", exif=exif), name="b")
    assert said() == [
        "a has Display P3 for its colours, not converted: they count as sRGB",
        "b has Adobe RGB for its colours, not converted: they count as sRGB",
    ]


# EXIF


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_turn_of_every_format_is_upright_whatever_else_its_exif_says(turn: int) -> None:
    levels = np.dstack([np.arange(0, 240, dtype=np.uint8).reshape(12, 20)] * 3)
    stored = as_stored(levels, turn)
    exif = Image.Exif()
    exif.load(exif_bytes(turn))
    exif[Base.Copyright] = "\xa9 me"
    exif[IFD.GPSInfo] = {1: "N", 2: (1.0, 2.0, 3.0)}
    exif[IFD.Exif] = {Base.MakerNote: bytes(90), Base.UserComment: b"ASCII\0\0\0hi"}
    body = exif.tobytes()
    for kind, options in (
        ("PNG", {"exif": body}),
        ("WEBP", {"exif": body, "lossless": True}),
        ("JPEG", {"exif": body, "quality": 100}),
        ("AVIF", {"exif": body, "quality": 100}),
        ("TIFF", {"tiffinfo": {Base.Orientation: turn, Base.Copyright: "me"}}),
        ("TIFF", {"tiffinfo": {Base.Orientation: turn}, "compression": "tiff_lzw"}),
    ):
        picture = read_image(saved(Image.fromarray(stored), kind, **options))
        np.testing.assert_allclose(255 * picture.image, levels, atol=3)
        assert picture.exif is not None or "compression" in options


# OpenEXR


def exr_parts(path: Any, *parts: tuple[str, dict[str, Any]], **header: Any) -> bytes:
    """Encode an OpenEXR of named parts, each a dictionary of channels."""
    openexr = pytest.importorskip("OpenEXR")
    kind = {"type": openexr.scanlineimage} | header
    written = [openexr.Part(kind | {"name": name}, planes, name) for name, planes in parts]
    openexr.File(written).write(str(path / "parts.exr"))
    return (path / "parts.exr").read_bytes()


def contiguous(planes: dict[str, Any]) -> dict[str, Any]:
    return {name: np.ascontiguousarray(plane) for name, plane in planes.items()}


def test_of_several_parts_the_one_is_taken_that_is_called_so(tmp_path: Any) -> None:
    full = read_image(write_exr(rgb(LIGHT), FULL, FULL)).image
    beauty, black = contiguous(rgb(LIGHT)), contiguous(rgb(LIGHT * 0))
    depth = {"Z": beauty["R"]}
    for parts in (
        (("diffuse", black), ("beauty", beauty)),
        (("rgba", beauty), ("diffuse", black)),
        (("depth", depth), ("anything", beauty)),
    ):
        np.testing.assert_array_equal(read_image(exr_parts(tmp_path, *parts)).image, full)
    with pytest.raises(ImageError, match=r"2 layers that could be meant \(left, right\)"):
        read_image(exr_parts(tmp_path, ("left", beauty), ("right", black)))


@pytest.mark.parametrize("names", ["XYZ", "RG", "UV"])
def test_places_and_motions_are_no_picture_and_no_matte(names: str) -> None:
    data = write_exr({f"pass.{letter}": LIGHT[..., 0] for letter in names}, FULL, FULL)
    for read in (read_image, read_matte):
        with pytest.raises(
            ImageError, match=rf"has the channels pass\.{min(names)}.*expected R, G"
        ):
            read(data)


def test_light_of_other_primaries_becomes_that_of_srgb(tmp_path: Any, said: Any) -> None:
    aces = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, 0.32168, 0.33767)
    # as published for ACES2065-1 to Rec. 709, Bradford
    known = [[2.5217, -1.1341, -0.3876], [-0.2765, 1.3727, -0.0962], [-0.0154, -0.1530, 1.1684]]
    np.testing.assert_allclose(primaries_to_srgb(aces), known, atol=1e-4)
    data = exr_parts(tmp_path, ("a", contiguous(rgb(LIGHT))), chromaticities=aces)
    expected = from_linear(np.clip(LIGHT @ np.float32(known).T, 0, 1))
    np.testing.assert_allclose(read_image(data).image, expected, atol=2e-3)
    grey = exr_parts(tmp_path, ("a", {"Y": contiguous(rgb(LIGHT))["R"]}), chromaticities=aces)
    np.testing.assert_allclose(read_matte(grey).values, LIGHT[..., 0], atol=1e-5)
    for wrong in ((0.0,) * 8, (0.3,) * 8, (float("nan"),) * 8):
        none = exr_parts(tmp_path, ("a", contiguous(rgb(LIGHT))), chromaticities=wrong)
        np.testing.assert_allclose(read_image(none).image, from_linear(LIGHT), atol=1e-4)
    assert len(said()) == 3
    assert all("primaries that are no colours; its light counts as sRGB's" in s for s in said())


@pytest.mark.parametrize("kind", [np.uint32, np.float32, np.float16])
def test_whole_numbers_of_a_matte_are_labels_or_levels(kind: Any, tmp_path: Any, said: Any) -> None:
    numbers = np.arange(24 * 32).reshape(24, 32)
    for most, divisor in ((1, 1), (2, 2), (255, 255)):
        plane = (numbers % (most + 1)).astype(kind)
        planes = {"Y": plane} if most != 2 else dict.fromkeys("RGB", plane)
        found = read_matte(exr_parts(tmp_path, ("a", planes)))
        np.testing.assert_allclose(found.values, np.float32(plane) / divisor, atol=1e-5)
        assert found.taken.startswith("its levels are taken as labels") == (most == 2)
    assert said() == []
    if kind == np.uint32:
        data = exr_parts(tmp_path, ("a", {"Y": numbers.astype(kind)}))
        with pytest.raises(ImageError, match=r"^a holds whole numbers, expected light; export"):
            read_image(data, name="a")
    else:
        beyond = exr_parts(tmp_path, ("a", {"Y": (numbers / 3).astype(kind)}))
        assert read_matte(beyond, name="a").values.max() == 1
        assert said() == ["a holds values up to 256, which count as 1"]


def tiled(planes: dict[str, Any], side: int) -> bytes:
    """Encode an uncompressed OpenEXR in tiles, with the head of one in lines."""
    whole, names = write_exr(planes, FULL, FULL), sorted(planes)
    mark = b"screenWindowWidth\0float\0"
    end = whole.index(mark) + len(mark) + 8
    head = whole[:4] + struct.pack("<i", 2 | 0x200) + whole[8:end]
    head += b"tiles\0tiledesc\0" + struct.pack("<iIIB", 9, side, side, 0) + b"\0"
    chunks = []
    for y, x in ((y, x) for y in range(0, 24, side) for x in range(0, 32, side)):
        rows = range(y, min(24, y + side))
        body = b"".join(planes[n][r, x : x + side].tobytes() for r in rows for n in names)
        chunks.append(struct.pack("<5i", x // side, y // side, 0, 0, len(body)) + body)
    places = len(head) + 8 * len(chunks) + np.cumsum([0, *map(len, chunks[:-1])])
    return head + places.astype("<u8").tobytes() + b"".join(chunks)


def test_an_exr_in_tiles_is_the_same_picture() -> None:
    full = read_image(write_exr(rgb(LIGHT), FULL, FULL)).image
    np.testing.assert_array_equal(read_image(tiled(rgb(LIGHT), 16)).image, full)


def test_light_without_alpha_keeps_its_brightness() -> None:
    opaque = read_image(write_exr(rgb(LIGHT), FULL, FULL)).image
    glow = write_exr(rgb(LIGHT) | {"A": LIGHT[..., 0] * 0}, FULL, FULL)
    np.testing.assert_array_equal(read_image(glow).image, opaque)
    for depth in (8, 16):
        levels = random_levels(3, 4, 4, depth=depth) // 2
        levels[..., 3] = 0
        found = read_image(tiff(levels, extrasamples=["assocalpha"])).image
        np.testing.assert_array_equal(quantise(found, depth), levels[..., :3])
