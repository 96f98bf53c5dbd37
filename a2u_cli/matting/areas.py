"""What has to be computed: the areas that the needed pixels depend on, and windows over them.

Every decoding stage has an area, found by walking the reach of the stages backwards from the
pixels that are needed. The C forms compute the 4x4 tiles of it alone; where they do not serve,
small windows leave out what they can. The encoder has none: every kernel depends on statistics of
the whole picture, to the last stage that halves it, and the context on the mean of what follows.
"""

from functools import partial
from itertools import pairwise
from typing import cast

import numpy as np

from ..network.folding import Folded
from ..network.model import MattingNetwork
from ..network.stages import STAGES
from ..operators.fused import convolution
from ..operators.fused.area import Area
from ..units import STRIDE, Mask, Size
from .planning import Plan
from .windows import Window, blocks_with, cover

# By level, from the full resolution down: what is decoded there, over planes as wide as those.
DECODED = ("decoder1", "decoder2", "decoder3", "decoder4", "context")
ENCODED = ("stem", "pair1", "stage1", "stage2", "stage3")
GRAINS = (16, 32, 64, 128, 256, 512)  # sides of the blocks that are left out or computed
OVERHEADS = (4096, 1024, 768, 256, 256)  # what starting on a window costs, in its level's pixels


def padded_size(size: tuple[int, ...]) -> Size:
    """Give the height and width that `pad_to_stride` pads to."""
    height, width = (-(-length // STRIDE) * STRIDE for length in size[:2])
    return height, width


def pad_needed(size: Size, needed: Mask | None = None) -> Mask:
    """Mark the needed pixels, bool of `size`, in a plane of the padded size."""
    height, width = size
    pixels = np.zeros(padded_size(size), np.bool_)
    pixels[:height, :width] = True if needed is None else needed
    return pixels


def needed_areas(size: Size, needed: Mask | None = None) -> dict[str, Area]:
    """Find what the needed pixels, bool of `size`, depend on: the area of every decoding stage."""
    areas = {"smooth": Area(pad_needed(size, needed))}
    areas["head"] = areas["smooth"].grow(STAGES["smooth"].reach)
    area = areas["decoder1"] = areas["head"].grow(STAGES["head"].reach)
    for stage, coarser in pairwise(DECODED):
        area = area.grow(reach_below(stage)).halve().grow(STAGES["pair1"].reach)
        areas[coarser] = area
    return areas


def needed_windows(areas: dict[str, Area], plan: Plan, *, tiled: bool) -> list[list[Window]]:
    """Cover, on each level from the full resolution down, the needed pixels.

    Where they leave tiles out, windows are as large as the plan has them.
    """
    levels: list[list[Window]] = []
    for level, decoded in enumerate(("smooth", *DECODED[1:])):
        pixels = areas[decoded].pixels
        if not tiled or decoded == "context":
            levels.append(cover_closely(pixels, plan, level))
            continue
        windows = plan.windows(_size(pixels), STAGES[ENCODED[level]].channels)
        levels.append([w for w in windows if pixels[w.rows, w.columns].any()])
    return levels


def cover_closely(pixels: Mask, plan: Plan, level: int) -> list[Window]:
    """Cover the needed pixels of a level with the windows that cost least."""
    plane = _size(pixels)
    tile = plan.tile_for(plane, STAGES[ENCODED[level]].channels)
    blocks = {min(grain, *tile) for grain in GRAINS}
    ways = [cover(blocks_with(pixels, b), plane, tile, b) for b in sorted(blocks)]
    return min(ways, key=partial(cost, level=level))


def _size(pixels: Mask) -> Size:
    return pixels.shape[0], pixels.shape[1]


def leaves_tiles_out(network: MattingNetwork) -> bool:
    """Tell whether a folded network's decoder computes the needed tiles alone."""
    weight = cast(Folded, network.decoder1.second.first).conv.weight
    return convolution.takes(weight, weight)


def cost(windows: list[Window], level: int) -> int:
    """Tell what windows cost, in pixels: their own, their margins' and those of starting."""
    margin = _margin(level)
    return sum((w.height + 2 * margin) * (w.width + 2 * margin) + OVERHEADS[level] for w in windows)


def _margin(level: int) -> int:
    """Give how far beyond a window its level's planes are read, for what is decoded there."""
    last = STAGES["head"].reach + STAGES["smooth"].reach if level == 0 else 0
    return STAGES[DECODED[level]].reach + last


def reach_below(decoder: str) -> int:
    """Give how far a decoder looks in what comes from below: the skip passes one layer more."""
    return STAGES[decoder].reach - 1
