"""Pictures in memory, ready to be sampled: an atlas of bounded size, turned over as steps go by.

Which pictures an atlas holds hangs on the step alone, so that a resumed run sees what it would have
seen.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .planes import Pixels
from .random_draws import RandomDraws

LEVELS = 4
CELL = 8  # pixels of a cell in which soft pixels are looked for
FIRST, GROWTH = 24, 4  # pictures of a source at the first step, and more each step until all fit
STAY = 150  # steps that a picture stays where not all fit
READERS, AHEAD = 2, 16  # threads that read, and pictures that they are ahead
RGB, ALPHA = slice(0, 3), slice(3, 4)


@dataclass(frozen=True)
class Picture:
    """One picture to hold: its name, and how it is read: uint8 (H, W, 3 or 4), straight colour."""

    name: str
    read: Callable[[], Pixels]


@dataclass(frozen=True)
class Source:
    """Pictures of one origin, and the share of samples that are of them, at the start and the end.

    The shares of an atlas's sources count in proportion.
    """

    name: str
    pictures: Sequence[Picture]
    share: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Placement:
    """Which picture of an atlas to sample where: `slot` (N), `centre` (N, 2) as x, y in pixels.

    `axes` (N, 2, 2) maps steps of the output to steps in the picture.
    """

    slot: Tensor
    centre: Tensor
    axes: Tensor

    def take(self, chosen: Tensor) -> "Placement":
        """Keep some of the samples."""
        return Placement(self.slot[chosen], self.centre[chosen], self.axes[chosen])


@dataclass(frozen=True)
class Shelf:
    """The slots of one source: the endless sequence of its pictures goes through them in turn."""

    source: Source
    first: int
    slots: int

    def held(self, step: int) -> dict[int, Picture]:
        """Tell which pictures a step finds, by slot: few at first, so that a run begins at once."""
        count = len(self.source.pictures)
        turned = step * self.slots // STAY if self.slots < count else 0
        end = min(self.slots, FIRST + GROWTH * step) + turned
        return {
            self.first + place % self.slots: self.source.pictures[place % count]
            for place in range(max(0, end - self.slots), end)
        }


class Atlas:
    """Pictures of several sources as RGBA with their halved copies, on a device.

    Pictures may have any size up to `side`. At most `most` of them are held, each source's by its
    share; where not all fit, the next take the place of the oldest, read while a step goes on.
    """

    def __init__(
        self, sources: Sequence[Source], most: int, side: int, *, device: torch.device | str = "cpu"
    ) -> None:
        self.sources = [source for source in sources if source.pictures and max(source.share) > 0]
        self.side, self.device = side, torch.device(device)
        shares = np.array([max(source.share) for source in self.sources])
        room = np.maximum(1, most * shares / shares.sum()).astype(int)
        slots = [min(len(s.pictures), int(n)) for s, n in zip(self.sources, room, strict=True)]
        firsts = [sum(slots[:i]) for i in range(len(slots))]
        self.shelves = [Shelf(*shelf) for shelf in zip(self.sources, firsts, slots, strict=True)]
        self.slots = sum(slots)
        self._corners = [sum((side >> k) ** 2 for k in range(level)) for level in range(LEVELS)]
        area = sum((side >> k) ** 2 for k in range(LEVELS))
        self._texels = torch.zeros(self.slots, area, 4, dtype=torch.uint8, device=self.device)
        self._extent = torch.ones(self.slots, 2, device=self.device)  # width, height
        self._soft = torch.zeros(self.slots, self.cells**2, device=self.device)  # running sums
        self._filled = [0] * len(self.shelves)
        self._held: dict[int, Picture] = {}
        self._coming: dict[int, tuple[Picture, Future[Pixels]]] = {}

    @property
    def cells(self) -> int:
        """The cells of a side in which soft pixels are counted."""
        return -(-self.side // CELL)

    @cached_property
    def _reader(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(READERS, "atlas")

    def advance(self, step: int) -> None:
        """Hold what a step finds, and begin to read what the next one will."""
        self._filled = [len(shelf.held(step)) for shelf in self.shelves]
        missing = list(self._missing(step).items())
        for first in range(0, len(missing), AHEAD):
            some = missing[first : first + AHEAD]
            reading = {slot: self._order(slot, picture) for slot, picture in some}
            for slot, picture in some:
                self._put(slot, reading[slot].result())
                self._held[slot] = picture
        self._coming.clear()
        for slot, picture in self._missing(step + 1).items():
            self._coming[slot] = picture, self._order(slot, picture)

    def _order(self, slot: int, picture: Picture) -> Future[Pixels]:
        """Have a picture read, unless it is coming already."""
        coming, future = self._coming.get(slot, (None, None))
        return future if future and coming is picture else self._reader.submit(picture.read)

    def _missing(self, step: int) -> dict[int, Picture]:
        due = {slot: p for shelf in self.shelves for slot, p in shelf.held(step).items()}
        return {slot: p for slot, p in due.items() if self._held.get(slot) is not p}

    def _put(self, slot: int, pixels: Pixels) -> None:
        """Write a picture and its halved copies, whose colours are averages of what is seen."""
        height, width, channels = pixels.shape
        level = torch.from_numpy(pixels).to(self.device).permute(2, 0, 1).float()
        if channels == 3:
            level = torch.cat([level, torch.full_like(level[:1], 255.0)])
        self._extent[slot] = torch.tensor([width, height], device=self.device)
        soft = ((level[3:] > 5) & (level[3:] < 250)).float()
        cells = F.max_pool2d(soft, CELL, ceil_mode=True)
        room = (0, self.cells - cells.shape[2], 0, self.cells - cells.shape[1])
        self._soft[slot] = (F.pad(cells, room) + 1e-6).flatten().cumsum(0)
        for k, corner in enumerate(self._corners):
            side = self.side >> k
            place = self._texels[slot, corner : corner + side**2].view(side, side, 4)
            place[: level.shape[1], : level.shape[2]] = level.permute(1, 2, 0).round().byte()
            if min(level.shape[1:]) < 2:
                break
            weight = level[3:] + 0.01
            colour = F.avg_pool2d(level[:3] * weight, 2) / F.avg_pool2d(weight, 2)
            level = torch.cat([colour, F.avg_pool2d(level[3:], 2)])

    def choose(self, draws: RandomDraws, done: float) -> Tensor:
        """Choose pictures, sources by their shares when `done` of the run is over: slots (N)."""
        shares = [s.share[0] + (s.share[1] - s.share[0]) * done for s in self.sources]
        bounds = torch.tensor(shares, device=self.device).cumsum(0)
        chosen = torch.bucketize(draws.uniform(0.0, 1.0).flatten() * bounds[-1], bounds, right=True)
        chosen = chosen.clamp(max=len(shares) - 1)
        firsts = torch.tensor([shelf.first for shelf in self.shelves], device=self.device)
        filled = torch.tensor(self._filled, device=self.device)[chosen]
        return firsts[chosen] + draws.integers(filled.view(-1, 1, 1, 1)).flatten()

    def extent(self, slot: Tensor) -> Tensor:
        """Give width and height of pictures in pixels, (N, 2)."""
        return self._extent[slot]

    def soft_places(self, slot: Tensor, draws: RandomDraws) -> Tensor:
        """Draw a place near soft pixels in each picture; x, y in pixels, (N, 2)."""
        sums = self._soft[slot]
        drawn = draws.uniform(0.0, 1.0, 1) * sums[:, -1:]
        cell = torch.searchsorted(sums, drawn).clamp(max=sums.shape[1] - 1)  # (N, 1)
        corner = torch.cat([cell % self.cells, cell // self.cells], 1)
        return (corner + draws.uniform(0.0, 1.0, 2)) * CELL

    def sample(self, place: Placement, size: int, planes: slice) -> Tensor:
        """Sample squares of `size` pixels with antialiasing: float32 (N, C, size, size) in [0, 1].

        Pixels outside a picture repeat its edge.
        """
        scale = place.axes[:, 0].norm(dim=1)
        level = (scale.log2() - 0.3).ceil().clamp(0, LEVELS - 1).long()
        level = level.minimum(self._extent[place.slot].amin(1).log2().floor().long())
        read = self._read if self.device.type == "cpu" else self._gather
        return read(place, level, size, planes)

    def _read(self, place: Placement, level: Tensor, size: int, planes: slice) -> Tensor:
        """Sample on the CPU: OpenCV's affine warp is far faster than any gathering of pixels."""
        out = np.empty((len(level), size, size, 4), np.uint8)
        middle = (size - 1) / 2
        for n, (slot, k) in enumerate(zip(place.slot.tolist(), level.tolist(), strict=True)):
            side, shrink = self.side >> k, 0.5**k
            width, height = (int(length * shrink) for length in self._extent[slot].tolist())
            corner = self._corners[k]
            whole = self._texels[slot, corner : corner + side**2].view(side, side, 4)
            axes = place.axes[n].numpy() * shrink
            centre = place.centre[n].numpy() * shrink - 0.5
            matrix = np.column_stack([axes, centre - axes.sum(1) * middle])
            cv2.warpAffine(
                whole.numpy()[:height, :width],
                matrix.astype(np.float64),
                (size, size),
                dst=out[n],
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
        chosen = torch.from_numpy(out)[..., planes].permute(0, 3, 1, 2)
        return chosen.to(torch.float32, memory_format=torch.contiguous_format).div_(255.0)

    def _gather(self, place: Placement, level: Tensor, size: int, planes: slice) -> Tensor:
        """Sample on any device, all pictures at once."""
        level = level[:, None, None]
        step = torch.arange(size, device=self.device) - (size - 1) / 2
        shrink = 0.5**level
        corners = torch.tensor(self._corners, device=self.device)[level]
        base = place.slot[:, None, None] * self._texels.shape[1] + corners
        pitch = torch.tensor([self.side >> k for k in range(LEVELS)], device=self.device)[level]
        near, far, part = [], [], []
        for axis in range(2):  # x, then y
            along, across = (place.axes[:, axis, i, None, None] for i in range(2))
            centre = place.centre[:, axis, None, None]
            last = (self._extent[place.slot, axis, None, None] * shrink).floor() - 1
            at = (along * step + across * step[:, None] + centre) * shrink - 0.5  # (N, S, S)
            at = at.maximum(torch.zeros_like(last)).minimum(last)
            whole = at.floor()
            part.append(at - whole)
            near.append(whole.long())
            far.append((whole + 1).minimum(last).long())
        texels = self._texels.view(-1, 4).view(torch.int32).squeeze(1)
        rows = [base + y * pitch for y in (near[1], far[1])]
        upper, lower = (
            _unpack(texels[row + near[0]], planes).lerp_(
                _unpack(texels[row + far[0]], planes), part[0]
            )
            for row in rows
        )
        return torch.lerp(upper, lower, part[1]).div_(255.0).transpose(0, 1)


def _unpack(texels: Tensor, planes: slice) -> Tensor:
    """Give some channels of RGBA in int32 (N, S, S), 0 to 255: (C, N, S, S)."""
    channels = range(*planes.indices(4))
    return torch.stack([(texels >> 8 * c & 255).float() for c in channels])
