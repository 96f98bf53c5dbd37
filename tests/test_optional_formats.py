"""AVIF is read as it is; OpenEXR and HEIC with their extras, and refused in one line without."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from a2u_cli.errors import ImageError
from a2u_cli.images import read_grey, read_image
from a2u_cli.images.colour import from_linear

Array = np.ndarray
EXR_HEAD = b"\x76\x2f\x31\x01" + bytes(20)
HEIC_HEAD = b"\0\0\0\x18ftypheic" + bytes(12)


@pytest.fixture
def smooth() -> Array:
    rows, columns = np.mgrid[:48, :64].astype(np.float32)
    return np.dstack([rows / 48, columns / 64, np.full_like(rows, 0.4)])


def exr(path: Path, **channels: Array) -> Path:
    openexr = pytest.importorskip("OpenEXR")
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    planes = {name: np.ascontiguousarray(plane, np.float32) for name, plane in channels.items()}
    openexr.File(header, planes).write(str(path))
    return path


@pytest.mark.parametrize("suffix", ["avif", "heic"])
def test_compressed_pictures_are_read(tmp_path: Path, smooth: Array, suffix: str) -> None:
    if suffix == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(np.uint8(smooth * 255)).save(path, quality=95)
    found = read_image(path)
    assert (found.size, found.depth) == ((48, 64), 8)
    assert np.abs(found.image - smooth).mean() < 0.01


def test_linear_light_becomes_srgb(tmp_path: Path, smooth: Array) -> None:
    red, green, blue = smooth.transpose(2, 0, 1)
    found = read_image(exr(tmp_path / "a.exr", R=red, G=green, B=blue - 1))
    assert (found.depth, found.alpha) == (16, None)
    light = smooth - np.float32([0, 0, 1])
    np.testing.assert_allclose(found.image, from_linear(np.clip(light, 0, 1)), atol=1 / 65535)
    np.testing.assert_array_equal(found.light, light)


def test_premultiplied_colours_become_straight(tmp_path: Path, smooth: Array) -> None:
    alpha = np.full(smooth.shape[:2], 0.25)
    red, green, blue = (smooth * 0.25).transpose(2, 0, 1)
    found = read_image(exr(tmp_path / "a.exr", R=red, G=green, B=blue, A=alpha))
    np.testing.assert_allclose(found.image, from_linear(smooth), atol=1 / 65535)
    assert found.alpha is not None
    np.testing.assert_allclose(found.alpha, 0.25, atol=1 / 65535)


@pytest.mark.parametrize("channel", ["Y", "A"])
def test_an_alpha_keeps_its_numbers(tmp_path: Path, smooth: Array, channel: str) -> None:
    path = exr(tmp_path / "a.exr", **{channel: smooth[..., 0]})
    np.testing.assert_allclose(read_grey(path), smooth[..., 0], atol=1 / 65535)


def test_what_is_no_picture_is_refused(tmp_path: Path, smooth: Array) -> None:
    path = exr(tmp_path / "depth.exr", Z=smooth[..., 0])
    with pytest.raises(ImageError, match="has the channels Z, expected R, G, B or Y"):
        read_image(path)
    with pytest.raises(ImageError, match=r"is 64x48 \(0\.0 million pixels\), expected at most"):
        read_image(path, max_pixels=100)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ImageError, match=r"depth\.exr is truncated or damaged \(.{9,}\), expected"):
        read_image(path)


@pytest.mark.parametrize(
    ("module", "data", "what", "extra"),
    [("OpenEXR", EXR_HEAD, "an OpenEXR", "exr"), ("pillow_heif", HEIC_HEAD, "a HEIC", "heic")],
)
def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, data: bytes, what: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImageError) as caught:
        read_image(data, name="x")
    needs = f"x is {what} picture, which needs an extra; pip install 'a2u-cli[{extra}]'"
    assert str(caught.value) == needs


def test_a_damaged_heic_is_refused() -> None:
    pytest.importorskip("pillow_heif")
    with pytest.raises(ImageError, match=r"^x is truncated or damaged \(.{9,}\), expected"):
        read_image(HEIC_HEAD, name="x")
