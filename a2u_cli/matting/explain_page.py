"""The operator at work, as one HTML page: kernels and affinity at the places that one clicks.

The page holds all it shows, for any number of operators, and stays below `MOST` bytes: the kernels
of every place of every stage, each plane in 256 levels between its own extremes.
"""

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..images.encoders import encode_png
from ..images.previews import encode_preview
from ..units import FloatArray, Size
from .explain import STAGES, choose_points
from .kernels import FIXED, Kernels, see_fixed

MOST = 8_000_000  # bytes of a page
SIDE = 384  # pixels of the picture's longer side at most
LEVELS = 0.9 * MOST / (4 / 3)  # of all planes: in base64, each at most a byte of its PNG
# Of all four stages, for each pixel: CARAFE has 25 taps up; A2U 9 up, 36 down at every fourth pixel
# and affinity there, which are fewer. A finer stage has four times as many as the next.
VALUES = 25 * 4 / 3
TEMPLATE = Path(__file__).with_name("explain.html")
PLACE = "/*DATA*/"


@dataclass(frozen=True)
class Shown:
    """An operator on the page: its name, its kernels of the four stages, its matte if any."""

    name: str
    kernels: Sequence[Kernels]
    alpha: FloatArray | None = None


def side_for(size: Size, operators: int) -> int:
    """Tell the longer side of a picture of (height, width) with which a page stays small.

    `operators` counts those whose kernels differ from place to place.
    """
    fitting = sqrt(LEVELS / (VALUES * max(1, operators) * size[0] * size[1]))
    return min(SIDE, int(fitting * max(size)))


def write_page(
    image: FloatArray, trimap: npt.NDArray[np.uint8], shown: Sequence[Shown], *, title: str
) -> bytes:
    """Write the page of a picture that was brought down to `side_for`.

    `image` is float32 (H, W, 3) in [0, 1], `trimap` uint8 (H, W) in {0, 128, 255}. What needs no
    weights, bilinear and nearest, is there in any case.
    """
    there = {operator.name for operator in shown}
    fixed = [Shown(name, see_fixed(name)) for name in FIXED if name not in there]
    size = trimap.shape
    facts = {
        "size": size,
        "stages": STAGES,
        "image": _address(encode_preview(image)),
        "trimap": _address(encode_png(trimap, None, None)),
        "points": [[row, column] for row, column in choose_points(trimap)],
        "operators": [_describe(operator) for operator in (*shown, *fixed)],
    }
    data = json.dumps(facts, separators=(",", ":")).replace("<", "\\u003c")
    page = TEMPLATE.read_text(encoding="utf-8").replace("{{ title }}", html.escape(title))
    return page.replace(PLACE, data).encode(errors="backslashreplace")


def _describe(operator: Shown) -> dict[str, Any]:
    return {
        "name": operator.name,
        "matte": None if operator.alpha is None else _address(encode_preview(operator.alpha)),
        "stages": [
            {
                "up": _pack(kernels.up),
                "down": None if kernels.down is None else _pack(kernels.down),
                "affinity": None if kernels.affinity is None else _pack(kernels.affinity[None]),
            }
            for kernels in operator.kernels
        ],
    }


def _pack(planes: FloatArray) -> dict[str, Any]:
    """Pack planes, (taps, rows, columns), below one another in 256 levels between the extremes."""
    low, high = float(planes.min()), float(planes.max())
    levels = np.rint((planes - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)
    taps, rows, columns = planes.shape
    png = encode_png(levels.reshape(taps * rows, columns), None, None)
    return {"taps": taps, "rows": rows, "columns": columns, "low": low, "high": high} | {
        "png": _address(png)
    }


def _address(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
