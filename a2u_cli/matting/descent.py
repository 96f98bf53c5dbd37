"""What a refinement's system is solved by: how far to go down, and what is tied to what."""

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from .pacing import Tell


@dataclass(frozen=True)
class Descent:
    """How far to go down: until the residual is `tolerance` times that of the start, at most."""

    tolerance: float
    most_rounds: int
    tell: Tell

    def say(self, left: float) -> None:
        """Tell of a round before it; what is left of the residual, above 0, falls by a factor."""
        self.tell(min(1.0, max(0.0, log(left) / log(self.tolerance))))


@dataclass(frozen=True)
class Ties:
    """T: each free pixel's ties to those that look like it, weights and numbers, both (k, n)."""

    weights: NDArray[np.float64]
    others: NDArray[np.int64]
