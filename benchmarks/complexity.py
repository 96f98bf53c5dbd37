"""Count parameters and operations: of the operators, and of A2U beside two larger networks.

    python -m benchmarks.complexity

IndexNet Matting (Lu et al., ICCV 2019, "Indices Matter") and GCA Matting (Li and Lu, AAAI 2020,
"Natural Image Matting via Guided Contextual Attention") are laid out from their papers'
descriptions to be counted, never to be trained: nothing here computes. The A2U paper's abstract
speaks of 40 % of the complexity of the state of the art of its day.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from a2u_cli.network.model import MattingNetwork
from a2u_cli.operators.comparison import OPERATORS, IndexPair
from a2u_cli.operators.counting import count_operations, count_parameters
from a2u_cli.operators.pair import as_pair

from .eval_dev import markdown_table

SIDE = 320


@dataclass(frozen=True)
class Row:
    """What a network takes: learned parameters, multiply-adds for one picture of 320x320."""

    parameters: int
    operations: int


def conv(ins: int, outs: int, size: int = 3, **options: Any) -> nn.Module:
    """Convolve without bias, normalise, activate."""
    options = {"padding": size // 2, "bias": False} | options
    return nn.Sequential(nn.Conv2d(ins, outs, size, **options), nn.BatchNorm2d(outs), nn.ReLU())


def chain(first: int, widths: tuple[int, ...], **options: Any) -> nn.Module:
    """Stack 3x3 convolutions through these widths."""
    pairs = zip((first, *widths[:-1]), widths, strict=True)
    return nn.Sequential(*(conv(ins, outs, **options) for ins, outs in pairs))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen, filter each channel, narrow (Sandler et al. 2018)."""

    def __init__(self, ins: int, outs: int, factor: int) -> None:
        super().__init__()
        wide = factor * ins
        widen = [conv(ins, wide, 1)] if factor > 1 else []
        self.layers = nn.Sequential(
            *widen,
            conv(wide, wide, groups=wide),
            nn.Conv2d(wide, outs, 1, bias=False),
            nn.BatchNorm2d(outs),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if x.shape == y.shape else y


class IndexNetMatting(nn.Module):
    """MobileNetV2, learned indices in place of its five strides, ASPP, a decoder of 5x5 filters."""

    BLOCKS = ((16, 1, 1), (24, 6, 2), (32, 6, 3), (64, 6, 4), (96, 6, 3), (160, 6, 3), (320, 6, 1))
    HALVED_AFTER = (0, 2, 3, 4, 6)  # the stem is layer 0

    def __init__(self) -> None:
        super().__init__()
        layers, width = [conv(4, 32)], 32
        for outs, factor, count in self.BLOCKS:
            ins = (width, *(outs,) * (count - 1))
            layers.append(nn.Sequential(*(InvertedResidual(i, outs, factor) for i in ins)))
            width = outs
        self.layers = nn.ModuleList(layers)
        widths = (32, *(outs for outs, *_ in self.BLOCKS))
        self.pairs = nn.ModuleDict({str(i): IndexPair(widths[i]) for i in self.HALVED_AFTER})
        self.atrous = nn.ModuleList(
            nn.Sequential(conv(320, 320, groups=320), conv(320, 256, 1)) for _ in range(3)
        )
        self.point, self.pooled = conv(320, 256, 1), conv(320, 256, 1)
        self.project = conv(5 * 256, 160, 1)
        merged = (32, 32, 16, 24, 32, 64, 96)
        self.decoder = nn.ModuleList(
            conv(2 * skip, out, 5) for skip, out in zip(widths[:7], merged, strict=True)
        )
        self.head = nn.Sequential(conv(32, 1, 5), nn.Conv2d(1, 1, 5, padding=2, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        skips, states = [], {}
        for number, layer in enumerate(self.layers):
            x = layer(x)
            skips.append(x)
            if str(number) in self.pairs:
                x, states[number] = as_pair(self.pairs[str(number)]).down(x)
        mean = self.pooled(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        branches = [self.point(x), *(branch(x) for branch in self.atrous), mean]
        x = self.project(torch.cat(branches, 1))
        for number in reversed(range(7)):
            if number in states:
                x = as_pair(self.pairs[str(number)]).up(x, states[number])
            x = self.decoder[number](torch.cat([x, skips[number]], 1))
        y: Tensor = self.head(x)
        return y


class ResidualDown(nn.Module):
    """ResNet's basic block; with a stride, averages of 2x2 are the shortcut's input."""

    def __init__(self, ins: int, outs: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv(ins, outs, stride=stride), conv(outs, outs))
        self.shortcut: nn.Module = nn.Identity()
        if ins != outs or stride > 1:
            self.shortcut = nn.Sequential(nn.AvgPool2d(stride), conv(ins, outs, 1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x) + self.shortcut(x)
        return y


class ResidualUp(nn.Module):
    """The same in the decoder: doubled by a transposed convolution, its shortcut by neighbours."""

    def __init__(self, ins: int, outs: int, *, double: bool) -> None:
        super().__init__()
        first = _transposed(ins) if double else conv(ins, ins)
        self.layers = nn.Sequential(first, conv(ins, outs))
        nearest = nn.Sequential(nn.Upsample(scale_factor=2), conv(ins, outs, 1))
        self.shortcut = nearest if double else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x) + self.shortcut(x)
        return y


def _transposed(width: int) -> nn.Module:
    layer = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(width), nn.LeakyReLU(0.2))


class GuidedAttention(nn.Module):
    """Every patch of alpha features drawn from the patches whose picture features are alike.

    3x3 patches of half the guidance channels are compared at half the resolution, each with each,
    and 4x4 patches of alpha features are put together by the result.
    """

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.guide = nn.Conv2d(width, width // 2, 1)
        self.weigh = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor, guidance: Tensor) -> Tensor:
        keys = F.unfold(F.avg_pool2d(self.guide(guidance), 2), 3, padding=1)  # (N, 576, n)
        values = F.unfold(x, 4, stride=2, padding=1)  # (N, 2048, n)
        drawn = values @ (keys.mT @ keys).softmax(1)
        size = (x.shape[2], x.shape[3])
        y: Tensor = x + self.weigh(F.fold(drawn, size, 4, stride=2, padding=1))
        return y


class GCAMatting(nn.Module):
    """A ResNet-34 shaped encoder, guided attention on both sides of it, a residual decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.stem1, self.stem2 = conv(6, 32, stride=2), chain(32, (32,))
        self.stem3 = conv(32, 64, stride=2)
        stages, width = [], 64
        for outs, count, stride in ((64, 3, 1), (128, 4, 2), (256, 4, 2), (512, 2, 2)):
            ins = (width, *(outs,) * (count - 1))
            strides = (stride, *(1,) * (count - 1))
            blocks = [ResidualDown(i, outs, s) for i, s in zip(ins, strides, strict=True)]
            stages.append(nn.Sequential(*blocks))
            width = outs
        self.stages = nn.ModuleList(stages)
        shortcuts = ((6, 32), (32, 32), (64, 64), (128, 128), (256, 256))
        self.shortcuts = nn.ModuleList(chain(ins, (outs, outs)) for ins, outs in shortcuts)
        self.guidance = chain(3, (16, 32, 128), stride=2)
        self.attend = nn.ModuleList(GuidedAttention() for _ in range(2))
        decoder = []
        for outs, count in ((256, 2), (128, 3), (64, 3), (32, 2)):
            later = [ResidualUp(outs, outs, double=False) for _ in range(count - 1)]
            decoder.append(nn.Sequential(ResidualUp(width, outs, double=True), *later))
            width = outs
        self.decoder = nn.ModuleList(decoder)
        self.last, self.head = _transposed(32), nn.Conv2d(32, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        guidance = self.guidance(x[:, :3])  # (N, 128, H/8, W/8)
        half = self.stem2(self.stem1(x))
        quarter = self.stages[0](self.stem3(half))
        eighth = self.attend[0](self.stages[1](quarter), guidance)
        sixteenth = self.stages[2](eighth)
        y = self.stages[3](sixteenth)
        skips = (sixteenth, eighth, quarter, half, x)
        for number, layer in enumerate(self.decoder):
            y = layer(y) + self.shortcuts[4 - number](skips[number])
            y = self.attend[1](y, guidance) if number == 1 else y
        y = self.head(self.last(y) + self.shortcuts[0](x))
        result: Tensor = y
        return result


def count(network: nn.Module, *inputs: Tensor) -> Row:
    """Count a network that lies on the meta device, as its inputs do."""
    run = partial(network.eval(), *inputs)
    return Row(count_parameters(network), count_operations(run))


def operators(names: Iterable[str] = tuple(OPERATORS)) -> dict[str, Row]:
    """Count the matting network with each of these operators, on a picture of 320x320."""
    with torch.device("meta"):
        x, trimap = torch.empty(1, 3, SIDE, SIDE), torch.empty(1, 1, SIDE, SIDE)
        return {name: count(MattingNetwork(operator=name), x, trimap) for name in names}


def operator_cells(row: Row) -> list[str]:
    """Lay out what an operator costs: its parameters, alone and as a share; all operations."""
    bare = _bare_parameters()
    more = row.parameters - bare
    return [f"{more:,}", f"{more / bare:.2%}", f"{2 * row.operations / 1e9:.1f}"]


@cache
def _bare_parameters() -> int:
    with torch.device("meta"):
        return count_parameters(MattingNetwork(operator="nearest"))


OPERATOR_HEADER = ["operator", "parameters", "of the rest", f"GFLOPs at {SIDE}x{SIDE}"]


def networks() -> dict[str, Row]:
    """Count whole networks on a picture of 320x320."""
    with torch.device("meta"):
        trimap = torch.empty(1, 1, SIDE, SIDE)
        colour, four, six = (torch.empty(1, width, SIDE, SIDE) for width in (3, 4, 6))
        return {
            "A2U, channel-shared": count(MattingNetwork(), colour, trimap),
            "A2U, channel-wise": count(MattingNetwork(shared=False), colour, trimap),
            "IndexNet Matting": count(IndexNetMatting(), four),
            "GCA Matting": count(GCAMatting(), six),
        }


def main() -> None:
    """Print what each operator costs in the matting network, and what whole networks cost."""
    lines = [[name, *operator_cells(row)] for name, row in operators().items()]
    typer.echo(f"{markdown_table(OPERATOR_HEADER, lines)}\n")
    rows = networks()
    reference = rows["GCA Matting"].operations
    lines = [
        [
            name,
            f"{row.parameters:,}",
            f"{2 * row.operations / 1e9:.1f}",
            f"{row.operations / reference:.0%}",
        ]
        for name, row in rows.items()
    ]
    header = ["network", "parameters", f"GFLOPs at {SIDE}x{SIDE}", "of GCA's"]
    typer.echo(markdown_table(header, lines))


if __name__ == "__main__":
    typer.run(main)
