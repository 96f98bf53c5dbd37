"""Networks for inference: norms folded into convolutions, in the dtype of the device."""

import copy
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..operators.affinity import LEAK, AffinityPair
from ..operators.fused import convolution
from ..operators.fused.area import Area
from ..operators.pair import as_pair
from ..operators.steady import convolve_point
from .model import ConvNorm, MattingNetwork


class Folded(nn.Module):
    """A `ConvNorm` for inference: the norm is part of the convolution, in and out are of `dtype`.

    Computes in the dtype of its weights, which may be wider.
    """

    filter: Tensor | None

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype, *, activate: bool = False) -> None:
        super().__init__()
        self.conv, self.dtype, self.activate = conv, dtype, activate
        self.register_buffer("filter", convolution.prepare(conv), persistent=False)

    def forward(
        self,
        x: Tensor,
        plus: Tensor | None = None,
        *,
        then: Tensor | None = None,
        needed: Area | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """Run on (N, C, H, W); `out` is where C writes the result, for those that C does at all."""
        wide, bias = self.conv.weight.dtype, self.conv.bias
        x = x.to(wide)
        plus, then = (t if t is None else t.to(wide) for t in (plus, then))
        if self._fast(x, needed) and self.filter is not None and bias is not None:
            slope = LEAK if self.activate else 1.0
            y = convolution.convolve(
                x, self.filter, bias, plus=plus, then=then, slope=slope, needed=needed, out=out
            )
        else:
            y = self._convolve(x)
            y = y if plus is None else y.add_(plus)
            y = F.leaky_relu(y, LEAK, inplace=True) if self.activate else y
            y = y if then is None else then + y  # laid out as `then` is: the next layer reads it
        return y.to(self.dtype)

    def _convolve(self, x: Tensor) -> Tensor:
        if self.conv.kernel_size == (1, 1):
            rows, columns = self.conv.stride
            return convolve_point(x[..., ::rows, ::columns], self.conv.weight, self.conv.bias)
        return cast(Tensor, self.conv(x))

    def _fast(self, x: Tensor, needed: Area | None) -> bool:
        """Tell whether C does it: torch sums up over taps as fast, but leaves nothing out."""
        kind = self.filter is not None and (needed is not None or convolution.minimal(self.filter))
        return kind and convolution.takes(x, self.conv.weight)


class WidePair(nn.Module):
    """Another operator than A2U's for inference: it computes in float32 whatever goes in and out.

    A2U's own does so by itself.
    """

    def __init__(self, pair: nn.Module) -> None:
        super().__init__()
        self.pair = pair

    def down(self, x: Tensor) -> tuple[Tensor, Any]:
        half, state = as_pair(self.pair).down(x.float())
        return half.to(x.dtype), state

    def up(self, features: Tensor, state: Any) -> Tensor:
        return as_pair(self.pair).up(features.float(), state).to(features.dtype)


def fold_norms(network: MattingNetwork, dtype: torch.dtype = torch.float32) -> MattingNetwork:
    """Copy a network for inference in `dtype`: norms folded, in float64, into convolutions.

    A CPU that does not compute in `dtype` takes the filters rounded to it and sums up in float32,
    as others do. The kernel generators stay in float32, and the head, since from 0.5 to 1 bfloat16
    has but 128 steps.
    """
    device = network.mean.device
    folded = copy.deepcopy(network).cpu().eval()  # not every device has float64
    exact = torch.promote_types(dtype, torch.float32)
    wide = exact if device.type == "cpu" and not convolution.computes_in(dtype) else dtype
    for parent in list(folded.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, ConvNorm):
                conv = fuse_conv_bn_eval(layer.conv.double(), layer.norm.double())
                last = layer is folded.head
                conv = conv.to(exact) if last else conv.to(dtype).to(wide)
                kept = exact if last else dtype
                setattr(parent, name, Folded(conv, kept, activate=layer.activate))
    for place, name in folded.places() if dtype.itemsize < 4 else ():
        if not isinstance(pair := getattr(place, name), AffinityPair):
            setattr(place, name, WidePair(pair))
    folded.smooth.to(exact)
    return folded.to(device)
