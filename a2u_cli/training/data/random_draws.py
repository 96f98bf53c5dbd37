"""Random numbers for a batch: every sample draws from a generator of its own."""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class RandomDraws:
    """Draw for N samples, each what it would draw in any other batch.

    Results are (N, 1, 1, 1) unless a shape is given. The numbers come from the CPU, those of
    `noise` from the device.
    """

    def __init__(
        self, generators: Sequence[np.random.Generator], device: torch.device, tries: int = 1
    ) -> None:
        self.generators, self.device, self.tries = list(generators), device, tries

    @classmethod
    def seeded(
        cls, seed: int, numbers: Sequence[int], device: torch.device | str = "cpu"
    ) -> "RandomDraws":
        """Start the draws of the samples of these numbers."""
        generators = [np.random.default_rng((seed, 5, number)) for number in numbers]
        return cls(generators, torch.device(device))

    @property
    def count(self) -> int:
        """N: the generators, times the tries of each."""
        return len(self.generators) * self.tries

    def trying(self, tries: int) -> "RandomDraws":
        """Draw so many times for each sample, one after the other: (samples * tries, ...)."""
        return RandomDraws(self.generators, self.device, tries)

    def of(self, chosen: Tensor) -> "RandomDraws":
        """Draw on for some samples alone, given by their places."""
        return RandomDraws([self.generators[i] for i in chosen.tolist()], self.device)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Draw evenly from [low, high); (N, *shape) or (N, 1, 1, 1)."""
        full = (self.tries, *(shape or (1, 1, 1)))
        drawn = [g.random(full, dtype=np.float32) for g in self.generators]
        return low + (high - low) * self._joined(drawn, full)

    def log_uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Draw from [low, high) with even logarithms."""
        return self.uniform(math.log(low), math.log(high), *shape).exp()

    def normal(self, mean: float, deviation: float, *shape: int) -> Tensor:
        """Draw from a normal distribution."""
        full = (self.tries, *(shape or (1, 1, 1)))
        drawn = [g.standard_normal(full, dtype=np.float32) for g in self.generators]
        return mean + deviation * self._joined(drawn, full)

    def chance(self, probability: float) -> Tensor:
        """Say yes with a probability, bool (N, 1, 1, 1)."""
        return self.uniform(0.0, 1.0) < probability

    def which(self, probability: float) -> Tensor:
        """Choose each sample with a probability: the places of the chosen, int64, on the CPU."""
        chosen = [g.random() < probability for g in self.generators]
        return torch.tensor([i for i, yes in enumerate(chosen) if yes], dtype=torch.long)

    def choose(self, *values: float) -> Tensor:
        """Take one of some values."""
        return torch.tensor(values, device=self.device)[self.integers(len(values))]

    def integers(self, end: int | Tensor) -> Tensor:
        """Draw whole numbers from 0 to `end` - 1, int64."""
        return (self.uniform(0.0, 1.0) * end).long()

    def field(self, cells: int, size: int, channels: int = 1) -> Tensor:
        """Draw smooth noise in [-1, 1], `cells` knots across; (N, channels, size, size)."""
        knots = self.uniform(-1.0, 1.0, channels, cells, cells)
        if cells == 1:
            return knots.expand(-1, -1, size, size)
        return F.interpolate(knots, (size, size), mode="bilinear", align_corners=True)

    def noise(self, *shape: int) -> Tensor:
        """Draw as many normal numbers as a picture has, on the device: (N, *shape)."""
        drawn = torch.empty(self.count, *shape, device=self.device)
        for generator, plane in zip(self.generators, drawn, strict=True):
            seed = int(generator.integers(2**62))
            plane.normal_(generator=torch.Generator(self.device).manual_seed(seed))
        return drawn

    def _joined(self, drawn: list[np.ndarray], full: tuple[int, ...]) -> Tensor:
        joined = np.concatenate(drawn) if drawn else np.empty((0, *full[1:]), np.float32)
        return torch.from_numpy(joined).to(self.device)
