"""The reference arithmetic of the resampling operators, with unfold where it has CUDA code.

What a reader of the paper would write first, sample by sample; the plainest forms of each step were
timed and the fastest kept. Slow and hungry on purpose: ours is measured against it, and checked.
"""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAK = 0.01


class ReferenceGenerator(nn.Module):
    """Make both kernels of one group and rank one; its state has the names of `KernelGenerator`."""

    def __init__(self, channels: int, *, shared: bool) -> None:
        super().__init__()
        filters = 1 if shared else channels
        self.filter_u = nn.Conv2d(channels, filters, 1)
        self.filter_v = nn.Conv2d(channels, filters, 1)
        self.norm_u = nn.GroupNorm(32, channels)
        self.norm_v = nn.GroupNorm(32, channels)
        self.project_down = nn.Conv2d(channels, 36, 1)
        self.project_up = nn.Conv2d(channels, 36, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give the kernels (1, 36, H/2, W/2) and (1, 9, H, W) for one sample, (1, C, H, W)."""
        channels = x.shape[1]
        pooled = F.adaptive_avg_pool2d(x, 6)
        u = self.filter_u(pooled).view(-1, 1, 6, 6).expand(channels, 1, 6, 6)
        v = self.filter_v(pooled).view(-1, 1, 6, 6).expand(channels, 1, 6, 6)
        a = F.conv2d(x, u, stride=2, padding=2, groups=channels)  # (1, C, H/2, W/2)
        b = F.conv2d(x, v, stride=2, padding=2, groups=channels)
        a, b = F.leaky_relu(self.norm_u(a), LEAK), F.leaky_relu(self.norm_v(b), LEAK)
        affinity = (a * b).sum(1, keepdim=True) / sqrt(channels)  # (1, 1, H/2, W/2)
        mean = F.adaptive_avg_pool2d(x, 1)
        down = torch.softmax(self.project_down(mean) * affinity, 1)  # (1, 36, H/2, W/2)
        up = F.pixel_shuffle(self.project_up(mean) * affinity, 2)  # (1, 9, H, W)
        return down, torch.softmax(torch.sigmoid(up), 1)


class ReferencePair(nn.Module):
    """Stand in for `AffinityPair`: the same state, the same results, the reference's cost."""

    def __init__(self, channels: int, *, shared: bool = True) -> None:
        super().__init__()
        self.generator = ReferenceGenerator(channels, shared=shared)

    def down(self, x: Tensor) -> tuple[Tensor, Tensor]:
        results, states = [], []
        for sample in x.split(1):
            kernels, state = self.generator(sample)
            results.append(unfold_down(sample, kernels))
            states.append(state)
        return torch.cat(results), torch.cat(states)

    def up(self, features: Tensor, state: Tensor) -> Tensor:
        pairs = zip(features.split(1), state.split(1), strict=True)
        return torch.cat([unfold_up(sample, kernels) for sample, kernels in pairs])


def unfold_down(x: Tensor, kernels: Tensor) -> Tensor:
    """Halve (1, C, 2h, 2w) with kernels (1, 36, h, w)."""
    height, width = kernels.shape[-2:]
    windows = F.unfold(x, 6, padding=2, stride=2).view(1, -1, 36, height, width)
    # in place saves a copy as large, but backward needs both factors
    scaled = (
        windows * kernels[:, None] if torch.is_grad_enabled() else windows.mul_(kernels[:, None])
    )
    return scaled.sum(2)  # (1, C, h, w)


def unfold_up(x: Tensor, kernels: Tensor) -> Tensor:
    """Double (1, C, h, w) with kernels (1, 9, 2h, 2w)."""
    height, width = x.shape[-2:]
    windows = F.unfold(x, 3, padding=1).view(1, -1, 9, height, 1, width, 1)
    fine = windows * kernels.view(1, 1, 9, height, 2, width, 2)
    return fine.sum(2).view(1, -1, 2 * height, 2 * width)  # (1, C, 2h, 2w)
