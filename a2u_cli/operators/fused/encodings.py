"""The encodings' statistics and affinities by `encodings.c`, which never writes the encodings.

For float32 pictures, one at a time, on x86-64 processors with AVX2; all else is torch's.
"""

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor

from .arguments import Encoding, Picture
from .library import compiled, has_avx2, library, spread

BLOCK = 32  # channels, as in encodings.c


def usable(x: Tensor, filters: Tensor) -> bool:
    """Tell whether C can encode `x`, (1, C, 2h, 2w), with filters (N, rank, 1 or C, K, K)."""
    return (
        x.dtype == torch.float32
        and x.device.type == "cpu"
        and filters.shape[:3] == (1, 1, 1)
        and not x.shape[1] % BLOCK
        and compiled()
        and has_avx2()
    )


def sums(x: Tensor, u: Tensor, v: Tensor, rows: slice, columns: slice) -> Tensor:
    """Sum up both encodings and their squares over a part of the rows and columns of (h, w).

    Gives float64 (2, 2, C): encoding, power, channel.
    """
    height = x.shape[2] // 2
    out = x.new_zeros((height, 2, 2, x.shape[1]), dtype=torch.float64)
    more = {"sums": out.data_ptr(), "left": columns.start, "right": columns.stop}
    _on_threads(x, u, v, rows, more)
    return out[rows].sum(0)


def affinity(x: Tensor, u: Tensor, v: Tensor, gain: Tensor, shift: Tensor, leak: float) -> Tensor:
    """Standardise both encodings, by gain and shift (2, C), and relate them: (1, 1, h, w)."""
    channels, height, width = x.shape[1], x.shape[2] // 2, x.shape[3] // 2
    out = x.new_empty((1, 1, height, width))
    gain, shift = gain.float().contiguous(), shift.float().contiguous()
    pointers: dict[str, float] = {
        "affinity": out.data_ptr(),
        "gain": gain.data_ptr(),
        "shift": shift.data_ptr(),
    }
    more = pointers | {"scale": channels**-0.5, "slope": leak}
    _on_threads(x, u, v, slice(0, height), more)
    return out


def _on_threads(x: Tensor, u: Tensor, v: Tensor, rows: slice, more: dict[str, Any]) -> None:
    if x.stride(1) != 1:
        x = x.contiguous(memory_format=torch.channels_last)
    filters = torch.stack([u.flatten(), v.flatten()]).float().contiguous()
    size = x.shape[2] // 2, x.shape[3] // 2, x.shape[1], u.shape[-1]
    picture = Picture(x.data_ptr(), *(x.stride(d) for d in (0, 2, 3)))
    count = rows.stop - rows.start
    threads = max(1, min(torch.get_num_threads(), count))
    jobs = []
    for thread in range(threads):
        start, stop = (rows.start + count * n // threads for n in (thread, thread + 1))
        jobs.append(Encoding(*size, start, stop, x=picture, filters=filters.data_ptr(), **more))
    spread(_function(), jobs)


@functools.cache
def _function() -> Any:
    function = library().a2u_encode
    function.argtypes, function.restype = [ctypes.POINTER(Encoding)], None
    return function
