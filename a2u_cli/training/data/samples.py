"""Training samples: a foreground over a background, with a trimap as a person would draw it.

Every sample is a pure function of the seed and its `Request`, so a run can be repeated, spread over
worker processes and resumed anywhere.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from ...rendering import foregrounds as synthesis
from ...units import BACKGROUND, FOREGROUND, UNKNOWN, FloatArray, Trimap
from .folders import (
    HeldPictures,
    fingerprint,
    list_foregrounds,
    list_pictures,
    read_foreground,
    read_photograph,
)
from .planes import Layer, Pixels, blur, over, resize, to_floats, to_pixels, window

Rng = np.random.Generator
T = TypeVar("T")
Place = tuple[npt.NDArray[np.float64], float]  # a square's centre (row, column) and side

WINDOW = 96  # rendered foregrounds in use at a time
REUSE = 6  # samples between one new foreground and the next
CARELESS = 0.2  # of the trimaps: bands may lie on one side of the edge only
LEAST, MOST_UNKNOWN = 0.04, 0.7  # of a well-posed crop: each part's least share, the unknown's most
TRIES = 10
HELD_BYTES = 1 << 30  # of pictures read from files


@dataclass(frozen=True)
class Sample:
    """One training crop: float32 in [0, 1], colours (S, S, 3), alpha (S, S), trimap uint8.

    `image` is the composite after camera effects; `foreground` and `background` are the colours
    that it was made from.
    """

    image: FloatArray
    trimap: Trimap
    alpha: FloatArray
    foreground: FloatArray
    background: FloatArray


@dataclass(frozen=True)
class Request:
    """Which sample is wanted: its number, crop size in pixels, progress of training in [0, 1]."""

    index: int
    size: int
    progress: float


@dataclass(frozen=True)
class Recipe:
    """What is done beyond pasting; an ablation switches one part off."""

    curriculum: bool = True  # colours start smooth, and gain texture over the first third
    well_posed: bool = True  # crops show enough of both sides; ill-posed ones come in later
    near_colours: bool = True  # some backgrounds are moved towards the foreground's colour
    camera: bool = True  # sharpening, softness, noise, JPEG
    careless: float | None = CARELESS  # so many trimaps heed no edge; None: all bands are even


class SampleSource:
    """Make samples from rendered foregrounds and, where given, from folders of pictures.

    `foregrounds` is a folder as `list_foregrounds` reads it, used for `picture_share` of the
    samples; `backgrounds` a folder of photographs, used for two thirds of them. A process holds
    at most `held_bytes` of what it has read of them, and 192 rendered foregrounds, 0.8 GiB at 512.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        foregrounds: Path | None = None,
        backgrounds: Path | None = None,
        picture_share: float = 0.2,
        render_size: int = 512,
        recipe: Recipe = Recipe(),
        held_bytes: int = HELD_BYTES,
    ) -> None:
        self.seed, self.render_size, self.recipe = seed, render_size, recipe
        self.foregrounds = list_foregrounds(foregrounds)
        self.backgrounds = list_pictures(backgrounds)
        self.picture_share = picture_share if self.foregrounds else 0.0
        self.held = HeldPictures(held_bytes)

    def facts(self) -> dict[str, Any]:
        """Tell what samples hang on beside their requests: equal facts give equal samples."""
        return {
            "seed": self.seed,
            "picture share": self.picture_share,
            "render size": self.render_size,
            "foregrounds": fingerprint([path for path, _ in self.foregrounds]),
            "backgrounds": fingerprint(self.backgrounds),
            **asdict(self.recipe),
        }

    def __getitem__(self, request: Request) -> Sample:
        rng = np.random.default_rng((self.seed, 0, request.index))
        recipe = self.recipe
        smooth = max(0.0, 1.0 - 3.0 * request.progress) if recipe.curriculum else 0.0
        hard = rng.random() < 0.3 * request.progress
        for _ in range(TRIES):
            colour, alpha = self._foreground(rng, request.index, smooth)
            careless = None if recipe.careless is None else rng.random() < recipe.careless
            place, alpha, trimap = cut(alpha, request.size, rng, careless=careless)
            any_will_do = hard or not recipe.well_posed
            if well_posed(trimap) or (any_will_do and (trimap == UNKNOWN).any()):
                break
        colour = window(colour, *place, request.size)
        background = self._background(rng, request.size, smooth)
        layer = (jitter(colour, rng), alpha)
        return compose(
            layer, background, trimap, rng, near=recipe.near_colours, camera=recipe.camera
        )

    def _foreground(self, rng: Rng, index: int, smooth: float) -> Layer:
        layer = self._layer(rng, index, smooth)
        if rng.random() < 0.25:
            layer = over(layer, self._layer(rng, index, smooth))
        return layer

    def _layer(self, rng: Rng, index: int, smooth: float) -> Layer:
        if rng.random() < self.picture_share:
            planes = to_floats(self.held.get(read_foreground, *pick(self.foregrounds, rng)))
            colour, alpha = planes[..., :3], planes[..., 3]
        else:
            number = index // REUSE + int(rng.integers(WINDOW))
            colour, alpha = render(self.seed, number, self.render_size, round(smooth * 4) / 4)
            if self.backgrounds and rng.random() < 0.12 * (1.0 - smooth):
                colour = cover(self._photograph(rng), alpha.shape[0], alpha.shape[1], rng)
        turns, mirror = int(rng.integers(4)), rng.random() < 0.5
        colour, alpha = np.rot90(colour, turns), np.rot90(alpha, turns)
        return (colour[:, ::-1], alpha[:, ::-1]) if mirror else (colour, alpha)

    def _photograph(self, rng: Rng) -> Pixels:
        return self.held.get(read_photograph, pick(self.backgrounds, rng))

    def _background(self, rng: Rng, size: int, smooth: float) -> FloatArray:
        if self.backgrounds and rng.random() < 0.66 * (1.0 - smooth):
            background = cover(self._photograph(rng), size, size, rng)
        else:
            background = synthesis.render_background(size, rng, smooth=smooth)
        if rng.random() < 0.35:
            sigma = float(np.exp(rng.uniform(np.log(0.5), np.log(size / 20))))
            background = blur(background, sigma)
        return jitter(background, rng)


@lru_cache(2 * WINDOW)
def render(seed: int, number: int, size: int, smooth: float) -> Layer:
    """Render the foreground of a number, the same for the same seed."""
    rng = np.random.default_rng((seed, 1, number))
    return synthesis.render_foreground(size, rng, smooth=smooth)


def cut(
    alpha: FloatArray, size: int, rng: Rng, *, careless: bool | None = None
) -> tuple[Place, FloatArray, Trimap]:
    """Cut a square around a soft pixel at a random scale: its place, alpha and trimap of `size`.

    The trimap's bands reach in from beyond the crop, as they would in the whole picture.
    """
    longest = max(alpha.shape)
    side = float(np.exp(rng.uniform(np.log(min(size / 1.4, longest)), np.log(longest))))
    margin = size // 3
    soft = np.flatnonzero((alpha > 0.02) & (alpha < 0.98))
    chosen = int(soft[rng.integers(len(soft))] if len(soft) else rng.integers(alpha.size))
    centre = np.array(divmod(chosen, alpha.shape[1])) + rng.uniform(-0.4, 0.4, 2) * side
    half = np.minimum(side, alpha.shape) / 2
    centre = np.clip(centre, half, alpha.shape - half)  # inside the picture where it fits
    wide = window(alpha, centre, side * (size + 2 * margin) / size, size + 2 * margin)
    wide = np.clip(wide, 0.0, 1.0)
    reach = float(np.exp(rng.uniform(np.log(3.0), np.log(size / 4))))
    trimap = draw_trimap(wide, reach, rng, careless=careless)
    inner = (slice(margin, margin + size),) * 2
    return (centre, side), wide[inner], trimap[inner]


def draw_trimap(
    alpha: FloatArray, reach: float, rng: Rng, *, careless: bool | None = None
) -> Trimap:
    """Draw a trimap around the soft pixels: bands that lie inside and outside of the edge.

    `reach` is the typical width in pixels. A hand is less even than a dilation, so the width varies
    along the edge, and from one side to the other: by half as a rule; `careless`, at times, up to
    tenfold. None: all is `reach` wide.
    """
    tolerance = float(rng.choice([0.004, 0.01, 0.03]))
    soft = (alpha > tolerance) & (alpha < 1.0 - tolerance)
    solid = alpha >= 1.0 - tolerance
    edge = soft | (cv2.dilate(solid.astype(np.uint8), np.ones((3, 3), np.uint8)) > solid)
    distance = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, 3)
    trimap = np.where(solid, FOREGROUND, BACKGROUND).astype(np.uint8)
    for side in (solid, ~solid):
        field = np.full((1, 1), reach, np.float32)
        if careless is not None:
            if rng.random() < 0.5:
                spread, cells = 0.8 if careless else 0.5, int(rng.integers(2, 9))
                uneven = rng.uniform(1 - spread, 1 + spread, (cells, cells))
                field = field * uneven.astype(np.float32)
            share = rng.choice([0.1, 0.5, 1.0, 1.0]) if careless else np.exp(rng.normal(0.0, 0.2))
            field = field * np.float32(share)
        width = resize(field, alpha.shape[0], alpha.shape[1])
        trimap[side & (distance <= width)] = UNKNOWN
    trimap[soft] = UNKNOWN
    return trimap


def well_posed(trimap: Trimap) -> bool:
    """Tell whether a crop shows enough of both sides to be solvable from itself."""
    background, unknown, foreground = (
        float((trimap == value).mean()) for value in (BACKGROUND, UNKNOWN, FOREGROUND)
    )
    return min(background, foreground, unknown) >= LEAST and unknown <= MOST_UNKNOWN


def cover(photograph: Pixels, height: int, width: int, rng: Rng) -> FloatArray:
    """Cut a random part of a photograph and resample it to (height, width)."""
    rows, columns = photograph.shape[:2]
    fit = min(rows / height, columns / width)
    share = float(rng.uniform(min(1.0, 1.0 / fit), 1.0))
    tall, broad = max(1, int(height * fit * share)), max(1, int(width * fit * share))
    top, left = (int(rng.integers(n + 1)) for n in (rows - tall, columns - broad))
    part = to_floats(photograph[top : top + tall, left : left + broad])
    if rng.random() < 0.5:
        part = np.ascontiguousarray(part[:, ::-1])
    return resize(part, height, width, cv2.INTER_AREA)


def jitter(colour: FloatArray, rng: Rng) -> FloatArray:
    """Change exposure, contrast, saturation and white balance a little."""
    colour = np.clip(colour, 0.0, 1.0) ** float(np.exp(rng.normal(0.0, 0.25)))
    grey = colour.mean(2, keepdims=True)
    colour = grey + (colour - grey) * float(rng.uniform(0.5, 1.4))
    colour = colour * rng.normal(1.0, 0.06, 3).astype(np.float32)
    return np.asarray(np.clip(colour * rng.uniform(0.75, 1.15), 0.0, 1.0), np.float32)


def compose(
    layer: Layer,
    background: FloatArray,
    trimap: Trimap,
    rng: Rng,
    *,
    near: bool = True,
    camera: bool = True,
) -> Sample:
    """Composite, sometimes with a background near the foreground's colour, then photograph it."""
    foreground, alpha = layer
    if near and rng.random() < 0.2:
        colour = (foreground * alpha[..., None]).sum((0, 1)) / max(float(alpha.sum()), 1e-3)
        shift = (colour - background.mean((0, 1))) * float(rng.uniform(0.3, 0.8))
        background = np.clip(background + shift, 0.0, 1.0).astype(np.float32)
    image = background + (foreground - background) * alpha[..., None]
    image = photographed(image, rng) if camera else image
    return Sample(image, trimap, alpha, foreground, background)


def photographed(image: FloatArray, rng: Rng) -> FloatArray:
    """Add what a camera adds: sharpening or softness, noise in linear light, JPEG."""
    chance = rng.random()
    if chance < 0.15:
        image = blur(image, float(rng.uniform(0.3, 0.7)))
    elif chance < 0.3:
        image = image + float(rng.uniform(0.2, 0.8)) * (image - blur(image, 1.0))
        image = np.clip(image, 0.0, 1.0)
    if rng.random() < 0.5:
        linear = image**2.2
        sigma = float(rng.uniform(0.0, 0.02))
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        image = np.clip(linear + noise * sigma * np.sqrt(linear + 0.02), 0.0, 1.0) ** (1 / 2.2)
    if rng.random() < 0.3:
        image = jpeg(image, int(rng.integers(60, 99)))
    return image.astype(np.float32)


def jpeg(image: FloatArray, quality: int) -> FloatArray:
    """Compress a picture and open it again."""
    levels = cv2.cvtColor(to_pixels(image), cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return to_floats(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8))


def pick(choices: list[T], rng: Rng) -> T:
    """Choose one."""
    return choices[int(rng.integers(len(choices)))]
