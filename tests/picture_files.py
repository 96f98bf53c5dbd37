"""Pictures as the bytes of files, made without the module under test."""

import struct
import zlib
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms
from PIL.ExifTags import IFD, Base

Array = npt.NDArray[Any]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SIZES = [(1, 1), (1, 7), (5, 3), (13, 17)]


def random_levels(*shape: int, depth: int = 8, seed: int = 0) -> Array:
    dtype = np.uint8 if depth == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**depth, shape, dtype=dtype)


def saved(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def png16(levels: Array) -> bytes:
    """Encode (H, W), RGB or RGBA uint16 independently of the module under test."""
    bgr = levels if levels.ndim == 2 else levels[..., [2, 1, 0, 3][: levels.shape[2]]]
    return cv2.imencode(".png", bgr)[1].tobytes()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def tiff16(levels: Array, photometric: int, **extra: tuple[int, int]) -> bytes:
    """Write an uncompressed little-endian 16-bit TIFF, with extra name=(tag, value)."""
    height, width = levels.shape[:2]
    channels = 1 if levels.ndim == 2 else levels.shape[2]
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: photometric, 277: channels, 278: height}
    tags |= {279: levels.nbytes} | dict(extra.values())
    end = 8 + 2 + 12 * (len(tags) + 1) + 4
    tags[273] = end + 2 * channels
    body = struct.pack("<H", len(tags))
    for tag, value in sorted(tags.items()):
        if tag == 258 and channels > 2:
            body += struct.pack("<HHII", tag, 3, channels, end)
        else:
            body += struct.pack("<HHIHH", tag, 3, 1, value, 0)
    depths = struct.pack(f"<{channels}H", *[16] * channels)
    return b"II*\0\x08\0\0\0" + body + b"\0" * 4 + depths + levels.astype("<u2").tobytes()


def as_stored(upright: Array, orientation: int) -> Array:
    """Store an upright array so that the EXIF orientation brings it back (EXIF 2.3, 4.6.4)."""
    return {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation].copy()


def exif_bytes(orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    exif[Base.Artist] = "A. Painter"
    exif[IFD.Exif] = {Base.ExposureTime: 0.5, Base.ExifImageWidth: 999}
    return exif.tobytes()
