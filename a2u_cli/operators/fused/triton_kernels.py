"""The fused CUDA form of the resampling operators: Triton kernels on channels-last memory.

Images lie as (n, row, column, channel), kernels as (n, row, column, tap). One program does a tile
of pixels times a block of channels, with every tap unrolled; neighbouring threads hold neighbouring
channels. Gradients are gathered, never scattered: there are no atomics and results are repeatable.

All operators and their gradients are sums over a window. `_weigh` weighs the pixels of it, `_dot`
and `_dot_filters` give the gradients of the weights. They differ in the `way` from a pixel to its
window (`_step`), and in the `owner` of the kernel that weighs: the pixel "written", the pixel
"read", or the "sample".

Sizes of images are not compiled in: for training in one dtype there are six variants of `_weigh`,
and for every number of channels two of `_dot` and one of `_dot_filters`. Triton's interpreter gives
the oracle's results, and all compiles for sm_90; nothing has been timed on a GPU. Programs of four
pixels, whose windows overlap, would need about half the instructions.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator"

from math import isqrt

import torch
import triton  # type: ignore[import-not-found, import-untyped, unused-ignore]
import triton.language as tl  # type: ignore[import-not-found, import-untyped, unused-ignore]
from torch import Tensor

from .arguments import Operation

_VALUES = 1024  # of a tile: places times channels
_COLUMNS = 8  # of a tile: squarish tiles read less around them
_CHANNELS = 64  # of a block, at most
_SIZES = ["h", "w", "height", "width"]  # compiled once for all sizes of images
_KINDS = {  # way and owner
    Operation.DOWN: ("down", "written"),
    Operation.UP: ("up", "written"),
    Operation.FILTER: ("down", "sample"),
    Operation.DOWN_BACKWARD: ("down_backward", "read"),
    Operation.UP_BACKWARD: ("up_backward", "read"),
    Operation.FILTER_BACKWARD: ("down_backward", "sample"),
}


@triton.jit
def _step(i, u: tl.constexpr, size: tl.constexpr, way: tl.constexpr):
    """Give the row that output row `i` reads at step `u`, and the kernel's row that weighs it.

    Columns go the same way. A row past the kernel's last weighs nothing.
    """
    lead: tl.constexpr = (size - 1) // 2
    if way == "down":
        row, tap = 2 * i - lead + u, 0 * i + u
    elif way == "up":
        row, tap = i // 2 - lead + u, 0 * i + u
    elif way == "down_backward":  # the coarse rows whose windows hold fine row i
        row, tap = (i + lead) // 2 - u, (i + lead) % 2 + 2 * u
    else:  # the fine rows whose windows hold coarse row i: 2y and 2y + 1 have the same window
        row, tap = 2 * (i + lead - size + 1) + u, 0 * i + size - 1 - u // 2
    return row, tap


@triton.jit
def _place(w, channels, rows: tl.constexpr, columns: tl.constexpr, block: tl.constexpr):
    """Give the sample, rows, columns and channels of this program; an image is w wide."""
    program, across, blocks = tl.program_id(0), tl.cdiv(w, columns), tl.cdiv(channels, block)
    tile, pixel = program // blocks, tl.arange(0, rows * columns)
    i = tile // across * rows + pixel // columns
    j = tile % across * columns + pixel % columns
    c = program % blocks * block + tl.arange(0, block)
    return tl.program_id(1).to(tl.int64), i, j, c  # 64 bits: what follows from n may be large


@triton.jit
def _inside(i, j, h, w):
    return (i >= 0) & (i < h) & (j >= 0) & (j < w)


@triton.jit
def _pixel(image, line, j, c, channels):
    """Give the addresses of channels c of pixels j of a line: (pixels, channels).

    Of the addresses of a window, those of a row differ by 32 bits, and rows by 64.
    """
    return image + (line * channels)[:, None] + ((j * channels)[:, None] + c[None, :])


@triton.jit
def _load(image, line, j, some, c, channels):
    """Load pixels as float32, (pixels, channels); zero where not `some`."""
    mask = some[:, None] & (c < channels)[None, :]
    return tl.load(_pixel(image, line, j, c, channels), mask=mask, other=0.0).to(tl.float32)


@triton.jit
def _store(image, line, j, value, some, c, channels):
    mask = some[:, None] & (c < channels)[None, :]
    tl.store(_pixel(image, line, j, c, channels), value.to(image.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=_SIZES)
def _weigh(
    x, x2, kernels, kernels2, out, out2, h, w, height, width, channels,
    size: tl.constexpr, way: tl.constexpr, owner: tl.constexpr,
    rows: tl.constexpr, columns: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Write `out`, h x w: at each pixel the weighted sum of a window of `x`, height x width.

    With `x2` a sum over both; with `out2` the other kernels' sum over the same window beside it.
    """
    n, i, j, c = _place(w, channels, rows, columns, block)
    line = (n * h + i) * w
    total = tl.zeros((rows * columns, block), tl.float32)
    total2 = total
    half: tl.constexpr = (size + 1) // 2
    steps: tl.constexpr = (
        half if way == "down_backward" else 2 * size if way == "up_backward" else size
    )
    for u in tl.static_range(steps):
        for v in tl.static_range(steps):
            y, row = _step(i, u, size, way)
            z, column = _step(j, v, size, way)
            some = _inside(i, j, h, w) & _inside(y, z, height, width)
            some = some & (row < size) & (column < size)
            far = (n * height + y) * width
            kernel = line + j if owner == "written" else far + z if owner == "read" else n + 0 * far
            tap = kernel * size * size + row * size + column
            pixels = _load(x, far, z, some, c, channels)
            total += tl.load(kernels + tap, mask=some, other=0.0)[:, None] * pixels
            if x2 is not None:
                pixels = _load(x2, far, z, some, c, channels)
                total += tl.load(kernels2 + tap, mask=some, other=0.0)[:, None] * pixels
            if out2 is not None:
                total2 += tl.load(kernels2 + tap, mask=some, other=0.0)[:, None] * pixels
    _store(out, line, j, total, _inside(i, j, h, w), c, channels)
    if out2 is not None:
        _store(out2, line, j, total2, _inside(i, j, h, w), c, channels)


@triton.jit(do_not_specialize=_SIZES)
def _dot(
    x, grad, out, h, w, height, width, channels, size: tl.constexpr, way: tl.constexpr,
    rows: tl.constexpr, columns: tl.constexpr, block: tl.constexpr, stored: tl.constexpr,
):  # fmt: skip
    """Write each pixel's kernel gradient: its gradient times the window of x, over all channels.

    `grad` is h x w, `x` height x width. A row of `stored` >= `size` taps is stored at once.
    """
    n, i, j, c = _place(w, channels, rows, columns, block)
    valid = _inside(i, j, h, w)
    line = (n * h + i) * w
    g = _load(grad, line, j, valid, c, channels)
    tap = tl.arange(0, stored)
    for u in tl.static_range(size):
        sums = tl.zeros((rows * columns, stored), tl.float32)
        for v in tl.static_range(size):
            y, z = _step(i, u, size, way)[0], _step(j, v, size, way)[0]
            some = valid & _inside(y, z, height, width)
            pixels = _load(x, (n * height + y) * width, z, some, c, channels)
            sums = tl.where((tap == v)[None, :], tl.sum(g * pixels, 1)[:, None], sums)
        to = out + ((line + j) * size * size)[:, None] + u * size + tap[None, :]
        tl.store(to, sums, mask=valid[:, None] & (tap < size)[None, :])


@triton.jit(do_not_specialize=_SIZES)
def _dot_filters(
    x, grad, grad2, out, h, w, height, width, channels, size: tl.constexpr,
    rows: tl.constexpr, columns: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Write this tile's part of both filters' gradients; `out` is (n, programs, 2, size * size)."""
    n, i, j, c = _place(w, channels, rows, columns, block)
    valid = _inside(i, j, h, w)
    line = (n * h + i) * w
    g = _load(grad, line, j, valid, c, channels)
    g2 = _load(grad2, line, j, valid, c, channels)
    to = out + (n * tl.num_programs(0) + tl.program_id(0)) * 2 * size * size
    for u in tl.static_range(size):
        for v in tl.static_range(size):
            y, z = _step(i, u, size, "down")[0], _step(j, v, size, "down")[0]
            some = valid & _inside(y, z, height, width)
            pixels = _load(x, (n * height + y) * width, z, some, c, channels)
            tl.store(to + u * size + v, tl.sum(g * pixels))
            tl.store(to + (size + u) * size + v, tl.sum(g2 * pixels))


def weigh(
    operation: Operation, images: list[Tensor], kernels: list[Tensor], outs: list[Tensor]
) -> None:
    """Write weighted sums of windows of `images` to `outs`; of each there are one or two."""
    out, image = outs[0], images[0]
    if not out.numel():
        return
    size = isqrt(kernels[0].shape[1])
    way, owner = _KINDS[operation]
    grid, tile = _tiles(out, _CHANNELS)
    tensors = [(*pair, None)[:2] for pair in (images, kernels, outs)]
    flat = [tensor for pair in tensors for tensor in pair]
    with torch.cuda.device_of(out):
        _weigh[grid](
            *flat, *out.shape[2:], *image.shape[2:], out.shape[1], size, way, owner, **tile,
            num_warps=4,
        )  # fmt: skip


def dot(operation: Operation, x: Tensor, grad: Tensor, out: Tensor) -> None:
    """Write the gradient of the kernels to `out`, for the gradient of the results."""
    if not out.numel():
        return
    if not grad.numel():  # no programs, and a sum over no channels is zero
        out.zero_()
        return
    size = isqrt(out.shape[1])
    way = "up" if operation == Operation.UP_BACKWARD else "down"
    grid, tile = _tiles(grad)
    sizes = (*grad.shape[2:], *x.shape[2:], x.shape[1])
    stored = triton.next_power_of_2(size)
    with torch.cuda.device_of(out):
        _dot[grid](x, grad, out, *sizes, size, way, stored=stored, **tile, num_warps=1)


def dot_filters(x: Tensor, grad: Tensor, grad2: Tensor, size: int) -> Tensor:
    """Give the gradients of two filters, float64 (N, 2, K*K).

    Sums what the programs give; each is one warp, so that a tap's sum needs no barrier.
    """
    if not grad.numel():
        return x.new_zeros((len(x), 2, size * size), dtype=torch.float64)
    grid, tile = _tiles(grad)
    parts = x.new_empty((len(x), grid[0], 2, size * size), dtype=torch.float32)
    sizes = (*grad.shape[2:], *x.shape[2:], x.shape[1])
    with torch.cuda.device_of(x):
        _dot_filters[grid](x, grad, grad2, parts, *sizes, size, **tile, num_warps=1)
    return parts.sum(1, dtype=torch.float64)


def _tiles(image: Tensor, most: int | None = None) -> tuple[tuple[int, int], dict[str, int]]:
    """Cut an image, (N, C, H, W), into tiles, in blocks of at most `most` channels.

    Returns the grid of programs and the numbers of rows, columns and channels of a tile.
    """
    samples, channels, height, width = image.shape
    block = triton.next_power_of_2(channels)
    block = min(block, most) if most else block
    places = max(1, _VALUES // block)
    columns = min(_COLUMNS, places)
    rows = places // columns
    tiles = triton.cdiv(height, rows) * triton.cdiv(width, columns)
    grid = (tiles * triton.cdiv(channels, block), samples)
    return grid, {"rows": rows, "columns": columns, "block": block}
