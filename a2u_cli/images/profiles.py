"""Bring the colours of a file to sRGB, by the ICC profile that says what its numbers mean.

8-bit colours go through LittleCMS (relative colorimetric). It takes no 16-bit ones from Pillow, so
those go through the profile's own curves and matrix, in floats; where a profile has tables instead,
the colours are brought to sRGB at 8 bits and a line says so. What lies beyond sRGB is clipped.
A profile that changes no colour by more than one of 255 levels counts as sRGB: nothing is touched.
"""

import logging
import struct
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from ..errors import is_memory
from ..units import Levels
from .colour import from_linear

log = logging.getLogger(__name__)

STRIP = 2**20  # pixels that are brought to sRGB at once
CUBE = 17  # levels a channel of the colours that a profile is tried on
# From linear sRGB to XYZ under D50, as ICC profiles have it (IEC 61966-2-1, Bradford).
SRGB_TO_XYZ = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)


def srgb_profile() -> bytes:
    """Give an sRGB profile, the same at any time: LittleCMS writes the date into it."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + bytes(12) + profile[36:]


def to_srgb(levels: Levels, icc: bytes | None, name: str) -> tuple[Levels, bytes | None]:
    """Bring (H, W, C), grey, RGB or RGBA, to sRGB; give the profile that then says what they are.

    None says nothing, so it stands for sRGB. A profile that is damaged, or for other channels than
    these, is left out, and a line in the log says so.
    """
    if not icc:
        return levels, None
    space = icc[16:20].decode("latin-1").strip()
    grey = space == "GRAY"
    if _is_profile(icc) and not (space == "RGB" or (grey and _is_grey(levels))):
        log.warning(
            "%s has a colour profile for %r, no RGB; its colours count as sRGB", name, space
        )
        return levels, None
    try:
        turn = _transform(icc, "L" if grey else "RGB")
        if _counts_as_srgb(turn, grey):
            return levels, None if grey else icc
        if levels.dtype == np.uint16:
            curves = _curves(icc, grey)
            if curves:
                return _through_curves(levels, *curves), srgb_profile()
            log.warning("%s has a colour profile of tables: it becomes sRGB at 8 bits", name)
            levels = np.rint(levels / np.float32(257)).astype(np.uint8)
    except (ImageCms.PyCMSError, OSError, ValueError, struct.error) as error:
        if is_memory(error):
            raise
        reason = " ".join(str(error).split())
        log.warning("%s has a damaged colour profile (%s); its colours count as sRGB", name, reason)
        return levels, None
    log.info("%s is brought to sRGB by its colour profile", name)
    return _through_transform(levels, turn, grey), srgb_profile()


def cmyk_to_srgb(picture: Image.Image, icc: bytes | None, name: str) -> Levels:
    """Bring a CMYK picture to sRGB (H, W, 3): by its profile, or else by the plain formula."""
    what = "has no colour profile"
    if icc and _is_profile(icc) and icc[16:20] != b"CMYK":
        what = "has a colour profile for something else"
    elif icc:
        try:
            return np.asarray(ImageCms.applyTransform(picture, _transform(icc, "CMYK")))
        except (ImageCms.PyCMSError, OSError, ValueError) as error:
            if is_memory(error):
                raise
            what = f"has a damaged colour profile ({' '.join(str(error).split())})"
    log.warning("%s is CMYK and %s; its colours are a guess", name, what)
    return np.asarray(picture.convert("RGB"))


def lab_to_srgb(picture: Image.Image) -> Levels:
    """Bring a CIELab picture to sRGB (H, W, 3)."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    return np.asarray(ImageCms.applyTransform(picture, _transform(lab, "LAB")))


def _is_profile(icc: bytes) -> bool:
    """Tell whether this begins as a profile does (ICC.1:2022, 7.2.11)."""
    return icc[36:40] == b"acsp"


def _is_grey(levels: Levels) -> bool:
    """Tell whether all pixels (H, W, C) are grey."""
    red = levels[..., :1]
    return levels.shape[2] < 3 or bool((levels[..., 1:3] == red).all())


def _transform(icc: bytes, mode: str) -> Any:
    target = ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return ImageCms.buildTransform(BytesIO(icc), target, mode, "RGB", renderingIntent=intent)


def _counts_as_srgb(turn: Any, grey: bool) -> bool:
    """Tell whether a transform leaves colours as they are, to one level."""
    if grey:
        colours = np.arange(256, dtype=np.uint8)[None, :, None]
    else:
        steps = np.rint(np.linspace(0, 255, CUBE)).astype(np.uint8)
        colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    turned = _through_transform(colours, turn, grey)
    return bool(np.abs(turned.astype(int) - colours).max() <= 1)


def _through_transform(levels: Levels, turn: Any, grey: bool) -> Levels:
    height, width, channels = levels.shape
    found = np.empty((height, width, max(3, channels)), np.uint8)
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        strip = levels[top : top + rows]
        colours = strip[..., 0] if grey else np.broadcast_to(strip[..., :3], (*strip.shape[:2], 3))
        turned = ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(colours)), turn)
        found[top : top + rows, :, :3] = np.asarray(turned)
    found[..., 3:] = levels[..., 3:]
    return found


def _through_curves(levels: Levels, curves: npt.NDArray[Any], matrix: npt.NDArray[Any]) -> Levels:
    """Bring 16-bit levels to sRGB by tables to linear light, (3, 65536), and a matrix (3, 3)."""
    height, width, channels = levels.shape
    found = np.empty((height, width, max(3, channels)), np.uint16)
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        strip = levels[top : top + rows]
        light = np.stack([curves[c][strip[..., min(c, channels - 1)]] for c in range(3)], -1)
        values = from_linear(np.clip(light @ matrix.T, 0.0, 1.0))
        found[top : top + rows, :, :3] = np.rint(values * np.float32(65535))
    found[..., 3:] = levels[..., 3:]
    return found


def _curves(icc: bytes, grey: bool) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """Read a profile's curves as tables, and its matrix to linear sRGB; None where it has others.

    ICC.1:2022, 8.3 and 8.4, 10.6 (curveType) and 10.18 (parametricCurveType).
    """
    if icc[20:24] != b"XYZ ":  # curves to lightness, not to light
        return None
    (count,) = struct.unpack_from(">I", icc, 128)
    tags = {}
    for place in range(132, 132 + 12 * min(count, 1000), 12):
        kind, at, size = struct.unpack_from(">4sII", icc, place)
        tags[kind] = icc[at : at + size]
    if any(kind.startswith((b"A2B", b"D2B")) for kind in tags):
        return None
    if grey:
        return np.stack([_curve(tags.get(b"kTRC", b""))] * 3), np.eye(3, dtype=np.float32)
    colours, light = (b"rXYZ", b"gXYZ", b"bXYZ"), (b"rTRC", b"gTRC", b"bTRC")
    if not all(kind in tags for kind in (*colours, *light)):
        return None
    to_xyz = np.array([struct.unpack_from(">3i", tags[kind], 8) for kind in colours]).T / 65536
    matrix = np.linalg.inv(SRGB_TO_XYZ) @ to_xyz
    return np.stack([_curve(tags[kind]) for kind in light]), matrix.astype(np.float32)


def _curve(tag: bytes) -> npt.NDArray[np.float32]:
    """Evaluate a curve to linear light at every 16-bit level."""
    values = np.linspace(0, 1, 65536)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count == 1:
            values = values ** (struct.unpack_from(">H", tag, 12)[0] / 256)
        elif count:
            points = np.frombuffer(tag, ">u2", count, 12) / 65535
            values = np.interp(values, np.linspace(0, 1, count), points)
    elif tag[:4] == b"para":
        (kind,) = struct.unpack_from(">H", tag, 8)
        if kind > 4:
            raise ValueError(f"a curve of kind {kind}")
        numbers = struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", tag, 12)
        g, a, b, c, d, e, f = [number / 65536 for number in numbers] + [0.0] * (7 - len(numbers))
        if kind == 0:
            values = values**g
        elif kind < 3:  # c is added to all
            values = np.where(values >= -b / a, np.maximum(a * values + b, 0) ** g, 0) + c
        else:
            values = np.where(values >= d, np.maximum(a * values + b, 0) ** g + e, c * values + f)
    else:
        raise ValueError(f"a curve of kind {tag[:4]!r}")
    return np.clip(values, 0, 1).astype(np.float32)
