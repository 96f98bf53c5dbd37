"""How long and how to train."""

import math
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from ..errors import A2UError
from .data.engine import Request

MOST_SIZE, MOST_SEED = 2048, 2**32 - 1


@dataclass(frozen=True)
class TrainOptions:
    """How long and how to train.

    `steps` optimiser steps, or as many as go into `minutes`, each over about `batch` *
    `sizes[0]`^2 pixels: crops grow through `sizes` at the shares of training in `growth`, and
    batches shrink. The rate rises over `warmup` steps and falls over the last `decay` of all; the
    average of the weights keeps `average` of itself a step. `span` is the part of the whole
    training that these steps are, where it is done in several runs: samples get harder with it.
    `frozen_norms` keeps the batch norms' statistics, which small batches would only blur.
    What is None follows from the rest: `filled`.
    """

    steps: int = 2000
    minutes: float | None = None
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
    frozen_norms: bool = False

    def __post_init__(self) -> None:
        fit = self.sizes and all(size % 16 == 0 and 16 <= size <= MOST_SIZE for size in self.sizes)
        shares = self.grows_at
        rises = all(a <= b for a, b in pairwise((0.0, *shares, 1.0)))
        if not fit or len(shares) != len(self.sizes) - 1 or not rises:
            raise A2UError(
                f"crop sizes {self.sizes} at {self.growth}: expected multiples of 16 from 16 to "
                f"{MOST_SIZE}, and one share of training fewer than sizes, rising from 0 to 1"
            )
        if not 0 <= self.seed <= MOST_SEED:
            raise A2UError(f"seed {self.seed} was asked for, expected 0 to {MOST_SEED}; choose one")
        for name in ("learning_rate", "minutes"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise A2UError(f"{name} is {value}, expected a number from 0; choose one")

    @property
    def grows_at(self) -> tuple[float, ...]:
        """The shares of training at which the next size begins: evenly, unless told."""
        if self.growth is not None:
            return self.growth
        return tuple(i / len(self.sizes) for i in range(1, len(self.sizes)))

    @property
    def warmup_steps(self) -> int:
        """The steps over which the rate rises: a tenth of all, 100 at most, unless told."""
        if self.warmup is not None:
            return self.warmup
        return 100 if self.minutes else min(100, self.steps // 10)

    @property
    def average_kept(self) -> float:
        """What the average keeps of itself; unless told, it looks back over a fifth of the steps.

        That is 200 steps at most.
        """
        if self.average is not None:
            return self.average
        if self.minutes:
            return 1 - 1 / 200
        return 1 - 1 / max(1, min(200, self.steps // 5))

    def filled(self) -> dict[str, Any]:
        """Give all options by name, with what follows from others filled in."""
        return asdict(self) | {
            "growth": self.grows_at,
            "warmup": self.warmup_steps,
            "average": self.average_kept,
        }

    def request(self, step: int, share: float) -> Request:
        """Tell which samples make up a step, at a share of the run; no two steps share a number."""
        progress = self.span[0] + share * (self.span[1] - self.span[0])
        size = self.sizes[sum(share >= limit for limit in self.grows_at)]
        first = step * max(self.crops)
        count = self.crops[self.sizes.index(size)]
        return Request(step, range(first, first + count), size, progress, share)

    @property
    def crops(self) -> tuple[int, ...]:
        """The crops of a step at each size: as many as cost what `batch` of the first cost."""
        return tuple(max(2, round(self.batch * (self.sizes[0] / s) ** 2)) for s in self.sizes)

    def rate(self, step: int, share: float) -> float:
        """Give the learning rate of a step at a share of the run.

        A linear warm-up, level, then a cosine to a hundredth.
        """
        rise = min(1.0, (step + 1) / max(1, self.warmup_steps))
        warm = 0.0 if self.minutes else self.warmup_steps / self.steps
        start = max(warm, 1.0 - self.decay)
        fallen = min(1.0, max(0.0, share - start) / max(1e-9, 1.0 - start))
        return self.learning_rate * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fallen)))
