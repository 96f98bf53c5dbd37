"""The fused CPU form of the resampling operators: `_affinity.c` by ctypes, differentiable once.

Plain `torch.autograd.Function`, not `torch.library.custom_op`: it is shorter and its calls cost
less, and a traced or exported graph needs nothing from here: `usable` sends it to the torch form.
"""

import ctypes
import functools
import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_DOWN, _UP, _FILTER, _DOWN_BACKWARD, _UP_BACKWARD, _FILTER_BACKWARD = range(6)
_MAX_SIZE = 8  # MAX_TAPS in _affinity.c is its square
_WORTH_A_THREAD = 4_000_000  # products; about a millisecond of one core
_DTYPES = (torch.float32, torch.bfloat16)
_NUMBERS = ("op", "bf16", "h", "w", "channels", "k", "start", "stop")
_POINTERS = ("x", "kernels", "kernels2", "grad", "grad2", "out", "out2", "sums")


class _Job(ctypes.Structure):
    """The argument of `a2u_resample`, field by field as in `_affinity.c`."""

    _fields_ = [(name, ctypes.c_int64) for name in _NUMBERS] + [
        (name, ctypes.c_void_p) for name in _POINTERS
    ]


@functools.cache
def _library() -> ctypes.CDLL | None:
    """Load the compiled library that lies beside this module, whatever suffix its build gave it."""
    for path in sorted(Path(__file__).parent.glob("_affinity*")):
        if path.suffix in {".so", ".pyd", ".dll", ".dylib"}:
            try:
                library = ctypes.CDLL(str(path))
                library.a2u_resample.argtypes = [ctypes.POINTER(_Job)]
                library.a2u_resample.restype = None
            except (OSError, AttributeError):  # built for another machine: the torch form serves
                continue
            return library
    return None


def available() -> bool:
    """Tell whether the compiled library was found and loads."""
    return _library() is not None


def usable(x: Tensor, size: int, groups: int = 1) -> bool:
    """Tell whether the fused form can take `x` with kernels of `size` x `size` in its dtype.

    `A2U_NATIVE=0` in the environment says no.
    """
    return (
        x.device.type == "cpu"
        and x.dtype in _DTYPES
        and size <= _MAX_SIZE
        and groups == 1
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        and os.environ.get("A2U_NATIVE") != "0"
        and available()
    )


def downsample(x: Tensor, kernels: Tensor) -> Tensor:
    """Weigh the K x K window at every second pixel with that place's own kernel.

    x: (N, C, 2H, 2W); kernels: (N, K*K, H, W), the same for all channels. Returns (N, C, H, W).
    The window of (i, j) begins at (2i - p, 2j - p), p = (K - 1) // 2; outside is zero.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or the library is missing.
    """
    size = _check("downsample", x, kernels)
    expected = (x.shape[0], size * size, x.shape[2] // 2, x.shape[3] // 2)
    _even(x, "downsample")
    _fits("downsample", x, kernels, expected)
    result: Tensor = _Downsample.apply(_last(x), _last(kernels), size)  # type: ignore[no-untyped-call]
    return result


def upsample(x: Tensor, kernels: Tensor) -> Tensor:
    """Weigh, for every fine pixel, the K x K coarse pixels around its own with its own kernel.

    x: (N, C, H, W); kernels: (N, K*K, 2H, 2W), the same for all channels. Returns (N, C, 2H, 2W).
    The window of (y, x) begins at (y // 2 - p, x // 2 - p), p = (K - 1) // 2; outside is zero.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or the library is missing.
    """
    size = _check("upsample", x, kernels)
    _fits("upsample", x, kernels, (x.shape[0], size * size, 2 * x.shape[2], 2 * x.shape[3]))
    result: Tensor = _Upsample.apply(_last(x), _last(kernels), size)  # type: ignore[no-untyped-call]
    return result


def filter_pair(x: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Correlate every channel with two filters of its sample, at every second pixel, in one pass.

    x: (N, C, 2H, 2W); first, second: (N, K*K). Returns two (N, C, H, W), windows as
    in `downsample`.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or the library is missing.
    """
    size = _check("filter_pair", x, first)
    _check("filter_pair", x, second)
    _even(x, "filter_pair")
    for kernels in (first, second):
        _fits("filter_pair", x, kernels, (x.shape[0], size * size))
    result: tuple[Tensor, Tensor] = _FilterPair.apply(  # type: ignore[no-untyped-call]
        _last(x), first.contiguous(), second.contiguous(), size
    )
    return result


class _Downsample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(x, kernels)
        ctx.size = size
        out = _image(x, x.shape[2] // 2, x.shape[3] // 2)
        _run(_DOWN, size, out, x=x, kernels=kernels, out=out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, kernels = ctx.saved_tensors
        dx, dkernels = _like(x, ctx.needs_input_grad[0]), _like(kernels, ctx.needs_input_grad[1])
        grad = _last(grad)
        _run(_DOWN_BACKWARD, ctx.size, grad, x=x, kernels=kernels, grad=grad, out=dx, out2=dkernels)
        return dx, dkernels, None


class _Upsample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(x, kernels)
        ctx.size = size
        out = _image(x, 2 * x.shape[2], 2 * x.shape[3])
        _run(_UP, size, x, x=x, kernels=kernels, out=out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, kernels = ctx.saved_tensors
        dx, dkernels = _like(x, ctx.needs_input_grad[0]), _like(kernels, ctx.needs_input_grad[1])
        grad = _last(grad)
        _run(_UP_BACKWARD, ctx.size, x, x=x, kernels=kernels, grad=grad, out=dx, out2=dkernels)
        return dx, dkernels, None


class _FilterPair(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, first: Tensor, second: Tensor, size: int
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, first, second)
        ctx.size = size
        a, b = (_image(x, x.shape[2] // 2, x.shape[3] // 2) for _ in range(2))
        _run(_FILTER, size, a, x=x, kernels=first, kernels2=second, out=a, out2=b)
        return a, b

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_a: Tensor, grad_b: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, first, second = ctx.saved_tensors
        dx = _like(x, ctx.needs_input_grad[0])
        grad_a, grad_b = _last(grad_a), _last(grad_b)
        tensors = {"x": x, "kernels": first, "kernels2": second, "grad": grad_a, "grad2": grad_b}
        parts = _run(_FILTER_BACKWARD, ctx.size, grad_a, **tensors, out=dx)
        sums = torch.stack(parts).sum(0)  # (N, 2, K*K)
        return dx, sums[:, 0].to(x.dtype), sums[:, 1].to(x.dtype), None


def _run(op: int, size: int, coarse: Tensor, **tensors: Tensor | None) -> list[Tensor]:
    """Do one operation, its coarse rows split over torch's threads.

    `coarse` has the coarse images' shape. Returns each thread's part of the filters' gradients,
    float64 (N, 2, K*K); nothing for other operations.
    """
    library = _library()
    assert library is not None  # _check has asked
    samples, channels, height, width = coarse.shape
    rows = samples * height
    products = rows * width * channels * size * size
    threads = max(1, min(torch.get_num_threads(), rows, products // _WORTH_A_THREAD))
    parts = [
        torch.zeros(samples, 2, size * size, dtype=torch.float64)
        for _ in range(threads if op == _FILTER_BACKWARD else 0)
    ]
    pointers = {name: tensor.data_ptr() for name, tensor in tensors.items() if tensor is not None}
    image = (op, coarse.dtype == torch.bfloat16, height, width, channels, size)
    jobs = []
    for thread in range(threads):
        share = (rows * thread // threads, rows * (thread + 1) // threads)
        jobs.append(_Job(*image, *share, **pointers))
    for job, part in zip(jobs, parts, strict=False):  # no parts: the field stays null
        job.sums = part.data_ptr()
    if threads == 1:
        library.a2u_resample(jobs[0])
    else:
        list(_pool(threads, os.getpid()).map(library.a2u_resample, jobs))
    return parts


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Keep one pool a process: a forked child has none of its parent's threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"a2u-{process}")


def _check(name: str, x: Tensor, kernels: Tensor) -> int:
    """Return the kernel size K, or refuse what the C code cannot read."""
    if not available():
        raise ValueError(f"{name}: the compiled library is missing; reinstall with a C compiler")
    if x.device.type != "cpu" or kernels.device.type != "cpu":
        raise ValueError(f"{name}: expected CPU tensors, found {x.device} and {kernels.device}")
    if x.dtype not in _DTYPES or kernels.dtype != x.dtype:
        raise ValueError(
            f"{name}: expected float32 or bfloat16 for both, found {x.dtype} and {kernels.dtype}"
        )
    if x.dim() != 4 or kernels.dim() < 2:
        raise ValueError(f"{name}: found shapes {tuple(x.shape)} and {tuple(kernels.shape)}")
    size = math.isqrt(kernels.shape[1])
    if size * size != kernels.shape[1] or not 1 <= size <= _MAX_SIZE:
        raise ValueError(
            f"{name}: expected K*K taps, K up to {_MAX_SIZE}, found kernels {tuple(kernels.shape)}"
        )
    return size


def _even(x: Tensor, name: str) -> None:
    if x.shape[2] % 2 or x.shape[3] % 2:
        raise ValueError(f"{name}: expected an even height and width, found x {tuple(x.shape)}")


def _fits(name: str, x: Tensor, kernels: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(kernels.shape) != expected:
        raise ValueError(
            f"{name}: x {tuple(x.shape)} needs kernels {expected}, found {tuple(kernels.shape)}"
        )


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _image(x: Tensor, height: int, width: int) -> Tensor:
    shape = (*x.shape[:2], height, width)
    return torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)


def _like(x: Tensor, wanted: bool) -> Tensor | None:
    return torch.empty_like(x) if wanted else None
