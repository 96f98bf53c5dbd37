"""Pictures go out whole or not at all, as others read them."""

import errno
import os
import struct
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from picture_files import (
    SIZES,
    SRGB,
    exif_bytes,
    random_levels,
    saved,
)
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from a2u_cli import images
from a2u_cli.errors import ImageError
from a2u_cli.images import (
    encode_image,
    output_format,
    quantise,
    read_grey,
    read_image,
    write_image,
    writing,
)


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


@pytest.mark.parametrize("kind", ["png", "tiff", "jpeg"])
def test_names_in_any_script_survive(kind: Any) -> None:
    exif = Image.Exif()
    exif[Base.Artist] = "Жанна é 写".encode()
    source = read_image(saved(Image.new("RGB", (8, 6)), "JPEG", exif=exif.tobytes()))
    result = read_image(encode_image(np.zeros((6, 8, 3)), kind, exif=source.exif))
    assert result.exif is not None
    assert "Жанна é 写".encode() in result.exif


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
