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
from PIL import Image, ImageFile, ImagePalette, UnidentifiedImageError
from PIL.BmpImagePlugin import BmpImageFile
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
SUBFILE_TYPE, SUB_IFDS, DNG_VERSION = 254, 330, 50706  # tags of TIFF 6.0 and DNG 1.7
SHRUNK, MASK = 1, 4  # of a page's kind: a smaller copy, a transparency mask
MOST_BEFORE = 100  # pages that may stand before the picture

Factory = Callable[..., ImageFile.ImageFile]


class Tiff(TiffImageFile):
    """Pillow's TIFF, of any number of pixels and of kinds that Pillow has no mode for."""

    def _open(self) -> None:
        """Open the first page that is the picture itself: its thumbnail may stand before it."""
        super()._open()
        page = 0
        try:
            while self._is_beside() and page < MOST_BEFORE:
                page += 1
                self.info.pop("icc_profile", None)
                self._seek(page)
        except EOFError:
            self._seek(0)

    def _is_beside(self) -> bool:
        """Tell whether a page is a smaller copy or a mask of another; a camera raw's is not."""
        raw = SUB_IFDS in self.tag_v2 or DNG_VERSION in self.tag_v2
        return not raw and bool(self.tag_v2.get(SUBFILE_TYPE, 0) & (SHRUNK | MASK))

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


class Bmp(BmpImageFile):
    """Pillow's BMP, also where a palette of black and white stands before 4 or 8 bits a pixel.

    Pillow takes those for single bits.
    """

    def _open(self) -> None:
        super()._open()
        assert self.fp is not None
        self.fp.seek(28)
        bits = int.from_bytes(self.fp.read(2), "little")
        if (bits, self.mode) not in ((8, "1"), (4, "1"), (4, "L")):
            return
        tile = self.tile[0]
        assert isinstance(tile.args, tuple)
        shades = bytes([0, 255]) if self.mode == "1" else bytes(range(16))
        self._mode = "P"
        self.palette = ImagePalette.raw("RGB", bytes(v for v in shades for _ in range(3)))
        self.tile = [tile._replace(args=("P" if bits == 8 else "P;4", *tile.args[1:]))]


OWN: dict[str, Factory] = {"TIFF": Tiff, "BMP": Bmp}


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
            yield OWN.get(name, factory)


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
    if picture.format == "PNG" and picture.mode == "L" and data[24] < 8:
        _scale_clear_grey(picture, data[24])
    if picture.has_transparency_data:
        return np.asarray(picture.convert("RGBA"))
    if picture.mode in ("1", "L"):
        return np.asarray(picture.convert("L"))[..., None]
    return np.asarray(picture.convert("RGB"))


def _scale_clear_grey(picture: Image.Image, bits: int) -> None:
    """Bring the grey that is transparent, of 2 or 4 bits, to 8, as Pillow does with the pixels."""
    clear, most = picture.info.get("transparency"), 2**bits - 1
    if isinstance(clear, int):
        picture.info["transparency"] = (clear & most) * 255 // most


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
