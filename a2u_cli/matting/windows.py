"""Geometry of the bounded pass: windows of a plane, their halos, and how they cover it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..units import Mask, Size


@dataclass(frozen=True)
class Window:
    """Rows `top` to `bottom` and columns `left` to `right` of a plane of `size`."""

    top: int
    bottom: int
    left: int
    right: int
    size: Size

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def rows(self) -> slice:
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.right)

    def grow(self, margin: int, tile: int = 1) -> "Window":
        """Add a margin on all sides, cut off at the plane's borders.

        It begins where a tile does: then windows of a plane agree on what is one.
        """
        height, width = self.size
        top, left = max(0, self.top - margin), max(0, self.left - margin)
        return replace(
            self,
            top=top - top % tile,
            bottom=min(height, self.bottom + margin),
            left=left - left % tile,
            right=min(width, self.right + margin),
        )

    def double(self) -> "Window":
        """Give the same part of the plane of twice the size."""
        height, width = self.size
        top, bottom, left, right = self.top, self.bottom, self.left, self.right
        return Window(2 * top, 2 * bottom, 2 * left, 2 * right, (2 * height, 2 * width))

    def halve(self) -> "Window":
        """Give the smallest window of the plane of half the size that covers this one."""
        height, width = self.size
        starts, stops = (self.top // 2, self.left // 2), (-(-self.bottom // 2), -(-self.right // 2))
        return Window(starts[0], stops[0], starts[1], stops[1], (height // 2, width // 2))

    def within(self, outer: "Window") -> tuple[slice, slice]:
        """Give the rows and columns of an array over `outer` that are this window's."""
        rows = slice(self.top - outer.top, self.bottom - outer.top)
        return rows, slice(self.left - outer.left, self.right - outer.left)


def grid(size: Size, tile: Size) -> list[Window]:
    """Cut a plane into tiles, row by row; the last of a row and the last row may be smaller."""
    height, width = size
    return [
        Window(top, min(top + tile[0], height), left, min(left + tile[1], width), size)
        for top in range(0, height, tile[0])
        for left in range(0, width, tile[1])
    ]


def cover(needed: Mask, size: Size, tile: Size, block: int) -> list[Window]:
    """Cover the needed blocks of a plane, and no other, with windows of at most `tile`.

    `needed` has one value for each `block` x `block` pixels. The windows do not overlap; their tops
    never descend from one to the next.
    """
    left_over = needed.copy()
    most = [max(1, length // block) for length in tile]
    windows = []
    for row, column in np.argwhere(needed).tolist():
        if left_over[row, column]:
            width = _run(left_over[row, column : column + most[1]])
            rows = left_over[row : row + most[0], column : column + width]
            height = _run(np.asarray(rows.all(1)))
            left_over[row : row + height, column : column + width] = False
            windows.append(
                Window(
                    row * block,
                    min((row + height) * block, size[0]),
                    column * block,
                    min((column + width) * block, size[1]),
                    size,
                )
            )
    return windows


def blocks_with(pixels: Mask, block: int) -> Mask:
    """Mark the blocks of a plane that hold a marked pixel."""
    height, width = pixels.shape
    rows = np.logical_or.reduceat(pixels, np.arange(0, height, block), 0)
    return np.logical_or.reduceat(rows, np.arange(0, width, block), 1)


def pool_bins(length: int, bins: int) -> Iterator[tuple[int, int]]:
    """Give the start and stop of each bin of adaptive pooling; neighbours may share a pixel."""
    for number in range(bins):
        yield number * length // bins, -(-(number + 1) * length // bins)


def _run(flags: Mask) -> int:
    """Count the marked values before the first that is not."""
    return len(flags) if flags.all() else int(flags.argmin())
