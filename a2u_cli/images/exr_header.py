"""What an OpenEXR says of its picture beside the pixels: what a result of it says again."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from ..units import Box, FloatArray, Size
from .colour import INTEROP_IDS, SRGB_CHROMATICITIES, interop_id, primaries_to_srgb
from .provenance import KEY

log = logging.getLogger(__name__)

Window = tuple[int, int, int, int]  # left, top, right and bottom, the last two beyond it

# What a file is built of, and what would no longer be true of a result.
STRUCTURE = {
    *("channels", "compression", "dataWindow", "displayWindow", "lineOrder", "type", "tiles"),
    *("version", "chunkCount", "name", "view", "multiView", "maxSamplesPerPixel", "preview"),
    *("zipCompressionLevel", "dwaCompressionLevel", "acesImageContainerFlag", "colorInteropID"),
    KEY,  # a note tells of its own file
}
PLAIN = (str, int, float, Fraction, tuple, list, np.ndarray)
FILM = ("Rational", "TimeCode", "KeyCode")  # as the package calls its own types
SAME_PRIMARIES = 1e-3  # of a matrix: sRGB's own, as they are rounded


@dataclass(frozen=True)
class ExrHeader:
    """The windows of an OpenEXR, its primaries, and its attributes by their names.

    display, data: the frame, and what of it is stored; primaries: x and y of red, green, blue and
    white, None where nothing is said of them, which counts as sRGB's; lost: attributes of types
    that cannot be written again; crop: what a result was cut to, which may reach beyond the frame.
    """

    display: Window
    data: Window
    primaries: tuple[float, ...] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    crop: Window | None = None

    @property
    def size(self) -> Size:
        """Return the (height, width) of a picture with this header: of its frame, or its crop."""
        left, top, right, bottom = self.crop or self.display
        return bottom - top, right - left

    @property
    def to_srgb(self) -> FloatArray | None:
        """Give what brings its light to sRGB's primaries, (3, 3); None where nothing need."""
        if self.primaries is None:
            return None
        matrix = primaries_to_srgb(self.primaries)
        return matrix if np.abs(matrix - np.eye(3)).max() > SAME_PRIMARIES else None


def plain_header(size: Size) -> ExrHeader:
    """Give the header of a picture (height, width) of sRGB's primaries that has no other."""
    window = (0, 0, size[1], size[0])
    return ExrHeader(window, window, SRGB_CHROMATICITIES)


def crop_header(header: ExrHeader | None, size: Size, box: Box | None) -> ExrHeader | None:
    """Give the header of a result cut to a box of a picture (height, width): its frame stays.

    So it lies in its place where other pictures of that frame are laid over it.
    """
    if box is None:
        return header
    header = header or plain_header(size)
    (left, top), (y0, x0, y1, x1) = header.display[:2], box
    return replace(header, crop=(left + x0, top + y0, left + x1, top + y1))


def canvas_header(header: ExrHeader | None, canvas: Size) -> ExrHeader | None:
    """Give the header of a result on a canvas (height, width), which is a frame of its own."""
    window = (0, 0, canvas[1], canvas[0])
    return header and replace(header, display=window, data=window, crop=None)


def read_header(header: Mapping[str, Any], name: str) -> ExrHeader:
    """Take what is kept of a part's header; raises ValueError where a window is empty."""
    kept: dict[str, Any] = {}
    lost: list[str] = []
    for key, value in header.items():
        if key not in STRUCTURE:
            if isinstance(value, PLAIN) or type(value).__name__ in FILM:
                kept[key] = value
            else:
                lost.append(key)
    primaries = _primaries(header, name)
    if primaries is None:
        kept.pop("chromaticities", None)
    display, data = (read_window(header, kind) for kind in ("displayWindow", "dataWindow"))
    return ExrHeader(display, data, primaries, kept, tuple(lost))


def written_header(header: ExrHeader, data: Window, *, colour: bool) -> dict[str, Any]:
    """Give the attributes of a result whose `data` window lies in the frame of a header.

    What is no `colour` has no primaries and is called "data". Of colours the name of the primaries
    is written where the file says which they are; their numbers only where it did so too, as the
    Color Interop Forum advises.
    """
    attributes: dict[str, Any] = dict(header.attributes)
    if not colour:
        attributes.pop("chromaticities", None)
        attributes["colorInteropID"] = "data"
    elif header.primaries and (known := interop_id(header.primaries)):
        attributes["colorInteropID"] = known
    for kind, (left, top, right, bottom) in (
        ("displayWindow", header.display),
        ("dataWindow", data),
    ):
        corners = (left, top), (right - 1, bottom - 1)
        attributes[kind] = tuple(np.array(corner, np.int32) for corner in corners)
    return attributes


def read_window(header: Mapping[str, Any], kind: str) -> Window:
    """Give a window of a part; raises ValueError where it is empty."""
    (x0, y0), (x1, y1) = (map(int, corner) for corner in header[kind])
    if x1 < x0 or y1 < y0:
        raise ValueError(f"its {kind} is empty")
    return x0, y0, x1 + 1, y1 + 1


def _primaries(header: Mapping[str, Any], name: str) -> tuple[float, ...] | None:
    """Find the primaries of a part's light; a name goes before numbers, as the Forum advises."""
    if header.get("acesImageContainerFlag"):
        return INTEROP_IDS["lin_ap0_scene"]
    called = header.get("colorInteropID")
    if not isinstance(called, str):
        called = ""
    if called in INTEROP_IDS:
        return INTEROP_IDS[called]
    if called not in ("", "unknown", "data"):
        log.warning("%s calls its colours %s, which is not known: not converted", name, called)
    if not (primaries := header.get("chromaticities")):
        return None
    try:
        primaries_to_srgb(primaries)
    except (ValueError, TypeError):
        log.warning("%s has primaries that are no colours; its light counts as sRGB's", name)
        return None
    return tuple(float(number) for number in primaries)
