"""What a resampling operator looks like from outside."""

from collections.abc import Callable
from typing import Any, Protocol, cast

from torch import Tensor, nn


class ResamplingPair(Protocol):
    """What the network asks of a resampling operator; `AffinityPair` is the default."""

    def down(self, x: Tensor) -> tuple[Tensor, Any]: ...

    def up(self, features: Tensor, state: Any) -> Tensor: ...


PairFactory = Callable[[int], nn.Module]


def as_pair(module: nn.Module) -> ResamplingPair:
    """Tell the type checker that a module is a resampling pair."""
    return cast(ResamplingPair, module)
