"""The fused CUDA form of the resampling operators: Triton kernels on channels-last memory.

Images lie as (n, row, column, channel), kernels as (n, row, column, tap). One program does a tile
of pixels times a block of channels, with every tap unrolled; neighbouring threads hold neighbouring
channels. Gradients are gathered, never scattered: there are no atomics and results are repeatable.
Pixels have 64-bit offsets; only the distance from a window's corner to its taps has 32 bits.

There are three ways to find the weight of a tap: "own", in the kernel of the pixel written;
"source", in the kernel of the pixel read; "shared", in one of a sample's two filters.
"""
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, untyped-decorator"

import torch
import triton  # type: ignore[import-not-found, import-untyped, unused-ignore]
import triton.language as tl  # type: ignore[import-not-found, import-untyped, unused-ignore]
from torch import Tensor

_VALUES = 1024  # of a tile: places times channels
_COLUMNS = 8  # of a tile: squarish tiles read less around them
_CHANNELS = 64  # of a block, at most
_GATHERED = (0, 2, 4)  # DOWN, FILTER, UP_BACKWARD: coarse from fine; the others fine from coarse


@triton.jit
def _place(w, channels, rows: tl.constexpr, columns: tl.constexpr, block: tl.constexpr):
    """Give the sample, rows, columns and channels of this program; places are w in a row."""
    program, across, blocks = tl.program_id(0), tl.cdiv(w, columns), tl.cdiv(channels, block)
    tile, pixel = program // blocks, tl.arange(0, rows * columns)
    i = tile // across * rows + pixel // columns
    j = tile % across * columns + pixel % columns
    c = program % blocks * block + tl.arange(0, block)
    return tl.program_id(1).to(tl.int64), i, j, c


@triton.jit
def _inside(i, j, h, w):
    return (i >= 0) & (i < h) & (j >= 0) & (j < w)


@triton.jit
def _load(at, inside, c, channels):
    some = inside[:, None] & (c < channels)[None, :]
    return tl.load(at, mask=some, other=0.0).to(tl.float32)


@triton.jit
def _store(image, pixel, value, inside, c, channels):
    some = inside[:, None] & (c < channels)[None, :]
    at = image + (pixel * channels)[:, None] + c[None, :]
    tl.store(at, value.to(image.dtype.element_ty), mask=some)


@triton.jit
def _store4(image, pixel, q00, q01, q10, q11, i, j, h, w, c, channels):
    """Store pixels (i, j), (i, j + 1), (i + 1, j) and (i + 1, j + 1) of an h x w image."""
    _store(image, pixel, q00, _inside(i, j, h, w), c, channels)
    _store(image, pixel + 1, q01, _inside(i, j + 1, h, w), c, channels)
    _store(image, pixel + w, q10, _inside(i + 1, j, h, w), c, channels)
    _store(image, pixel + w + 1, q11, _inside(i + 1, j + 1, h, w), c, channels)


@triton.jit
def _collect(
    total, pixels, kernels, coarse, fine, n, i, j, h, w, inside,
    u: tl.constexpr, v: tl.constexpr, a: tl.constexpr, b: tl.constexpr,
    size: tl.constexpr, window: tl.constexpr, way: tl.constexpr,
):  # fmt: skip
    """Add to coarse pixels (i + a, j + b) what pixel (u, v) of the fine windows gives to them."""
    taps: tl.constexpr = size * size
    s: tl.constexpr = u - 2 * a
    t: tl.constexpr = v - 2 * b
    if s >= 0 and s < window and t >= 0 and t < window:
        if way == "shared":
            total += tl.load(kernels + n * taps + s * size + t) * pixels
        elif way == "own":
            weight = kernels + coarse * taps + (a * w + b) * taps + s * size + t
            valid = (i + a < h) & (j + b < w)
            total += tl.load(weight, mask=valid, other=0.0)[:, None] * pixels
        else:  # fine rows 2y and 2y + 1 have the same window of coarse rows
            tap = (size - 1 - s // 2) * size + size - 1 - t // 2
            weight = kernels + fine * taps + (u * 2 * w + v) * taps + tap
            total += tl.load(weight, mask=inside, other=0.0)[:, None] * pixels
    return total


@triton.jit
def _gather(
    x, x2, kernels, kernels2, out, out2, h, w, channels, size: tl.constexpr, way: tl.constexpr,
    rows: tl.constexpr, columns: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Write coarse pixels by twos and twos: weighted sums of the fine windows from 2i - lead on.

    Four windows overlap: a pixel is loaded once for all of them.
    """
    window: tl.constexpr = 2 * size if way == "source" else size
    lead: tl.constexpr = size // 2 * 2 if way == "source" else (size - 1) // 2
    n, i, j, c = _place(tl.cdiv(w, 2), channels, rows, columns, block)
    i, j = 2 * i, 2 * j
    top, left = 2 * i - lead, 2 * j - lead
    coarse, fine = (n * h + i) * w + j, (n * 2 * h + top) * 2 * w + left
    at = x + (fine * channels)[:, None] + c[None, :]
    q00 = tl.zeros((rows * columns, block), tl.float32)
    q01, q10, q11 = q00, q00, q00
    r00, r01, r10, r11 = q00, q00, q00, q00
    k, k2 = kernels, kernels2
    for u in tl.static_range(window + 2):
        for v in tl.static_range(window + 2):
            ok = _inside(top + u, left + v, 2 * h, 2 * w)
            p = _load(at + (u * 2 * w + v) * channels, ok, c, channels)
            q00 = _collect(
                q00, p, k, coarse, fine, n, i, j, h, w, ok, u, v, 0, 0, size, window, way
            )
            q01 = _collect(
                q01, p, k, coarse, fine, n, i, j, h, w, ok, u, v, 0, 1, size, window, way
            )
            q10 = _collect(
                q10, p, k, coarse, fine, n, i, j, h, w, ok, u, v, 1, 0, size, window, way
            )
            q11 = _collect(
                q11, p, k, coarse, fine, n, i, j, h, w, ok, u, v, 1, 1, size, window, way
            )
            if way == "shared":
                r00 = _collect(
                    r00, p, k2, coarse, fine, n, i, j, h, w, ok, u, v, 0, 0, size, window, way
                )
                r01 = _collect(
                    r01, p, k2, coarse, fine, n, i, j, h, w, ok, u, v, 0, 1, size, window, way
                )
                r10 = _collect(
                    r10, p, k2, coarse, fine, n, i, j, h, w, ok, u, v, 1, 0, size, window, way
                )
                r11 = _collect(
                    r11, p, k2, coarse, fine, n, i, j, h, w, ok, u, v, 1, 1, size, window, way
                )
    _store4(out, coarse, q00, q01, q10, q11, i, j, h, w, c, channels)
    if way == "shared":
        _store4(out2, coarse, r00, r01, r10, r11, i, j, h, w, c, channels)


@triton.jit
def _add(
    total, pixels, kernels, fine, coarse, n, w, inside,
    u: tl.constexpr, v: tl.constexpr, a: tl.constexpr, b: tl.constexpr,
    size: tl.constexpr, lead: tl.constexpr, way: tl.constexpr,
):  # fmt: skip
    """Add what pixel (u, v) of the coarse window gives to fine pixels (2i + a, 2j + b)."""
    taps: tl.constexpr = size * size
    if way == "own":
        weight = kernels + fine * taps + (a * 2 * w + b) * taps + u * size + v
        total += tl.load(weight, mask=inside, other=0.0)[:, None] * pixels
    else:
        s: tl.constexpr = a + (size - 1) // 2 - 2 * (u - lead)
        t: tl.constexpr = b + (size - 1) // 2 - 2 * (v - lead)
        if s >= 0 and s < size and t >= 0 and t < size:
            if way == "source":
                weight = kernels + coarse * taps + (u * w + v) * taps + s * size + t
                total += tl.load(weight, mask=inside, other=0.0)[:, None] * pixels
            else:
                total += tl.load(kernels + n * taps + s * size + t) * pixels
    return total


@triton.jit
def _spread(
    x, x2, kernels, kernels2, out, out2, h, w, channels, size: tl.constexpr, way: tl.constexpr,
    rows: tl.constexpr, columns: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Write the four fine pixels of (i, j): weighted sums of the coarse window from i - lead on."""
    lead: tl.constexpr = (size - 1) // 2 if way == "own" else size // 4
    window: tl.constexpr = size if way == "own" else size // 4 + (size + 1) // 4 + 1
    n, i, j, c = _place(w, channels, rows, columns, block)
    valid = _inside(i, j, h, w)
    top, left = i - lead, j - lead
    coarse, fine = (n * h + top) * w + left, (n * 2 * h + 2 * i) * 2 * w + 2 * j
    offset = (coarse * channels)[:, None] + c[None, :]
    q00 = tl.zeros((rows * columns, block), tl.float32)
    q01, q10, q11 = q00, q00, q00
    for u in tl.static_range(window):
        for v in tl.static_range(window):
            inside = valid & _inside(top + u, left + v, h, w)
            near = offset + (u * w + v) * channels
            p = _load(x + near, inside, c, channels)
            q00 = _add(q00, p, kernels, fine, coarse, n, w, inside, u, v, 0, 0, size, lead, way)
            q01 = _add(q01, p, kernels, fine, coarse, n, w, inside, u, v, 0, 1, size, lead, way)
            q10 = _add(q10, p, kernels, fine, coarse, n, w, inside, u, v, 1, 0, size, lead, way)
            q11 = _add(q11, p, kernels, fine, coarse, n, w, inside, u, v, 1, 1, size, lead, way)
            if way == "shared":
                p = _load(x2 + near, inside, c, channels)
                q00 = _add(
                    q00, p, kernels2, fine, coarse, n, w, inside, u, v, 0, 0, size, lead, way
                )
                q01 = _add(
                    q01, p, kernels2, fine, coarse, n, w, inside, u, v, 0, 1, size, lead, way
                )
                q10 = _add(
                    q10, p, kernels2, fine, coarse, n, w, inside, u, v, 1, 0, size, lead, way
                )
                q11 = _add(
                    q11, p, kernels2, fine, coarse, n, w, inside, u, v, 1, 1, size, lead, way
                )
    _store4(out, fine, q00, q01, q10, q11, 2 * i, 2 * j, 2 * h, 2 * w, c, channels)


@triton.jit
def _dots(
    x, grad, out, h, w, height, width, channels, size: tl.constexpr, up: tl.constexpr,
    rows: tl.constexpr, columns: tl.constexpr, block: tl.constexpr, line: tl.constexpr,
):  # fmt: skip
    """Write each pixel's kernel gradient: its gradient times the window of x, over all channels.

    `grad` is h x w, `x` height x width. A row of taps is stored at once, `line` >= `size` wide.
    """
    n, i, j, c = _place(w, channels, rows, columns, block)
    valid = _inside(i, j, h, w)
    top, left = i * 2 - (size - 1) // 2, j * 2 - (size - 1) // 2
    if up:
        top, left = i // 2 - (size - 1) // 2, j // 2 - (size - 1) // 2
    pixel = (n * h + i) * w + j
    at = x + (((n * height + top) * width + left) * channels)[:, None] + c[None, :]
    g = _load(grad + (pixel * channels)[:, None] + c[None, :], valid, c, channels)
    column = tl.arange(0, line)
    for u in tl.static_range(size):
        sums = tl.zeros((rows * columns, line), tl.float32)
        for v in tl.static_range(size):
            inside = valid & _inside(top + u, left + v, height, width)
            pixels = _load(at + (u * width + v) * channels, inside, c, channels)
            sums = tl.where((column == v)[None, :], tl.sum(g * pixels, 1)[:, None], sums)
        to = out + (pixel * size * size)[:, None] + u * size + column[None, :]
        tl.store(to, sums, mask=valid[:, None] & (column < size)[None, :])


@triton.jit
def _filter_dots(
    x, grad, grad2, out, h, w, channels, size: tl.constexpr,
    rows: tl.constexpr, columns: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Write this tile's part of both filters' gradients; `out` is (n, programs, 2, size * size)."""
    taps: tl.constexpr = size * size
    n, i, j, c = _place(w, channels, rows, columns, block)
    valid = _inside(i, j, h, w)
    top, left = 2 * i - (size - 1) // 2, 2 * j - (size - 1) // 2
    pixel = ((n * h + i) * w + j) * channels
    at = x + (((n * 2 * h + top) * 2 * w + left) * channels)[:, None] + c[None, :]
    g = _load(grad + pixel[:, None] + c[None, :], valid, c, channels)
    g2 = _load(grad2 + pixel[:, None] + c[None, :], valid, c, channels)
    to = out + (n * tl.num_programs(0) + tl.program_id(0)) * 2 * taps
    for u in tl.static_range(size):
        for v in tl.static_range(size):
            inside = valid & _inside(top + u, left + v, 2 * h, 2 * w)
            pixels = _load(at + (u * 2 * w + v) * channels, inside, c, channels)
            tl.store(to + u * size + v, tl.sum(g * pixels))
            tl.store(to + taps + u * size + v, tl.sum(g2 * pixels))


def run(
    op: int,
    size: int,
    coarse: Tensor,
    *,
    x: Tensor,
    kernels: Tensor,
    kernels2: Tensor | None = None,
    grad: Tensor | None = None,
    grad2: Tensor | None = None,
    out: Tensor | None = None,
    out2: Tensor | None = None,
) -> list[Tensor]:
    """Do one operation, numbered and with tensors named as in `_affinity.c`.

    `coarse` has the coarse images' shape. Returns the filters' gradients, float64 (N, 2, K*K), in
    a list; an empty list for other operations.
    """
    filters = kernels2 is not None
    if not coarse.numel():  # no programs, and a sum over no channels is zero
        if out2 is not None:
            out2.zero_()
        shape = (len(coarse), 2, size * size)
        return [x.new_zeros(shape, dtype=torch.float64)] if filters and grad is not None else []
    way = "shared" if filters else "own" if grad is None else "source"
    image = x if grad is None else grad
    with torch.cuda.device_of(x):
        if out is not None:
            gathered = op in _GATHERED
            samples, channels, h, w = coarse.shape
            step = 2 if gathered else 1  # coarse pixels between places
            high, wide = triton.cdiv(h, step), triton.cdiv(w, step)
            grid, tile = _tiles(samples, high, wide, channels, _CHANNELS)
            tensors = (image, grad2, kernels, kernels2, out, out2)
            kernel = _gather if gathered else _spread
            kernel[grid](*tensors, h, w, channels, size, way, **tile, num_warps=4)
        if grad is not None and filters:
            return [_filter_gradients(size, x, grad, grad2)]
        if grad is not None and out2 is not None:
            _kernel_gradients(size, x, grad, out2)
    return []


def _kernel_gradients(size: int, x: Tensor, grad: Tensor, out: Tensor) -> None:
    samples, channels, h, w = grad.shape
    grid, tile = _tiles(samples, h, w, channels)
    up, line = h > x.shape[2], triton.next_power_of_2(size)
    _dots[grid](
        x, grad, out, h, w, *x.shape[2:], channels, size, up, line=line, **tile, num_warps=1
    )


def _filter_gradients(size: int, x: Tensor, grad: Tensor, grad2: Tensor | None) -> Tensor:
    """Sum what the programs found; each is one warp, so that a tap's sum needs no barrier."""
    samples, channels, h, w = grad.shape
    grid, tile = _tiles(samples, h, w, channels)
    parts = x.new_empty((samples, grid[0], 2, size * size), dtype=torch.float32)
    _filter_dots[grid](x, grad, grad2, parts, h, w, channels, size, **tile, num_warps=1)
    return parts.sum(1, dtype=torch.float64)


def _tiles(
    samples: int, height: int, width: int, channels: int, most: int | None = None
) -> tuple[tuple[int, int], dict[str, int]]:
    """Cut images of height x width places into tiles, in blocks of at most `most` channels.

    Returns the grid of programs and the numbers of rows, columns and channels of a tile.
    """
    block = triton.next_power_of_2(channels)
    block = min(block, most) if most else block
    places = max(1, _VALUES // block)
    columns = min(_COLUMNS, places)
    rows = places // columns
    tiles = triton.cdiv(height, rows) * triton.cdiv(width, columns)
    grid = (tiles * triton.cdiv(channels, block), samples)
    return grid, {"rows": rows, "columns": columns, "block": block}
