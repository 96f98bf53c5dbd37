"""Which part of a plane is needed: its pixels, and the 4x4 tiles that the C forms write."""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import numpy.typing as npt

from ...units import Mask

TILE = 4  # as in winograd.c and resampling.c


@dataclass(frozen=True, eq=False)
class Area:
    """The needed pixels of a plane, bool (H, W).

    A result that is asked for in an area may hold anything outside of it, and what it is computed
    from needs to be there in the area `around` it, one pixel wider.
    """

    pixels: Mask

    def grow(self, margin: int) -> "Area":
        """Add a margin of so many pixels on all sides."""
        return self if margin == 0 else self.around.grow(margin - 1)

    @cached_property
    def around(self) -> "Area":
        rows = self.pixels.copy()
        rows[1:] |= self.pixels[:-1]
        rows[:-1] |= self.pixels[1:]
        wide = rows.copy()
        wide[:, 1:] |= rows[:, :-1]
        wide[:, :-1] |= rows[:, 1:]
        return Area(wide)

    def halve(self) -> "Area":
        """Give the pixels of the plane of half the size that lie under these."""
        return Area(_any(self.pixels, 2))

    @cached_property
    def known(self) -> npt.NDArray[np.uint8]:
        """Whether any pixel of a tile is needed, for every tile."""
        return _any(self.pixels, TILE).astype(np.uint8)

    @cached_property
    def tiles(self) -> npt.NDArray[np.int32]:
        """The numbers of the tiles that hold a needed pixel, row by row."""
        return cast(npt.NDArray[np.int32], np.flatnonzero(self.known).astype(np.int32))

    def under(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows and columns of the pixels, at half the size, that lie under the tiles."""
        height, width = self.pixels.shape
        side = TILE // 2
        coarse = self.known.repeat(side, 0).repeat(side, 1)[: height // 2, : width // 2]
        rows, columns = np.nonzero(coarse)
        return rows, columns


def _any(pixels: Mask, side: int) -> Mask:
    """Join blocks of so many pixels a side to one; the last may be smaller."""
    rows = pixels[::side].copy()
    for row in range(1, side):
        part = pixels[row::side]
        rows[: len(part)] |= part
    joined = rows[:, ::side].copy()
    for column in range(1, side):
        part = rows[:, column::side]
        joined[:, : part.shape[1]] |= part
    return joined
