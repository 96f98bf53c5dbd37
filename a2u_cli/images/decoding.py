"""Decode the bytes of a file to levels, by Pillow's decoders and, of 16 bits, by OpenCV's.

Nothing of the process is changed, so threads may decode at once. Pillow's own limit of pixels is
passed by, since the reader has its own; warnings and logs are what the process makes of them.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import IO

import cv2
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import TiffImageFile

from ..units import Levels
from .png import SIGNATURE, split_png
from .profiles import cmyk_to_srgb, lab_to_srgb

READABLE = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "AVIF")  # none starts another program
# What decoders raise on damaged files.
DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError),
    *(ArithmeticError, struct.error, zlib.error, cv2.error, Image.DecompressionBombError),
    RuntimeError,  # AVIF
    AssertionError,  # Pillow's own, of what a file left out
    Warning,  # where the process makes errors of them
)

Factory = Callable[..., ImageFile.ImageFile]


class Tiff(TiffImageFile):
    """Pillow's TIFF, of any number of pixels and of kinds that Pillow has no mode for."""

    def _setup(self) -> None:
        """Open what Pillow has no mode for: its tags say more of it than "unknown pixel mode"."""
        try:
            super()._setup()
        except (SyntaxError, LookupError):
            self._mode, self.tile = "L", []
            size = self.tag_v2[Base.ImageWidth], self.tag_v2[Base.ImageLength]
            self._size = size[::-1] if self.tag_v2.get(Base.Orientation, 1) >= 5 else size
            if profile := self.tag_v2.get(Base.InterColorProfile):
                self.info["icc_profile"] = profile

    def load_prepare(self) -> None:
        """Make room for the pixels without asking for Pillow's limit of them."""
        if self._im is None:
            self.im = Image.new(self.mode, self._tile_size, None).im
        super().load_prepare()


def open_picture(file: IO[bytes], *more: Factory) -> ImageFile.ImageFile:
    """Read the head of a picture; its pixels come later. What opens `more` formats is tried last.

    Raises UnidentifiedImageError where it is of no known format, one of DAMAGE where it is broken.
    """
    start, profile = file.read(16), None
    if start.startswith(SIGNATURE):
        file.seek(0)
        data, profile = split_png(file.read())
        file = BytesIO(data)
    reason: Exception = UnidentifiedImageError("no known format")
    for factory in (*_factories(start), *more):
        file.seek(0)
        try:
            picture = factory(file, "")
        except (SyntaxError, LookupError, TypeError, struct.error) as error:
            reason = error
        else:
            if profile:
                picture.info["icc_profile"] = profile
            return picture
    raise reason


def begins_as_picture(start: bytes) -> bool:
    """Tell whether a file that starts so can be one that Pillow opens here."""
    return any(_factories(start))


def _factories(start: bytes) -> Iterator[Factory]:
    """Give Pillow's openers for files that start so."""
    for name in READABLE:
        if name not in Image.OPEN:
            Image.init()  # loads the rarer formats
        factory, accept = Image.OPEN.get(name, (None, None))
        if factory is not None and (accept is None or accept(start) is True):
            yield Tiff if name == "TIFF" else factory


def decode_levels(picture: Image.Image, data: bytes, name: str, icc: bytes | None) -> Levels:
    """Decode to (H, W, C): grey, RGB or RGBA as uint8, or as uint16 where the file has 16 bits.

    CMYK and CIELab become sRGB, by the profile `icc`; other colours stay as they are.
    """
    if picture.format == "PNG" and data[24] == 16:  # the bit depth in IHDR
        return _levels_16(picture, data)  # Pillow gives 16-bit RGB as 8-bit without a word
    if picture.mode == "CMYK":
        return cmyk_to_srgb(picture, icc, name)
    if picture.mode == "LAB":
        return lab_to_srgb(picture)
    if picture.mode in ("P", "PA") and picture.palette is None:
        raise OSError("its pixels name colours of a palette, and there is none")
    if picture.has_transparency_data:
        return np.asarray(picture.convert("RGBA"))
    if picture.mode in ("1", "L"):
        return np.asarray(picture.convert("L"))[..., None]
    return np.asarray(picture.convert("RGB"))


def _levels_16(picture: Image.Image, data: bytes) -> Levels:
    whole, _ = split_png(data)  # libpng has limits of its own
    decoded = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        raise OSError("the 16-bit pixels cannot be decoded")
    levels = np.asarray(decoded, np.uint16)  # (H, W), or (H, W, C) as BGR or BGRA
    if levels.ndim == 3:
        return levels[..., [2, 1, 0, 3][: levels.shape[2]]]
    clear = picture.info.get("transparency")  # a level of grey, which OpenCV does not heed
    if clear is None:
        return levels[..., None]
    return np.dstack(
        [levels, levels, levels, np.where(levels == clear, 0, 65535).astype(np.uint16)]
    )
