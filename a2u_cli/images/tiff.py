"""Read TIFF files: whole samples as they are stored, in any layout and with any further channels.

Pillow gives 16-bit colours at 8 bits and OpenCV mixes up separate planes, but libtiff behind Pillow
unpacks every compression. So it is handed the same bytes with another directory, which calls all
channels of a row one wide row of grey: its samples come out whole, and are sorted here.
tifffile, which writes TIFFs here, reads no LZW by itself and unpacks a strip to any size (a file of
1 MB to 2 GB); with imagecodecs it does better, for 79 MB more of every installation.
"""

import logging
import struct
from collections.abc import Callable, Sequence
from io import BytesIO

import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from ..errors import ImageError
from ..units import Levels
from .decoding import DNG_VERSION, MASK, SHRUNK, SUB_IFDS, SUBFILE_TYPE, Tiff, decode_levels
from .metadata import turn_upright

log = logging.getLogger(__name__)

PLANES, PREDICTOR = 284, 317  # tags of TIFF 6.0
OFFSETS, COUNTS, ROWS = Base.StripOffsets, Base.StripByteCounts, Base.RowsPerStrip
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
COLOURS = {0: 1, 1: 1, 2: 3}  # channels, by photometric interpretation: grey, grey, RGB,
COLOURS_OF_PILLOW = COLOURS | {3: 1, 5: 4, 6: 3, 8: 3}  # palette, CMYK, YCbCr, CIELab
SENSOR = (32803, 34892)  # colour filters and linear light, as a sensor gives them
# none, LZW, Deflate (twice), PackBits, LZMA, ZSTD: what leaves samples as they are
LOSSLESS = (1, 5, 8, 32946, 32773, 34925, 50000)
WEBP = 50001  # which libtiff behind Pillow has been built without
PREMULTIPLIED, STRAIGHT = 1, (2, 999)  # 999: as CorelDRAW writes it
SAMPLES = {2: "signed integers", 3: "floating-point numbers", 5: "complex", 6: "complex numbers"}
UNPACKING = 3  # copies of the samples that there are at once
RAW_STARTS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"\0MRM")


def decode_tiff(
    picture: TiffImageFile,
    data: bytes,
    name: str,
    icc: bytes | None,
    *,
    require: Callable[[tuple[int, int], int], None],
) -> Levels:
    """Decode to upright (H, W, C): grey, RGB or RGBA, uint8 or, where the file has 16 bits, uint16.

    Transparency is a channel that the file calls so, or a lone further one of which it says
    nothing at all. Others are not used, and a line in the log says so. `require` refuses a size
    (width, height) of which a pixel takes so many bytes.

    Raises ImageError for samples that are no unsigned integers, one of DAMAGE for broken files.
    """
    tags = picture.tag_v2
    photometric = tags.get(Base.PhotometricInterpretation, 0)
    bits = set(tags.get(Base.BitsPerSample, (1,)))
    kind = max(tags.get(Base.SampleFormat, (1,)))
    if kind in SAMPLES or max(bits) not in (1, 2, 4, 8, 16):
        what = f" of {SAMPLES[kind]}" if kind in SAMPLES else ""
        raise ImageError(
            f"{name} has {max(bits)} bits a channel{what}, expected integers of 8 or 16 bits; "
            "export it as 16-bit"
        )
    compression = tags.get(Base.Compression, 1)
    if photometric in COLOURS and len(bits) == 1 and bits < {8, 16} and compression in LOSSLESS:
        orientation = tags.get(Base.Orientation, 1)
        sample = UNPACKING * tags.get(Base.SamplesPerPixel, 1) * -(-max(bits) // 8)
        require(picture.size, sample)  # of any number of channels
        return turn_upright(_sorted(picture, data, name), orientation)
    if max(bits) == 16:
        raise ImageError(
            f"{name} holds 16-bit samples of an unusual kind (CMYK, Lab, or compression "
            f"{compression}), expected grey or RGB; export it as RGB"
        )
    count = tags.get(Base.SamplesPerPixel, 1)
    if not picture.tile or compression == WEBP:  # Pillow has no mode, or no decoder, for it
        raise ImageError(
            f"{name} is a TIFF of a kind that cannot be read (photometric interpretation "
            f"{photometric}, {count} channels, compression "
            f"{compression}), expected grey or RGB; export it as RGB"
        )
    levels = decode_levels(picture, data, name, icc)  # which turns a TIFF by itself
    _tell_of_unused(
        count - COLOURS_OF_PILLOW.get(photometric, count) - (levels.shape[2] == 4), name
    )
    return levels


def _tell_of_unused(channels: int, name: str) -> None:
    if channels > 0:
        what = "1 more channel" if channels == 1 else f"{channels} more channels"
        log.warning("%s has %s of no known meaning, not used", name, what)


def _sorted(picture: TiffImageFile, data: bytes, name: str) -> Levels:
    """Sort the samples of a grey or RGB file into colours and transparency."""
    tags = picture.tag_v2
    colours = COLOURS[tags.get(Base.PhotometricInterpretation, 0)]
    samples = _samples(picture, data)
    kinds = tags.get(Base.ExtraSamples)
    more = samples.shape[2] - colours
    if more < 0:
        raise ValueError("it has too few channels")
    if kinds is None:
        kinds = STRAIGHT[:1] if more == 1 else (0,) * more
    named = (PREMULTIPLIED, *STRAIGHT)
    alpha = next((place for place, kind in enumerate(kinds[:more]) if kind in named), None)
    _tell_of_unused(more - (alpha is not None), name)
    levels = samples[..., :colours]
    if tags.get(Base.PhotometricInterpretation, 0) == 0:
        levels = np.iinfo(levels.dtype).max - levels  # white is zero
    if alpha is None:
        return levels
    rgba = np.empty((*samples.shape[:2], 4), samples.dtype)
    rgba[..., :3], rgba[..., 3] = levels, samples[..., colours + alpha]
    return straightened(rgba) if kinds[alpha] == PREMULTIPLIED else rgba


def straightened(levels: Levels) -> Levels:
    """Divide premultiplied colours (H, W, 4) by their alpha, in place; light without any stays."""
    most = np.iinfo(levels.dtype).max
    for row in levels:
        scale = most / np.where(row[:, 3:] > 0, row[:, 3:], most).astype(np.float32)
        row[:, :3] = np.rint(np.minimum(row[:, :3] * scale, most))
    return levels


def _samples(picture: TiffImageFile, data: bytes) -> Levels:
    """Unpack all samples of a file, (H, W, C)."""
    tags = picture.tag_v2
    height, width = tags[Base.ImageLength], tags[Base.ImageWidth]
    count = tags.get(Base.SamplesPerPixel, 1)
    if tags.get(PLANES, 1) != 2 or count == 1:
        wide = _unpacked(tags, data, count, slice(None))
        return wide.reshape(height, width, count)
    offsets = tags[TILE_OFFSETS if TILE_OFFSETS in tags else OFFSETS]
    pieces = len(offsets) // count
    planes = np.empty((height, width, count), np.uint16 if _bits(tags) == 16 else np.uint8)
    for plane in range(count):
        part = slice(plane * pieces, (plane + 1) * pieces)
        planes[..., plane] = _unpacked(tags, data, 1, part)
    return planes


def _bits(tags: ImageFileDirectory_v2) -> int:
    return int(max(tags[Base.BitsPerSample]))


def _unpacked(tags: ImageFileDirectory_v2, data: bytes, channels: int, pieces: slice) -> Levels:
    """Unpack strips or tiles of `channels` interleaved samples as one wide picture of grey."""
    height, width = tags[Base.ImageLength], tags[Base.ImageWidth]
    tiled = TILE_OFFSETS in tags
    places = (TILE_OFFSETS, TILE_COUNTS) if tiled else (OFFSETS, COUNTS)
    grey: dict[int, Sequence[int]] = {
        Base.ImageWidth: (width * channels,),
        Base.ImageLength: (height,),
        Base.BitsPerSample: (_bits(tags),),
        Base.Compression: (tags.get(Base.Compression, 1),),
        Base.PhotometricInterpretation: (1,),
        Base.FillOrder: (tags.get(Base.FillOrder, 1),),
        Base.SamplesPerPixel: (1,),
        **{place: tags[place][pieces] for place in places if place in tags},
    }
    block = width
    if tiled:
        block = tags[TILE_WIDTH]
        grey |= {TILE_WIDTH: (block * channels,), TILE_LENGTH: (tags[TILE_LENGTH],)}
    else:
        grey[ROWS] = (min(tags.get(ROWS, height), height),)
    with Tiff(BytesIO(_with_directory(data, grey)), "") as picture:
        levels = np.asarray(picture)
    levels = levels.astype(levels.dtype.newbyteorder("="))
    if tags.get(PREDICTOR, 1) == 2:  # each sample is the difference to its left neighbour's
        rows = levels.reshape(height, width, channels)
        for left in range(0, width, block):
            part = rows[:, left : left + block]
            np.cumsum(part, axis=1, dtype=levels.dtype, out=part)
    return levels


def _with_directory(data: bytes, tags: dict[int, Sequence[int]]) -> bytes:
    """Give the bytes of a TIFF another directory, of whole numbers."""
    order = "<" if data[:2] == b"II" else ">"
    padding = bytes(len(data) % 2)
    at = len(data) + len(padding)
    beyond = at + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag, numbers in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        inside = packed
        if len(packed) > 4:
            inside = struct.pack(order + "I", beyond + len(values))
            values += packed
        entries += struct.pack(order + "HHI", tag, 4, len(numbers)) + inside
    head = data[:2] + struct.pack(order + "HI", 42, at)
    directory = struct.pack(order + "H", len(tags)) + entries + bytes(4) + values
    return b"".join((head, memoryview(data)[8:], padding, directory))


def refuse_unreadable(data: bytes, name: str) -> None:
    """Refuse what no decoder here reads although it is whole; raises ImageError."""
    if data.startswith(RAW_STARTS) or data[4:12] == b"ftypcrx " or _is_cr2(data):
        raise _raw(name)
    if data.startswith(b"MM\0+"):
        raise ImageError(
            f"{name} is a BigTIFF with the most significant byte first, which cannot be read; "
            "export it as TIFF"
        )


def refuse_raw(picture: Image.Image, name: str) -> None:
    """Refuse what a camera's sensor has left: what can be seen in it is a thumbnail.

    Raises ImageError.
    """
    if not isinstance(picture, TiffImageFile):
        return
    tags = picture.tag_v2
    shrunk = tags.get(SUBFILE_TYPE, 0) & SHRUNK and SUB_IFDS in tags
    if shrunk or DNG_VERSION in tags or tags.get(Base.PhotometricInterpretation) in SENSOR:
        raise _raw(name)


def _is_cr2(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*") and data[8:10] == b"CR"


def _raw(name: str) -> ImageError:
    return ImageError(
        f"{name} is a camera raw, expected a finished picture; develop it to TIFF or PNG first"
    )


def count_pages(data: bytes) -> int:
    """Count a TIFF's pages; smaller copies and transparency masks of a page are none."""
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    entry, counted, pointer = (
        (20, order + "Q", order + "Q") if big else (12, order + "H", order + "I")
    )
    pages, seen = 0, set()
    try:
        (at,) = struct.unpack_from(pointer, data, 8 if big else 4)
        while at and at not in seen:
            seen.add(at)
            (count,) = struct.unpack_from(counted, data, at)
            first = at + struct.calcsize(counted)
            kind = 0
            for place in range(first, first + entry * count, entry):
                tag, size = struct.unpack_from(order + "HH", data, place)
                if tag == SUBFILE_TYPE:
                    at_value = place + entry - struct.calcsize(pointer)
                    (kind,) = struct.unpack_from(order + "HI"[size != 3], data, at_value)
                    break
            pages += not kind & (SHRUNK | MASK)
            (at,) = struct.unpack_from(pointer, data, first + entry * count)
    except struct.error:  # of a later page: the first is what counts
        pass
    return pages
