"""Pictures held on the device as an atlas, and squares sampled from them with antialiasing."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .planes import Pixels
from .random_draws import RandomDraws, constant

LEVELS = 4
CELL = 8  # pixels of a cell in which soft pixels are looked for
COLOURS, ALPHA = slice(0, 3), slice(3, 4)


@dataclass(frozen=True)
class Placement:
    """Which picture of an atlas to sample where: `index` (N), `centre` (N, 2) as x, y in pixels.

    `axes` (N, 2, 2) maps steps of the output to steps in the picture.
    """

    index: Tensor
    centre: Tensor
    axes: Tensor

    def take(self, chosen: Tensor) -> "Placement":
        """Keep some of the samples."""
        return Placement(self.index[chosen], self.centre[chosen], self.axes[chosen])


class Atlas:
    """Square pictures of one kind as uint8 with their halved copies, on the device.

    The first ones come from files and stay; the rendered ones behind them are replaced in turn.
    """

    def __init__(
        self,
        from_files: list[Pixels],
        rendered: list[Pixels],
        capacity: int,
        *,
        device: torch.device,
    ) -> None:
        self.side, channels = rendered[0].shape[0], rendered[0].shape[2]
        self.from_files = self.filled = len(from_files)
        self.capacity = len(from_files) + max(capacity, len(rendered))
        self.mipmaps = torch.zeros(
            (self.capacity, channels, self.side, self.side * 3 // 2),
            dtype=torch.uint8,
            device=device,
        )
        self.soft = torch.zeros((self.capacity, (self.side // CELL) ** 2), device=device)
        # the whole picture at the left, its halved copies below each other beside it
        self.corners = tuple(
            float(place)
            for level in range(LEVELS)
            for place in ((self.side, self.side - 2 * (self.side >> level)) if level else (0, 0))
        )
        self._next = 0
        for pixels in (*from_files, *rendered):
            self.put(pixels)

    def put(self, pixels: Pixels) -> None:
        """Add a picture, in the place of the oldest rendered one when full."""
        slot = self._next
        self._next = self.from_files if slot + 1 == self.capacity else slot + 1
        self.filled = max(self.filled, slot + 1)
        level = self._upload(pixels).permute(2, 0, 1).float()
        soft = ((level[-1:] > 5) & (level[-1:] < 250)).float()
        self.soft[slot] = F.max_pool2d(soft, CELL).flatten() + 1e-6
        for k in range(LEVELS):
            left, top = (int(place) for place in self.corners[2 * k : 2 * k + 2])
            side = level.shape[-1]
            self.mipmaps[slot, :, top : top + side, left : left + side] = level.round().byte()
            level = F.avg_pool2d(level, 2)

    def _upload(self, pixels: Pixels) -> Tensor:
        """Copy to the device without waiting for what it is doing."""
        host = torch.from_numpy(pixels)
        if self.mipmaps.is_cuda:
            host = host.pin_memory()
        return host.to(self.mipmaps.device, non_blocking=True)

    def choose(self, draws: RandomDraws, share: float) -> Tensor:
        """Choose pictures, a `share` of them from files: int64 (N)."""
        rendered = self.from_files + draws.integers(self.filled - self.from_files)
        from_files = draws.chance(share) & (self.from_files > 0)
        return torch.where(from_files, draws.integers(self.from_files), rendered).flatten()

    def sample(self, place: Placement, size: int, planes: slice) -> Tensor:
        """Sample squares of `size` pixels with antialiasing: float32 (N, C, size, size) in [0, 1].

        Pixels outside a picture repeat its edge.
        """
        reach = torch.arange(size, device=self.mipmaps.device) - (size - 1) / 2
        steps = torch.stack(torch.meshgrid(reach, reach, indexing="xy"), -1)  # (size, size, 2)
        points = torch.einsum("nij,yxj->nyxi", place.axes, steps) + place.centre[:, None, None]
        scale = place.axes[:, 0].norm(dim=1)
        level = (scale.log2() - 0.3).ceil().clamp(0, LEVELS - 1).long()
        corners = constant(self.corners, reach.device).view(-1, 2)
        shrink = (0.5**level)[:, None, None, None]
        inside = self.side * shrink - 0.5
        points = (points * shrink).clamp(min=0.5).minimum(inside) + corners[level][:, None, None]
        mipmaps = self.mipmaps[:, planes][place.index].float()
        extent = constant((self.side * 1.5, float(self.side)), reach.device)
        levels = F.grid_sample(mipmaps, 2 * points / extent - 1, align_corners=False)
        return (levels / 255.0).clamp(max=1.0)
