"""Read picture files: from files, or their bytes, to arrays."""

import logging
import os
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import ImageError, OutOfMemory, is_memory
from ..units import FloatArray, Levels
from . import optional_formats
from .arrays import kind_of
from .colour import to_linear
from .decoding import DAMAGE, begins_as_picture, decode_levels, open_picture
from .exr import is_exr, read_exr
from .exr_header import ExrHeader
from .files import require_regular, words
from .jpeg import refuse_unusual_jpeg
from .memory import Bound, bounded, free_memory
from .metadata import read_exif, turn_upright
from .png import SIGNATURE
from .profiles import to_srgb
from .signals import other_colours
from .stores import as_path
from .tiff import (
    count_pages,
    decode_floats,
    decode_tiff,
    holds_floats,
    refuse_raw,
    refuse_unreadable,
)

log = logging.getLogger(__name__)

MAX_PIXELS = 300_000_000  # unless A2U_MAX_PIXELS says otherwise
BYTES_A_PIXEL, OTHER_BYTES = 16, 64 << 20  # of a file at most: four channels of float32, metadata
PIECE = 1 << 20  # bytes read from a pipe at once

# What is taken for a picture in a folder.
SUFFIXES = {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp"),
    *(".gif", ".avif", ".exr", ".heic", ".heif", ".hif"),
}


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright, with the metadata that a result of it can carry.

    image: float32 (H, W, 3), sRGB in [0, 1]; alpha: float32 (H, W) in [0, 1] where the file has
    transparency; depth: bits a channel, 8 or 16; icc: an sRGB profile, where the file has one of
    its colours; exif: EXIF without orientation, layout and thumbnail; orientation: the EXIF turn
    that was applied (1 is none); light: of an OpenEXR also float32 (H, W, 3), linear, of sRGB's
    primaries, straight, and unclipped: `image` is a view of it (`colour.view`); header: what that
    file says beside its pixels.
    """

    image: FloatArray
    alpha: FloatArray | None
    depth: int
    icc: bytes | None
    exif: bytes | None
    orientation: int
    light: FloatArray | None = None
    header: ExrHeader | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width)."""
        return self.image.shape[0], self.image.shape[1]

    def colours(self, *, light: bool) -> FloatArray:
        """Give the colours, (H, W, 3): sRGB values in [0, 1], or linear light."""
        if not light:
            return self.image
        return to_linear(self.image) if self.light is None else self.light


@dataclass(frozen=True)
class _Decoded:
    levels: Levels  # (H, W, C): grey, RGB or RGBA, upright
    icc: bytes | None
    exif: bytes | None
    orientation: int
    light: FloatArray | None = None
    header: ExrHeader | None = None


def read_image(
    source: str | Path | bytes,
    *,
    name: str | None = None,
    max_pixels: int | None = None,
    max_memory: int | Bound | None = None,
) -> Picture:
    """Read a picture as upright sRGB at the precision of its file.

    Grey and palette become RGB; a colour profile, of CMYK and grey too, is converted to sRGB, and
    what has none counts as sRGB. Of several pages or frames the first counts. What is not taken of
    a file is told by a warning of the logger `a2u_cli`.

    Raises: ImageError where there is no picture, or one that is damaged or too large; OutOfMemory
    where reading takes more memory than there is, or than `max_memory` bytes.
    """
    decoded = _decode(source, name, max_pixels, colour=True, max_memory=max_memory)
    levels = decoded.levels
    depth = levels.dtype.itemsize * 8
    image = np.empty((*levels.shape[:2], 3), np.float32)
    np.divide(levels[..., :3], 2**depth - 1, out=image, dtype=np.float32)  # grey: to all three
    alpha = None
    if levels.shape[2] == 4:
        alpha = np.divide(levels[..., 3], 2**depth - 1, order="C", dtype=np.float32)  # (H, W)
    metadata = decoded.icc, decoded.exif, decoded.orientation
    return Picture(image, alpha, depth, *metadata, decoded.light, decoded.header)


def tell_of_hidden(picture: Picture, name: str) -> None:
    """Say in the log that a cut-out is used as a whole picture, with colours that nobody sees."""
    if picture.alpha is None:
        return
    share = np.count_nonzero(picture.alpha == 0) / picture.alpha.size
    if share:
        log.warning(
            "%s is transparent in %.1f %% of its pixels; their hidden colours are used",
            *(name, 100 * share),
        )


def read_levels(
    source: str | Path | bytes,
    *,
    name: str | None = None,
    max_pixels: int | None = None,
    max_memory: int | Bound | None = None,
) -> Levels:
    """Read a file's own levels, upright: (H, W, C), grey, RGB or RGBA; no colour is converted.

    Raises: ImageError where there is no picture, or one that is damaged or too large; OutOfMemory
    where reading takes more memory than there is, or than `max_memory` bytes.
    """
    return _decode(source, name, max_pixels, colour=False, max_memory=max_memory).levels


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
        path = as_path(path)
        require_regular(path)
        with path.open("rb") as file, open_picture(file) as picture:
            width, height = picture.size
            # to find a PNG's EXIF all of it is decoded
            orientation = read_exif(picture)[0] if width * height <= pixel_limit() else 1
    except DAMAGE:  # UnidentifiedImageError is one
        return None
    return (width, height) if orientation >= 5 else (height, width)


def _decode(
    source: str | Path | bytes,
    name: str | None,
    max_pixels: int | None,
    *,
    colour: bool,
    max_memory: int | Bound | None = None,
) -> _Decoded:
    most = pixel_limit() if max_pixels is None else max_pixels
    name = name or ("standard input" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else read_bytes(source, name)
    if not data:
        raise ImageError(f"{name} is empty (0 bytes), expected a picture; write or copy it again")

    def require(size: tuple[int, int], a_pixel: int = 0) -> None:
        _require_room(size, name, most)
        bounded(max_memory).require(size, name, a_pixel=a_pixel)

    if is_exr(data):
        exr = read_exr(data, name, colour=colour, require=require)
        return _Decoded(exr.levels, None, None, 1, exr.light, exr.header)
    refuse_unreadable(data, name)
    refuse_unusual_jpeg(data, name)
    size = size_in_start(data)
    if size:
        require(size)
    heic = optional_formats.heic(data, name)
    try:
        with open_picture(BytesIO(data), *heic) as picture:
            size = picture.size
            require(size)
            refuse_raw(picture, name)
            _tell_of_more(picture, data, name)
            if colour and not picture.info.get("icc_profile"):
                _tell_of_colours(picture, data, name)
            orientation, exif = read_exif(picture, name)
            icc = picture.info.get("icc_profile", b"")
            if icc is None:  # of a JPEG, in pieces that do not fit: told as damaged
                icc = b"in pieces"
            if isinstance(picture, TiffImageFile) and holds_floats(picture):
                floats = decode_floats(picture, data, name, colour=colour, require=require)
                return _Decoded(floats.levels, None, exif, orientation, floats.light)
            if isinstance(picture, TiffImageFile):
                levels = decode_tiff(picture, data, name, icc, require=require)
            else:
                levels = turn_upright(decode_levels(picture, data, name, icc), orientation)
            turned = picture.mode in ("CMYK", "LAB")  # to sRGB already
    except UnidentifiedImageError as error:
        raise _no_picture(name) from error
    except Image.DecompressionBombError as error:  # WebP: Pillow asks before there is a picture
        raise ImageError(
            f"{name} has more pixels than Pillow reads of its kind ({words(error)}); make it "
            "smaller, or save it as PNG or TIFF"
        ) from error
    except (*DAMAGE, MemoryError) as error:
        if is_memory(error) or _is_short(size):
            raise OutOfMemory(
                f"{name} does not fit into the memory there is ({words(error)}); close other "
                "programs, or make it smaller"
            ) from error
        raise ImageError(
            f"{name} is truncated or damaged ({words(error)}), expected a whole picture; copy or "
            "export it again"
        ) from error
    profile = None
    if colour and not turned:
        levels, profile = to_srgb(levels, icc, name)
    return _Decoded(levels, profile, exif, orientation)


def _tell_of_more(picture: Image.Image, data: bytes, name: str) -> None:
    """Say in the log where a file holds more pictures than the first.

    Not of a JPEG (MPO): phones put the same picture's brightness, or its depth, behind it.
    """
    if isinstance(picture, TiffImageFile):
        count, what = count_pages(data), "pages"
    elif picture.format == "MPO":
        return
    else:
        count, what = int(getattr(picture, "n_frames", 1)), "frames"
        if picture.format == "HEIF":
            what = "pictures"
    if count > 1:
        log.warning("%s has %d %s, the first is taken", name, count, what)


def _tell_of_colours(picture: Image.Image, data: bytes, name: str) -> None:
    if what := other_colours(picture, data):
        log.warning("%s has %s for its colours, not converted: they count as sRGB", name, what)


def _is_short(size: tuple[int, int] | None) -> bool:
    """Tell whether the memory to decode a picture in cannot be had: then its file is not to blame.

    Decoders say no more than that they have failed.
    """
    if size is None:
        return False
    try:
        np.empty((2, size[0], size[1], 4), np.uint8)
    except MemoryError:
        return True
    return False


def size_in_start(data: bytes) -> tuple[int, int] | None:
    """Tell (width, height) by a file's first 30 bytes, where they say it: of PNG and WebP.

    PNG 3, 11.2.1; RFC 9649, 2.5 to 2.7.
    """
    if data.startswith(SIGNATURE) and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        return width, height
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    if data[12:16] == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return width + 1, height + 1
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def read_stream(stream: IO[bytes], name: str, *, max_memory: int | Bound | None = None) -> bytes:
    """Read a picture from a pipe, which may go on for ever.

    It is given up where it does not begin as a picture, or goes on beyond what one of its size
    takes; where the size is not told at its start, beyond what the largest takes. `max_memory`
    bounds it too (None: half of what is free).

    Raises ImageError, or OutOfMemory.
    """
    start = stream.read(16)
    if start and not (is_exr(start) or begins_as_picture(start) or start[4:8] == b"ftyp"):
        refuse_unreadable(start, name)
        raise _no_picture(name)
    data, most = BytesIO(), OTHER_BYTES
    most_memory = bounded(max_memory).most
    max_memory = free_memory() // 2 if most_memory is None else most_memory
    data.write(start)
    while piece := stream.read(PIECE):
        data.write(piece)
        if most == OTHER_BYTES < data.tell():
            size = size_in_start(data.getvalue()[:30])
            pixels = pixel_limit() if size is None else min(pixel_limit(), size[0] * size[1])
            most += BYTES_A_PIXEL * pixels
        if data.tell() > most:
            raise ImageError(
                f"{name} goes on beyond {most / 1e9:.1f} GB, more than its picture can take; check "
                "what it comes from"
            )
        if data.tell() > max_memory:
            raise OutOfMemory(
                f"{name} goes on beyond the {max_memory / 1e9:.1f} GB that it may take; allow "
                "more, or make it smaller"
            )
    return data.getvalue()


def _no_picture(name: str) -> ImageError:
    return ImageError(
        f"{name} is not a picture that can be read, expected an 8- or 16-bit PNG, JPEG, "
        "TIFF, WebP, AVIF, BMP or GIF; export it as one of these"
    )


def read_bytes(path: str | Path, name: str) -> bytes:
    """Read a file whole; raises ImageError where that cannot be done."""
    if not isinstance(path, str | os.PathLike):
        raise ImageError(
            f"found {kind_of(path)} to read, expected a path or the bytes of a file; give its path"
        )
    path = as_path(path)
    try:
        require_regular(path, most=BYTES_A_PIXEL * pixel_limit() + OTHER_BYTES)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{name} does not exist, expected a picture; check the name") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        if isinstance(error, OSError) and path.is_dir():
            text = f"{name} is a folder, expected a picture; name one file in it"
            raise ImageError(text) from error
        text = f"{name} cannot be read ({words(error)}); check what it is, and its permissions"
        raise ImageError(text) from error


def pixel_limit() -> int:
    """Give the most pixels that a picture may have.

    Raises ImageError where A2U_MAX_PIXELS is no such number.
    """
    text = os.environ.get("A2U_MAX_PIXELS", str(MAX_PIXELS))
    if not text.isdecimal() or int(text) < 1:
        raise ImageError(f"A2U_MAX_PIXELS is {text!r}, expected a number of pixels; change it")
    return int(text)


def _require_room(size: tuple[int, int], name: str, most: int) -> None:
    """Refuse a picture of more pixels than it may have; raises ImageError."""
    width, height = size
    pixels = width * height
    if pixels > most:
        raise ImageError(
            f"{name} is {width}x{height} ({pixels / 1e6:.1f} million pixels), expected at "
            f"most {most / 1e6:.1f} million; make it smaller, or raise the limit with "
            f"a2u --max-pixels {pixels} ..."
        )
