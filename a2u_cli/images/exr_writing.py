"""Encode light and mattes as OpenEXR, an extra (`exr`), as compositing programs expect them.

Channels are R, G, B and A of the unnamed layer, premultiplied, ZIPS. A matte is all four of them: a
lone Y or A is a picture to some programs and nothing to others (Nuke puts a Y among the "other"
channels, and of an A alone Blender, Fusion and After Effects show black), and equal channels cost
next to nothing when a row is compressed.
"""

import logging
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import listed
from ..units import FloatArray
from .exr_header import ExrHeader, Window, plain_header, written_header
from .floats import MOST_HALF
from .provenance import KEY

log = logging.getLogger(__name__)


def encode_exr(
    array: FloatArray,
    header: ExrHeader | None,
    *,
    half: bool,
    multiplied: bool,
    name: str,
    note: str | None = None,
) -> bytes:
    """Encode a matte (H, W), or light (H, W, 3) or with alpha (H, W, 4) of sRGB's primaries.

    It lies in the frame of a header of its size, in the primaries that are told there. What is
    stored is all of it, or, where there is nothing outside, the part that is there; of what was
    cropped it is the crop.

    Raises what the package does, RuntimeError and more.
    """
    import OpenEXR

    size = array.shape[0], array.shape[1]
    if header is None or header.size != size:
        header = plain_header(size)
    planes = _planes(array, header, multiplied=multiplied)
    data, inside = _stored(planes, header)
    dtype = np.float16 if half else np.float32
    if half and (most := max(float(np.abs(plane).max()) for plane in planes)) > MOST_HALF:
        log.warning(
            "%s: light up to %.4g counts as %.0f, the most that a half float holds; --depth 32 "
            "keeps it",
            *(name, most, MOST_HALF),
        )
    if header.lost:
        lost = listed(header.lost)
        log.warning("%s: attributes of unusual types are not kept: %s", name, lost)
    channels = {
        letter: np.clip(plane[inside], -MOST_HALF, MOST_HALF).astype(dtype)
        if half
        else np.ascontiguousarray(plane[inside], dtype)
        for letter, plane in zip("RGBA", planes, strict=False)
    }
    attributes: dict[str, Any] = written_header(header, data, colour=array.ndim == 3)
    attributes |= {"compression": OpenEXR.ZIPS_COMPRESSION, "type": OpenEXR.scanlineimage}
    if note:
        attributes[KEY] = note
    stream = BytesIO()
    OpenEXR.File(attributes, channels).write(stream)
    return stream.getvalue()


def _planes(
    array: FloatArray, header: ExrHeader, *, multiplied: bool
) -> list[npt.NDArray[np.floating]]:
    """Give R, G, B and perhaps A, each (H, W), in the primaries of a header."""
    if array.ndim == 2:
        return [array] * 4
    colours = array[..., :3]
    if (matrix := header.to_srgb) is not None:
        colours = colours @ np.linalg.inv(matrix.astype(np.float64)).T.astype(np.float32)
    if array.shape[2] == 3:
        return [*np.moveaxis(colours, 2, 0)]
    alpha = array[..., 3]
    if not multiplied:
        colours = colours * alpha[..., None]
    return [*np.moveaxis(colours, 2, 0), alpha]


def _stored(
    planes: list[npt.NDArray[np.floating]], header: ExrHeader
) -> tuple[Window, tuple[slice, slice]]:
    """Choose the window to store: the input's, if nothing lies outside of it, or else the frame."""
    if header.crop:
        return header.crop, (slice(None), slice(None))
    frame, data = header.display, header.data
    x0, y0 = max(frame[0], data[0]), max(frame[1], data[1])
    x1, y1 = min(frame[2], data[2]), min(frame[3], data[3])
    inside = slice(y0 - frame[1], y1 - frame[1]), slice(x0 - frame[0], x1 - frame[0])
    for plane in planes:
        if np.count_nonzero(plane[inside]) < np.count_nonzero(plane):
            return frame, (slice(None), slice(None))
    return (x0, y0, x1, y1), inside
