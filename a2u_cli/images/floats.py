"""From arrays of floats, as OpenEXR and TIFF hold them, to levels and to light."""

import logging
from dataclasses import dataclass

import numpy as np

from ..units import FloatArray, Levels
from .colour import view
from .exr_header import ExrHeader

log = logging.getLogger(__name__)

MOST_OVERSHOOT = 2  # beyond 1, as resampling leaves it
MOST_LEVEL = 65535  # of 16 bits; what goes beyond are numbers of objects, or light
MOST_HALF = 65504.0  # what a half float holds: infinite light counts as that
STRIP = 2**14  # pixels that are worked on at once
COLOUR_BYTES = 40  # a pixel: light and alpha as read, light, their levels, and the picture's values


@dataclass(frozen=True)
class Floats:
    """What is read of floats: levels in any case, of a picture with colours also its light.

    levels: (H, W, C), grey, RGB or RGBA, in 65536 steps from 0 to 1; light: float32 (H, W, 3),
    linear, unclipped, straight, of sRGB's primaries.
    """

    levels: Levels
    light: FloatArray | None = None
    header: ExrHeader | None = None


def read_light(
    values: FloatArray, header: ExrHeader | None = None, *, has_alpha: bool, multiplied: bool = True
) -> Floats:
    """Take values (H, W, C) as light, the last of them as alpha, if any; they are written over.

    `multiplied` says that the light is multiplied by alpha.
    """
    stored = values[..., :-1] if has_alpha else values  # of an alpha alone there is none
    if not stored.shape[2]:
        return Floats(_steps(values))
    matrix = header.to_srgb if header and stored.shape[2] == 3 else None
    light, white = np.empty((*values.shape[:2], 3), np.float32), 1.0
    strip = max(1, STRIP // values.shape[1])
    strips = [slice(top, top + strip) for top in range(0, len(values), strip)]
    for rows in strips:  # they take no memory to speak of
        found = stored[rows]
        if has_alpha and multiplied:
            alpha = values[rows, :, -1:]
            found /= np.where(alpha > 0, np.maximum(alpha, 1e-6), 1)  # 0: it shines without matter
        white = max(white, float(found.max()))  # in the file's own primaries
        light[rows] = found if matrix is None else found @ matrix.T  # grey: to all three
    for rows in strips:
        stored[rows] = view(light[rows, :, : stored.shape[2]], white)
    return Floats(_steps(values), light, header)


def read_numbers(values: FloatArray, name: str, *, has_alpha: bool) -> Levels:
    """Give the levels of what is no picture: where its numbers are whole and go beyond 1, they."""
    highest = values.max()
    if highest <= 1 or (has_alpha and values.shape[2] > 1):
        return _steps(values)
    if values.min() >= 0 and highest <= MOST_LEVEL and not np.mod(values, 1).any():
        return values.astype(np.uint8) if highest <= 255 else values.astype(np.uint16)
    if highest > MOST_OVERSHOOT:
        log.warning("%s holds values up to %.3g, which count as 1", name, highest)
    return _steps(values)


def _steps(values: FloatArray) -> Levels:
    """Give values in 65536 steps from 0 to 1, clipped to it; grey with alpha becomes RGBA."""
    np.clip(values, 0, 1, out=values)
    values *= 65535.0
    levels: Levels = np.rint(values, out=values).astype(np.uint16)
    return levels[..., [0, 0, 0, 1]] if levels.shape[2] == 2 else levels
