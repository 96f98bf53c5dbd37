"""The exact pass in bounded memory: stage by stage, window by window, by whole-picture statistics.

A plain tile gives another matte, because every kernel depends on means and moments over the whole
picture. Here these are summed up first, in float64, and handed to each window. What lies at a
quarter of the resolution and below is kept as planes; what lies above is kept or computed again, as
memory allows. Windows carry halos as wide as what they feed needs, so that nothing but rounding
tells the result from the whole picture's.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..network.folding import Folded
from ..network.model import DecoderStage, DownBlock, MattingNetwork
from ..operators.affinity import AffinityPair, KernelGenerator, downsample, encode, upsample
from ..units import STRIDE, Mask, Size
from .plane_statistics import Pools, Sums
from .planning import Plan
from .windows import Window, blocks_with, cover, touched

Read = Callable[[Window], Tensor]  # window -> (1, C, height, width)
# How far an output looks beyond its own place, in its own pixels.
STEM, BLOCK, CONTEXT, DECODER, HEAD = 3, 2, 18, 5, 2
CHANNELS = (64, 64, 64, 128, 256)  # of what is decoded at 1, 1/2, 1/4, 1/8 and 1/16
MARGINS = (DECODER + HEAD, DECODER, DECODER, DECODER, CONTEXT)
GRAINS = (16, 32, 64, 128, 256, 512)  # sides of the blocks that are left out or computed
OVERHEADS = (4096, 1024, 768, 256, 256)  # what starting on a window costs, in its level's pixels


@dataclass(frozen=True)
class _Resampling:
    """A kernel generator with the statistics of its whole picture."""

    generator: KernelGenerator
    mean: Tensor  # (1, C, 1, 1)
    affinity: Tensor  # (1, rank, h, w)

    def down(self, read: Read) -> Read:
        def compute(window: Window) -> Tensor:
            outer = window.grow(1)
            kernels = self.generator.down_kernels(_cut(self.affinity, outer), self.mean)
            fine = read(outer.double())
            return _crop(downsample(fine, kernels, groups=self.generator.groups), window, outer)

        return compute

    def up(self, read: Read) -> Read:
        def compute(window: Window) -> Tensor:
            outer = window.halve().grow(1)
            kernels = self.generator.up_kernels(_cut(self.affinity, outer), self.mean)
            fine = upsample(read(outer), kernels, groups=self.generator.groups)
            return _crop(fine, window, outer.double())

        return compute


def stream(
    network: MattingNetwork,
    image: npt.NDArray[np.float32],
    trimap: npt.NDArray[np.uint8],
    plan: Plan,
    *,
    needed: Mask | None = None,
) -> npt.NDArray[np.float32]:
    """Give the raw output for one picture, float32 (H, W): what `network` gives, to rounding.

    `image` is float32 (H, W, 3) in [0, 1], `trimap` uint8 (H, W) in {0, 128, 255}, of any size:
    they are mirrored up to the stride. `network` comes from `fold_norms` and its pairs are
    `AffinityPair`s. Work that no pixel in `needed`, bool (H, W), depends on is left out; the
    others may hold anything.
    """
    height, width = (-(-length // STRIDE) * STRIDE for length in trimap.shape)
    sizes = [(height >> level, width >> level) for level in range(5)]
    picture = _picture(network, image, trimap)
    stem = again = _convolve(network.stem, picture, STEM)
    if "stem" in plan.keep:
        stem = _keep(stem, plan.strips(sizes[0], 64))
    half: Tensor | None = None
    if "half" in plan.keep:
        pair1, half = _resample(network.pair1, stem, sizes[1], plan)
        shallow = _kept(half)
    else:
        pair1 = _prepare(network.pair1, stem, sizes[1], plan)
        shallow = pair1.down(again)
    del stem
    pair2, level1 = _resample(network.pair2, shallow, sizes[2], plan)
    _refine(network.stage1, level1, plan)
    pair3, level2 = _descend(network.down2, level1, plan, keep="second" in plan.keep)
    _refine(network.stage2, level2, plan)
    pair4, level3 = _descend(network.down3, level2, plan, keep="third" in plan.keep)
    _refine(network.stage3, level3, plan)

    windows = _wanted(needed, sizes, plan)
    _replace(level3, _context(network, level3, plan), windows[4], CONTEXT)
    y = _decode(network.decoder4, pair4.up(_kept(level3)), _kept(level2))
    _replace(level2, y, windows[3], DECODER)
    del level3, pair4
    y = _decode(network.decoder3, pair3.up(_kept(level2)), _kept(level1))
    _replace(level1, y, windows[2], DECODER)
    del level2, pair3
    y = _decode(network.decoder2, pair2.up(_kept(level1)), shallow)
    if half is not None:
        _replace(half, y, windows[1], DECODER)
        y = _kept(half)
    y = _decode(network.decoder1, pair1.up(y), picture)
    y = _convolve(nn.Sequential(network.head, network.smooth), y, HEAD)
    raw = np.zeros(trimap.shape, np.float32)
    for window in windows[0]:
        part = raw[window.rows, window.columns]
        part[...] = y(window)[0, 0, : part.shape[0], : part.shape[1]].float().cpu().numpy()
    return raw


def streams(network: MattingNetwork) -> bool:
    """Tell whether all four resampling pairs are of the kind that `stream` can take apart."""
    pairs = (network.pair1, network.pair2, network.down2.pair, network.down3.pair)
    return all(type(pair) is AffinityPair for pair in pairs)


def run_whole(
    network: MattingNetwork, image: npt.NDArray[np.float32], trimap: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
    """Give what `stream` gives, with any resampling pairs, in one piece and as much memory."""
    height, width = trimap.shape
    device = network.mean.device
    x = torch.from_numpy(pad_to_stride(image)).permute(2, 0, 1)[None].to(device)
    known = torch.from_numpy(pad_to_stride(trimap))[None, None].to(device).float() / 255.0
    raw = network(x, known)[0, 0, :height, :width].float().cpu().numpy()
    return np.asarray(raw, np.float32)


def pad_to_stride(array: npt.NDArray[Any], stride: int = STRIDE) -> npt.NDArray[Any]:
    """Pad (H, W, ...), or (H,), at the bottom and right to multiples of `stride`.

    Mirrors without repeating the edge, again and again where a side is shorter than the pad, as
    numpy's `reflect` does; a side of one pixel is repeated.
    """
    edges = [(0, -length % stride) for length in array.shape[:2]] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, edges, mode="reflect")


def _wanted(needed: Mask | None, sizes: list[Size], plan: Plan) -> list[list[Window]]:
    """Cover, on each level from the full resolution down, what the needed pixels depend on."""
    pixels = np.ones(sizes[0], np.bool_) if needed is None else needed
    mark: Callable[[Size, int], Mask] = partial(blocks_with, pixels)
    found = []
    levels = zip(sizes, CHANNELS, MARGINS, OVERHEADS, strict=True)
    for size, channels, margin, overhead in levels:
        tile = plan.tile_for(size, channels)
        blocks = {min(grain, *tile) for grain in GRAINS}
        ways = [cover(mark(size, block), size, tile, block) for block in sorted(blocks)]
        windows = min(ways, key=partial(_cost, margin=margin, overhead=overhead))
        found.append(windows)
        mark = partial(touched, [w.grow(margin).halve().grow(1) for w in windows])
    return found


def _cost(windows: list[Window], margin: int, overhead: int) -> int:
    """Tell what windows cost, in pixels: their own, their margins' and those of starting."""
    return sum((w.height + 2 * margin) * (w.width + 2 * margin) + overhead for w in windows)


def _picture(
    network: MattingNetwork, image: npt.NDArray[np.float32], trimap: npt.NDArray[np.uint8]
) -> Read:
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
        np.subtract(image[part], mean, out=x[..., :3])
        x[..., :3] /= deviation
        np.divide(trimap[part], np.float32(255), out=x[..., 3])
        return torch.from_numpy(x).permute(2, 0, 1)[None].to(device, dtype)

    return read


def _convolve(module: nn.Module, read: Read, reach: int) -> Read:
    """Run a module that keeps the size on windows with a halo."""

    def compute(window: Window) -> Tensor:
        outer = window.grow(reach)
        return _crop(module(read(outer)), window, outer)

    return compute


def _decode(stage: DecoderStage, doubled: Read, skip: Read) -> Read:
    def compute(window: Window) -> Tensor:
        outer = window.grow(DECODER)
        return _crop(stage(doubled(outer), skip(outer)), window, outer)

    return compute


def _context(network: MattingNetwork, plane: Tensor, plan: Plan) -> Read:
    total = Pools(_size(plane), 1)
    for window in plan.windows(_size(plane), plane.shape[1]):
        total.add(_cut(plane, window), window)
    mean = total.mean().to(plane.dtype).to(plane.device)

    def compute(window: Window) -> Tensor:
        outer = window.grow(CONTEXT)
        return _crop(network.context(_cut(plane, outer), mean), window, outer)

    return compute


def _refine(stage: nn.Sequential, plane: Tensor, plan: Plan) -> None:
    """Run residual blocks over a plane, one after the other, in place."""
    windows = plan.windows(_size(plane), plane.shape[1])
    for block in stage:
        _replace(plane, _convolve(block, _kept(plane), BLOCK), windows, BLOCK)


def _descend(
    block: DownBlock, plane: Tensor, plan: Plan, *, keep: bool
) -> tuple[_Resampling, Tensor]:
    """Run the first block of a stage, which halves the picture."""
    height, width = _size(plane)
    fine = _convolve(block.first, _kept(plane), 1)
    channels = block.first.conv.out_channels
    if keep:
        fine = _keep(fine, plan.windows((height, width), channels))
    resampling, half = _resample(block.pair, fine, (height // 2, width // 2), plan)

    def join(window: Window) -> Tensor:
        outer = window.grow(1)
        y = block.second(_cut(half, outer), block.shortcut(_cut(plane, outer.double())))
        return _crop(y, window, outer)

    _replace(half, join, plan.windows((height // 2, width // 2), 2 * channels), 1)
    return resampling, half


def _resample(pair: nn.Module, read: Read, size: Size, plan: Plan) -> tuple[_Resampling, Tensor]:
    """Sum up what a pair's kernels depend on, then halve to a plane of `size`."""
    generator, mean, halve = _measure(pair, read, size, plan)
    affinity, half = _store(halve, plan.strips(size, 4 * generator.channels))
    return _Resampling(generator, mean, affinity), half


def _prepare(pair: nn.Module, read: Read, size: Size, plan: Plan) -> _Resampling:
    """Sum up what a pair's kernels depend on, and leave the halving for later."""
    generator, mean, halve = _measure(pair, read, size, plan)
    windows = plan.strips(size, 4 * generator.channels)
    (affinity,) = _store(lambda window: halve(window)[:1], windows)
    return _Resampling(generator, mean, affinity)


def _measure(
    pair: nn.Module, read: Read, size: Size, plan: Plan
) -> tuple[KernelGenerator, Tensor, Callable[[Window], tuple[Tensor, Tensor]]]:
    """Give the generator, the mean of what is read, and the way to A and the halved features."""
    generator = cast(AffinityPair, pair).generator
    channels = generator.channels
    fine = 2 * size[0], 2 * size[1]
    pools = Pools(fine, generator.encode_size)
    for window in plan.windows(fine, channels):
        pools.add(read(window), window)
    like = generator.norm_u.weight
    wide = torch.promote_types(like.dtype, torch.float32)
    mean = pools.mean().to(wide).to(like.device)
    u, v = generator.filters(pools.pooled().to(wide).to(like.device))
    sums = Sums(), Sums()
    for window in plan.strips(size, 4 * channels):  # what is read is four times as large
        outer = window.grow(1)
        for encoding, total in zip(encode(read(outer.double()), u, v), sums, strict=True):
            total.add(_crop(encoding, window, outer))
    moments = (
        sums[0].moments(generator.norm_u.num_groups),
        sums[1].moments(generator.norm_v.num_groups),
    )

    def halve(window: Window) -> tuple[Tensor, Tensor]:
        outer = window.grow(1)
        x = read(outer.double())
        affinity = generator.affinity_with(*encode(x, u, v), moments)
        half = downsample(x, generator.down_kernels(affinity, mean), groups=generator.groups)
        return _crop(affinity, window, outer), _crop(half, window, outer)

    return generator, mean, halve


def _store(
    read: Callable[[Window], tuple[Tensor, ...]], windows: list[Window]
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


def _replace(plane: Tensor, read: Read, windows: list[Window], reach: int) -> None:
    """Compute a plane in place of one that is read on the way, up to `reach` beyond each window.

    The windows' tops never descend, so a result is written once no later window can reach it.
    """
    late: deque[tuple[Window, Tensor]] = deque()
    for window in windows:
        while late and late[0][0].bottom <= window.top - reach:
            done, part = late.popleft()
            _cut(plane, done).copy_(part)
        late.append((window, read(window)))
    for done, part in late:
        _cut(plane, done).copy_(part)


def _keep(read: Read, windows: list[Window]) -> Read:
    """Compute a plane once and read it from there."""
    (plane,) = _store(lambda window: (read(window),), windows)
    return _kept(plane)


def _kept(plane: Tensor) -> Read:
    return lambda window: _cut(plane, window)


def _size(plane: Tensor) -> Size:
    return plane.shape[2], plane.shape[3]


def _cut(plane: Tensor, window: Window) -> Tensor:
    return plane[:, :, window.rows, window.columns]


def _crop(part: Tensor, window: Window, outer: Window) -> Tensor:
    """Take a window's values out of those of a larger one."""
    rows, columns = window.within(outer)
    return part[:, :, rows, columns]
