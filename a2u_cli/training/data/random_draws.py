"""Random numbers for a batch: one draw a sample, from one generator on the batch's device."""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


@cache
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Put a table on a device, once: every copy to a busy device would wait for it."""
    return torch.tensor(values, device=device)


class RandomDraws:
    """Draw for `count` samples at once; results are (count, 1, 1, 1) unless a shape is given."""

    def __init__(self, generator: torch.Generator, count: int) -> None:
        self.generator, self.count, self.device = generator, count, generator.device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Draw evenly from [low, high); (count, *shape) or (count, 1, 1, 1)."""
        full = (self.count, *(shape or (1, 1, 1)))
        return low + (high - low) * torch.rand(full, generator=self.generator, device=self.device)

    def log_uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Draw from [low, high) with even logarithms."""
        return self.uniform(math.log(low), math.log(high), *shape).exp()

    def normal(self, mean: float, deviation: float, *shape: int) -> Tensor:
        """Draw from a normal distribution."""
        full = (self.count, *(shape or (1, 1, 1)))
        drawn = torch.randn(full, generator=self.generator, device=self.device)
        return mean + deviation * drawn

    def chance(self, probability: float) -> Tensor:
        """Say yes with a probability, bool (count, 1, 1, 1)."""
        return self.uniform(0.0, 1.0) < probability

    def choose(self, *values: float) -> Tensor:
        """Take one of some values."""
        table = constant(values, self.device)
        return table[self.integers(len(values)).reshape(-1)].reshape(-1, 1, 1, 1)

    def integers(self, end: int | Tensor) -> Tensor:
        """Draw whole numbers from 0 to `end` - 1, int64."""
        return (self.uniform(0.0, 1.0) * end).long()

    def field(self, cells: int, size: int, channels: int = 1) -> Tensor:
        """Draw smooth noise in [-1, 1], `cells` knots across; (count, channels, size, size)."""
        knots = self.uniform(-1.0, 1.0, channels, cells, cells)
        if cells == 1:
            return knots.expand(-1, -1, size, size)
        return F.interpolate(knots, (size, size), mode="bilinear", align_corners=True)
