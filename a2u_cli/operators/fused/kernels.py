"""The operator's kernels from the affinity plane by `kernels.c`: projected and normalised at once.

For float32 planes of one affinity, on x86-64 processors with AVX2; all else is torch's.
"""

import ctypes
import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .area import Area
from .arguments import Kernels, Picture
from .library import compiled, has_avx2, library, spread

MAX_TAPS = 64  # as in kernels.c
_WORTH_A_THREAD = 16  # rows of the plane, or tiles


def usable(affinity: Tensor, weights: Tensor) -> bool:
    """Tell whether C can make kernels of affinities (N, rank, h, w) and weights (N, rank, M)."""
    learning = torch.is_grad_enabled() and (affinity.requires_grad or weights.requires_grad)
    return (
        affinity.dtype == weights.dtype == torch.float32
        and affinity.device.type == "cpu"
        and affinity.shape[1] == 1
        and weights.shape[2] <= MAX_TAPS
        and not learning
        and compiled()
        and has_avx2()
    )


def make(
    affinity: Tensor, weights: Tensor, *, scale: int, sigmoid: bool, needed: Area | None = None
) -> Tensor:
    """Normalise the taps `weights` * A of each pixel by softmax, after a sigmoid if asked for.

    A, (N, 1, h, w), and weights (N, scale^2, taps) give (N, taps, scale * h, scale * w); at scale 2
    the sets of weights are those of a pixel's four fine ones. Of a single picture at scale 2, the
    tiles that are not `needed` may hold anything.
    """
    samples, _, height, width = affinity.shape
    sets, taps = weights.shape[1:]
    ends = torch.stack(weights.aminmax(dim=2), 2).contiguous()  # (N, sets, 2)
    weights = F.pad(weights, (0, MAX_TAPS - taps)).contiguous()
    inside = (torch.arange(MAX_TAPS, device="cpu") < taps).float()
    out = affinity.new_empty((samples, scale * height, scale * width, taps))
    plane = Picture(affinity.data_ptr(), *(affinity.stride(d) for d in (0, 2, 3)))
    pointers = [t.data_ptr() for t in (weights, ends, inside, out)]
    tiles = needed and needed.tiles.ctypes.data
    count = samples * height if needed is None else len(needed.tiles)
    threads = max(1, min(torch.get_num_threads(), count // _WORTH_A_THREAD))
    jobs = []
    for thread in range(threads):
        part = count * thread // threads, count * (thread + 1) // threads
        size = height, width, sets, taps, MAX_TAPS, sigmoid
        jobs.append(Kernels(*size, *part, tiles, plane, *pointers))
    spread(_function(), jobs)
    return out.permute(0, 3, 1, 2)


@functools.cache
def _function() -> Any:
    function = library().a2u_write_kernels
    function.argtypes, function.restype = [ctypes.POINTER(Kernels)], None
    return function
