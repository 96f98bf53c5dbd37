"""The A2U matting network: its layers, put together as `stages` says.

Layer for layer the network of Dai, Lu and Shen, CVPR 2021 (https://arxiv.org/abs/2011.14288) with
ordinary batch norm in place of the authors' compiled one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..operators.affinity import LEAK, AffinityPair
from ..operators.comparison import find_operator
from ..operators.fused import convolution
from ..operators.fused.area import Area
from ..operators.pair import PairFactory, ResamplingPair, as_pair
from .stages import BLOCKS, DILATIONS, RESAMPLING, STAGES, walk

Begin = Callable[[str], object]  # told the stage that is begun
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, a sum if asked for, leaky ReLU unless told not to.

    `then` is added after that. `needed` says where the result is: `folding` may leave out the rest.
    Where a frozen norm, one in evaluation, is differentiated, it is folded into the convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        super().__init__()
        self.conv = convolution.Conv2d(
            inputs,
            outputs,
            size,
            stride=stride,
            padding=dilation * (size // 2),
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        self.norm = nn.BatchNorm2d(outputs)
        self.activate = activate

    def forward(
        self,
        x: Tensor,
        plus: Tensor | None = None,
        *,
        then: Tensor | None = None,
        needed: Area | None = None,
    ) -> Tensor:
        frozen = torch.is_grad_enabled() and not self.norm.training
        y = self._folded(x) if frozen else cast(Tensor, self.norm(self.conv(x)))
        y = y if plus is None else y.add_(plus)
        y = F.leaky_relu(y, LEAK, inplace=True) if self.activate else y
        return y if then is None else y + then

    def _folded(self, x: Tensor) -> Tensor:
        """Convolve and norm at once: gradients reach the filter and the norm's gain and shift."""
        norm = self.norm
        mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
        gain = norm.weight * (variance + norm.eps).rsqrt()  # (outputs)
        weight = self.conv.weight * gain[:, None, None, None]
        return self.conv._conv_forward(x, weight, norm.bias - mean * gain)


def freeze_norms(network: nn.Module) -> None:
    """Keep the statistics of all batch norms as they are, until `train` is called again."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected where the channel count changes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs)
        self.second = ConvNorm(outputs, outputs)
        same = inputs == outputs
        self.shortcut = nn.Identity() if same else ConvNorm(inputs, outputs, 1, activate=False)

    def forward(self, x: Tensor, needed: Area | None = None) -> Tensor:
        around = needed and needed.around
        same = isinstance(self.shortcut, nn.Identity)
        short = x if same else self.shortcut(x, needed=needed)
        return cast(Tensor, self.second(self.first(x, needed=around), short, needed=needed))


class DownBlock(nn.Module):
    """A residual block that halves the picture between its convolutions with a resampling pair."""

    def __init__(self, inputs: int, outputs: int, pair: PairFactory) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs)
        self.pair = pair(outputs)
        self.second = ConvNorm(outputs, outputs)
        self.shortcut = ConvNorm(inputs, outputs, 1, stride=2, activate=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        half, state = as_pair(self.pair).down(self.first(x))  # (N, outputs, H/2, W/2)
        return self.second(half, self.shortcut(x)), state


class Context(nn.Module):
    """Atrous spatial pyramid pooling at stride 16, with the mean of the whole picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.point = ConvNorm(channels, channels, 1)
        self.atrous = nn.ModuleList(
            nn.Sequential(
                ConvNorm(channels, channels, dilation=dilation, groups=channels),
                ConvNorm(channels, channels, 1),
            )
            for dilation in DILATIONS
        )
        self.pooled = ConvNorm(channels, channels, 1)
        self.project = ConvNorm((2 + len(DILATIONS)) * channels, channels, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor, mean: Tensor | None = None) -> Tensor:
        """Run on a picture, or on a part of one with the mean, (N, C, 1, 1), of the whole."""
        mean = x.mean((2, 3), keepdim=True) if mean is None else mean
        branches = [self.point(x), *(branch(x) for branch in self.atrous)]
        branches.append(self.pooled(mean).expand_as(x))
        return cast(Tensor, self.dropout(self.project(torch.cat(branches, 1))))


class DecoderStage(nn.Module):
    """Upsample, add the shortcut from the encoder, refine with two residual blocks."""

    def __init__(self, skip: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.skip = ConvNorm(skip, inputs)
        self.first = ResidualBlock(inputs, outputs)
        self.second = ResidualBlock(outputs, outputs)

    def forward(self, doubled: Tensor, skip: Tensor, needed: Area | None = None) -> Tensor:
        inner, outer = needed and needed.grow(2), needed and needed.grow(4)  # by residual blocks
        joined = self.skip(skip, then=doubled, needed=outer)
        return cast(Tensor, self.second(self.first(joined, inner), needed))


class Smooth(nn.Conv2d):
    """A convolution of one channel, whose two layouts are one: torch takes either by its strides.

    One of them does not give the same bytes in any number of threads.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.clone(memory_format=torch.contiguous_format))


class MattingNetwork(nn.Module):
    """Image and trimap to raw alpha.

    `image` is (N, 3, H, W) RGB in [0, 1], `trimap` (N, 1, H, W) with 0, 128/255 and 1 for
    background, unknown and foreground, H and W multiples of 16. Gives (N, 1, H, W), unbounded:
    clip it to [0, 1] and put the known pixels back. `shared` is the authors' choice between one
    encoding filter for all channels and one each; `operator` names one of `operators.comparison` in
    its place, and `pair` hands in any other. `begin` is told each stage that is begun.

    Raises ValueError for an unknown operator.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        shared: bool = True,
        operator: str | None = None,
        pair: PairFactory | None = None,
    ) -> None:
        super().__init__()
        name = operator or f"a2u-dynamic-{'shared' if shared else 'wise'}"
        self.operator, self.shared = None if pair else name, not name.endswith("-wise")
        a2u = partial(AffinityPair, shared=shared)
        make = pair or (find_operator(operator) if operator else a2u)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False)
        stem, head = STAGES["stem"], STAGES["head"]
        self.stem = ConvNorm(stem.inputs, stem.channels, 2 * stem.reach + 1)
        self.pair1 = make(STAGES["pair1"].channels)
        self.pair2 = make(STAGES["pair2"].channels)
        self.stage1 = _residual("stage1")
        self.down2 = _halving("down2", make)
        self.stage2 = _residual("stage2")
        self.down3 = _halving("down3", make)
        self.stage3 = _residual("stage3")
        self.context = Context(STAGES["context"].channels)
        self.decoder4 = _decoder("decoder4")
        self.decoder3 = _decoder("decoder3")
        self.decoder2 = _decoder("decoder2")
        self.decoder1 = _decoder("decoder1")
        self.head = ConvNorm(head.inputs, head.channels, 2 * head.reach + 1)
        self.smooth = Smooth(1, 1, 3, padding=1, bias=False)
        self._initialise()

    def forward(self, image: Tensor, trimap: Tensor, begin: Begin | None = None) -> Tensor:
        picture = torch.cat([(image - self.mean) / self.std, trimap], 1)  # (N, 4, H, W)
        return walk(WholePlanes(self, begin), picture)  # (N, 1, H, W)

    def pairs(self) -> list[ResamplingPair]:
        """Give the four resampling pairs, from the finest on."""
        return [as_pair(getattr(*place)) for place in self.places()]

    def places(self) -> list[tuple[nn.Module, str]]:
        """Tell where the four pairs stand: the module that holds each, and its name in there."""
        halving = ((stage, getattr(self, stage)) for stage in RESAMPLING)
        return [(m, "pair") if isinstance(m, DownBlock) else (self, s) for s, m in halving]

    def _initialise(self) -> None:
        """Start where the loss falls from the first step.

        The head is one channel wide: at the usual initialisation the last two layers hold the
        gradient back for hundreds of steps, so they start as a light blur of a mid grey.
        """
        for module in self.modules():
            if isinstance(module, ConvNorm):
                nn.init.kaiming_normal_(module.conv.weight, a=LEAK, nonlinearity="leaky_relu")
        nn.init.constant_(self.head.norm.bias, 0.3)
        with torch.no_grad():
            self.smooth.weight.fill_(0.04)
            self.smooth.weight[0, 0, 1, 1] = 0.45


class WholePlanes:
    """Lead tensors through a network: planes are whole (`stages.Way`)."""

    def __init__(self, network: MattingNetwork, begin: Begin | None = None) -> None:
        self.network, self.begin = network, begin

    def _module(self, stage: str) -> nn.Module:
        if self.begin:
            self.begin(stage)
        return cast(nn.Module, getattr(self.network, stage))

    def run(self, stage: str, x: Tensor) -> Tensor:
        return cast(Tensor, self._module(stage)(x))

    refine = surround = run

    def halve(self, stage: str, x: Tensor) -> tuple[Tensor, Any]:
        return _pair(self._module(stage)).down(x)

    def descend(self, stage: str, x: Tensor) -> tuple[Tensor, Any]:
        return cast(tuple[Tensor, Any], self._module(stage)(x))

    def double(self, stage: str, features: Tensor, state: Any) -> Tensor:
        return _pair(self._module(stage)).up(features, state)

    def decode(self, stage: str, doubled: Tensor, skip: Tensor) -> Tensor:
        return cast(Tensor, self._module(stage)(doubled, skip))


def _pair(module: nn.Module) -> ResamplingPair:
    return as_pair(module.pair if isinstance(module, DownBlock) else module)


def _residual(name: str) -> nn.Sequential:
    stage = STAGES[name]
    return nn.Sequential(*(ResidualBlock(stage.inputs, stage.channels) for _ in range(BLOCKS)))


def _halving(name: str, pair: PairFactory) -> DownBlock:
    return DownBlock(STAGES[name].inputs, STAGES[name].channels, pair)


def _decoder(name: str) -> DecoderStage:
    stage = STAGES[name]
    return DecoderStage(stage.skip, stage.inputs, stage.channels)
