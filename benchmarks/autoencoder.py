"""The toy network that must give pictures back, and the ways to read what the papers say of it.

"Learning Affinity-Aware Upsampling" (CVPR 2021) repeats the experiment of "Index Networks" (PAMI
2020): layers C of a 3x3 convolution, a batch norm and a ReLU, halvings D and doublings U,
C(32)-D-C(64)-D-C(128)-D-C(256)-C(128)-U-C(64)-U-C(32)-U-C(1), without skips but for what an
operator's halves share. Neither paper's code for it is public, so what it leaves open is a Reading.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from a2u_cli.operators.comparison import make_pair
from a2u_cli.operators.counting import count_operations, count_parameters
from a2u_cli.operators.pair import as_pair

SIDE = 32  # of the pictures
Halving = Literal["max-pooling", "convolution"]


@dataclass(frozen=True)
class Reading:
    """What is left open.

    `widths` are the channels before each halving, `middle` those of the layers between the last
    halving and the first doubling. `halving` is for operators that say nothing of it: 2x2
    max-pooling, or a 2x2 convolution of stride 2.
    """

    widths: tuple[int, ...]
    middle: tuple[int, ...]
    halving: Halving


READINGS = {
    "convolution": Reading((32, 64, 128), (256, 128), "convolution"),
    "max-pooling": Reading((32, 64, 128), (256, 128), "max-pooling"),
    "narrow": Reading((16, 32, 64), (64,), "max-pooling"),
}


def same_network(reading: str, operator: str) -> str:
    """Name the first reading that gives an operator the same network: it may halve by itself."""
    if hasattr(make_pair(operator, SIDE).pair, "halve"):
        return reading
    widths = READINGS[reading].widths
    return next(name for name, other in READINGS.items() if other.widths == widths)


class Autoencoder(nn.Module):
    """Three halvings and three doublings: (N, 1, 32, 32) in [0, 1] to the same."""

    def __init__(self, reading: Reading, operator: str) -> None:
        super().__init__()
        widths, middle = reading.widths, reading.middle
        self.encoder = nn.ModuleList(_layers((1, *widths)))
        self.pairs = nn.ModuleList(_pair(operator, width, reading.halving) for width in widths)
        self.middle = nn.Sequential(*_layers((widths[-1], *middle)))
        self.decoder = nn.ModuleList(_layers(widths[::-1]))
        self.head = nn.Conv2d(widths[0], 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).float())  # type: ignore[no-any-return]

    def body(self, x: Tensor) -> Tensor:
        """Give all but the last convolution's part: features as large as the picture."""
        states: list[Any] = []
        for layer, pair in zip(self.encoder, self.pairs, strict=True):
            x, state = as_pair(pair).down(layer(x))
            states.append(state)
        x = self.middle(x)  # (N, C, 4, 4)
        pairs = list(zip(self.pairs, states, strict=True))[::-1]
        for (pair, state), layer in zip(pairs, [*self.decoder, nn.Identity()], strict=True):
            x = layer(as_pair(pair).up(x, state))
        return x


def cost(reading: Reading, operator: str) -> tuple[int, int]:
    """Count what an operator adds to nearest neighbours after max-pooling.

    Gives parameters, and multiply-adds for one picture.
    """
    with torch.device("meta"):
        network = Autoencoder(reading, operator).eval()
        bare = Autoencoder(replace(reading, halving="max-pooling"), "nearest").eval()
        x = torch.empty(1, 1, SIDE, SIDE)
        operations = [count_operations(partial(net, x)) for net in (network, bare)]
    return count_parameters(network) - count_parameters(bare), operations[0] - operations[1]


def _layers(widths: Iterable[int]) -> list[nn.Module]:
    return [
        nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )
        for inputs, outputs in pairwise(widths)
    ]


def _pair(operator: str, width: int, halving: Halving) -> nn.Module:
    pair = make_pair(operator, width)
    if halving == "convolution" and hasattr(pair.pair, "halve"):
        pair.pair.halve = nn.Conv2d(width, width, 2, stride=2)
    return pair
