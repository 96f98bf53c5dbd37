"""Decode the bytes of a file to levels, by Pillow's decoders and, of 16 bits, by OpenCV's.

Nothing of the process is changed, so threads may decode at once. Pillow's own limit of pixels is
passed by, since the reader has its own; warnings and logs are what the process makes of them.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import IO

import cv2
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import ImageError
from ..units import Levels

READABLE = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "AVIF")  # none starts another program
# What decoders raise on damaged files.
DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError),
    *(ArithmeticError, struct.error, zlib.error, cv2.error, Image.DecompressionBombError),
    RuntimeError,  # AVIF
    Warning,  # where the process makes errors of them
)

Factory = Callable[..., ImageFile.ImageFile]


class _Tiff(TiffImageFile):
    def load_prepare(self) -> None:
        """Make room for the pixels without asking for Pillow's limit of them."""
        if self._im is None:
            self.im = Image.new(self.mode, self._tile_size, None).im
        super().load_prepare()


def open_picture(file: IO[bytes], *more: Factory) -> ImageFile.ImageFile:
    """Read the head of a picture; its pixels come later. What opens `more` formats is tried last.

    Raises UnidentifiedImageError where it is of no known format, one of DAMAGE where it is broken.
    """
    start = file.read(16)
    reason: Exception = UnidentifiedImageError("no known format")
    for factory in (*_factories(start), *more):
        file.seek(0)
        try:
            return factory(file, "")
        except (SyntaxError, LookupError, TypeError, struct.error) as error:
            reason = error
    raise reason


def _factories(start: bytes) -> Iterator[Factory]:
    """Give Pillow's openers for files that start so."""
    for name in READABLE:
        if name not in Image.OPEN:
            Image.init()  # loads the rarer formats
        factory, accept = Image.OPEN.get(name, (None, None))
        if factory is not None and (accept is None or accept(start) is True):
            yield _Tiff if name == "TIFF" else factory


def decode_levels(picture: Image.Image, data: bytes, name: str) -> Levels:
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
