"""What the kernels depend on of a whole picture, summed up in float64 from its windows."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from ..operators.steady import Moments
from ..units import Size
from .windows import Window, pool_bins


class Pools:
    """The sums of a plane over the bins of an adaptive pooling, in float64, window by window.

    Bins may share a row or a column, so the sums are kept for the pieces between their edges.
    """

    def __init__(self, size: Size, bins: int) -> None:
        self.size = size
        self.bins = [list(pool_bins(length, bins)) for length in size]
        self.edges = [sorted({edge for one in side for edge in one}) for side in self.bins]
        self.sums: Tensor | None = None  # (row pieces, column pieces, C)

    def add(self, x: Tensor, window: Window) -> None:
        """Add a window of the plane, (1, C, height, width)."""
        values = x[0].permute(1, 2, 0)  # (height, width, C)
        wide = torch.promote_types(x.dtype, torch.float32)
        rows, columns = self.edges
        if self.sums is None:
            shape = len(rows) - 1, len(columns) - 1, x.shape[1]
            self.sums = torch.zeros(shape, dtype=torch.float64, device=_device(x))
        pieces = [piece for _, piece in _pieces(columns, window.left, window.right)]
        first = next(number for number, _ in _pieces(columns, window.left, window.right))
        sizes = [piece.stop - piece.start for piece in pieces]
        for number, piece in _pieces(rows, window.top, window.bottom):
            line = values[piece].sum(0, dtype=wide)  # (width, C); a few rows are safe in float32
            line = line.to(self.sums.device, torch.float64)
            sums = torch.stack([part.sum(0) for part in line.split(sizes)])
            self.sums[number, first : first + len(sizes)] += sums

    def mean(self) -> Tensor:
        """Give the mean over the plane, float64 (1, C, 1, 1)."""
        assert self.sums is not None
        return (self.sums.sum((0, 1)) / (self.size[0] * self.size[1])).view(1, -1, 1, 1)

    def pooled(self) -> Tensor:
        """Give the means of the bins, float64 (1, C, bins, bins)."""
        assert self.sums is not None
        rows, columns = (
            torch.tensor(
                [
                    [start <= edge < stop for edge in edges[:-1]]  # the pieces of a bin
                    for start, stop in bins
                ],
                dtype=torch.float64,
                device=self.sums.device,
            )
            / torch.tensor(
                [[stop - start] for start, stop in bins],
                dtype=torch.float64,
                device=self.sums.device,
            )
            for bins, edges in zip(self.bins, self.edges, strict=True)
        )
        return torch.einsum("ir,js,rsc->cij", rows, columns, self.sums)[None]


class Sums:
    """The sum and the sum of squares of each channel, in float64, window by window."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    def add(self, x: Tensor) -> None:
        values = x.to(torch.promote_types(x.dtype, torch.float32)).permute(0, 2, 3, 1)
        count = x.shape[2] * x.shape[3]
        self.add_up(count, _total(values, (0, 1, 2)), _total(values.square(), (0, 1, 2)))

    def add_up(self, count: int, total: Tensor, squares: Tensor) -> None:
        """Add what so many values of each channel, and their squares, amount to: float64 (C)."""
        self.count += count
        self.total = self.total + total
        self.squares = self.squares + squares

    def moments(self, groups: int) -> Moments:
        """Give each channel the mean and the variance of its group."""
        assert isinstance(self.total, Tensor) and isinstance(self.squares, Tensor)
        return Moments.of(self.total[None] / self.count, self.squares[None] / self.count, groups)


def _pieces(edges: list[int], start: int, stop: int) -> Iterator[tuple[int, slice]]:
    """Number the pieces between edges that a range meets, and say where in the range they lie."""
    for number, (low, high) in enumerate(pairwise(edges)):
        if low < stop and high > start:
            yield number, slice(max(low, start) - start, min(high, stop) - start)


def _total(values: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Sum up in float64, in float32 where a device has no wider type."""
    wide = torch.float32 if values.device.type == "mps" else torch.float64
    return values.sum(dims, dtype=wide).to(_device(values), torch.float64)


def _device(x: Tensor) -> torch.device:
    """Say where float64 sums are kept: beside what is summed up, so that nothing waits for them."""
    return torch.device("cpu") if x.device.type == "mps" else x.device
