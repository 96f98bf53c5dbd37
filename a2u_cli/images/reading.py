"""Read and write picture files: the one door between files and arrays."""

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import ImageError
from ..units import FloatArray
from . import optional_formats as codecs
from .encoders import Levels
from .files import require_regular
from .metadata import DAMAGE, read_exif, turn_upright

MAX_PIXELS = 300_000_000  # unless A2U_MAX_PIXELS says otherwise
BYTES_A_PIXEL, OTHER_BYTES = 16, 64 << 20  # of a file at most: four channels of float32, metadata

_READABLE = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "AVIF")  # none starts another program
# What is taken for a picture in a folder.
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".avif", ".exr", ".heic"}
_GLOBAL_STATE = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright, with the metadata that a result of it can carry.

    image: float32 (H, W, 3), RGB in [0, 1]; alpha: float32 (H, W) in [0, 1] where the file has
    transparency; depth: bits a channel of the file, 8 or 16; icc: the RGB colour profile;
    exif: EXIF without orientation, layout and thumbnail; orientation: the EXIF turn that was
    applied (1 is none).
    """

    image: FloatArray
    alpha: FloatArray | None
    depth: int
    icc: bytes | None
    exif: bytes | None
    orientation: int

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width)."""
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True)
class _Decoded:
    levels: Levels  # (H, W, C): grey, RGB or RGBA, upright
    icc: bytes | None
    exif: bytes | None
    orientation: int


def read_image(
    source: Path | bytes, *, name: str | None = None, max_pixels: int | None = None
) -> Picture:
    """Read a picture as upright RGB at the precision of its file.

    Grey and palette become RGB, CMYK by the plain formula; of an animation the first frame counts.

    Raises: ImageError where there is no picture, or one that is damaged or too large.
    """
    decoded = _decode(source, name, max_pixels, colour=True)
    levels = decoded.levels
    depth = levels.dtype.itemsize * 8
    values = np.divide(levels, 2**depth - 1, dtype=np.float32)  # (H, W, C)
    channels = values.shape[2]
    image = values[..., :3] if channels > 1 else np.repeat(values, 3, axis=2)  # (H, W, 3)
    alpha = np.ascontiguousarray(values[..., 3]) if channels == 4 else None  # (H, W)
    icc, exif, orientation = decoded.icc, decoded.exif, decoded.orientation
    return Picture(np.ascontiguousarray(image), alpha, depth, icc, exif, orientation)


def read_grey(
    source: Path | bytes, *, name: str | None = None, max_pixels: int | None = None
) -> FloatArray:
    """Read a trimap or an alpha: float32 (H, W) in [0, 1], upright, at the file's precision.

    Transparency is dropped (of an RGBA trimap only the colours mean anything), colours are
    averaged.

    Raises: ImageError where there is no picture, or one that is damaged or too large.
    """
    levels = _decode(source, name, max_pixels, colour=False).levels
    mean: FloatArray = levels[..., :3].mean(axis=2, dtype=np.float32)  # (H, W)
    return mean / np.float32(np.iinfo(levels.dtype).max)


def read_mask(
    source: Path | bytes, *, name: str | None = None, max_pixels: int | None = None
) -> FloatArray:
    """Read what a picture covers, float32 (H, W) in [0, 1]: its transparency, or else its greys.

    Raises: ImageError where there is no picture, or one that is damaged or too large.
    """
    picture = read_image(source, name=name, max_pixels=max_pixels)
    if picture.alpha is not None:
        return picture.alpha
    return read_grey(source, name=name, max_pixels=max_pixels)


def picture_size(path: Path) -> tuple[int, int] | None:
    """Tell (height, width) of an upright picture by its file's head; None where it has none."""
    with _quiet_decoders():
        try:
            require_regular(path)
            with Image.open(path, formats=_READABLE) as picture:
                width, height = picture.size
                # to find a PNG's EXIF all of it is decoded
                orientation = read_exif(picture)[0] if width * height <= _limit() else 1
        except DAMAGE:  # UnidentifiedImageError is one
            return None
    return (width, height) if orientation >= 5 else (height, width)


def _decode(
    source: Path | bytes, name: str | None, max_pixels: int | None, *, colour: bool
) -> _Decoded:
    most = _limit() if max_pixels is None else max_pixels
    name = name or ("standard input" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else read_bytes(source, name)
    if not data:
        raise ImageError(f"{name} is empty (0 bytes), expected a picture; write or copy it again")
    if codecs.is_exr(data):
        return _Decoded(
            codecs.read_exr(data, name, colour=colour, most=most), None, None, orientation=1
        )
    formats = (*_READABLE, *codecs.heic(data, name))
    with _quiet_decoders():
        try:
            with Image.open(BytesIO(data), formats=formats) as picture:
                _require_pixels(picture.size, name, most)
                if picture.format == "PNG":  # no decoder here minds wrong sums, or a lost end
                    Image.open(BytesIO(data), formats=formats).verify()
                orientation, exif = read_exif(picture)
                icc = picture.info.get("icc_profile")
                levels = _levels(picture, data, name)
                if picture.format != "TIFF":  # both decoders turn a TIFF by themselves
                    levels = turn_upright(levels, orientation)
        except UnidentifiedImageError as error:
            raise ImageError(
                f"{name} is not a picture that can be read, expected an 8- or 16-bit PNG, JPEG, "
                "TIFF, WebP, AVIF, BMP or GIF; export it as one of these"
            ) from error
        except DAMAGE as error:
            raise ImageError(
                f"{name} is truncated or damaged ({' '.join(str(error).split())}), expected a "
                "whole picture; copy or export it again"
            ) from error
    # A CMYK or grey profile says nothing about the RGB that the pixels have become.
    return _Decoded(levels, icc if icc and icc[16:20] == b"RGB " else None, exif, orientation)


def read_bytes(path: Path, name: str) -> bytes:
    """Read a file whole; raises ImageError where that cannot be done."""
    try:
        require_regular(path, most=BYTES_A_PIXEL * _limit() + OTHER_BYTES)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{name} does not exist, expected a picture; check the name") from error
    except OSError as error:
        if path.is_dir():
            text = f"{name} is a folder, expected a picture; name one file in it"
            raise ImageError(text) from error
        text = f"{name} cannot be read ({error.strerror}); check what it is, and its permissions"
        raise ImageError(text) from error


@contextmanager
def _quiet_decoders() -> Iterator[None]:
    """Hold the decoders' global switches: no warnings, no log, our own limit of pixels."""
    with _GLOBAL_STATE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        log_level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            cv2.utils.logging.setLogLevel(log_level)
            Image.MAX_IMAGE_PIXELS = limit


def _limit() -> int:
    """Give the most pixels that a picture may have.

    Raises ImageError where A2U_MAX_PIXELS is no such number.
    """
    text = os.environ.get("A2U_MAX_PIXELS", str(MAX_PIXELS))
    if not text.isdecimal() or int(text) < 1:
        raise ImageError(f"A2U_MAX_PIXELS is {text!r}, expected a number of pixels; change it")
    return int(text)


def _require_pixels(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            f"{name} is {width}x{height} ({width * height / 1e6:.1f} million pixels), expected at "
            f"most {max_pixels / 1e6:.1f} million; make it smaller, or raise the limit with "
            f"a2u --max-pixels {width * height} ..."
        )


def _levels(picture: Image.Image, data: bytes, name: str) -> Levels:
    """Decode to (H, W, C): grey, RGB or RGBA as uint8, or as uint16 where the file has 16 bits."""
    bits = 8
    if picture.format == "PNG":
        bits = data[24]  # the bit depth in IHDR: Pillow gives 16-bit RGB as 8-bit without a word
    elif isinstance(picture, TiffImageFile):
        bits = max(picture.tag_v2.get(Base.BitsPerSample, (1,)))
    if bits == 16:
        return _levels_16(picture, data, name)
    if bits > 8:
        raise ImageError(f"{name} has {bits} bits a channel, expected 8 or 16; export it as 16-bit")
    if picture.has_transparency_data:
        return np.asarray(picture.convert("RGBA"))
    if picture.mode in ("1", "L"):
        return np.asarray(picture.convert("L"))[..., None]
    return np.asarray(picture.convert("RGB"))


def _levels_16(picture: Image.Image, data: bytes, name: str) -> Levels:
    tags = picture.tag_v2 if isinstance(picture, TiffImageFile) else {}
    photometric = tags.get(Base.PhotometricInterpretation)
    if photometric not in (None, 0, 1, 2) or max(tags.get(Base.SampleFormat, (1,))) > 1:
        raise ImageError(
            f"{name} holds 16-bit samples of an unusual kind (CMYK, Lab, signed or float), "
            "expected unsigned grey or RGB; export it as RGB"
        )
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise OSError("the 16-bit pixels cannot be decoded")
    levels = np.asarray(decoded, np.uint16)  # (H, W), or (H, W, C) as BGR or BGRA
    if levels.ndim == 2:
        return (65535 - levels if photometric == 0 else levels)[..., None]  # 0: white is zero
    levels = levels[..., [2, 1, 0, 3][: levels.shape[2]]]
    if tags.get(Base.ExtraSamples) == (1,):  # premultiplied
        scale = 65535 / np.maximum(levels[..., 3:], 1).astype(np.float32)
        levels[..., :3] = np.rint(np.minimum(levels[..., :3] * scale, 65535))
    return levels
