"""The A2U matting network, top to bottom: encoder, context, decoder, head.

Layer for layer the network of Dai, Lu and Shen, CVPR 2021 (https://arxiv.org/abs/2011.14288) with
ordinary batch norm in place of the authors' compiled one.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..operators.affinity import LEAK, AffinityPair
from ..operators.fused import convolution
from ..operators.pair import PairFactory, as_pair

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
ASPP_DILATIONS = (6, 12, 18)


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, a sum if asked for, leaky ReLU unless told not to."""

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

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        y = cast(Tensor, self.norm(self.conv(x)))
        y = y if plus is None else y.add_(plus)
        return F.leaky_relu(y, LEAK, inplace=True) if self.activate else y


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, projected where the channel count changes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs)
        self.second = ConvNorm(outputs, outputs)
        same = inputs == outputs
        self.shortcut = nn.Identity() if same else ConvNorm(inputs, outputs, 1, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.second(self.first(x), self.shortcut(x)))


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
            for dilation in ASPP_DILATIONS
        )
        self.pooled = ConvNorm(channels, channels, 1)
        self.project = ConvNorm((2 + len(ASPP_DILATIONS)) * channels, channels, 1)
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

    def forward(self, doubled: Tensor, skip: Tensor) -> Tensor:
        return cast(Tensor, self.second(self.first(doubled + self.skip(skip))))


class MattingNetwork(nn.Module):
    """Image and trimap to raw alpha.

    `image` is (N, 3, H, W) RGB in [0, 1], `trimap` (N, 1, H, W) with 0, 128/255 and 1 for
    background, unknown and foreground, H and W multiples of 16. Gives (N, 1, H, W), unbounded:
    clip it to [0, 1] and put the known pixels back. `shared` is the authors' choice between one
    encoding filter for all channels and one each; `pair` hands in another resampling operator.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, shared: bool = True, pair: PairFactory | None = None) -> None:
        super().__init__()
        self.shared = shared
        make = pair or (lambda channels: AffinityPair(channels, shared=shared))
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(DEVIATION).view(1, 3, 1, 1), persistent=False)
        self.stem = ConvNorm(4, 64, 7)
        self.pair1 = make(64)
        self.pair2 = make(64)
        self.stage1 = nn.Sequential(*(ResidualBlock(64, 64) for _ in range(3)))
        self.down2 = DownBlock(64, 128, make)
        self.stage2 = nn.Sequential(*(ResidualBlock(128, 128) for _ in range(3)))
        self.down3 = DownBlock(128, 256, make)
        self.stage3 = nn.Sequential(*(ResidualBlock(256, 256) for _ in range(3)))
        self.context = Context(256)
        self.decoder4 = DecoderStage(128, 256, 128)
        self.decoder3 = DecoderStage(64, 128, 64)
        self.decoder2 = DecoderStage(64, 64, 64)
        self.decoder1 = DecoderStage(4, 64, 32)
        self.head = ConvNorm(32, 1)
        self.smooth = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        self._initialise()

    def forward(self, image: Tensor, trimap: Tensor) -> Tensor:
        pairs = [as_pair(p) for p in (self.pair1, self.pair2, self.down2.pair, self.down3.pair)]
        x = torch.cat([(image - self.mean) / self.std, trimap], 1)  # (N, 4, H, W)
        half, state1 = pairs[0].down(self.stem(x))  # (N, 64, H/2, W/2)
        quarter, state2 = pairs[1].down(half)  # (N, 64, H/4, W/4)
        level1 = self.stage1(quarter)
        eighth, state3 = self.down2(level1)  # (N, 128, H/8, W/8)
        level2 = self.stage2(eighth)
        sixteenth, state4 = self.down3(level2)  # (N, 256, H/16, W/16)
        y = self.context(self.stage3(sixteenth))
        y = self.decoder4(pairs[3].up(y, state4), level2)  # (N, 128, H/8, W/8)
        y = self.decoder3(pairs[2].up(y, state3), level1)  # (N, 64, H/4, W/4)
        y = self.decoder2(pairs[1].up(y, state2), half)  # (N, 64, H/2, W/2)
        y = self.decoder1(pairs[0].up(y, state1), x)  # (N, 32, H, W)
        return cast(Tensor, self.smooth(self.head(y)))  # (N, 1, H, W)

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
