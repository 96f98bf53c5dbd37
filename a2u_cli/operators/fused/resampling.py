"""The fused forms of the resampling operators, differentiable once.

On the CPU they are C (`c_kernels.py`), on CUDA devices Triton (`triton_kernels.py`), which torch's
CUDA builds bring. Kernels are float32 for images of any dtype, others are converted to it.

They are operators of torch: `torch.compile` keeps them as they are. A graph that is exported must
need nothing from here: there `usable` says no, and the plain form serves.
"""

import functools
import math
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from . import c_kernels
from .area import Area
from .arguments import Operation
from .library import absence, available, switched_off, vectors

_MAX_SIZE = 8  # MAX_TAPS in resampling.c is its square
_DTYPES = {
    "cpu": (torch.float32, torch.bfloat16),
    "cuda": (torch.float32, torch.bfloat16, torch.float16),
}


def describe() -> str:
    """Name the forms in use on this machine, as "Triton, C (AVX-512)"; say why where none is."""
    if switched_off():
        return "switched off by A2U_NATIVE=0: plain torch serves"
    if available():
        forms = f"C ({vectors()})" if vectors() else "C"
    else:
        forms = f"plain torch on the CPU: {absence()}"
    return f"Triton, {forms}" if torch.cuda.is_available() and _triton() else forms


def usable(x: Tensor, size: int, groups: int = 1) -> bool:
    """Tell whether a fused form can take `x` with kernels of `size` x `size`.

    `A2U_NATIVE=0` in the environment says no, and so does a graph that is exported.
    """
    return (
        x.dtype in _DTYPES.get(x.device.type, ())
        and size <= _MAX_SIZE
        and groups == 1
        and not _exported()
        and _serves(x.device.type)
    )


def _exported() -> bool:
    # torch 2.6 does not tell an export from a compilation
    exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
    return bool(exporting() or torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def _serves(device_type: str) -> bool:
    return not switched_off() and _form(device_type) is not None


# torch.compiler.assume_constant_result does this too, but imports the compiler, and that Triton
_serves._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _form(device_type: str) -> ModuleType | None:
    if device_type == "cuda":
        return _triton()
    return c_kernels if available() else None


@functools.cache
def _triton() -> ModuleType | None:
    """Load the CUDA form and try it: Triton needs a C compiler and a GPU that it knows."""
    try:
        from . import triton_kernels
    except ImportError:
        return None
    x = torch.zeros(1, 1, 2, 2, dtype=torch.float32, device="cuda")
    kernels, out = x.new_zeros(1, 1, 1, 1), x.new_zeros(1, 1, 1, 1)
    try:
        triton_kernels.weigh(Operation.DOWN, [x], [kernels], [out])
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
    result: Tensor = _downsample(_last(x), _last(kernels.float()))
    return result


def upsample(x: Tensor, kernels: Tensor, needed: Area | None = None) -> Tensor:
    """Weigh, for every fine pixel, the K x K coarse pixels around its own with its own kernel.

    x: (N, C, H, W); kernels: (N, K*K, 2H, 2W), the same for all channels. Returns (N, C, 2H, 2W).
    The window of (y, x) begins at (y // 2 - p, x // 2 - p), p = (K - 1) // 2; outside is zero.
    Where `needed` is given, the C form may leave out the rest of a single picture, and the result
    is not differentiable.

    Raises:
        ValueError: shapes, dtypes or devices do not fit, or there is no fused form for them.
    """
    size = _check("upsample", x, kernels)
    _fits("upsample", x, kernels, (x.shape[0], size * size, 2 * x.shape[2], 2 * x.shape[3]))
    x, kernels = _last(x), _last(kernels.float())
    if needed is None or x.device.type != "cpu":
        result: Tensor = _upsample(x, kernels)
        return result
    out = _doubled(x)
    c_kernels.weigh(Operation.UP, [x], [kernels], [out], needed)
    return out


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
    results: tuple[Tensor, Tensor] = _filter_pair(_last(x), first.float(), second.float())
    return results


@torch.library.custom_op("a2u::downsample", mutates_args=())
def _downsample(x: Tensor, kernels: Tensor) -> Tensor:
    return _weigh(Operation.DOWN, [x], [kernels], [_halved(x)])[0]


@torch.library.custom_op("a2u::upsample", mutates_args=())
def _upsample(x: Tensor, kernels: Tensor) -> Tensor:
    return _weigh(Operation.UP, [x], [kernels], [_doubled(x)])[0]


@torch.library.custom_op("a2u::filter_pair", mutates_args=())
def _filter_pair(x: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    outs = _weigh(Operation.FILTER, [x], [first, second], [_halved(x), _halved(x)])
    return outs[0], outs[1]


@torch.library.custom_op("a2u::image_gradient", mutates_args=())
def _image_gradient(operation: int, grads: list[Tensor], kernels: list[Tensor]) -> Tensor:
    out = _unlike(operation, grads[0])
    return _weigh(Operation(operation), grads, kernels, [out])[0]


@torch.library.custom_op("a2u::kernel_gradient", mutates_args=())
def _kernel_gradient(operation: int, x: Tensor, grad: Tensor, size: int) -> Tensor:
    out = _taps(grad, size)
    _serving(x).dot(Operation(operation), _last(x), _last(grad), out)
    return out


@torch.library.custom_op("a2u::filter_gradients", mutates_args=())
def _filter_gradients(x: Tensor, grad: Tensor, grad2: Tensor, size: int) -> Tensor:
    sums: Tensor = _serving(x).dot_filters(_last(x), _last(grad), _last(grad2), size)
    return sums.float()  # (N, 2, K*K)


_downsample.register_fake(lambda x, kernels: _halved(x))
_upsample.register_fake(lambda x, kernels: _doubled(x))
_filter_pair.register_fake(lambda x, first, second: (_halved(x), _halved(x)))
_image_gradient.register_fake(lambda operation, grads, kernels: _unlike(operation, grads[0]))
_kernel_gradient.register_fake(lambda operation, x, grad, size: _taps(grad, size))
_filter_gradients.register_fake(
    lambda x, grad, grad2, size: x.new_empty(len(x), 2, size * size, dtype=torch.float32)
)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _backward(operation: Operation) -> Callable[..., tuple[Tensor | None, ...]]:
    def gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, kernels = ctx.saved_tensors
        dx = dkernels = None
        if ctx.needs_input_grad[0]:
            dx = _image_gradient(operation, [grad], [kernels])
        if ctx.needs_input_grad[1]:
            dkernels = _kernel_gradient(operation, x, grad, math.isqrt(kernels.shape[1]))
        return dx, dkernels

    return gradients


def _filter_pair_backward(ctx: Any, grad: Tensor, grad2: Tensor) -> tuple[Tensor | None, ...]:
    x, first, second = ctx.saved_tensors
    dx = dfirst = dsecond = None
    if ctx.needs_input_grad[0]:
        dx = _image_gradient(Operation.FILTER_BACKWARD, [grad, grad2], [first, second])
    if any(ctx.needs_input_grad[1:]):
        both = _filter_gradients(x, grad, grad2, math.isqrt(first.shape[1]))
        dfirst, dsecond = both.unbind(1)
    return dx, dfirst, dsecond


_downsample.register_autograd(_backward(Operation.DOWN_BACKWARD), setup_context=_save)
_upsample.register_autograd(_backward(Operation.UP_BACKWARD), setup_context=_save)
_filter_pair.register_autograd(_filter_pair_backward, setup_context=_save)


def _weigh(
    operation: Operation, images: list[Tensor], kernels: list[Tensor], outs: list[Tensor]
) -> list[Tensor]:
    """Fill `outs` on their device; a compiler may have laid the others in another order."""
    images, kernels = [_last(t) for t in images], [_last(t) for t in kernels]
    _serving(outs[0]).weigh(operation, images, kernels, outs)
    return outs


def _serving(x: Tensor) -> ModuleType:
    form = _form(x.device.type)
    assert form is not None  # _check has asked
    return form


def _check(name: str, x: Tensor, kernels: Tensor) -> int:
    """Return the kernel size K, or refuse what the fused forms cannot read."""
    if x.device.type not in _DTYPES or kernels.device != x.device:
        raise ValueError(
            f"{name}: expected both on the CPU or on one CUDA device, "
            f"found {x.device} and {kernels.device}"
        )
    if not _serves(x.device.type):
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
    """Lay channels, or taps, side by side."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x.contiguous()


def _unlike(operation: int, grad: Tensor) -> Tensor:
    """Give room for the gradient of x: upsampling made its results twice as large, others half."""
    return _halved(grad) if operation == Operation.UP_BACKWARD else _doubled(grad)


def _halved(x: Tensor) -> Tensor:
    return _image(x, x.shape[1], x.shape[2] // 2, x.shape[3] // 2, x.dtype)


def _doubled(x: Tensor) -> Tensor:
    return _image(x, x.shape[1], 2 * x.shape[2], 2 * x.shape[3], x.dtype)


def _taps(grad: Tensor, size: int) -> Tensor:
    return _image(grad, size * size, grad.shape[2], grad.shape[3], torch.float32)


def _image(x: Tensor, channels: int, height: int, width: int, dtype: torch.dtype) -> Tensor:
    last = torch.channels_last
    shape = (x.shape[0], channels, height, width)
    return torch.empty(shape, dtype=dtype, device=x.device, memory_format=last)
