"""How to walk a picture in the memory there is: the tile, the planes to keep, the estimate."""

import re
from dataclasses import dataclass, replace

from ..errors import A2UError, OutOfMemory
from ..network.stages import RESAMPLING, STAGES
from ..operators.fused.area import TILE
from ..units import STRIDE, Size
from .windows import Window, grid

TILES = (2048, 1024, 704, 512, 384, 256, 192, 128, 96, 64, 48, 32, 16)
# Planes that may be kept, the most time saved for its memory first, and values a pixel of each: the
# halved plane of the first pair, what the other stages that halve have before, and the stem's.
OPTIONAL = {
    "pair1": STAGES["pair1"].values,
    **{name: 4 * STAGES[name].values for name in ("down3", "down2")},
    "stem": STAGES["stem"].values,
}
# Values a pixel of the planes at 1/4, 1/8 and 1/16, always kept.
LEVELS = tuple(STAGES[name].values for name in ("stage1", "stage2", "stage3"))
AFFINITY = 4 * sum(1 / 4 ** STAGES[name].level for name in RESAMPLING)  # bytes a pixel
PICTURE = 12 + 1 + 1 + 4  # bytes a pixel: image, trimap, what is needed, result
LOWEST_STRIP = 16  # rows: the halo of a lower one costs more than cutting tiles
PROCESS = 576 << 20  # Python, torch and the weights, twice
TENSORS = 9  # as large as a tile of 64 channels, that are alive at once


@dataclass(frozen=True)
class Plan:
    """How to walk a picture: the tile, (rows, columns) of 64 channels, and which planes to keep.

    `keep` holds names of OPTIONAL; what is not kept is computed again wherever it is read. `whole`
    says that one tile holds the picture and everything is kept, `memory` how many bytes it takes.
    """

    tile: Size
    keep: frozenset[str] = frozenset()
    memory: int = 0
    whole: bool = False

    def __str__(self) -> str:
        pieces = "one piece" if self.whole else f"tiles of {self.tile[1]}x{self.tile[0]}"
        return f"in {pieces}, about {self.memory / 1e9:.1f} GB of memory"

    def tile_for(self, size: Size, channels: int) -> Size:
        """Divide a plane evenly into tiles of about as many values as one of 64 channels has."""
        rows, columns = self.tile
        for _ in range((channels // 64).bit_length() - 1):
            rows, columns = (rows, columns // 2) if columns > rows else (rows // 2, columns)
        return _even_share(size[0], rows), _even_share(size[1], columns)

    def windows(self, size: Size, channels: int) -> list[Window]:
        """Cover a plane with tiles."""
        return grid(size, self.tile_for(size, channels))

    def strips(self, size: Size, channels: int) -> list[Window]:
        """Cover a plane with strips as large as tiles, which need no copying, else with tiles."""
        rows = self.tile[0] * self.tile[1] * 64 // (channels * size[1])
        if rows < LOWEST_STRIP:
            return self.windows(size, channels)
        share = _even_share(size[0], rows)
        return grid(size, (share + -share % TILE, size[1]))


def _even_share(length: int, most: int) -> int:
    return -(-length // -(-length // max(most, 1)))


def make_whole_plan(size: Size, *, budget: int, value: int = 4) -> Plan:
    """Plan one piece, the only way for operators that `stream` cannot take apart.

    Raises OutOfMemory where it does not fit into `budget` bytes.
    """
    plan = _with_memory(Plan(size, frozenset(OPTIONAL), whole=True), size, value)
    if plan.memory <= budget:
        return plan
    raise OutOfMemory(
        f"a picture of {size[1]}x{size[0]} needs {plan.memory / 1e9:.1f} GB of memory in one "
        f"piece, and {budget / 1e9:.1f} GB may be used; the operator of these weights is not "
        "computed in windows: raise --max-memory or make the picture smaller"
    )


def make_plan(size: Size, *, budget: int, value: int = 4, largest: int = 256) -> Plan:
    """Choose the largest tile, then the most useful planes to keep, that fit into `budget` bytes.

    `size` is (height, width) of the picture, `value` the bytes of a value in the convolutions'
    dtype, `largest` the side of the largest tile.

    Raises OutOfMemory where not even the smallest tile fits.
    """
    for side in TILES:
        plan = _with_memory(Plan((side, side)), size, value)
        if side <= largest and plan.memory <= budget:
            for name in OPTIONAL:
                more = _with_memory(replace(plan, keep=plan.keep | {name}), size, value)
                plan = more if more.memory <= budget else plan
            fits = max(size) <= side and plan.keep == OPTIONAL.keys()
            return replace(plan, whole=fits)
    raise OutOfMemory(
        f"a picture of {size[1]}x{size[0]} needs {plan.memory / 1e9:.1f} GB of memory, "
        f"{budget / 1e9:.1f} GB may be used; raise --max-memory, close other programs or make the "
        "picture smaller"
    )


def estimate_memory(size: Size, plan: Plan, *, value: int = 4) -> int:
    """Bound the memory that a process needs for a picture of (height, width), in bytes."""
    height, width = (-(-length // STRIDE) * STRIDE for length in size)
    kept = {name: OPTIONAL[name] * (name in plan.keep) for name in OPTIONAL}
    quarter, eighth, sixteenth = LEVELS
    half = kept["pair1"]
    phases = (
        kept["stem"] + half,
        half + quarter + kept["down2"] + eighth,
        half + quarter + eighth + kept["down3"] + sixteenth,
    )
    rows, columns = min(plan.tile[0], height), min(plan.tile[1], width)
    late = rows * width * (64 if half else 32)  # a row of tiles that waits to be written
    values = height * width * max(phases) + rows * columns * 64 * TENSORS + late
    return PROCESS + int(height * width * (PICTURE + AFFINITY) + values * value)


def parse_bytes(text: str | None) -> int | None:
    """Read an amount of memory: a number with KB, MB, GB or TB, powers of 1000, or KiB..TiB.

    Raises A2UError for anything else.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMGT]?)(i?)B?", text.strip(), re.IGNORECASE)
    if not match:
        raise A2UError(f"--max-memory {text!r} is no amount of memory; expected as 2GB or 800MB")
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** " KMGT".index(prefix.upper() or " "))


def _with_memory(plan: Plan, size: Size, value: int) -> Plan:
    return replace(plan, memory=estimate_memory(size, plan, value=value))
