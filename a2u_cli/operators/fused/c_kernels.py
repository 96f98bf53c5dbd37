"""The fused CPU form of the resampling operators: `resampling.c` by ctypes, split over threads.

The same three functions as in `triton_kernels.py`. Tensors lie on the CPU, channels last.
"""

import ctypes
from collections.abc import Sequence
from math import isqrt

import torch
from torch import Tensor

from .area import Area
from .arguments import Operation, Resampling
from .library import library, spread

_WORTH_A_THREAD = 4_000_000  # products; about a millisecond of one core


def weigh(
    operation: Operation,
    images: list[Tensor],
    kernels: list[Tensor],
    outs: list[Tensor],
    needed: Area | None = None,
) -> None:
    """Write weighted sums of windows of `images` to `outs`; of each there are one or two.

    Upsampling a single picture may leave out the tiles of the result that are not `needed`.
    """
    backward = operation >= Operation.DOWN_BACKWARD
    pointers = _pointers(("grad", "grad2") if backward else ("x",), images)
    pointers |= _pointers(("kernels", "kernels2"), kernels) | _pointers(("out", "out2"), outs)
    coarse, size = _coarse(images[0], outs[0]), isqrt(kernels[0].shape[1])
    threads = _threads(coarse, size)
    if needed is not None:
        pointers["tiles"] = needed.tiles.ctypes.data
    rows = _rows(coarse) if needed is None else len(needed.tiles)
    _resample(operation, coarse, size, [pointers] * threads, rows)


def dot(operation: Operation, x: Tensor, grad: Tensor, out: Tensor) -> None:
    """Write the gradient of the kernels to `out`, for the gradient of the results."""
    coarse, size = _coarse(x, grad), isqrt(out.shape[1])
    pointers = _pointers(("x", "grad", "out2"), (x, grad, out))
    shares = [pointers] * _threads(coarse, size)
    _resample(operation, coarse, size, shares, _rows(coarse))


def dot_filters(x: Tensor, grad: Tensor, grad2: Tensor, size: int) -> Tensor:
    """Give the gradients of two filters, float64 (N, 2, K*K)."""
    shape = (_threads(grad, size), len(x), 2, size * size)
    sums = x.new_zeros(shape, dtype=torch.float64)
    pointers = _pointers(("x", "grad", "grad2"), (x, grad, grad2))
    shares = [pointers | _pointers(("sums",), (part,)) for part in sums]
    _resample(Operation.FILTER_BACKWARD, grad, size, shares, _rows(grad))
    return sums.sum(0)


def _resample(
    operation: Operation, coarse: Tensor, size: int, shares: list[dict[str, int]], rows: int
) -> None:
    """Share the coarse rows, or tiles, out, and call C with the pointers of every share."""
    _, channels, height, width = coarse.shape
    image = (operation, coarse.dtype == torch.bfloat16, height, width, channels, size)
    threads, jobs = len(shares), []
    for thread, pointers in enumerate(shares):
        start, stop = rows * thread // threads, rows * (thread + 1) // threads
        jobs.append(Resampling(*image, start, stop, **pointers))
    function = library().a2u_resample
    function.argtypes, function.restype = [ctypes.POINTER(Resampling)], None
    spread(function, jobs)


def _threads(coarse: Tensor, size: int) -> int:
    products = coarse.numel() * size * size
    return max(1, min(torch.get_num_threads(), _rows(coarse), products // _WORTH_A_THREAD))


def _rows(coarse: Tensor) -> int:
    return coarse.shape[0] * coarse.shape[2]


def _coarse(one: Tensor, other: Tensor) -> Tensor:
    """Choose the smaller of two images of which one has twice the other's height."""
    return one if one.shape[2] < other.shape[2] else other


def _pointers(names: Sequence[str], tensors: Sequence[Tensor]) -> dict[str, int]:
    return {name: tensor.data_ptr() for name, tensor in zip(names, tensors, strict=False)}
