"""The exact pass in bounded memory: stage by stage, window by window, by whole-picture statistics.

A plain tile gives another matte, because every kernel depends on means and moments over the whole
picture. Here these are summed up first, in float64, and handed to each window. What lies at a
quarter of the resolution and below is kept as planes; what lies above is kept or computed again, as
memory allows. Windows carry halos as wide as what they feed needs, so that nothing but rounding
tells the result from the whole picture's. Which stage follows which, and how far each looks, is
said in `network.stages`, for this pass as for the whole network.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..network.folding import Folded
from ..network.model import DecoderStage, DownBlock, MattingNetwork
from ..network.stages import STAGES, walk
from ..operators.affinity import AffinityPair, KernelGenerator, downsample, encode, upsample
from ..operators.fused import encodings
from ..operators.fused.area import TILE, Area
from ..units import STRIDE, FloatArray, Mask, Size, Trimap
from .areas import (
    DECODED,
    leaves_tiles_out,
    needed_areas,
    needed_windows,
    padded_size,
    reach_below,
)
from .pacing import Pace, Tell, unheard
from .plane_statistics import Pools, Sums
from .planning import Plan
from .windows import Window

Read = Callable[[Window], Tensor]  # window -> (1, C, height, width)


@dataclass(frozen=True)
class Plane:
    """A plane (1, C, height, width) read by windows: stored, or computed at each reading."""

    size: Size
    read: Read
    stored: Tensor | None = None

    @classmethod
    def of(cls, tensor: Tensor) -> Self:
        return cls((tensor.shape[2], tensor.shape[3]), partial(_cut, tensor), tensor)


@dataclass(frozen=True)
class Resampling:
    """A kernel generator with the statistics of its whole picture."""

    generator: KernelGenerator
    mean: Tensor  # (1, C, 1, 1)
    affinity: Tensor  # (1, rank, h, w)

    def down(self, fine: Plane) -> Plane:
        def compute(window: Window) -> Tensor:
            outer = window.grow(1)
            kernels = self.generator.down_kernels(_cut(self.affinity, outer), self.mean)
            halved = downsample(fine.read(outer.double()), kernels, groups=self.generator.groups)
            return _crop(halved, window, outer)

        return Plane(_halved(fine.size), compute)

    def up(self, coarse: Plane, needed: Area | None) -> Plane:
        def compute(window: Window) -> Tensor:
            outer = window.halve().grow(1, TILE // 2)
            fine = outer.double()
            area = needed and Area(needed.pixels[fine.rows, fine.columns])
            kernels = self.generator.up_kernels(_cut(self.affinity, outer), self.mean, area)
            groups = self.generator.groups
            doubled = upsample(coarse.read(outer), kernels, groups=groups, needed=area)
            return _crop(doubled, window, fine)

        height, width = coarse.size
        return Plane((2 * height, 2 * width), compute)


def stream(
    network: MattingNetwork,
    image: FloatArray,
    trimap: Trimap,
    plan: Plan,
    *,
    needed: Mask | None = None,
    tell: Tell = unheard,
) -> FloatArray:
    """Give the raw output for one picture, float32 (H, W): what `network` gives, to rounding.

    `image` is float32 (H, W, 3) in [0, 1], `trimap` uint8 (H, W) in {0, 128, 255}, of any size:
    they are mirrored up to the stride. `network` comes from `fold_norms` and its pairs are
    `AffinityPair`s. Work that no pixel in `needed`, bool (H, W), depends on is left out; the
    others may hold anything. `tell` is as in `pacing`.
    """
    areas = needed_areas(trimap.shape, needed)
    windows = needed_windows(areas, plan, tiled=leaves_tiles_out(network))
    picture = Plane(padded_size(trimap.shape), _reader(network, image, trimap))
    pace = Pace(tell, areas)
    matte = walk(WindowedPlanes(network, plan, areas, windows, pace), picture)
    raw = np.zeros(trimap.shape, np.float32)
    for window in pace.over(windows[0]):
        part = raw[window.rows, window.columns]
        values = matte.read(window)[0, 0, : part.shape[0], : part.shape[1]]
        part[...] = values.float().cpu().numpy()
    return raw


def streams(network: MattingNetwork) -> bool:
    """Tell whether all resampling pairs are of the kind that `stream` can take apart."""
    return all(type(pair) is AffinityPair for pair in network.pairs())


def run_whole(
    network: MattingNetwork, image: FloatArray, trimap: Trimap, tell: Tell = unheard
) -> FloatArray:
    """Give what `stream` gives, by the network itself: in one piece, with any resampling pairs."""
    height, width = trimap.shape
    device = network.mean.device
    colours = torch.from_numpy(pad_to_stride(image)).permute(2, 0, 1)[None].to(device)
    known = torch.from_numpy(pad_to_stride(trimap))[None, None].to(device).float() / 255.0
    raw = network(colours, known, Pace(tell).pass_on)[0, 0, :height, :width].float().cpu().numpy()
    return np.asarray(raw, np.float32)


def pad_to_stride(array: npt.NDArray[Any], stride: int = STRIDE) -> npt.NDArray[Any]:
    """Pad (H, W, ...), or (H,), at the bottom and right to multiples of `stride`.

    Mirrors without repeating the edge, again and again where a side is shorter than the pad, as
    numpy's `reflect` does; a side of one pixel is repeated.
    """
    edges = [(0, -length % stride) for length in array.shape[:2]] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, edges, mode="reflect")


def _reader(network: MattingNetwork, image: FloatArray, trimap: Trimap) -> Read:
    """Read the network's input from a picture that is mirrored at the bottom and at the right."""
    height, width = trimap.shape
    rows, columns = (pad_to_stride(np.arange(length)) for length in trimap.shape)
    mean, deviation = (t.flatten().float().cpu().numpy() for t in (network.mean, network.std))
    device, dtype = network.stem.conv.weight.device, cast(Folded, network.stem).dtype

    def read(window: Window) -> Tensor:
        part: tuple[Any, ...] = window.rows, window.columns
        if window.bottom > height or window.right > width:
            part = np.ix_(rows[window.rows], columns[window.columns])
        x = np.empty((window.height, window.width, 4), np.float32)
        colours = image[part]
        for channel in range(3):  # at once, numpy takes three times as long
            plane = x[..., channel]
            np.subtract(colours[..., channel], mean[channel], out=plane)
            plane /= deviation[channel]
        np.divide(trimap[part], np.float32(255), out=x[..., 3])
        return torch.from_numpy(x).permute(2, 0, 1)[None].to(device, dtype)

    return read


class WindowedPlanes:
    """Lead planes through a network window by window (`stages.Way`).

    A stored plane that a stage reads for the last time is overwritten by what the stage gives.
    """

    def __init__(
        self,
        network: MattingNetwork,
        plan: Plan,
        areas: dict[str, Area],
        windows: list[list[Window]],
        pace: Pace,
    ) -> None:
        self.network, self.plan, self.windows, self.pace = network, plan, windows, pace
        self.partly = leaves_tiles_out(network)
        self.areas = {name: a for name, a in areas.items() if self.partly and not a.pixels.all()}

    def run(self, stage: str, x: Plane) -> Plane:
        self.pace.begin(stage)
        module = getattr(self.network, stage)
        if stage == "head":
            return self._partly(stage, module, x)
        return self._keep(stage, module, x)

    def refine(self, stage: str, x: Plane) -> Plane:
        """Run residual blocks over a stored plane, one after the other, in place."""
        blocks, reach = getattr(self.network, stage), STAGES[stage].reach
        self.pace.begin(stage, loops=len(blocks))
        windows = self.plan.windows(x.size, STAGES[stage].channels)
        for block in blocks:
            _replace(x, _convolve(block, x, reach), self.pace.over(windows), reach)
        return x

    def surround(self, stage: str, x: Plane) -> Plane:
        """Run the context over the needed part of a stored plane, with the mean of all of it."""
        self.pace.begin(stage)
        total = Pools(x.size, 1)
        for window in self.plan.windows(x.size, STAGES[stage].channels):
            total.add(x.read(window), window)
        plane = cast(Tensor, x.stored)
        mean = total.mean().to(plane.device, plane.dtype)
        context = partial(self.network.context, mean=mean)
        reach = STAGES[stage].reach
        windows = self.windows[STAGES[stage].level]
        _replace(x, _convolve(context, x, reach), self.pace.over(windows), reach)
        return x

    def halve(self, stage: str, x: Plane) -> tuple[Plane, Resampling]:
        self.pace.begin(stage, loops=3)
        pair = getattr(self.network, stage)
        if stage == "pair1" and stage not in self.plan.keep:  # halved anew wherever it is read
            generator, mean, halve = self._measure(pair, x)
            windows = self.plan.strips(_halved(x.size), 4 * generator.channels)
            (affinity,) = _store(lambda window: halve(window)[:1], self.pace.over(windows))
            resampling = Resampling(generator, mean, affinity)
            return resampling.down(x), resampling
        return self._resample(pair, x)

    def descend(self, stage: str, x: Plane) -> tuple[Plane, Resampling]:
        """Run the first block of a stage, which halves the picture."""
        self.pace.begin(stage, loops=5)
        block: DownBlock = getattr(self.network, stage)
        reach = STAGES[stage].reach
        half, resampling = self._resample(block.pair, self._keep(stage, block.first, x))

        def join(window: Window) -> Tensor:
            outer = window.grow(reach)
            y = block.second(half.read(outer), block.shortcut(x.read(outer.double())))
            return _crop(y, window, outer)

        windows = self.plan.windows(half.size, 2 * STAGES[stage].channels)
        _replace(half, Plane(half.size, join), self.pace.over(windows), reach)
        return half, resampling

    def double(self, stage: str, features: Plane, state: Resampling) -> Plane:
        decoder = DECODED[STAGES[stage].level - 1]
        area = self.areas.get(decoder)
        return state.up(features, area and area.grow(reach_below(decoder)))

    def decode(self, stage: str, doubled: Plane, skip: Plane) -> Plane:
        self.pace.begin(stage)
        decoder: DecoderStage = getattr(self.network, stage)
        decoded = self._partly(stage, decoder, doubled, skip)
        if skip.stored is None:
            return decoded
        windows = self.windows[STAGES[stage].level]
        _replace(skip, decoded, self.pace.over(windows), STAGES[stage].reach)
        return skip

    def _partly(self, stage: str, module: Callable[..., Tensor], *planes: Plane) -> Plane:
        """Run what may leave out all that is not needed, on windows with a halo."""
        whole, reach = self.areas.get(stage), STAGES[stage].reach

        def compute(window: Window) -> Tensor:
            outer = window.grow(reach, TILE)
            area = whole and _within(whole, window, outer)
            part = module(*(plane.read(outer) for plane in planes), needed=area)
            if area and STAGES[stage].level:  # upsampling reads what lies beside, and must not fail
                part.masked_fill_(torch.from_numpy(~area.pixels), 0.0)
            return _crop(part, window, outer)

        return Plane(planes[0].size, compute)

    def _keep(self, stage: str, module: Callable[..., Tensor], x: Plane) -> Plane:
        """Run what keeps the size; store what is read more than once, if the plan has room for it.

        C writes whole strips to their places.
        """
        channels, reach = STAGES[stage].channels, STAGES[stage].reach
        plane = _convolve(module, x, reach)
        if stage not in self.plan.keep:
            return plane
        windows = self.plan.strips(x.size, channels)
        if not self.partly or windows[0].width < x.size[1]:
            (tensor,) = _store(lambda window: (plane.read(window),), self.pace.over(windows))
            return Plane.of(tensor)
        size, last = (1, channels, *x.size), torch.channels_last
        out = torch.empty(size, dtype=torch.float32, device="cpu", memory_format=last)
        everywhere = Area(np.ones(x.size, np.bool_))
        for window in self.pace.over(windows):
            outer = window.grow(reach, TILE)
            area = _within(everywhere, window, outer)
            module(x.read(outer), needed=area, out=out[:, :, outer.rows])
        return Plane.of(out)

    def _resample(self, pair: nn.Module, x: Plane) -> tuple[Plane, Resampling]:
        """Sum up what a pair's kernels depend on, then halve to a stored plane."""
        generator, mean, halve = self._measure(pair, x)
        windows = self.plan.strips(_halved(x.size), 4 * generator.channels)
        affinity, half = _store(halve, self.pace.over(windows))
        return Plane.of(half), Resampling(generator, mean, affinity)

    def _measure(
        self, pair: nn.Module, x: Plane
    ) -> tuple[KernelGenerator, Tensor, Callable[[Window], tuple[Tensor, Tensor]]]:
        """Give the generator, the mean of x, and the way to A and the halved features."""
        generator = cast(AffinityPair, pair).generator
        channels = generator.channels
        pools = Pools(x.size, generator.encode_size)
        for window in self.pace.over(self.plan.windows(x.size, channels)):
            pools.add(x.read(window), window)
        like = generator.norm_u.weight
        wide = torch.promote_types(like.dtype, torch.float32)
        mean = pools.mean().to(like.device, wide)
        u, v = generator.filters(pools.pooled().to(like.device, wide))
        sums = Sums(), Sums()
        strips = self.plan.strips(_halved(x.size), 4 * channels)  # what is read is as large
        for window in self.pace.over(strips):
            outer = window.grow(1)
            fine, (rows, columns) = x.read(outer.double()), window.within(outer)
            if encodings.usable(fine, u):
                parts = encodings.sums(fine, u, v, rows, columns)
                for total, (values, squares) in zip(sums, parts, strict=True):
                    total.add_up(window.height * window.width, values, squares)
                continue
            for encoding, total in zip(encode(fine, u, v), sums, strict=True):
                total.add(encoding[:, :, rows, columns])
        norms = generator.norm_u, generator.norm_v
        of_u, of_v = (
            total.moments(norm.num_groups) for total, norm in zip(sums, norms, strict=True)
        )

        def halve(window: Window) -> tuple[Tensor, Tensor]:
            outer = window.grow(1)
            fine = x.read(outer.double())
            affinity = generator.affinity_of(fine, (u, v), (of_u, of_v))
            kernels = generator.down_kernels(affinity, mean)
            half = downsample(fine, kernels, groups=generator.groups)
            return _crop(affinity, window, outer), _crop(half, window, outer)

        return generator, mean, halve


def _convolve(module: Callable[[Tensor], Tensor], x: Plane, reach: int) -> Plane:
    """Run what keeps the size on windows with a halo."""

    def compute(window: Window) -> Tensor:
        outer = window.grow(reach)
        return _crop(module(x.read(outer)), window, outer)

    return Plane(x.size, compute)


def _within(area: Area, window: Window, outer: Window) -> Area:
    """Give what is needed in a window, in the pixels of a larger one."""
    pixels = np.zeros((outer.height, outer.width), np.bool_)
    pixels[window.within(outer)] = area.pixels[window.rows, window.columns]
    return Area(pixels)


def _store(
    read: Callable[[Window], tuple[Tensor, ...]], windows: Iterable[Window]
) -> tuple[Tensor, ...]:
    """Compute whole planes, window by window."""
    planes: tuple[Tensor, ...] = ()
    for window in windows:
        parts = read(window)
        planes = planes or tuple(
            torch.empty(
                (1, part.shape[1], *window.size),
                dtype=part.dtype,
                device=part.device,
                memory_format=torch.channels_last,
            )
            for part in parts
        )
        for plane, part in zip(planes, parts, strict=True):
            _cut(plane, window).copy_(part)
    return planes


def _replace(plane: Plane, computed: Plane, windows: Iterable[Window], reach: int) -> None:
    """Overwrite a stored plane by one that reads it, up to `reach` beyond each window.

    The windows' tops never descend, so a result is written once no later window can reach it.
    """
    assert plane.stored is not None
    late: deque[tuple[Window, Tensor]] = deque()
    for window in windows:
        while late and late[0][0].bottom <= window.top - reach:
            earlier, part = late.popleft()
            _cut(plane.stored, earlier).copy_(part)
        late.append((window, computed.read(window)))
    for earlier, part in late:
        _cut(plane.stored, earlier).copy_(part)


def _halved(size: Size) -> Size:
    return size[0] // 2, size[1] // 2


def _cut(plane: Tensor, window: Window) -> Tensor:
    return plane[:, :, window.rows, window.columns]


def _crop(part: Tensor, window: Window, outer: Window) -> Tensor:
    """Take a window's values out of those of a larger one."""
    rows, columns = window.within(outer)
    return part[:, :, rows, columns]
