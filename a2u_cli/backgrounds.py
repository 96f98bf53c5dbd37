"""Make what a cut-out is laid on: a colour, a gradient, a checker, a blur or a picture."""

import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from PIL import ImageColor

from .errors import ImageError
from .images.arrays import require_array
from .images.colour import to_linear
from .images.listing import is_named_as_picture
from .images.reading import read_image, tell_of_hidden
from .units import FloatArray

Fit = Literal["cover", "contain", "stretch", "tile"]

DRAWN = ("gradient", "checker", "blur")
GRADIENT = ((0.93, 0.94, 0.96), (0.55, 0.6, 0.68))  # from top to bottom
CHECKER = ((1.0, 1.0, 1.0), (0.8, 0.8, 0.8))
CHECKER_CELLS = 32  # along the longer side
BEYOND = 16  # times the pixels that are wanted: so many more are not scaled, only to be cut off
BLUR = 0.03  # sigma, of the longer side


def make_background(
    what: str,
    image: FloatArray,
    *,
    fit: Fit = "cover",
    max_memory: int | None = None,
    light: bool = False,
) -> FloatArray:
    """Make a background for an image, float32 (H, W, 3) in [0, 1]; so is the result.

    With `light` both are linear light, of any finite values.

    `what` is "gradient", "checker", "blur" (of the image itself), a colour as CSS writes it
    ("white", "#2b5f9e", "rgb(10, 20, 30)"), or a picture's path.

    Raises ImageError where it is none of these, the picture cannot be read, or the image is no such
    array; OutOfMemory where the picture takes more than `max_memory` bytes to read.
    """
    require_array(image, "image", channels=(3,), light=light)
    height, width = image.shape[:2]
    if what == "blur":
        sigma = max(1.0, BLUR * max(height, width))
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
    if what not in DRAWN and Path(what).is_file():
        picture = read_image(Path(what), max_memory=max_memory)
        tell_of_hidden(picture, what)
        return fit_to(picture.colours(light=light), (height, width), fit, light=light)
    drawn = _draw(what, image)
    return to_linear(drawn) if light else drawn


def _draw(what: str, image: FloatArray) -> FloatArray:
    """Draw a gradient, a checker or a colour for an image (H, W, 3), in [0, 1]."""
    height, width = image.shape[:2]
    if what == "gradient":
        top, bottom = np.array(GRADIENT, np.float32)
        share = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        return np.broadcast_to((top + (bottom - top) * share)[:, None], image.shape).copy()
    if what == "checker":
        cell = max(1, max(height, width) // CHECKER_CELLS)
        rows, columns = np.ogrid[:height, :width]
        colours = np.array(CHECKER, np.float32)
        return np.asarray(colours[(rows // cell + columns // cell) % 2])
    return np.full(image.shape, read_colour(what), np.float32)


def require_background(what: str) -> None:
    """Refuse what names no background, without reading a picture; raises ImageError."""
    if what not in DRAWN and not Path(what).is_file():
        if Path(what).is_dir():
            choose_background(what, "")
        else:
            read_colour(what)


def read_colour(what: str) -> FloatArray:
    """Read a colour, float32 (3,) in [0, 1]; raises ImageError."""
    try:
        levels = ImageColor.getcolor(what, "RGB")
    except ValueError as error:
        raise ImageError(
            f"background {what!r} is neither a file nor a colour; expected {', '.join(DRAWN)}, "
            "a colour such as white or #2b5f9e, a picture, or a folder of them"
        ) from error
    return np.array(levels, np.float32) / np.float32(255)


def choose_background(what: str, name: str) -> str:
    """Take from a folder of backgrounds the one for a picture; what is no folder stays.

    It is the one of the picture's name, or else one that the name decides, the same in every run.

    Raises ImageError where the folder holds no pictures.
    """
    if not Path(what).is_dir():
        return what
    files = list_backgrounds(what)
    if not files:
        raise ImageError(f"{what} has no pictures, expected backgrounds; check the folder")
    return str(choose_by_name(files, name))


def list_backgrounds(what: str) -> list[Path]:
    """List the pictures that backgrounds are taken from: none where it is a colour or the like."""
    if Path(what).is_dir():
        return sorted(path for path in Path(what).iterdir() if is_named_as_picture(path.name))
    return [Path(what)] if Path(what).is_file() else []


def choose_by_name(files: Sequence[Path], name: str) -> Path:
    """Take the file of a picture's name, or else one that the name decides."""
    same = (path for path in files if path.stem == Path(name).name)
    return next(same, files[zlib.crc32(name.encode(errors="surrogatepass")) % len(files)])


def fit_to(
    picture: FloatArray, size: tuple[int, int], fit: Fit, *, light: bool = False
) -> FloatArray:
    """Bring a picture (h, w, 3) to a size (height, width).

    "cover" scales it to fill and cuts what reaches over, "contain" scales it to fit on black,
    "stretch" changes its shape, "tile" repeats it at its own size; the first two are centred. With
    `light` it is linear light, of any finite values.

    Raises ImageError for another word, or another kind of array.
    """
    require_array(picture, "picture", channels=(3,), light=light)
    if fit not in get_args(Fit):
        raise ImageError(f"fit {fit!r} is unknown; expected {', '.join(get_args(Fit))}")
    height, width = size
    rows, columns = picture.shape[:2]
    if fit == "tile":
        return np.asarray(picture[np.arange(height)[:, None] % rows, np.arange(width) % columns])
    if fit == "stretch":
        return _resize(picture, height, width)
    scales = height / rows, width / columns
    scale = max(scales) if fit == "cover" else min(scales)
    if fit == "cover" and rows * columns * scale**2 > BEYOND * height * width:
        return _cover_thin(picture, size, scale)
    tall, wide = max(1, round(rows * scale)), max(1, round(columns * scale))
    scaled = _resize(picture, tall, wide)
    if fit == "cover":
        top, left = (tall - height) // 2, (wide - width) // 2
        return scaled[max(0, top) :, max(0, left) :][:height, :width]
    canvas = np.zeros((height, width, 3), np.float32)
    top, left = (height - tall) // 2, (width - wide) // 2
    canvas[top : top + tall, left : left + wide] = scaled
    return canvas


def _cover_thin(picture: FloatArray, size: tuple[int, int], scale: float) -> FloatArray:
    """Scale the middle of a picture (h, w, 3) alone, the side that is cut off first."""
    if scale * picture.shape[1] < size[1] + 0.5:  # then the rows are what is cut off
        return _cover_thin(picture.swapaxes(0, 1), size[::-1], scale).swapaxes(0, 1)
    height, width = size
    left = max(0, picture.shape[1] - math.ceil(width / scale) - 2) // 2
    middle = np.ascontiguousarray(picture[:, left : picture.shape[1] - left])
    wide = _resize(middle, middle.shape[0], max(width, round(middle.shape[1] * scale)))
    left = (wide.shape[1] - width) // 2
    return _resize(np.ascontiguousarray(wide[:, left : left + width]), height, width)


def _resize(picture: FloatArray, height: int, width: int) -> FloatArray:
    shrinks = height * width < picture.shape[0] * picture.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=method), np.float32)
