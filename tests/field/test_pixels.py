"""Rarer kinds of picture files come in with the right pixels, or in one line that is true."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from picture_files import SRGB, chunk, png16, random_levels, saved
from PIL import Image
from test_reading import ADOBE, PNG, profile, tiff

from a2u_cli.errors import ImageError
from a2u_cli.images import picture_size, quantise, read_image
from a2u_cli.images.colour import from_linear

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
