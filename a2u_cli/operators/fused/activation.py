"""A sum and its leaky ReLU in one pass, and their gradient in another; `activation.c`, or torch."""

import ctypes
import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .arguments import Activation
from .library import compiled, library, spread

_WORTH_A_THREAD = 100_000  # values


def leaky_sum_(y: Tensor, plus: Tensor | None, slope: float) -> Tensor:
    """Add `plus`, of y's shape, if there is one; multiply what is negative by `slope` > 0.

    Writes to y and gives it. The sign of the result tells the gradient, which is one tensor for
    both.
    """
    if _usable(y, plus):
        result: Tensor = _LeakySum.apply(y, plus, slope)  # type: ignore[no-untyped-call]
        return result
    return F.leaky_relu(y if plus is None else y.add_(plus), slope, inplace=True)


def _usable(y: Tensor, other: Tensor | None) -> bool:
    """Tell whether C can take them: on the CPU, dense, and laid out alike."""
    return (
        y.device.type == "cpu"
        and y.dtype in (torch.float32, torch.bfloat16)
        and (other is None or (other.dtype == y.dtype and other.stride() == y.stride()))
        and _dense(y)
        and compiled()
    )


def _dense(y: Tensor) -> bool:
    last = y.dim() == 4 and y.is_contiguous(memory_format=torch.channels_last)
    return last or y.is_contiguous()


class _LeakySum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, plus: Tensor | None, slope: float) -> Tensor:
        _activate(y, plus, y, slope)
        ctx.mark_dirty(y)
        ctx.save_for_backward(y)
        ctx.slope, ctx.summed = slope, plus is not None
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (y,) = ctx.saved_tensors
        if _usable(y, grad) and _dense(grad):
            result = torch.empty_like(y)
            _activate(y, grad, result, ctx.slope, backward=True)
        else:
            result = torch.where(y > 0, grad, grad * ctx.slope)
        return result, result if ctx.summed else None, None


def _activate(
    y: Tensor, other: Tensor | None, out: Tensor, slope: float, *, backward: bool = False
) -> None:
    bf16 = y.dtype == torch.bfloat16
    values = y.numel()
    threads = max(1, min(torch.get_num_threads(), values // _WORTH_A_THREAD))
    pointers = (None if t is None else t.data_ptr() for t in (y, other, out))
    fixed = (*pointers, slope)
    jobs = [
        Activation(bf16, backward, values * i // threads, values * (i + 1) // threads, *fixed)
        for i in range(threads)
    ]
    spread(_function(), jobs)


@functools.cache
def _function() -> Any:
    function = library().a2u_activate
    function.argtypes, function.restype = [ctypes.POINTER(Activation)], None
    return function
