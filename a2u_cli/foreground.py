"""Foreground colours behind an alpha matte: a cut-out with no trace of its background."""

import math
from typing import Any, Literal, get_args

import cv2
import numpy as np

from .errors import ImageError
from .images.colour import from_linear, to_linear
from .units import FloatArray

Method = Literal["multilevel", "blur-fusion"]
METHODS = get_args(Method)
STEP = 4  # blur fusion's wide passes see every fourth pixel,
RADII = (22, 8, 3)  # these many of them to each side;
LAST_RADIUS = 4  # pixels: its pass over all
EPSILON = 1e-5
SMALL = 32  # pixels: the longer side up to which a level is relaxed until nothing changes
ROUNDS = (10, 2)  # relaxations of a small level and of a larger one


def estimate_foreground(
    image: FloatArray, alpha: FloatArray, *, method: Method = "multilevel", device: str = "cpu"
) -> FloatArray:
    """Estimate the colours of the foreground alone: the first of `estimate_colours`."""
    return estimate_colours(image, alpha, method=method, device=device)[0]


def estimate_colours(
    image: FloatArray, alpha: FloatArray, *, method: Method = "multilevel", device: str = "cpu"
) -> tuple[FloatArray, FloatArray]:
    """Estimate the colours of the foreground and of the background, each alone.

    `image` is float32 (H, W, 3) in [0, 1], `alpha` float32 (H, W) in [0, 1]; the results are
    float32 (H, W, 3) in [0, 1], straight colours. `multilevel` relaxes colours that are smooth
    where alpha is, from one pixel to the whole picture, on any torch device (Germer et al., "Fast
    Multi-Level Foreground Estimation", ICPR 2020); `blur-fusion` fits blurred colours, faster and
    rougher (after Forte, "Approximate Fast Foreground Colour Estimation", ICIP 2021).

    Raises ImageError where the sizes differ, or the method is another.
    """
    require_method(method)
    if image.shape[:2] != alpha.shape:
        raise ImageError(
            f"image is {image.shape[1]}x{image.shape[0]} but alpha is "
            f"{alpha.shape[1]}x{alpha.shape[0]}; use the matte of this picture"
        )
    if method == "multilevel":
        foreground, background = _relax_levels(image, alpha, device)
    else:
        foreground, background = _fuse(image, alpha)
    opaque, clear = alpha[..., None] == 1.0, alpha[..., None] == 0.0
    return np.where(opaque, image, foreground), np.where(clear, image, background)


def require_method(method: str) -> None:
    """Raise ImageError where there is no such method."""
    if method not in METHODS:
        raise ImageError(f"colours {method!r} are unknown; expected {' or '.join(METHODS)}")


def _relax_levels(
    image: FloatArray, alpha: FloatArray, device: str
) -> tuple[FloatArray, FloatArray]:
    import torch  # late: blur fusion needs none

    height, width = alpha.shape
    planes = torch.from_numpy(np.dstack([image, alpha])).to(device).permute(2, 0, 1)[None]
    levels = max(1, math.ceil(math.log2(max(height, width))))
    colours = planes[:, :3].mean((2, 3), keepdim=True).expand(2, -1, -1, -1)  # both (2, 3, h, w)
    with torch.inference_mode():
        for level in range(levels + 1):
            size = [round(length ** (level / levels)) for length in (height, width)]
            small = torch.nn.functional.interpolate(planes, size, mode="nearest-exact")
            colours = torch.nn.functional.interpolate(colours, size, mode="nearest-exact")
            colours = _relax(colours, small, ROUNDS[max(size) > SMALL])
    foreground, background = colours.permute(0, 2, 3, 1).cpu().numpy()
    return foreground, background


def _relax(colours: Any, planes: Any, rounds: int) -> Any:
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
        colours = means.addcmul_(gain, rest).clamp_(0.0, 1.0)
    return colours


def _fuse(image: FloatArray, alpha: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Blur fusion, faster and closer than its paper: wide passes see every fourth pixel.

    In these, what is nearly opaque (or clear) counts for more, as its colour is hardly mixed.
    """
    share = alpha[..., None]
    few, few_shares = image[::STEP, ::STEP], share[::STEP, ::STEP]
    foreground = background = few
    for radius in RADII:
        smooth = _smooth(few_shares**4, (1.0 - few_shares) ** 4, foreground, background, radius)
        foreground, background = _with_detail(few, few_shares, *smooth), smooth[1]
    height, width = alpha.shape
    foreground, background = (
        np.asarray(cv2.resize(colours, (width, height)), np.float32) for colours in smooth
    )
    foreground = _with_detail(image, share, foreground, background)
    smooth = _smooth(share, 1.0 - share, foreground, background, LAST_RADIUS)
    return _with_detail(image, share, *smooth), smooth[1]


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
    image: FloatArray, share: FloatArray, foreground: FloatArray, background: FloatArray
) -> FloatArray:
    """Give the smooth foreground what it lacks to explain the picture, where it is opaque."""
    rest = image - share * foreground - (1.0 - share) * background
    found: FloatArray = np.clip(foreground + share * rest, 0.0, 1.0)
    return found


def cut_out(image: FloatArray, alpha: FloatArray) -> FloatArray:
    """Give the cut-out: float32 (H, W, 4), straight foreground colours and alpha, all in [0, 1].

    Raises ImageError where the sizes differ.
    """
    return np.dstack([estimate_foreground(image, alpha), alpha])


def composite(
    foreground: FloatArray, alpha: FloatArray, background: FloatArray, *, linear: bool = False
) -> FloatArray:
    """Lay straight foreground colours over a background: alpha F + (1 - alpha) B.

    Colours are float32 (H, W, 3), `alpha` (H, W), all in [0, 1]; so is the result. `linear` mixes
    light, as a camera does, in place of the sRGB values that most programs mix.

    Raises ImageError where the sizes differ.
    """
    if not foreground.shape == background.shape == (*alpha.shape, 3):
        raise ImageError(
            f"foreground {foreground.shape}, alpha {alpha.shape} and background "
            f"{background.shape} do not fit; make them one size"
        )
    if linear:
        foreground, background = to_linear(foreground), to_linear(background)
    mixed = background + (foreground - background) * alpha[..., None]
    return np.clip(from_linear(mixed) if linear else mixed, 0.0, 1.0)
