"""The fused forms of the resampling operators, differentiable once.

On the CPU `resampling.c` by ctypes, on CUDA devices `triton_kernels.py`, which torch's CUDA builds
bring the compiler for. Kernels are float32 for images of any dtype, others are converted to it.

Plain `torch.autograd.Function`, not `torch.library.custom_op`: it is shorter and its calls cost
less, and a traced or exported graph needs nothing from here: `usable` sends it to the torch form.
"""

import ctypes
import functools
import math
import warnings
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .arguments import Operation, Resampling
from .library import absence, available, has_avx2, library, spread, switched_off, traced_or_off

_MAX_SIZE = 8  # MAX_TAPS in resampling.c is its square
_WORTH_A_THREAD = 4_000_000  # products; about a millisecond of one core
_DTYPES = {
    "cpu": (torch.float32, torch.bfloat16),
    "cuda": (torch.float32, torch.bfloat16, torch.float16),
}


def describe() -> str:
    """Name the forms in use on this machine, such as "Triton, C (AVX2)"; say why where none is."""
    if switched_off():
        return "switched off by A2U_NATIVE=0: plain torch serves"
    if available():
        forms = "C (AVX2)" if has_avx2() else "C"
    else:
        forms = f"plain torch on the CPU: {absence()}"
    return f"Triton, {forms}" if torch.cuda.is_available() and _triton() else forms


def usable(x: Tensor, size: int, groups: int = 1) -> bool:
    """Tell whether a fused form can take `x` with kernels of `size` x `size`.

    `A2U_NATIVE=0` in the environment says no.
    """
    return (
        x.dtype in _DTYPES.get(x.device.type, ())
        and size <= _MAX_SIZE
        and groups == 1
        and not traced_or_off()
        and _loads(x.device)
    )


def _loads(device: torch.device) -> bool:
    return _triton() is not None if device.type == "cuda" else available()


@functools.cache
def _triton() -> ModuleType | None:
    """Load the CUDA form and try it: Triton needs a C compiler and a GPU that it knows."""
    try:
        from . import triton_kernels
    except ImportError:
        return None
    x = torch.zeros(1, 1, 2, 2, dtype=torch.float32, device="cuda")
    kernels = x.new_zeros(1, 1, 1, 1)
    try:
        triton_kernels.run(
            Operation.DOWN, 1, kernels, x=x, kernels=kernels, out=torch.empty_like(kernels)
        )
    except Exception as error:  # of the compiler, the driver, the linker: no common class
        reason = str(error).partition("\n")[0]
        warnings.warn(f"Triton does not run here, plain torch serves: {reason}", stacklevel=2)
        return None
    return triton_kernels


def downsample(x: Tensor, kernels: Tensor) -> Tensor:
    """Weigh the K x K window at every second pixel with that place's own kernel.

    x: (N, C, 2H, 2W); kernels: (N, K*K, H, W), the same for all channels. Returns (N, C, H, W).
    The window of (i, j) begins at (2i - p, 2j - p), p = (K - 1) // 2; outside is zero.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or there is no fused form for them.
    """
    size = _check("downsample", x, kernels)
    expected = (x.shape[0], size * size, x.shape[2] // 2, x.shape[3] // 2)
    _even(x, "downsample")
    _fits("downsample", x, kernels, expected)
    result: Tensor = _Downsample.apply(  # type: ignore[no-untyped-call]
        _last(x), _last(kernels.float()), size
    )
    return result


def upsample(x: Tensor, kernels: Tensor) -> Tensor:
    """Weigh, for every fine pixel, the K x K coarse pixels around its own with its own kernel.

    x: (N, C, H, W); kernels: (N, K*K, 2H, 2W), the same for all channels. Returns (N, C, 2H, 2W).
    The window of (y, x) begins at (y // 2 - p, x // 2 - p), p = (K - 1) // 2; outside is zero.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or there is no fused form for them.
    """
    size = _check("upsample", x, kernels)
    _fits("upsample", x, kernels, (x.shape[0], size * size, 2 * x.shape[2], 2 * x.shape[3]))
    result: Tensor = _Upsample.apply(  # type: ignore[no-untyped-call]
        _last(x), _last(kernels.float()), size
    )
    return result


def filter_pair(x: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Correlate every channel with two filters of its sample, at every second pixel, in one pass.

    x: (N, C, 2H, 2W); first, second: (N, K*K). Returns two (N, C, H, W), windows as
    in `downsample`.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or there is no fused form for them.
    """
    size = _check("filter_pair", x, first)
    _check("filter_pair", x, second)
    _even(x, "filter_pair")
    for kernels in (first, second):
        _fits("filter_pair", x, kernels, (x.shape[0], size * size))
    result: tuple[Tensor, Tensor] = _FilterPair.apply(  # type: ignore[no-untyped-call]
        _last(x), first.float().contiguous(), second.float().contiguous(), size
    )
    return result


class _Downsample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(x, kernels)
        ctx.size = size
        out = _image(x, x.shape[2] // 2, x.shape[3] // 2)
        _run(Operation.DOWN, size, out, x=x, kernels=kernels, out=out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, kernels = ctx.saved_tensors
        dx, dkernels = _like(x, ctx.needs_input_grad[0]), _like(kernels, ctx.needs_input_grad[1])
        grad = _last(grad)
        _run(
            Operation.DOWN_BACKWARD,
            ctx.size,
            grad,
            x=x,
            kernels=kernels,
            grad=grad,
            out=dx,
            out2=dkernels,
        )
        return dx, dkernels, None


class _Upsample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, size: int) -> Tensor:
        ctx.save_for_backward(x, kernels)
        ctx.size = size
        out = _image(x, 2 * x.shape[2], 2 * x.shape[3])
        _run(Operation.UP, size, x, x=x, kernels=kernels, out=out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, kernels = ctx.saved_tensors
        dx, dkernels = _like(x, ctx.needs_input_grad[0]), _like(kernels, ctx.needs_input_grad[1])
        grad = _last(grad)
        _run(
            Operation.UP_BACKWARD,
            ctx.size,
            x,
            x=x,
            kernels=kernels,
            grad=grad,
            out=dx,
            out2=dkernels,
        )
        return dx, dkernels, None


class _FilterPair(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, first: Tensor, second: Tensor, size: int
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, first, second)
        ctx.size = size
        a, b = (_image(x, x.shape[2] // 2, x.shape[3] // 2) for _ in range(2))
        _run(Operation.FILTER, size, a, x=x, kernels=first, kernels2=second, out=a, out2=b)
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
        parts = _run(Operation.FILTER_BACKWARD, ctx.size, grad_a, **tensors, out=dx)
        sums = torch.stack(parts).sum(0)  # (N, 2, K*K)
        return dx, sums[:, 0].float(), sums[:, 1].float(), None


def _run(op: int, size: int, coarse: Tensor, **tensors: Tensor | None) -> list[Tensor]:
    """Do one operation on the device of its tensors, on the CPU split over torch's threads.

    `coarse` has the coarse images' shape. Returns the parts of the filters' gradients, each float64
    (N, 2, K*K); nothing for other operations.
    """
    if coarse.is_cuda:
        triton = _triton()
        assert triton is not None  # _check has asked
        sums: list[Tensor] = triton.run(op, size, coarse, **tensors)
        return sums
    samples, channels, height, width = coarse.shape
    rows = samples * height
    products = rows * width * channels * size * size
    threads = max(1, min(torch.get_num_threads(), rows, products // _WORTH_A_THREAD))
    parts = [
        coarse.new_zeros(samples, 2, size * size, dtype=torch.float64)
        for _ in range(threads if op == Operation.FILTER_BACKWARD else 0)
    ]
    pointers = {name: tensor.data_ptr() for name, tensor in tensors.items() if tensor is not None}
    image = (op, coarse.dtype == torch.bfloat16, height, width, channels, size)
    jobs = []
    for thread in range(threads):
        share = (rows * thread // threads, rows * (thread + 1) // threads)
        jobs.append(Resampling(*image, *share, **pointers))
    for job, part in zip(jobs, parts, strict=False):  # no parts: the field stays null
        job.sums = part.data_ptr()
    function = library().a2u_resample
    function.argtypes, function.restype = [ctypes.POINTER(Resampling)], None
    spread(function, jobs)
    return parts


def _check(name: str, x: Tensor, kernels: Tensor) -> int:
    """Return the kernel size K, or refuse what the fused forms cannot read."""
    if x.device.type not in _DTYPES or kernels.device != x.device:
        raise ValueError(
            f"{name}: expected both on the CPU or on one CUDA device, "
            f"found {x.device} and {kernels.device}"
        )
    if not _loads(x.device):
        raise ValueError(f"{name}: no fused form for {x.device}; a2u doctor tells what is there")
    dtypes = _DTYPES[x.device.type]
    if x.dtype not in dtypes or kernels.dtype not in (x.dtype, torch.float32):
        raise ValueError(
            f"{name}: expected x in {' or '.join(map(str, dtypes))}, kernels in that or float32, "
            f"found {x.dtype} and {kernels.dtype}"
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
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def _like(x: Tensor, wanted: bool) -> Tensor | None:
    return torch.empty_like(x) if wanted else None
