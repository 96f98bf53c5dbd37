"""Read OpenEXR, an extra (`exr`): the layer that is the picture, in the frame that it belongs to.

The frame is the display window: of pixels stored beyond it (overscan) nothing is taken, and where
the stored window is smaller (a bounding box) there is nothing, 0.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import A2UError, ImageError, OutOfMemory, is_memory, listed
from .exr_header import Window, read_header, read_window
from .files import words
from .floats import COLOUR_BYTES, MOST_HALF, Floats, read_light, read_numbers
from .optional_formats import missing_extra

log = logging.getLogger(__name__)

MAGIC = b"\x76\x2f\x31\x01"
ROLES = {"RED": "R", "GREEN": "G", "BLUE": "B", "ALPHA": "A"}
# What is looked for, in this order, and what must not be beside it: X, Y is a place, R, G a motion.
KINDS = (("RGB", ""), ("Y", "X"), ("A", ""), ("R", "GB"))
MAIN = ("combined", "beauty", "rgba", "rgb", "c")  # how programs call the picture among layers
DTYPES = (np.uint32, np.float16, np.float32)  # by the number of a channel's type
MOST_AT_ONCE = 2 << 30  # bytes that the channels of a file of several parts take: all are read


@dataclass(frozen=True)
class _Layer:
    """A layer that can be meant: its part of the file, its name, and its channels by role."""

    part: int
    name: str  # empty where a file of one part does not name it
    channels: dict[str, str]


def is_exr(data: bytes) -> bool:
    return data.startswith(MAGIC)


def read_exr(
    data: bytes, name: str, *, colour: bool, require: Callable[[tuple[int, int], int], None]
) -> Floats:
    """Decode OpenEXR to grey, RGB or RGBA.

    A picture's colours (`colour`) are linear light of the file's primaries, premultiplied by its
    alpha: they become straight light of sRGB's, and its levels a view of that. Of a trimap or an
    alpha the numbers are taken as they are; whole numbers beyond 1 are labels, or levels of 8 or 16
    bits. `require` refuses a size (width, height) of which a pixel takes so many bytes.

    Raises ImageError where the extra is missing, or the file is damaged, or has no layer of RGB or
    grey, or several that could be meant, or a picture is of whole numbers; what `require` raises;
    OutOfMemory.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise missing_extra(name, "an OpenEXR", "exr") from error
    try:
        headers = [part.header for part in OpenEXR.File(BytesIO(data), header_only=True).parts]
        for header in headers:
            for kind in ("dataWindow", "displayWindow"):
                x0, y0, x1, y1 = read_window(header, kind)
                require((x1 - x0, y1 - y0), COLOUR_BYTES if colour else 0)
        layer = _choose(headers, name)
        header = headers[layer.part]
        stored, frame = read_window(header, "dataWindow"), read_window(header, "displayWindow")
        _require_plain(header, layer, name, deep=(OpenEXR.deepscanline, OpenEXR.deeptile))
        planes = _planes(data, layer, headers, name)
        if colour:
            planes = _require_light(planes, name)
        values = _in_frame(planes, len(layer.channels), stored, frame, name)
    except A2UError:
        raise
    except Exception as error:  # the package raises bare RuntimeError, and more
        if is_memory(error):
            raise OutOfMemory(
                f"{name} does not fit into the memory there is ({words(error)}); close other "
                "programs, or make it smaller"
            ) from error
        raise ImageError(
            f"{name} is truncated or damaged ({words(error)}), expected a whole OpenEXR picture; "
            "export it again"
        ) from error
    has_alpha = "A" in layer.channels
    if not colour:
        return Floats(read_numbers(values, name, has_alpha=has_alpha))
    return read_light(values, read_header(header, name), has_alpha=has_alpha)


def _choose(headers: list[dict[str, Any]], name: str) -> _Layer:
    """Choose the layer that is meant: the unnamed one, the only one, or one that is named so."""
    found: dict[tuple[int, str], dict[str, str]] = {}
    for number, header in enumerate(headers):
        for channel in header["channels"]:
            layer, _, last = channel.name.rpartition(".")
            if len(headers) > 1 and not layer:
                layer = str(header.get("name", number))
            role = ROLES.get(last.upper(), last.upper())
            found.setdefault((number, layer), {})[role] = channel.name
    for kind, strange in KINDS:
        layers = [
            _Layer(part, layer, {role: roles[role] for role in (*kind, "A") if role in roles})
            for (part, layer), roles in found.items()
            if set(kind) <= set(roles) and not set(strange) & set(roles)
        ]
        unnamed = [layer for layer in layers if not layer.name]
        main = [layer for layer in layers if layer.name.rpartition(".")[2].casefold() in MAIN]
        for meant in (unnamed, layers, main):
            if len(meant) == 1:
                if meant is not unnamed:
                    log.info("%s: the layer %s is taken", name, meant[0].name)
                return meant[0]
        if layers:
            names = listed([layer.name for layer in layers])
            raise ImageError(
                f"{name} has {len(layers)} layers that could be meant ({names}), expected "
                "one; export the picture alone"
            )
    channels = sorted(channel.name for header in headers for channel in header["channels"])
    raise ImageError(
        f"{name} has the channels {listed(channels)}, expected R, G, B or Y; export it as RGB"
    )


def _require_plain(
    header: dict[str, Any], layer: _Layer, name: str, *, deep: tuple[Any, ...]
) -> None:
    chosen = [c for c in header["channels"] if c.name in layer.channels.values()]
    what = None
    if header.get("type") in deep:
        what = "is a deep OpenEXR"
    elif any((channel.xSampling, channel.ySampling) != (1, 1) for channel in chosen):
        what = "has channels of less than full size (luminance and chroma)"
    if what:
        raise ImageError(f"{name} {what}, expected a flat picture; export it as RGB")


def _require_light(planes: Iterable[npt.NDArray[Any]], name: str) -> Iterator[npt.NDArray[Any]]:
    for plane in planes:
        if plane.dtype == np.uint32:
            raise ImageError(
                f"{name} holds whole numbers, expected light; export it as half floats"
            )
        yield plane


def _planes(
    data: bytes, layer: _Layer, headers: list[dict[str, Any]], name: str
) -> Iterator[npt.NDArray[Any]]:
    """Read the layer's channels as stored, (h, w), and of a file of one part one at a time."""
    import OpenEXR

    left, top, right, bottom = read_window(headers[layer.part], "dataWindow")
    shape = bottom - top, right - left
    if len(headers) == 1:
        file = OpenEXR.InputFile(BytesIO(data))
        types = {c: DTYPES[stored.type.v] for c, stored in file.header()["channels"].items()}
        for channel in layer.channels.values():
            yield np.frombuffer(file.channel(channel), types[channel]).reshape(shape)
        return
    taken = 0
    for header in headers:
        x0, y0, x1, y1 = read_window(header, "dataWindow")
        taken += 4 * len(header["channels"]) * (x1 - x0) * (y1 - y0)
    if taken > MOST_AT_ONCE:
        raise OutOfMemory(
            f"{name} has {len(headers)} parts, which take {taken / 1e9:.1f} GB, expected at most "
            f"{MOST_AT_ONCE / 1e9:.1f} GB; export the picture alone"
        )
    part = OpenEXR.File(BytesIO(data), separate_channels=True).parts[layer.part]
    for channel in layer.channels.values():
        yield np.asarray(part.channels[channel].pixels)


def _in_frame(
    planes: Iterable[npt.NDArray[Any]],
    count: int,
    stored: Window,
    frame: Window,
    name: str,
) -> npt.NDArray[np.float32]:
    """Lay `count` planes (h, w) into the frame (H, W, C)."""
    x0, y0, x1, y1 = (
        *(max(pair) for pair in zip(stored[:2], frame[:2], strict=True)),
        *(min(pair) for pair in zip(stored[2:], frame[2:], strict=True)),
    )
    if x0 >= x1 or y0 >= y1:
        raise ImageError(
            f"{name} has no pixel inside its display window, expected a picture; export it again"
        )
    shape = frame[3] - frame[1], frame[2] - frame[0], count
    canvas = np.zeros(shape, np.float32)
    inside = slice(y0 - frame[1], y1 - frame[1]), slice(x0 - frame[0], x1 - frame[0])
    taken = slice(y0 - stored[1], y1 - stored[1]), slice(x0 - stored[0], x1 - stored[0])
    for number, plane in enumerate(planes):
        canvas[(*inside, number)] = np.nan_to_num(plane[taken], posinf=MOST_HALF, neginf=-MOST_HALF)
    return canvas
