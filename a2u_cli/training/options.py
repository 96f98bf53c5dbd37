"""How long and how to train."""

import math
from dataclasses import dataclass

from ..errors import A2UError
from .data.samples import Request


@dataclass(frozen=True)
class TrainOptions:
    """How long and how to train.

    `steps` optimiser steps, each over about `batch` * `sizes[0]`^2 pixels: crops grow through
    `sizes` at the shares of training in `growth` (evenly where it is None), and batches shrink.
    Unless told, the rate rises over a tenth of the steps, 100 at most, and the average of the
    weights looks back over a fifth of them, 200 at most. The rate falls over the last `decay` of
    the steps. `span` is the part of the whole training that these steps are, where it is done in
    several runs: samples get harder with it.
    """

    steps: int = 2000
    batch: int = 16
    sizes: tuple[int, ...] = (96, 144, 208)
    growth: tuple[float, ...] | None = None
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    warmup: int | None = None
    decay: float = 1.0
    span: tuple[float, float] = (0.0, 1.0)
    clip: float = 1.0
    average: float | None = None
    seed: int = 0
    save_every: int = 50
    bfloat16: bool = False

    def __post_init__(self) -> None:
        if self.growth is None:
            even = tuple(i / len(self.sizes) for i in range(1, len(self.sizes)))
            object.__setattr__(self, "growth", even)
        if self.warmup is None:
            object.__setattr__(self, "warmup", min(100, self.steps // 10))
        if self.average is None:
            object.__setattr__(self, "average", 1 - 1 / max(1, min(200, self.steps // 5)))
        if len(self.growth or ()) != len(self.sizes) - 1 or any(size % 16 for size in self.sizes):
            raise A2UError(
                f"crop sizes {self.sizes} at {self.growth}: expected multiples of 16 and one share "
                "of training fewer than sizes"
            )

    def requests(self, step: int) -> list[Request]:
        """Tell which samples make up a step."""
        share = step / self.steps
        progress = self.span[0] + share * (self.span[1] - self.span[0])
        size = self.sizes[sum(share >= limit for limit in self.growth or ())]
        count = max(2, round(self.batch * (self.sizes[0] / size) ** 2))
        return [Request(step * self.batch + i, size, progress) for i in range(count)]

    def rate(self, step: int) -> float:
        """Give the learning rate of a step: linear warm-up, level, a cosine to a hundredth."""
        warmup = self.warmup or 0
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        start = max(warmup, round(self.steps * (1.0 - self.decay)))
        share = min(1.0, max(0.0, (step - start) / max(1, self.steps - start)))
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))
