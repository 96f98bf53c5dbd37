"""Finish a matte (levels, choke, feather), and frame what it cuts out: crop it, place it."""

import logging
import math
import re
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import A2UError, ImageError
from ..images.arrays import require_array
from ..images.memory import Bound
from ..images.writing import quantise
from ..units import Box, FloatArray, Size

log = logging.getLogger(__name__)

Levels = tuple[float, float, float]  # black, white, gamma
AS_IT_IS: Levels = (0.0, 1.0, 1.0)
LEAST_GAMMA, MOST_GAMMA = 0.01, 100.0
MOST_CHOKE, MOST_FEATHER = 50.0, 200.0  # pixels
LEAST_POINTS, POINTS_A_PIXEL = 16, 8  # on the circle that a choke looks along, of its radius
SIGMAS = 2  # of a feather: nineteen twentieths of its ramp lie so far to each side of an edge
ORIGINAL = "original"
PLACES = {  # the share of the free room that lies above, and to the left
    "center": (0.5, 0.5),
    "top": (0.0, 0.5),
    "bottom": (1.0, 0.5),
    "left": (0.5, 0.0),
    "right": (0.5, 1.0),
    "top-left": (0.0, 0.0),
    "top-right": (0.0, 1.0),
    "bottom-left": (1.0, 0.0),
    "bottom-right": (1.0, 1.0),
}


@dataclass(frozen=True)
class Finish:
    """How a matte is finished, always in this order; the defaults leave it as it is.

    levels: black, white and gamma, as in `set_levels`; choke: pixels, positive shrinks, negative
    spreads; feather: pixels.

    Raises A2UError for numbers that no matte can be finished with.
    """

    levels: Levels = AS_IT_IS
    choke: float = 0.0
    feather: float = 0.0

    def __post_init__(self) -> None:
        black, white, gamma = self.levels
        if not (0 <= black < white <= 1 and LEAST_GAMMA <= gamma <= MOST_GAMMA):
            raise A2UError(
                f"levels of black {black:g}, white {white:g}, gamma {gamma:g}, expected 0 <= black "
                f"< white <= 1 and a gamma from {LEAST_GAMMA:g} to {MOST_GAMMA:g}"
            )
        if not abs(self.choke) <= MOST_CHOKE:
            raise A2UError(
                f"a choke of {self.choke:g} pixels, expected from -{MOST_CHOKE:g} (spread) to "
                f"{MOST_CHOKE:g}"
            )
        if not 0 <= self.feather <= MOST_FEATHER:
            raise A2UError(
                f"a feather of {self.feather:g} pixels, expected from 0 to {MOST_FEATHER:g}"
            )

    @property
    def spreads(self) -> bool:
        """Tell whether pixels may be seen that were not: their colours matter, then."""
        return self.choke < 0 or self.feather > 0


UNFINISHED = Finish()


def read_levels(text: str) -> Levels:
    """Read BLACK,WHITE or BLACK,WHITE,GAMMA: from 0 to 1 or in percent; raises A2UError."""
    parts = text.split(",")
    try:
        black, white = (float(p[:-1]) / 100 if p.endswith("%") else float(p) for p in parts[:2])
        (gamma,) = (float(part) for part in parts[2:] or "1")
    except ValueError:
        raise A2UError(
            f"levels {text!r} cannot be read; expected BLACK,WHITE or BLACK,WHITE,GAMMA, as 5%,95% "
            "or 0.05,0.95,1.2"
        ) from None
    return Finish((black, white, gamma)).levels


def finish(alpha: FloatArray, how: Finish) -> FloatArray:
    """Finish a matte: levels, then choke, then feather, float32 (H, W) in [0, 1] before and after.

    What is left as it is keeps its bits. Raises ImageError where it is no such array.
    """
    require_array(alpha, "alpha", channels=(1,))
    if how.levels != AS_IT_IS:
        alpha = set_levels(alpha, *how.levels)
    if how.choke:
        alpha = choke(alpha, how.choke)
    if how.feather:
        alpha = feather(alpha, how.feather)
    return alpha


def finish_cut(
    colours: FloatArray, alpha: FloatArray, how: Finish
) -> tuple[FloatArray, FloatArray]:
    """Finish the matte of straight colours (H, W, 3), and give both.

    The colours are those of the matte as it is, which says how they are mixed; where the finished
    one shows what was hidden, they are those of the nearest pixel that was seen.
    """
    if how.spreads:
        colours = extend_colours(colours, alpha)
    return colours, finish(alpha, how)


def set_levels(alpha: FloatArray, black: float, white: float, gamma: float = 1.0) -> FloatArray:
    """Stretch a matte: clip((alpha - black) / (white - black), 0, 1) ** (1 / gamma).

    A gamma above 1 makes soft pixels more opaque, as in the Levels of Photoshop and After Effects
    and in Nuke's Grade (blackpoint, whitepoint, gamma). `alpha` is float32 (H, W) in [0, 1].
    """
    span = np.float32(white) - np.float32(black)
    stretched = np.clip((alpha - np.float32(black)) / span, 0.0, 1.0)
    return np.asarray(stretched if gamma == 1 else stretched ** np.float32(1 / gamma))


def choke(alpha: FloatArray, pixels: float) -> FloatArray:
    """Shrink a matte by so many pixels, or spread it by a negative number, fractions included.

    The least alpha (to spread: the greatest) on the disk of that radius around each pixel, where
    alpha lies bilinearly between pixels: grey erosion and dilation. Every contour of the matte
    moves in by `pixels`, and a soft edge stays as soft. Beyond the border alpha goes on as it
    ends there. `alpha` is float32 (H, W) in [0, 1]; so is the result.
    """
    radius, least = abs(pixels), pixels > 0
    reach = math.floor(radius)
    rows, columns = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    disk = (rows**2 + columns**2 <= radius**2).astype(np.uint8)
    morph = cv2.erode if least else cv2.dilate
    found = np.asarray(morph(alpha, disk, borderType=cv2.BORDER_REPLICATE), np.float32)
    height, width = alpha.shape
    padded = np.pad(alpha, reach + 2, mode="edge")
    points = max(LEAST_POINTS, POINTS_A_PIXEL * math.ceil(radius))
    for angle in 2 * np.pi * np.arange(points) / points:
        (down, y), (across, x) = (
            (math.floor(offset), offset - math.floor(offset))
            for offset in (radius * math.sin(angle), radius * math.cos(angle))
        )
        weights = np.outer((1 - y, y), (1 - x, x)).astype(np.float32)
        top, left = reach + 2 + down, reach + 2 + across
        four = padded[top : top + height + 1, left : left + width + 1]
        between = cv2.filter2D(four, -1, weights, anchor=(0, 0))[:height, :width]
        (np.minimum if least else np.maximum)(found, between, out=found)
    return np.clip(found, 0.0, 1.0)


def feather(alpha: FloatArray, pixels: float) -> FloatArray:
    """Blur a matte by a Gaussian of sigma = pixels / 2, its borders replicated.

    So a hard edge becomes a ramp of which 95 % lies within `pixels` to each side: the convention
    of CSS shadows. `alpha` is float32 (H, W) in [0, 1]; so is the result.
    """
    sigma = pixels / SIGMAS
    blurred = cv2.GaussianBlur(alpha, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.clip(np.asarray(blurred, np.float32), 0.0, 1.0)


def extend_colours(colours: FloatArray, alpha: FloatArray) -> FloatArray:
    """Give pixels of alpha 0 the colours (H, W, 3) of the nearest that is seen.

    What is held there, by a cut-out's file or far from any edge by an estimate, is nobody's colour.
    """
    hidden = alpha <= 0
    if hidden.all() or not hidden.any():
        return colours
    _, nearest = cv2.distanceTransformWithLabels(
        hidden.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    places = np.zeros(int(nearest.max()) + 1, np.int32)  # of what is seen, by its label
    places[nearest[~hidden]] = np.flatnonzero(~hidden)
    return np.asarray(colours.reshape(-1, 3)[places[nearest]])  # (H, W, 3)


def padding_pixels(text: str, size: Size) -> int:
    """Read the padding around content of (height, width): pixels ("20", "20px") or percent ("5%").

    Percent are of the longer side of what is cropped, padding and all: with 5% the content fills
    90 % of that. Raises A2UError for anything else.
    """
    found = re.fullmatch(r"(?:(\d{1,6}) *(?:px)?|(\d+(?:\.\d+)?) *%)", text.strip())
    share = float(found[2]) / 100 if found and found[2] else 0.0
    if not found or share >= 0.5:
        raise A2UError(
            f"padding {text!r} cannot be had; expected pixels as 20, or less than 50% (of the "
            "longer side of what is cropped)"
        )
    return int(found[1]) if found[1] else round(max(size) * share / (1 - 2 * share))


def content_box(alpha: FloatArray, *, padding: str, depth: int, name: str = "the matte") -> Box:
    """Find the rows and columns in which alpha is not 0 at a depth, and the padding around them.

    What is fainter than a level of 16 bits is nothing to a float either.

    Raises ImageError where the matte, float32 (H, W), is empty; what `padding_pixels` does.
    """
    depth = min(depth, 16)
    seen = quantise(alpha, depth) > 0
    rows, columns = (np.flatnonzero(seen.any(axis)) for axis in (1, 0))
    if not rows.size:
        raise ImageError(
            f"{name} is empty at {depth} bits, expected an object to crop to; check it, or do "
            "without cropping"
        )
    top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    room = padding_pixels(padding, (bottom - top, right - left))
    return int(top) - room, int(left) - room, int(bottom) + room, int(right) + room


def crop_to_content(
    alpha: FloatArray,
    *colours: FloatArray,
    padding: str,
    depth: int,
    bound: Bound,
    name: str = "the picture",
) -> tuple[Box, tuple[FloatArray, ...]]:
    """Crop a matte, and planes of colours beside it, to what `content_box` finds, and give that.

    Raises what that does; OutOfMemory where the padding takes more than the bound.
    """
    top, left, bottom, right = box = content_box(alpha, padding=padding, depth=depth, name=name)
    bound.require((right - left, bottom - top), f"{name}, cropped and padded,")
    return box, tuple(crop(plane, box) for plane in (alpha, *colours))


def crop(plane: FloatArray, box: Box) -> FloatArray:
    """Cut a box out of (H, W) or (H, W, 3): beyond the picture alpha is 0, a colour as at its edge.

    Some of the box lies in the picture.
    """
    top, left, bottom, right = box
    height, width = plane.shape[:2]
    inner = plane[max(0, top) : min(bottom, height), max(0, left) : min(right, width)]
    beyond = (max(0, -top), max(0, bottom - height)), (max(0, -left), max(0, right - width))
    if plane.ndim == 2:
        return np.pad(inner, beyond)
    return np.pad(inner, (*beyond, (0, 0)), mode="edge")


def read_canvas(text: str) -> Size:
    """Read WIDTHxHEIGHT in pixels as (height, width); raises A2UError."""
    found = re.fullmatch(r"([1-9]\d{0,5}) *x *([1-9]\d{0,5})", text.strip(), re.IGNORECASE)
    if not found:
        raise A2UError(f"canvas {text!r} is no size; expected pixels as 2000x1500")
    return int(found[2]), int(found[1])


def read_scale(text: str) -> float | None:
    """Read a share of what fits, "80%", as in (0, 1]; None is "original"; raises A2UError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *%", text.strip())
    share = float(found[1]) / 100 if found else 0.0
    if text != ORIGINAL and not 0 < share <= 1:
        raise A2UError(
            f"scale {text!r} cannot be had; expected up to 100% of what fits the canvas, or "
            f"{ORIGINAL}"
        )
    return share if found else None


def read_place(text: str, free: Size = (0, 0)) -> tuple[int, int]:
    """Read where something's top left corner goes, (down, across) in pixels; raises A2UError.

    `text` is X,Y in pixels from the canvas's top left, or one of PLACES; `free` are the (height,
    width) of the canvas that it does not take, negative where it is the larger.
    """
    if found := re.fullmatch(r"(-?\d{1,6}) *, *(-?\d{1,6})", text.strip()):
        return int(found[2]), int(found[1])
    if text not in PLACES:
        raise A2UError(f"place {text!r} is unknown; expected X,Y in pixels, or {', '.join(PLACES)}")
    down, across = (round(share * room) for share, room in zip(PLACES[text], free, strict=True))
    return down, across


def place(
    foreground: FloatArray,
    alpha: FloatArray,
    canvas: Size,
    *,
    where: str = "center",
    scale: str = "100%",
    name: str = "the cut-out",
    light: bool = False,
) -> tuple[FloatArray, FloatArray]:
    """Scale a cut-out and lay it on an empty canvas of (height, width).

    Takes straight colours (H, W, 3) and alpha (H, W), and gives both as large as the canvas. The
    scale is a share of the largest that fits ("100%"), or "original": the cut-out's own pixels.
    Colours are resampled multiplied by alpha, so what is hidden never shines through; they may be
    `light`, of any finite values. The log warns of what is cut off.

    Raises A2UError for words that mean nothing, ImageError where nothing would be seen.
    """
    share = read_scale(scale)
    if share is not None:
        factor = share * min(full / side for full, side in zip(canvas, alpha.shape, strict=True))
        size = max(1, round(alpha.shape[0] * factor)), max(1, round(alpha.shape[1] * factor))
        foreground, alpha = _resample(foreground, alpha, size, light=light)
    height, width = alpha.shape
    down, across = read_place(where, (canvas[0] - height, canvas[1] - width))
    rows, inner_rows = _overlap(down, height, canvas[0])
    columns, inner_columns = _overlap(across, width, canvas[1])
    colours, shape = np.zeros((*canvas, 3), np.float32), np.zeros(canvas, np.float32)
    colours[rows, columns] = foreground[inner_rows, inner_columns]
    shape[rows, columns] = alpha[inner_rows, inner_columns]
    before, after = np.count_nonzero(alpha), np.count_nonzero(shape)
    if before and not after:
        raise ImageError(
            f"{name} would lie beyond the canvas of {canvas[1]}x{canvas[0]}, expected some of it "
            "there; choose another place"
        )
    if after < before:
        log.warning("%s reaches beyond the canvas: what lies there is cut off", name)
    return colours, shape


def _overlap(start: int, length: int, full: int) -> tuple[slice, slice]:
    """Give the part of a side that something covers, and the part of that which it shows."""
    first, last = min(max(0, start), full), min(max(0, start + length), full)
    return slice(first, last), slice(first - start, last - start)


def _resample(
    foreground: FloatArray, alpha: FloatArray, size: Size, *, light: bool
) -> tuple[FloatArray, FloatArray]:
    """Bring straight colours and alpha to a size: by area to shrink, bicubic to grow."""
    darkest, brightest = (foreground.min(), foreground.max()) if light else (0.0, 1.0)
    if size == alpha.shape:
        return foreground, alpha
    shrinks = size[0] * size[1] < alpha.size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    planes = np.dstack([foreground * alpha[..., None], alpha])  # (H, W, 4)
    planes = np.asarray(cv2.resize(planes, size[::-1], interpolation=method), np.float32)
    shape = np.clip(planes[..., 3:], 0.0, 1.0)
    colours = np.clip(planes[..., :3], darkest * shape, brightest * shape)  # bicubic overshoots
    return colours / np.maximum(shape, np.finfo(np.float32).tiny), shape[..., 0]
