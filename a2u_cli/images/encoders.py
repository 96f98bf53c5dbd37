"""Encode levels as the bytes of PNG, TIFF and JPEG files, with profile and EXIF."""

import struct
import zlib
from io import BytesIO
from itertools import accumulate
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2

Levels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
JPEG_QUALITY = 95


def encode_png(levels: Levels, icc: bytes | None, exif: bytes | None) -> bytes:
    bgr = levels if levels.ndim == 2 else levels[..., [2, 1, 0, 3][: levels.shape[2]]]
    data = cv2.imencode(".png", bgr)[1].tobytes()
    chunks = b""  # between IHDR, which ends at byte 33, and IDAT (PNG 3, 11.3.2.3 and 11.3.4.5)
    if icc:
        chunks += _png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if exif:
        chunks += _png_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    return data[:33] + chunks + data[33:]


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def encode_tiff(levels: Levels, icc: bytes | None, exif: bytes | None) -> bytes:
    """Write a little-endian TIFF 6.0 with deflated strips, by hand: no library here writes 16-bit
    RGB with straight transparency and a profile."""
    height, width = levels.shape[:2]
    channels = 1 if levels.ndim == 2 else levels.shape[2]
    differences = levels.copy()  # the horizontal predictor, modulo the depth
    differences[:, 1:] -= levels[:, :-1]
    packed = differences.astype(levels.dtype.newbyteorder("<"), copy=False)
    rows = max(1, 2**20 // packed[0].nbytes)
    strips = [
        zlib.compress(packed[top : top + rows].tobytes(), 1) for top in range(0, height, rows)
    ]
    sizes = [len(strip) for strip in strips]

    tags = ImageFileDirectory_v2()
    described = Image.Exif()
    described.load(exif or b"")
    for tag in described:
        is_directory = tag in (IFD.Exif, IFD.GPSInfo)
        tags[tag] = described.get_ifd(tag) if is_directory else described[tag]
    tags[Base.ImageWidth] = width
    tags[Base.ImageLength] = height
    tags[Base.BitsPerSample] = (levels.dtype.itemsize * 8,) * channels
    tags[Base.Compression] = 8  # Adobe deflate
    tags[Base.PhotometricInterpretation] = 1 if channels == 1 else 2  # black is 0, RGB
    tags[Base.SamplesPerPixel] = channels
    tags[Base.RowsPerStrip] = rows
    tags[Base.StripByteCounts] = tuple(sizes)
    tags[Base.StripOffsets] = tuple(accumulate(sizes[:-1], initial=0))  # from the tags on
    tags[Base.Predictor] = 2
    if channels == 4:
        tags[Base.ExtraSamples] = 2  # straight alpha
    if icc:
        tags[Base.InterColorProfile] = icc
    return b"".join([b"II*\0", struct.pack("<I", 8), tags.tobytes(8), *strips])


def encode_jpeg(levels: Levels, icc: bytes | None, exif: bytes | None) -> bytes:
    stream = BytesIO()
    options: dict[str, Any] = {"icc_profile": icc, "exif": exif or b"", "quality": JPEG_QUALITY}
    Image.fromarray(levels).save(stream, "JPEG", subsampling=0, **options)
    return stream.getvalue()
