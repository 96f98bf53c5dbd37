"""Count parameters and multiply-adds."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


def count_parameters(module: nn.Module) -> int:
    """Count what is learned."""
    return sum(p.numel() for p in module.parameters())


def count_operations(computation: Callable[[], object]) -> int:
    """Count the multiply-adds of what runs: of convolutions, and of products of tensors.

    Run it on meta tensors, and nothing is computed. Activations, norms and sums are not counted.
    """
    from torch.utils.flop_counter import flop_registry  # late: it brings Triton, where there is one

    counter = _Counter(flop_registry)
    with counter:
        computation()
    return counter.total


class _Counter(TorchDispatchMode):
    total: int

    def __init__(self, rules: dict[Any, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rules, self.total = rules, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        if packet in self.rules:
            self.total += self.rules[packet](*args, **(kwargs or {}), out_val=result) // 2
        elif packet is torch.ops.aten.mul:
            self.total += result.numel()
        return result
