"""Encode levels as the bytes of PNG, TIFF, JPEG, WebP and AVIF files: profile, EXIF and note."""

import struct
import zlib
from io import BytesIO
from typing import Any

import cv2
from PIL import Image
from PIL.ExifTags import IFD
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from ..units import FloatArray, Levels
from .metadata import DIRECTORIES, RESOLUTION, TEXTS, as_stored
from .provenance import XMP, jpeg_comment, png_text, xmp_packet

JPEG_QUALITY = 95
AVIF_QUALITY = 90
PLACEHOLDER = 1  # below a directory's tag no other is known


def encode_png(
    levels: Levels, icc: bytes | None, exif: bytes | None, note: str | None = None
) -> bytes:
    bgr = levels if levels.ndim == 2 else levels[..., [2, 1, 0, 3][: levels.shape[2]]]
    whole, encoded = cv2.imencode(".png", bgr)
    if not whole:
        raise ValueError("OpenCV cannot encode it")
    data = encoded.tobytes()
    chunks = b""  # between IHDR, which ends at byte 33, and IDAT (PNG 3, 11.3.2.3 and 11.3.4.5)
    if icc:
        chunks += _png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    if exif:
        chunks += _png_chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    if note:
        chunks += _png_chunk(b"iTXt", png_text(note))
    return data[:33] + chunks + data[33:]


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def encode_tiff(
    levels: Levels | FloatArray,
    icc: bytes | None,
    exif: bytes | None,
    *,
    premultiplied: bool = False,
    note: str | None = None,
) -> bytes:
    """Write deflated strips of levels or floats, the profile and the EXIF that `read_exif` keeps.

    `premultiplied` says of RGBA that its colours are multiplied by alpha.
    """
    import tifffile  # late: it loads slowly

    described = Image.Exif()
    described.load(exif or b"")
    tags: list[tuple[int, int, int, Any, bool]] = [
        (tag, 2, 0, as_stored(str(described[tag])), True) for tag in TEXTS if tag in described
    ]
    directories = {tag: entries for tag in DIRECTORIES if (entries := described.get_ifd(tag))}
    tags += [(tag - PLACEHOLDER, 4, 1, 0, True) for tag in directories]
    if note:
        packet = xmp_packet(note)
        tags.append((XMP, 1, len(packet), packet, True))
    across, down, unit = RESOLUTION
    kind = "assocalpha" if premultiplied else "unassalpha"
    stream = BytesIO()
    tifffile.imwrite(
        stream,
        levels,
        byteorder="<",
        bigtiff=False,
        photometric="minisblack" if levels.ndim == 2 else "rgb",
        extrasamples=[kind] if levels.shape[2:] == (4,) else None,
        compression="zlib",
        compressionargs={"level": 1},
        predictor=levels.dtype.kind == "u",  # that of floats needs another package
        iccprofile=icc,
        resolution=(_fraction(described.get(across)), _fraction(described.get(down))),
        resolutionunit=described.get(unit) if described.get(unit) in (1, 2, 3) else 1,
        metadata=None,
        software=False,
        extratags=tags,
    )
    return _with_directories(bytearray(stream.getbuffer()), directories)


def _fraction(value: Any) -> tuple[int, int]:
    if isinstance(value, IFDRational):
        return int(value.numerator), value.denominator
    return 1, 1


def _with_directories(data: bytearray, directories: dict[IFD, dict[int, Any]]) -> bytes:
    """Put sub-directories behind a TIFF and their places into its tags.

    tifffile writes no tag that points to one, so a free number just below it keeps its place.
    """
    for tag, entries in directories.items():
        at = data.index(struct.pack("<HHI", tag - PLACEHOLDER, 4, 1))  # before all pixels
        data += bytes(len(data) % 2)
        data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, len(data))
        directory = ImageFileDirectory_v2(group=tag)
        for name, value in entries.items():
            directory[name] = value
        data += directory.tobytes(len(data))
    return bytes(data)


def encode_jpeg(
    levels: Levels, icc: bytes | None, exif: bytes | None, note: str | None = None
) -> bytes:
    stream = BytesIO()
    options: dict[str, Any] = {"icc_profile": icc, "exif": exif or b"", "quality": JPEG_QUALITY}
    if note:
        options["comment"] = jpeg_comment(note)
    Image.fromarray(levels).save(stream, "JPEG", subsampling=0, **options)
    return stream.getvalue()


def encode_webp(
    levels: Levels, icc: bytes | None, exif: bytes | None, note: str | None = None
) -> bytes:
    """Write lossless WebP, in which hidden colours stay, too."""
    stream = BytesIO()
    options: dict[str, Any] = {"icc_profile": icc, "exif": exif or b""}
    if note:
        options["xmp"] = xmp_packet(note)
    Image.fromarray(levels).save(stream, "WEBP", lossless=True, exact=True, **options)
    return stream.getvalue()


def encode_avif(
    levels: Levels, icc: bytes | None, exif: bytes | None, note: str | None = None
) -> bytes:
    """Write AVIF with colours of full size."""
    stream = BytesIO()
    options: dict[str, Any] = {"icc_profile": icc, "exif": exif or b"", "quality": AVIF_QUALITY}
    if note:
        options["xmp"] = xmp_packet(note)
    Image.fromarray(levels).save(stream, "AVIF", subsampling="4:4:4", **options)
    return stream.getvalue()
