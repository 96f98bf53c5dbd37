"""3x3 convolution by Winograd's minimal filtering (Lavin and Gray 2016), two to three times faster.

F(4x4, 3x3) of https://arxiv.org/abs/1509.09308 in plain C (`winograd.c`), for float32 on x86-64
processors with AVX2; all else is torch's. Through the whole network its rounding is no larger than
that of the sum over the taps. Inference has it, and filters of one tap, leave out what is not
needed.
"""

import ctypes
import functools
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .area import Area
from .arguments import Convolution, Picture
from .library import compiled, has_avx2, library, spread

PANEL, LANES, FEW, LARGEST = 16, 8, 4, 7  # as in winograd.c
PLACES = 36
_WORTH_A_THREAD = 16  # tiles
FILTER_TRANSFORM = (  # by the interpolation points 0, 2/3, -2/3, 3/2, -3/2 and infinity
    (1, 0, 0),
    (-81 / 130, -54 / 130, -36 / 130),
    (-81 / 130, 54 / 130, -36 / 130),
    (8 / 65, 12 / 65, 18 / 65),
    (8 / 65, -12 / 65, 18 / 65),
    (0, 0, 1),
)


class Conv2d(nn.Conv2d):
    """A convolution that takes the fast form where there is one, in training too."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if usable(x, self):
            shift = weight.new_zeros(len(weight)) if bias is None else bias
            result: Tensor = _Convolve.apply(_last(x), weight, shift)  # type: ignore[no-untyped-call]
            return result
        plain: Tensor
        if self._misread and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled():
            with torch.autocast("cpu", enabled=False):
                plain = super()._conv_forward(x.float(), weight.float(), bias)
        else:
            plain = super()._conv_forward(x, weight, bias)
        return plain

    @property
    def _misread(self) -> bool:
        """Tell whether oneDNN's gradient of the filter may be made of memory that nobody wrote.

        So it is in bfloat16, of dilated filters of one channel each, on planes 32 wide (torch 2.13
        with AMX): now and then infinite, and as often wrong unnoticed.
        """
        return self.groups > 1 and self.dilation != (1, 1)


def available() -> bool:
    """Tell whether this processor and the compiled library have the fast form."""
    return compiled() and has_avx2()


def usable(x: Tensor, layer: nn.Conv2d) -> bool:
    """Tell whether a layer's work on `x` can be done here, and differentiated."""
    return suits(layer) and takes(x, layer.weight)


def takes(x: Tensor, weight: Tensor) -> bool:
    """Tell whether `convolve` can take `x` with such a weight's filter. `A2U_NATIVE=0` says no."""
    return (
        x.dtype == weight.dtype == torch.float32
        and x.device.type == weight.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and available()
    )


def computes_in(dtype: torch.dtype) -> bool:
    """Tell whether this processor's convolutions are made for a dtype; others are far slower."""
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype != torch.float16 or bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())


def suits(layer: nn.Conv2d) -> bool:
    """Tell whether a layer is 3x3, of stride 1, with channels in multiples of 16."""
    plain = _plain(layer) and layer.kernel_size == (3, 3)
    return plain and not layer.in_channels % PANEL and not layer.out_channels % PANEL


def _plain(layer: nn.Conv2d) -> bool:
    """Tell whether a layer keeps the size, by one square filter of adjoining taps."""
    height, width = layer.kernel_size
    shape = (layer.stride, layer.padding, layer.dilation, layer.groups, layer.padding_mode)
    return height == width and shape == ((1, 1), (height // 2, height // 2), (1, 1), 1, "zeros")


def prepare(layer: nn.Conv2d) -> Tensor | None:
    """Lay a layer's filter out for `convolve`, with any number of channels; None where it can't."""
    weight = layer.weight.detach()
    size = layer.kernel_size[0]
    sizes = (1, 3, LARGEST) if layer.in_channels == FEW else (1, 3)
    if weight.dtype != torch.float32 or not _plain(layer) or size not in sizes:
        return None
    weight = F.pad(weight, (0, 0) * 3 + (0, -len(weight) % PANEL))
    return transform(weight) if size == 3 and not weight.shape[1] % LANES else _taps(weight)


def minimal(filter: Tensor) -> bool:
    """Tell whether a filter is for minimal filtering, or else for a sum over its taps."""
    return len(filter) == PLACES


def transform(weight: Tensor) -> Tensor:
    """Transform a filter (outputs, inputs, 3, 3) for `convolve`: (36, outputs/16, inputs, 16)."""
    matrix = _matrix(weight.dtype, weight.device)
    places: Tensor = torch.tensordot(matrix, _taps(weight), 1)
    return places


def _taps(weight: Tensor) -> Tensor:
    """Lay a filter (outputs, inputs, K, K) out by taps: (K*K, outputs/16, inputs, 16)."""
    panels = weight.unflatten(0, (-1, PANEL))  # (outputs/16, 16, inputs, K, K)
    taps: Tensor = panels.permute(3, 4, 0, 2, 1).flatten(0, 1).contiguous()
    return taps


def _matrix(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Transform both axes of a filter at once: (36, 9)."""
    one = torch.tensor(FILTER_TRANSFORM, dtype=dtype, device=device)
    return torch.kron(one, one)


def convolve(
    x: Tensor,
    filter: Tensor,
    bias: Tensor,
    *,
    plus: Tensor | None = None,
    then: Tensor | None = None,
    slope: float = 1.0,
    needed: Area | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Convolve with zeros outside, add a bias and `plus`, multiply what is negative by `slope`.

    x: float32 (N, inputs, H, W); filter: from `transform` or `prepare`; bias: (outputs); the
    result: (N, outputs, H, W). As large is `plus`, or in its place `then`, which is added last.
    Where `needed` is given the result holds anything elsewhere, N is 1, and x is read only in the
    tiles that lie around. `out` is where the result goes, if not to a place of its own: of its
    shape, whole rows with channels last. Not differentiable.
    """
    channels = filter.shape[1] * PANEL
    if out is None:
        last = torch.channels_last
        shape = (x.shape[0], channels, *x.shape[2:])
        # by the process's defaults it might lie elsewhere, or be of another dtype: C writes here
        out = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=last)
    _on_threads(
        "a2u_convolve",
        x,
        plus if then is None else then,
        [filter] * _threads(_tiles(x) if needed is None else len(needed.tiles)),
        bias=F.pad(bias, (0, channels - len(bias))),
        out=out,
        slope=slope,
        late=then is not None,
        needed=needed,
    )
    return out if len(bias) == channels else out[:, : len(bias)]


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return convolve(x, transform(weight), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad, dx, dweight, dbias = _last(grad), None, None, None
        if ctx.needs_input_grad[0]:
            mirrored = weight.flip(2, 3).transpose(0, 1)
            dx = convolve(grad, transform(mirrored), weight.new_zeros(weight.shape[1]))
        if ctx.needs_input_grad[1]:
            shape = (PLACES, weight.shape[0] // PANEL, weight.shape[1], PANEL)
            parts = [x.new_zeros(shape) for _ in range(_threads(_tiles(x)))]
            _on_threads("a2u_convolve_backward", x, grad, parts)
            taps = torch.tensordot(_matrix(x.dtype, x.device).T, torch.stack(parts).sum(0), 1)
            dweight = taps.unflatten(0, (3, 3)).permute(2, 4, 3, 0, 1).reshape(weight.shape)
        if ctx.needs_input_grad[2]:
            dbias = grad.sum((0, 2, 3))
        return dx, dweight, dbias


@functools.cache
def _function(name: str) -> Any:
    """Declare one of the two functions of `winograd.c`."""
    function = getattr(library(), name)
    function.argtypes, function.restype = [ctypes.POINTER(Convolution)], None
    return function


@functools.cache
def _space(inputs: int, outputs: int, gradient: bool) -> int:
    """Tell how many floats a thread needs beside its arguments."""
    function = library().a2u_convolution_space
    function.argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_int]
    function.restype = ctypes.c_int64
    return int(function(inputs, outputs, gradient))


def _threads(tiles: int) -> int:
    return max(1, min(torch.get_num_threads(), tiles // _WORTH_A_THREAD))


def _tiles(x: Tensor) -> int:
    return x.shape[0] * -(-x.shape[2] // 4) * -(-x.shape[3] // 4)


def _on_threads(
    name: str,
    x: Tensor,
    other: Tensor | None,
    filters: list[Tensor],
    *,
    bias: Tensor | None = None,
    out: Tensor | None = None,
    slope: float = 1.0,
    late: bool = False,
    needed: Area | None = None,
) -> None:
    """Call a function in as many threads as there are filters; each has its own."""
    x, other = _last(x), other if other is None else _last(other)
    taps, panels, inputs = filters[0].shape[:3]
    space = _space(inputs, panels * PANEL, out is None)
    spaces = [x.new_empty(space) for _ in filters]
    tiles = _tiles(x) if needed is None else len(needed.tiles)
    threads = len(filters)
    size = 3 if minimal(filters[0]) else isqrt(taps)
    masks = () if needed is None else (needed.tiles, needed.grow(size // 2).known)
    jobs = [
        Convolution(
            *(x.shape[2], x.shape[3], inputs, panels * PANEL),
            0 if minimal(filters[0]) else size,
            *(tiles * thread // threads, tiles * (thread + 1) // threads),
            *([mask.ctypes.data for mask in masks] or (None, None)),
            *(_picture(x), _picture(other), late),
            *(None if t is None else t.data_ptr() for t in (filter, bias, out, spaces[thread])),
            slope,
        )
        for thread, filter in enumerate(filters)
    ]
    spread(_function(name), jobs)


def _picture(x: Tensor | None) -> Picture:
    return Picture() if x is None else Picture(x.data_ptr(), *(x.stride(d) for d in (0, 2, 3)))


def _last(x: Tensor) -> Tensor:
    """Lay channels side by side, where they don't; a window of such a picture stays as it is."""
    return x if x.stride(1) == 1 else x.contiguous(memory_format=torch.channels_last)
