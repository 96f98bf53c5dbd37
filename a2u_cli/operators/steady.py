"""Operations that give the same bytes in any number of threads; torch's own do not, on a CPU.

Its group norm sums up by threads, its sigmoid takes another way where a thread's share ends, and
its 1x1 convolutions cut long sums by the number of threads. Where gradients are wanted, and on
other devices, it is torch's form.
"""

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

FEW = 64  # pixels: so few are convolved in float64, whose rounding is lost in float32
PART = 256  # channels that are summed up at once


@dataclass(frozen=True)
class Moments:
    """Mean and biased variance of each channel's GroupNorm group, both (N, C, 1, 1)."""

    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, mean: Tensor, square: Tensor, groups: int) -> Self:
        """Take the means of each channel's values and of their squares, both (N, C)."""
        mean, square = (
            each.unflatten(1, (groups, -1)).mean(2).repeat_interleave(each.shape[1] // groups, 1)
            for each in (mean, square)
        )
        mean, square = mean[..., None, None], square[..., None, None]
        return cls(mean, (square - mean.square()).clamp(min=0))


def applies(x: Tensor) -> bool:
    """Tell whether another form than torch's is taken."""
    return x.device.type == "cpu" and not (torch.is_grad_enabled() and x.requires_grad)


def measure(x: Tensor, groups: int) -> Moments:
    """Measure what a GroupNorm goes by, of (N, C, H, W), in float64."""
    values = x.to(torch.promote_types(x.dtype, torch.float32)).permute(0, 2, 3, 1)
    sums = (part.sum((1, 2), dtype=torch.float64) for part in (values, values.square()))
    mean, square = (total / (x.shape[2] * x.shape[3]) for total in sums)
    return Moments.of(mean, square, groups)


def sigmoid(x: Tensor) -> Tensor:
    """Give 1 / (1 + exp(-x))."""
    if not applies(x):
        return x.sigmoid()
    return x.neg().exp_().add_(1).reciprocal_()


def convolve_point(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve (N, C, H, W) with 1x1 filters (outputs, C, 1, 1)."""
    if not applies(x) or x.dtype != torch.float32:
        return F.conv2d(x, weight, bias)
    if x.shape[2] * x.shape[3] <= FEW:
        wide = None if bias is None else bias.double()
        return F.conv2d(x.double(), weight.double(), wide).float()
    x = x.contiguous(memory_format=torch.channels_last)
    parts = zip(x.split(PART, 1), weight.split(PART, 1), strict=True)
    first, *others = parts
    total = F.conv2d(*first, bias)
    for part in others:
        total += F.conv2d(*part)
    return total
