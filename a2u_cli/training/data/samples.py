"""Training samples: a foreground over a background, with a trimap as a person would draw it.

Every sample is a pure function of the seed and its `Request`, so a run can be repeated, spread over
worker processes and resumed anywhere.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from ...errors import ImageError
from ...foreground import estimate_foreground
from ...images import reading as images
from ...pairing import IMAGE_FOLDERS, MATTE_ROLES, find_mattes, first_folder, suffixed
from ...rendering import foregrounds as synthesis
from ...units import BACKGROUND, FOREGROUND, UNKNOWN, FloatArray, Trimap

Rng = np.random.Generator
T = TypeVar("T")
Foreground = tuple[Path, Path | None]  # a picture, and the file of its alpha if it has one
Place = tuple[npt.NDArray[np.float64], float]  # a square's centre (row, column) and side
Layer = tuple[FloatArray, FloatArray]  # straight colour (H, W, 3) and alpha (H, W)

WINDOW = 96  # rendered foregrounds in use at a time
REUSE = 6  # samples between one new foreground and the next
CARELESS = 0.2  # of the trimaps: bands may lie on one side of the edge only
LEAST, MOST_UNKNOWN = 0.04, 0.7  # of a well-posed crop: each part's least share, the unknown's most
TRIES = 10
PICTURES_KEPT = 128  # read files of each kind held in memory
ALPHA_FOLDERS = ("alpha", "alphas", "pha", "matte", "mattes")


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
    samples; `backgrounds` a folder of photographs, used for two thirds of them.
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
    ) -> None:
        self.seed, self.render_size, self.recipe = seed, render_size, recipe
        self.foregrounds = list_foregrounds(foregrounds)
        self.backgrounds = list_pictures(backgrounds)
        self.picture_share = picture_share if self.foregrounds else 0.0

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
            colour, alpha = read_foreground(*pick(self.foregrounds, rng))
        else:
            number = index // REUSE + int(rng.integers(WINDOW))
            colour, alpha = render(self.seed, number, self.render_size, round(smooth * 4) / 4)
            if self.backgrounds and rng.random() < 0.12 * (1.0 - smooth):
                photograph = read_photograph(pick(self.backgrounds, rng))
                colour = cover(photograph, alpha.shape[0], alpha.shape[1], rng)
        turns, mirror = int(rng.integers(4)), rng.random() < 0.5
        colour, alpha = np.rot90(colour, turns), np.rot90(alpha, turns)
        return (colour[:, ::-1], alpha[:, ::-1]) if mirror else (colour, alpha)

    def _background(self, rng: Rng, size: int, smooth: float) -> FloatArray:
        if self.backgrounds and rng.random() < 0.66 * (1.0 - smooth):
            background = cover(read_photograph(pick(self.backgrounds, rng)), size, size, rng)
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


def list_pictures(folder: Path | None) -> list[Path]:
    """List the pictures below a folder, sorted; none for no folder."""
    if folder is None:
        return []
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in images.SUFFIXES)
    if not found:
        raise ImageError(f"{folder}: no pictures found; expected PNG, JPEG or TIFF files")
    return found


def list_foregrounds(folder: Path | None) -> list[Foreground]:
    """List a folder's foregrounds, each with the file of its alpha where that is one of its own.

    A foreground is an RGBA picture (straight alpha), or `x.png` with `x_alpha.png` beside it, or a
    picture of `image/` with one of `alpha/` (and the other names of these roles).

    Raises ImageError where there are none, or a picture of `image/` has no alpha.
    """
    if folder is None:
        return []
    pictures, alphas = first_folder(folder, IMAGE_FOLDERS), first_folder(folder, ALPHA_FOLDERS)
    if pictures and alphas:
        found = find_mattes(pictures, alphas)
        for path in found.unpaired:
            raise ImageError(f"{path} has no alpha in {alphas}; add it, or take the picture away")
        return [(pair.image, pair.hint) for pair in found.found]
    own = suffixed(folder, MATTE_ROLES)
    listed = [path for path in list_pictures(folder) if path not in own.values()]
    return [(p, own.get(p.relative_to(folder).with_suffix("").as_posix())) for p in listed]


@lru_cache(PICTURES_KEPT)
def read_foreground(path: Path, matte: Path | None = None) -> Layer:
    """Read straight colour and alpha; colour is continued smoothly to where alpha is 0.

    Without transparency of its own a picture needs its matte; its colours are then estimated.
    """
    picture = images.read_image(path)
    if picture.alpha is not None and matte is None:
        return fill_colours(picture.image, picture.alpha), picture.alpha
    if matte is None:
        raise ImageError(f"{path} has no alpha channel, and no {path.stem}_alpha beside it; add it")
    alpha = images.read_grey(matte)
    return fill_colours(estimate_foreground(picture.image, alpha), alpha), alpha


@lru_cache(PICTURES_KEPT)
def read_photograph(path: Path) -> FloatArray:
    """Read a background photograph, float32 (H, W, 3)."""
    return images.read_image(path).image


def fill_colours(colour: FloatArray, alpha: FloatArray) -> FloatArray:
    """Continue colours to where alpha is 0, from averages of ever wider neighbourhoods."""
    levels = [np.dstack([colour * alpha[..., None], alpha])]  # premultiplied (H, W, 4)
    while max(levels[-1].shape[:2]) > 1:
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.float32))
    last = levels[-1]
    filled = np.asarray(last[..., :3] / np.maximum(last[..., 3:], 1e-6), np.float32)
    for level in reversed(levels):
        height, width = level.shape[:2]
        filled = resize(filled, height, width)
        filled = level[..., :3] + (np.float32(1.0) - level[..., 3:]) * filled
    return np.clip(filled, 0.0, 1.0)


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


def window(
    plane: FloatArray, centre: npt.NDArray[np.float64], side: float, size: int
) -> FloatArray:
    """Resample a square of `side` source pixels to `size`; edges are repeated outside."""
    reach = max(1, round(side))
    top, left = (round(float(c) - reach / 2) for c in centre)
    height, width = plane.shape[:2]
    bottom, right = top + reach, left + reach
    square = np.ascontiguousarray(
        plane[
            min(max(0, top), height - 1) : max(1, bottom),
            min(max(0, left), width - 1) : max(1, right),
        ]
    )
    above, below, before, after = (
        min(max(0, wanted), reach - 1) for wanted in (-top, bottom - height, -left, right - width)
    )
    if above or below or before or after:
        edges = (above, below, before, after)
        square = np.asarray(cv2.copyMakeBorder(square, *edges, cv2.BORDER_REPLICATE), np.float32)
    method = cv2.INTER_AREA if reach > size else cv2.INTER_CUBIC
    return resize(square, size, size, method)


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


def over(front: Layer, back: Layer) -> Layer:
    """Lay one foreground over another of any size: straight colour and joint alpha."""
    colour, alpha = front
    height, width = alpha.shape
    back_colour, back_alpha = (resize(plane, height, width) for plane in back)
    joint = alpha + (1.0 - alpha) * back_alpha
    share = np.divide(alpha, joint, out=np.ones_like(joint), where=joint >= 1e-3)
    return back_colour + (colour - back_colour) * cv2.merge([share] * 3), joint


def cover(photograph: FloatArray, height: int, width: int, rng: Rng) -> FloatArray:
    """Cut a random part of a photograph and resample it to (height, width)."""
    rows, columns = photograph.shape[:2]
    fit = min(rows / height, columns / width)
    share = float(rng.uniform(min(1.0, 1.0 / fit), 1.0))
    tall, broad = max(1, int(height * fit * share)), max(1, int(width * fit * share))
    top, left = (int(rng.integers(n + 1)) for n in (rows - tall, columns - broad))
    part = np.ascontiguousarray(photograph[top : top + tall, left : left + broad])
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
    image_u8 = np.rint(image * 255.0).astype(np.uint8)
    data = cv2.imencode(".jpg", image_u8, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.float32) / np.float32(255.0)


def resize(
    plane: FloatArray, height: int, width: int, method: int = cv2.INTER_LINEAR
) -> FloatArray:
    """Resample to (height, width), with a third axis where there was one."""
    resized = cv2.resize(plane, (width, height), interpolation=method)
    return np.asarray(resized, np.float32).reshape(height, width, *plane.shape[2:])


def blur(image: FloatArray, sigma: float) -> FloatArray:
    """Blur with a Gaussian of `sigma` pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)


def pick(choices: list[T], rng: Rng) -> T:
    """Choose one."""
    return choices[int(rng.integers(len(choices)))]
