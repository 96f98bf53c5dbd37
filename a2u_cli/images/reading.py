"""Read picture files: from files, or their bytes, to arrays."""

import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import ImageError
from ..units import FloatArray, Levels
from . import optional_formats
from .arrays import kind_of
from .decoding import DAMAGE, decode_levels, open_picture
from .files import require_regular, words
from .metadata import read_exif, turn_upright

MAX_PIXELS = 300_000_000  # unless A2U_MAX_PIXELS says otherwise
BYTES_A_PIXEL, OTHER_BYTES = 16, 64 << 20  # of a file at most: four channels of float32, metadata

# What is taken for a picture in a folder.
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".avif", ".exr", ".heic"}


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
    source: str | Path | bytes, *, name: str | None = None, max_pixels: int | None = None
) -> Picture:
    """Read a picture as upright RGB at the precision of its file.

    Grey and palette become RGB, CMYK by the plain formula; of an animation the first frame counts.

    Raises: ImageError where there is no picture, or one that is damaged or too large.
    """
    decoded = _decode(source, name, max_pixels, colour=True)
    levels = decoded.levels
    depth = levels.dtype.itemsize * 8
    image = np.empty((*levels.shape[:2], 3), np.float32)
    np.divide(levels[..., :3], 2**depth - 1, out=image, dtype=np.float32)  # grey: to all three
    alpha = None
    if levels.shape[2] == 4:
        alpha = np.divide(levels[..., 3], 2**depth - 1, order="C", dtype=np.float32)  # (H, W)
    return Picture(image, alpha, depth, decoded.icc, decoded.exif, decoded.orientation)


def read_levels(
    source: str | Path | bytes, *, name: str | None = None, max_pixels: int | None = None
) -> Levels:
    """Read a file's own levels, upright: (H, W, C), grey, RGB or RGBA; no colour is converted.

    Raises: ImageError where there is no picture, or one that is damaged or too large.
    """
    return _decode(source, name, max_pixels, colour=False).levels


def read_grey(
    source: str | Path | bytes, *, name: str | None = None, max_pixels: int | None = None
) -> FloatArray:
    """Read the mean of the colours: float32 (H, W) in [0, 1], upright, at the file's precision.

    Transparency is dropped. What a file means as a mask, an alpha or a trimap is `read_matte`'s.

    Raises: ImageError where there is no picture, or one that is damaged or too large.
    """
    levels = read_levels(source, name=name, max_pixels=max_pixels)
    mean: FloatArray = levels[..., :3].mean(axis=2, dtype=np.float32)  # (H, W)
    return mean / np.float32(np.iinfo(levels.dtype).max)


def picture_size(path: str | Path) -> tuple[int, int] | None:
    """Tell (height, width) of an upright picture by its file's head; None where it has none."""
    try:
        require_regular(Path(path))
        with Path(path).open("rb") as file, open_picture(file) as picture:
            width, height = picture.size
            # to find a PNG's EXIF all of it is decoded
            orientation = read_exif(picture)[0] if width * height <= _limit() else 1
    except DAMAGE:  # UnidentifiedImageError is one
        return None
    return (width, height) if orientation >= 5 else (height, width)


def _decode(
    source: str | Path | bytes, name: str | None, max_pixels: int | None, *, colour: bool
) -> _Decoded:
    most = _limit() if max_pixels is None else max_pixels
    name = name or ("standard input" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else read_bytes(source, name)
    if not data:
        raise ImageError(f"{name} is empty (0 bytes), expected a picture; write or copy it again")
    if optional_formats.is_exr(data):
        light = optional_formats.read_exr(data, name, colour=colour, most=most)
        return _Decoded(light, None, None, orientation=1)
    heic = optional_formats.heic(data, name)
    try:
        with open_picture(BytesIO(data), *heic) as picture:
            _require_pixels(picture.size, name, most)
            if picture.format == "PNG":  # no decoder here minds wrong sums, or a lost end
                open_picture(BytesIO(data)).verify()
            orientation, exif = read_exif(picture)
            icc = picture.info.get("icc_profile")
            levels = decode_levels(picture, data, name)
            if picture.format != "TIFF":  # both decoders turn a TIFF by themselves
                levels = turn_upright(levels, orientation)
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is not a picture that can be read, expected an 8- or 16-bit PNG, JPEG, "
            "TIFF, WebP, AVIF, BMP or GIF; export it as one of these"
        ) from error
    except Image.DecompressionBombError as error:  # WebP: Pillow asks before there is a picture
        raise ImageError(
            f"{name} has more pixels than Pillow reads of its kind ({words(error)}); make it "
            "smaller, or save it as PNG or TIFF"
        ) from error
    except DAMAGE as error:
        raise ImageError(
            f"{name} is truncated or damaged ({words(error)}), expected a whole picture; copy or "
            "export it again"
        ) from error
    # A CMYK or grey profile says nothing about the RGB that the pixels have become.
    return _Decoded(levels, icc if icc and icc[16:20] == b"RGB " else None, exif, orientation)


def read_bytes(path: str | Path, name: str) -> bytes:
    """Read a file whole; raises ImageError where that cannot be done."""
    if not isinstance(path, str | os.PathLike):
        raise ImageError(
            f"found {kind_of(path)} to read, expected a path or the bytes of a file; give its path"
        )
    path = Path(path)
    try:
        require_regular(path, most=BYTES_A_PIXEL * _limit() + OTHER_BYTES)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{name} does not exist, expected a picture; check the name") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        if isinstance(error, OSError) and path.is_dir():
            text = f"{name} is a folder, expected a picture; name one file in it"
            raise ImageError(text) from error
        text = f"{name} cannot be read ({words(error)}); check what it is, and its permissions"
        raise ImageError(text) from error


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
