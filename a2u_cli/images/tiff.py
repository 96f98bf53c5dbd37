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
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from ..errors import ImageError
from ..units import Levels
from .decoding import DNG_VERSION, MASK, SHRUNK, SUB_IFDS, SUBFILE_TYPE, Tiff, decode_levels
from .floats import COLOUR_BYTES, MOST_HALF, Floats, read_light, read_numbers
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
FLOATS = 3  # of the kinds of samples
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


def holds_floats(picture: TiffImageFile) -> bool:
    """Tell whether a file holds floats that can be read: grey or RGB, of 16 or 32 bits."""
    tags = picture.tag_v2
    kinds = set(tags.get(Base.SampleFormat, (1,))), set(tags.get(Base.BitsPerSample, (1,)))
    return (
        kinds in (({FLOATS}, {16}), ({FLOATS}, {32}))
        and tags.get(Base.PhotometricInterpretation) in (1, 2)
        and tags.get(Base.Compression, 1) in LOSSLESS
    )


def decode_floats(
    picture: TiffImageFile,
    data: bytes,
    name: str,
    *,
    colour: bool,
    require: Callable[[tuple[int, int], int], None],
) -> Floats:
    """Decode a file that `holds_floats`, upright; `require` is as in `decode_tiff`.

    A picture's (`colour`) count as linear light of sRGB's primaries, as TIFF cannot say what they
    are; of a trimap or an alpha the numbers are taken as they are.

    Raises one of DAMAGE for broken files.
    """
    tags = picture.tag_v2
    sample = (UNPACKING + 1) * 4 * tags.get(Base.SamplesPerPixel, 1)
    require(picture.size, max(sample, COLOUR_BYTES))
    colours, alpha, multiplied = _told_apart(picture, data, name)
    has_alpha = alpha is not None
    parts = colours if alpha is None else np.dstack([colours, alpha])
    upright = turn_upright(parts, tags.get(Base.Orientation, 1)).astype(np.float32)
    values = np.nan_to_num(upright, copy=False, posinf=MOST_HALF, neginf=-MOST_HALF)
    if not colour:
        return Floats(read_numbers(values, name, has_alpha=has_alpha))
    log.warning("%s holds floats, which count as linear light of sRGB's primaries", name)
    return read_light(values, has_alpha=has_alpha, multiplied=multiplied)


def _tell_of_unused(channels: int, name: str) -> None:
    if channels > 0:
        what = "1 more channel" if channels == 1 else f"{channels} more channels"
        log.warning("%s has %s of no known meaning, not used", name, what)


def _sorted(picture: TiffImageFile, data: bytes, name: str) -> Levels:
    """Sort the levels of a grey or RGB file into straight colours and transparency."""
    levels, alpha, multiplied = _told_apart(picture, data, name)
    if picture.tag_v2.get(Base.PhotometricInterpretation, 0) == 0:
        levels = np.iinfo(levels.dtype).max - levels  # white is zero
    if alpha is None:
        return levels
    rgba = np.empty((*alpha.shape, 4), alpha.dtype)
    rgba[..., :3], rgba[..., 3] = levels, alpha
    return straightened(rgba) if multiplied else rgba


def _told_apart(
    picture: TiffImageFile, data: bytes, name: str
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None, bool]:
    """Give a file's colours, (H, W, C), its alpha, (H, W), if any, and whether it multiplies."""
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
    if alpha is None:
        return samples[..., :colours], None, False
    multiplied = kinds[alpha] == PREMULTIPLIED
    return samples[..., :colours], samples[..., colours + alpha], multiplied


def straightened(levels: Levels) -> Levels:
    """Divide premultiplied colours (H, W, 4) by their alpha, in place; light without any stays."""
    most = np.iinfo(levels.dtype).max
    for row in levels:
        scale = most / np.where(row[:, 3:] > 0, row[:, 3:], most).astype(np.float32)
        row[:, :3] = np.rint(np.minimum(row[:, :3] * scale, most))
    return levels


def _samples(picture: TiffImageFile, data: bytes) -> npt.NDArray[Any]:
    """Unpack all samples of a file, (H, W, C)."""
    tags = picture.tag_v2
    height, width = tags[Base.ImageLength], tags[Base.ImageWidth]
    count = tags.get(Base.SamplesPerPixel, 1)
    if tags.get(PLANES, 1) != 2 or count == 1:
        wide = _unpacked(tags, data, count, slice(None))
        return wide.reshape(height, width, count)
    offsets = tags[TILE_OFFSETS if TILE_OFFSETS in tags else OFFSETS]
    pieces = len(offsets) // count
    parts = (slice(plane * pieces, (plane + 1) * pieces) for plane in range(count))
    return np.dstack([_unpacked(tags, data, 1, part) for part in parts])


def _bits(tags: ImageFileDirectory_v2) -> int:
    return int(max(tags[Base.BitsPerSample]))


def _unpacked(
    tags: ImageFileDirectory_v2, data: bytes, channels: int, pieces: slice
) -> npt.NDArray[Any]:
    """Unpack strips or tiles of `channels` interleaved samples as one wide picture of grey.

    Floats are unpacked as the bytes that they consist of.
    """
    height, width = tags[Base.ImageLength], tags[Base.ImageWidth]
    bits, kind = _bits(tags), max(tags.get(Base.SampleFormat, (1,)))
    each = bits // 8 if kind == FLOATS else 1
    tiled = TILE_OFFSETS in tags
    block = tags[TILE_WIDTH] if tiled else width
    across = -(-width // block) * block if each > 1 else width  # bytes lie in whole tiles' order
    places = (TILE_OFFSETS, TILE_COUNTS) if tiled else (OFFSETS, COUNTS)
    grey: dict[int, Sequence[int]] = {
        Base.ImageWidth: (across * channels * each,),
        Base.ImageLength: (height,),
        Base.BitsPerSample: (bits // each,),
        Base.Compression: (tags.get(Base.Compression, 1),),
        Base.PhotometricInterpretation: (1,),
        Base.FillOrder: (tags.get(Base.FillOrder, 1),),
        Base.SamplesPerPixel: (1,),
        **{place: tags[place][pieces] for place in places if place in tags},
    }
    if tiled:
        grey |= {TILE_WIDTH: (block * channels * each,), TILE_LENGTH: (tags[TILE_LENGTH],)}
    else:
        grey[ROWS] = (min(tags.get(ROWS, height), height),)
    with Tiff(BytesIO(_with_directory(data, grey)), "") as picture:
        levels = np.asarray(picture)
    predictor = tags.get(PREDICTOR, 1)
    if kind == FLOATS:
        dtype = np.dtype(f"{'<' if data[:2] == b'II' else '>'}f{each}")
        blocks = np.split(levels, range(span := block * channels * each, levels.shape[1], span), 1)
        parts = [_as_floats(part, channels, dtype, predictor) for part in blocks]
        return np.hstack(parts)[:, : width * channels]
    levels = levels.astype(levels.dtype.newbyteorder("="))
    if predictor == 2:  # each sample is the difference to its left neighbour's
        rows = levels.reshape(height, width, channels)
        for left in range(0, width, block):
            part = rows[:, left : left + block]
            np.cumsum(part, axis=1, dtype=levels.dtype, out=part)
    return levels


def _as_floats(
    part: npt.NDArray[np.uint8], channels: int, dtype: np.dtype[Any], predictor: int
) -> npt.NDArray[Any]:
    """Put the bytes of a strip's rows, or of a tile's, together as floats, (rows, samples).

    The predictor of floats (3) lays a row's highest bytes first, then the next, and gives each byte
    as the difference to that of the pixel before it (Adobe's technical note 3 on TIFF).
    """
    rows, each = len(part), dtype.itemsize
    if predictor == 3:
        steps = part.reshape(rows, -1, channels)
        planes = np.cumsum(steps, axis=1, dtype=np.uint8).reshape(rows, each, -1)
        return np.ascontiguousarray(planes.swapaxes(1, 2)).view(f">f{each}")[..., 0]
    samples = np.ascontiguousarray(part).view(dtype)
    if predictor == 2:  # of whole numbers of the same size
        numbers = samples.view(f"{dtype.byteorder}u{each}").astype(f"u{each}")
        steps = numbers.reshape(rows, -1, channels)
        return np.cumsum(steps, axis=1, dtype=f"u{each}").reshape(rows, -1).view(f"f{each}")
    return samples


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
