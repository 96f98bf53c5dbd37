"""What is kept to measure with, and never trained on: seeds, and photographs by their names."""

import zlib
from pathlib import PurePath

from .scenes import KINDS

FIRST_SEED = 900_000  # of every kind: from here on
ONE_IN = 8  # photographs


def is_held_out_render(name: str) -> bool:
    """Tell whether a file's name is that of a held out seed, such as hair_900003.webp."""
    kind, _, seed = PurePath(name).stem.rpartition("_")
    return kind in KINDS and seed.isdecimal() and int(seed) >= FIRST_SEED


def is_held_out_photograph(name: str) -> bool:
    """Tell whether a photograph is one of those held out, by the name of its file alone."""
    return zlib.crc32(PurePath(name).name.encode(errors="surrogatepass")) % ONE_IN == 0
