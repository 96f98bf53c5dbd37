"""The floor under the whole pass: the network's convolutions, with nothing between them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2u_cli.network.model import MattingNetwork

from .cases import Case, Size

STRIP_BYTES = 2**22  # of a convolution's input and output together


class Call(NamedTuple):
    """A convolution of the network, and the height and width that it is called on."""

    layer: nn.Conv2d
    size: Size


class Nothing(nn.Module):
    """A resampling pair that gives the right shapes and no values: convolutions are all we want."""

    def down(self, x: Tensor) -> tuple[Tensor, None]:
        return x[..., ::2, ::2], None

    def up(self, features: Tensor, _: None) -> Tensor:
        height, width = features.shape[-2:]
        return features.new_empty(*features.shape[:2], 2 * height, 2 * width)


@contextmanager
def _calls(network: nn.Module) -> Iterator[list[Call]]:
    calls: list[Call] = []

    def note(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(layer, nn.Conv2d)
        calls.append(Call(layer, (inputs[0].shape[2], inputs[0].shape[3])))

    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_pre_hook(note) for layer in convolutions]
    yield calls
    for hook in hooks:
        hook.remove()


@cache
def convolution_calls(size: Size) -> tuple[Call, ...]:
    """List every convolution of one pass, in order; nothing is computed.

    The generators' 1x1 convolutions, on 37 positions at most, belong to the operators.
    """
    network = MattingNetwork(pair=lambda _: Nothing()).eval().to("meta")
    with _calls(network) as calls, torch.inference_mode():
        network(*(torch.empty(1, channels, *size, device="meta") for channels in (3, 1)))
    return tuple(calls)


def convolutions(case: Case) -> Callable[[], None]:
    """Run the network's convolutions alone, channels_last, each over the whole picture."""
    return _convolve(case, lambda call: call.size[0])


def convolutions_in_strips(case: Case) -> Callable[[], None]:
    """Run them in strips small enough to stay in cache, always over the same strip's memory."""
    bytes_each = torch.finfo(getattr(torch, case.dtype)).bits // 8

    def rows(call: Call) -> int:
        channels = call.layer.in_channels + call.layer.out_channels
        return max(call.layer.stride[0], STRIP_BYTES // (channels * call.size[1] * bytes_each))

    return _convolve(case, rows)


def _convolve(case: Case, rows: Callable[[Call], int]) -> Callable[[], None]:
    dtype, device = getattr(torch, case.dtype), case.device
    inputs: dict[tuple[int, ...], Tensor] = {}
    prepared = []
    for call in convolution_calls(case.size):
        layer, (height, width) = call
        most = min(height, rows(call))
        strips = -(-height // most)
        most = -(-height // strips // layer.stride[0]) * layer.stride[0]  # even strips
        halo = (2 * int(layer.padding[0])) if strips > 1 else 0
        shape = (1, layer.in_channels, most + halo, width)
        if shape not in inputs:
            x = torch.rand(shape, dtype=dtype, device=device)
            inputs[shape] = x.contiguous(memory_format=torch.channels_last)
        weight = torch.rand_like(layer.weight, dtype=dtype, device=device) - 0.5
        weight = weight.contiguous(memory_format=torch.channels_last)
        padding = (0 if strips > 1 else layer.padding[0], layer.padding[1])
        rest = (None, layer.stride, padding, layer.dilation, layer.groups)
        prepared.append((strips, (inputs[shape], weight, *rest)))

    def run() -> None:
        with torch.inference_mode():
            for strips, arguments in prepared:
                for _ in range(strips):
                    F.conv2d(*arguments)  # type: ignore[arg-type]

    return run
