"""Foreground colours behind an alpha matte: a cut-out with no trace of its background."""

import math
from collections.abc import Iterator
from typing import Any, Literal, get_args

import cv2
import numpy as np

from .errors import ImageError, OutOfMemory
from .images.arrays import require_array
from .images.colour import from_linear, to_linear
from .units import FloatArray, Size

Method = Literal["multilevel", "blur-fusion"]
METHODS = get_args(Method)
Bounds = tuple[float, float]  # of colours
UNIT: Bounds = (0.0, 1.0)
STEP = 4  # blur fusion's wide passes see every fourth pixel,
RADII = (22, 8, 3)  # these many of them to each side;
LAST_RADIUS = 4  # pixels: its pass over all
EPSILON = 1e-5
SMALL = 32  # pixels: the longer side up to which a level is relaxed until nothing changes
ROUNDS = (10, 2)  # relaxations of a small level and of a larger one
STRIP, LEAST_ROWS = 2**18, 32  # pixels that are worked on at once, in whole rows
RESULT_BYTES, COARSE_BYTES = 12, 8  # a pixel of the picture: each result, coarser colours
STRIP_BYTES = 480  # a pixel of a strip, by the process's size at 12 million pixels


def estimate_foreground(
    image: FloatArray,
    alpha: FloatArray,
    *,
    method: Method = "multilevel",
    device: str = "cpu",
    max_memory: int | None = None,
    light: bool = False,
) -> FloatArray:
    """Estimate the colours of the foreground alone: the first of `estimate_colours`."""
    foreground: FloatArray = _estimate(image, alpha, 1, method, device, max_memory, light)[0]
    return foreground


def estimate_colours(
    image: FloatArray,
    alpha: FloatArray,
    *,
    method: Method = "multilevel",
    device: str = "cpu",
    max_memory: int | None = None,
    light: bool = False,
) -> tuple[FloatArray, FloatArray]:
    """Estimate the colours of the foreground and of the background, each alone.

    `image` is float32 (H, W, 3) in [0, 1], `alpha` float32 (H, W) in [0, 1]; the results are
    float32 (H, W, 3) in [0, 1], straight colours. `multilevel` relaxes colours that are smooth
    where alpha is, from one pixel to the whole picture, on any torch device (Germer et al., "Fast
    Multi-Level Foreground Estimation", ICPR 2020); `blur-fusion` fits blurred colours, faster and
    rougher (after Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021).

    `max_memory` bounds the bytes that this takes beside its arguments, its results among them
    (None: strips of a modest size); it does not change the colours.

    With `light` the image is linear light of any finite values. Then the colours lie near what
    light the image has, and explain it: alpha F + (1 - alpha) B is the image, but for rounding.

    Raises ImageError for arrays of another kind or of different sizes, or another method;
    OutOfMemory where `max_memory` is too little.
    """
    foreground, background = _estimate(image, alpha, 2, method, device, max_memory, light)
    return foreground, background


def _estimate(
    image: FloatArray,
    alpha: FloatArray,
    count: int,
    method: str,
    device: str,
    max_memory: int | None,
    light: bool,
) -> FloatArray:
    """Estimate the foreground, and the background where `count` is 2: (count, H, W, 3)."""
    require_method(method)
    require_array(image, "image", channels=(3,), light=light)
    require_array(alpha, "alpha", channels=(1,))
    if image.shape[:2] != alpha.shape:
        raise ImageError(
            f"image is {image.shape[1]}x{image.shape[0]} but alpha is "
            f"{alpha.shape[1]}x{alpha.shape[0]}; use the matte of this picture"
        )
    pixels = _strip_pixels(image.shape[:2], count, max_memory)
    colours = np.empty((count, *image.shape), np.float32)
    estimate = _relaxed if method == "multilevel" else _fused
    bounds = (float(image.min()), float(image.max())) if light else UNIT
    for rows, strip in estimate(image, alpha, pixels, device, bounds):
        if light:
            strip = _explaining(image[rows], alpha[rows, :, None], *strip)
        for colour, found, known in zip(colours, strip, (1.0, 0.0), strict=False):
            kept = alpha[rows, :, None] >= 1.0 if known else alpha[rows, :, None] <= 0.0
            colour[rows] = np.where(kept, image[rows], found)
    return colours


def _explaining(
    image: FloatArray, share: FloatArray, foreground: FloatArray, background: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Move two colours by as little as makes them explain the image, shared out by alpha."""
    rest = image - share * foreground - (1 - share) * background
    rest /= share * share + (1 - share) * (1 - share)
    return foreground + share * rest, background + (1 - share) * rest


def _strip_pixels(size: Size, count: int, max_memory: int | None) -> int:
    """Choose how many pixels to work on at once; raises OutOfMemory."""
    height, width = size
    pixels = max(STRIP, LEAST_ROWS * width)
    if max_memory is None:
        return pixels
    beside = (count * RESULT_BYTES + COARSE_BYTES) * height * width
    least = beside + LEAST_ROWS * width * STRIP_BYTES
    if max_memory < least:
        raise OutOfMemory(
            f"the colours of a picture of {width}x{height} take at least {least / 1e6:.1f} MB, "
            f"expected at most {max_memory / 1e6:.1f} MB; allow more, or make the picture smaller"
        )
    return min(pixels, (max_memory - beside) // STRIP_BYTES)


def _strips(size: Size, pixels: int, reach: int) -> Iterator[tuple[slice, slice, slice]]:
    """Cut a picture into strips of rows: the rows to fill, those to see, the first in the second.

    What is filled depends on no row further away than `reach`.
    """
    height, width = size
    rows = max(1, pixels // width - 2 * reach)
    for top in range(0, height, rows):
        bottom, above = min(top + rows, height), max(0, top - reach)
        seen = slice(above, min(bottom + reach, height))
        yield slice(top, bottom), seen, slice(top - above, bottom - above)


def require_method(method: str) -> None:
    """Raise ImageError where there is no such method."""
    if method not in METHODS:
        raise ImageError(f"colours {method!r} are unknown; expected {' or '.join(METHODS)}")


def _relaxed(
    image: FloatArray, alpha: FloatArray, pixels: int, device: str, bounds: Bounds
) -> Iterator[tuple[slice, FloatArray]]:
    """Give the rows of a strip and its colours, (2, rows, W, 3), from the top to the bottom."""
    import torch  # late: blur fusion needs none

    height, width = alpha.shape
    levels = max(1, math.ceil(math.log2(max(height, width))))
    mean = image.mean((0, 1), dtype=np.float64).astype(np.float32)
    colours = torch.from_numpy(mean).to(device)[None, :, None, None].expand(2, -1, -1, -1)
    for level in range(levels + 1):
        size = round(height ** (level / levels)), round(width ** (level / levels))
        rounds = ROUNDS[max(size) > SMALL]
        shape = (2, 3, *size) if level < levels else (0,)  # the last level is given away
        finer = torch.empty(shape, dtype=torch.float32, device=device)
        for rows, seen, inner in _strips(size, pixels, rounds):
            strip = np.dstack([_sampled(plane, size, seen) for plane in (image, alpha)])
            planes = torch.from_numpy(strip).to(device).permute(2, 0, 1)[None]  # (1, 4, h, w)
            with torch.inference_mode():
                start = _sampled(colours.permute(2, 3, 0, 1), size, seen).permute(2, 3, 0, 1)
                relaxed = _relax(start, planes, rounds, bounds)[:, :, inner]  # (2, 3, rows, w)
            if level < levels:
                finer[:, :, rows] = relaxed
            else:
                yield rows, relaxed.permute(0, 2, 3, 1).cpu().numpy()
        colours = finer


def _sampled(plane: Any, size: Size, rows: slice) -> Any:
    """Give some rows of a plane (h, w, ...) that is brought to a size: its nearest pixels."""
    if plane.shape[:2] == size:
        return plane[rows]
    down, across = (
        ((2 * np.arange(other) + 1) * length) // (2 * other)
        for length, other in zip(plane.shape[:2], size, strict=True)
    )
    return plane[down[rows]][:, across]


def _relax(colours: Any, planes: Any, rounds: int, bounds: Bounds = UNIT) -> Any:
    """Minimise, a pixel at a time, what Germer et al. call the cost: their equation 4.

    `colours` (2, 3, h, w) are foreground and background, `planes` (1, 4, h, w) image and alpha.
    With the neighbours held, w_j = EPSILON + |alpha - alpha_j| their weights, S the weights' sum
    and m the weighted means, the minimum is F = m_F + alpha r / (S + alpha^2 + (1 - alpha)^2), with
    r = image - alpha m_F - (1 - alpha) m_B, and likewise B.
    """
    import torch
    from torch.nn.functional import pad

    height, width = planes.shape[2:]
    views = [(1, 0), (1, 2), (0, 1), (2, 1)]  # left, right, above, below, in a frame of one pixel

    def neighbours(framed: Any) -> list[Any]:
        return [framed[..., y : y + height, x : x + width] for y, x in views]

    image, alpha = planes[:, :3], planes[:, 3:]
    weights = [
        EPSILON + (alpha - other).abs()
        for other in neighbours(pad(alpha, (1, 1, 1, 1), mode="replicate"))
    ]
    total = torch.stack(weights).sum(0)
    weights = [weight / total for weight in weights]
    shares = torch.cat([alpha, 1.0 - alpha])  # (2, 1, h, w)
    gain = shares / (total + (shares * shares).sum(0, keepdim=True))
    for _ in range(rounds):
        framed = neighbours(pad(colours, (1, 1, 1, 1), mode="replicate"))
        means = weights[0] * framed[0]
        for weight, other in zip(weights[1:], framed[1:], strict=True):
            means.addcmul_(weight, other)
        rest = image - (shares * means).sum(0, keepdim=True)
        colours = means.addcmul_(gain, rest).clamp_(*bounds)
    return colours


def _fused(
    image: FloatArray, alpha: FloatArray, pixels: int, _device: str, bounds: Bounds
) -> Iterator[tuple[slice, tuple[FloatArray, FloatArray]]]:
    """Blur fusion, faster and closer than its paper: wide passes see every fourth pixel.

    In these, what is nearly opaque (or clear) counts for more, as its colour is hardly mixed.
    Gives the rows of a strip and their colours, (rows, W, 3), from the top to the bottom.
    """
    share = alpha[..., None]
    few, few_shares = image[::STEP, ::STEP], share[::STEP, ::STEP]
    foreground = background = few
    for radius in RADII:
        smooth = _smooth(few_shares**4, (1.0 - few_shares) ** 4, foreground, background, radius)
        foreground, background = _with_detail(few, few_shares, *smooth, bounds), smooth[1]
    wide = [np.asarray(cv2.resize(s, (alpha.shape[1], len(few))), np.float32) for s in smooth]
    for rows, seen, inner in _strips(alpha.shape, pixels, LAST_RADIUS):
        foreground, background = (_stretched(colours, seen, len(alpha)) for colours in wide)
        foreground = _with_detail(image[seen], share[seen], foreground, background, bounds)
        smooth = _smooth(share[seen], 1.0 - share[seen], foreground, background, LAST_RADIUS)
        foreground = _with_detail(image[seen], share[seen], *smooth, bounds)
        yield rows, (foreground[inner], smooth[1][inner])


def _stretched(colours: FloatArray, rows: slice, height: int) -> FloatArray:
    """Give some rows of colours (h, W, 3) that are brought to a height, as cv2.resize would."""
    scale = len(colours) / height
    places = ((np.arange(rows.start, rows.stop) + 0.5) * scale - 0.5).astype(np.float32)
    places = np.clip(places, 0, len(colours) - 1)
    above = places.astype(int)
    share = (places - above.astype(np.float32))[:, None, None]
    below = np.minimum(above + 1, len(colours) - 1)
    found: FloatArray = colours[above] * (1 - share) + colours[below] * share
    return found


def _smooth(
    foreground_weight: FloatArray,
    background_weight: FloatArray,
    foreground: FloatArray,
    background: FloatArray,
    radius: int,
) -> tuple[FloatArray, FloatArray]:
    def mean(colours: FloatArray, weight: FloatArray) -> FloatArray:
        return blur(colours * weight) / (blur(weight) + EPSILON)

    def blur(plane: FloatArray) -> FloatArray:
        size = 2 * radius + 1
        blurred = cv2.blur(plane, (size, size), borderType=cv2.BORDER_REPLICATE)
        return np.asarray(blurred, np.float32).reshape(plane.shape)

    return mean(foreground, foreground_weight), mean(background, background_weight)


def _with_detail(
    image: FloatArray,
    share: FloatArray,
    foreground: FloatArray,
    background: FloatArray,
    bounds: Bounds,
) -> FloatArray:
    """Give the smooth foreground what it lacks to explain the picture, where it is opaque."""
    rest = image - share * foreground - (1.0 - share) * background
    found: FloatArray = np.clip(foreground + share * rest, *bounds)
    return found


def cut_out(image: FloatArray, alpha: FloatArray, *, max_memory: int | None = None) -> FloatArray:
    """Give the cut-out: float32 (H, W, 4), straight foreground colours and alpha, all in [0, 1].

    It is as large again as the colours, which `max_memory` bounds as in `estimate_colours`: to
    write a cut-out, hand the colours and the alpha to `write_image` apart.

    Raises what `estimate_colours` does.
    """
    return np.dstack([estimate_foreground(image, alpha, max_memory=max_memory), alpha])


def composite(
    foreground: FloatArray,
    alpha: FloatArray,
    background: FloatArray,
    *,
    linear: bool = False,
    light: bool = False,
) -> FloatArray:
    """Lay straight foreground colours over a background: alpha F + (1 - alpha) B.

    Colours are float32 (H, W, 3), `alpha` (H, W), all in [0, 1]; so is the result. `linear` mixes
    light, as a camera does, in place of the sRGB values that most programs mix. With `light` the
    colours are linear light already, of any finite values, and so is the result.

    Raises ImageError for arrays of another kind or of different sizes.
    """
    require_array(foreground, "foreground", channels=(3,), light=light)
    require_array(background, "background", channels=(3,), light=light)
    require_array(alpha, "alpha", channels=(1,))
    if not foreground.shape == background.shape == (*alpha.shape, 3):
        raise ImageError(
            f"foreground {foreground.shape}, alpha {alpha.shape} and background "
            f"{background.shape} do not fit; make them one size"
        )
    if light:
        share = alpha[..., None]
        return foreground * share + background * (1 - share)
    if linear:
        foreground, background = to_linear(foreground), to_linear(background)
    mixed = background + (foreground - background) * alpha[..., None]
    return np.clip(from_linear(mixed) if linear else mixed, 0.0, 1.0)
