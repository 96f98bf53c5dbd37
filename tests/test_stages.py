"""The table of stages against the network itself: sizes by running, reach by gradient."""

import pytest
import torch
from conftest import sane_network
from torch import Tensor, nn

from a2u_cli.network.model import DownBlock, MattingNetwork, WholePlanes
from a2u_cli.network.stages import RESAMPLING, STAGES, walk
from a2u_cli.operators.affinity import AffinityPair

SIDE = 64


@pytest.fixture(scope="module")
def network() -> MattingNetwork:
    return sane_network().double()


def reach(step: nn.Module, planes: int, *, skip: int = 0) -> int:
    """Measure how far the middle pixel of a step's output looks, by what it has a gradient for."""
    x = torch.randn(1, planes, SIDE, SIDE, dtype=torch.float64, requires_grad=True)
    more = [torch.randn(1, skip, SIDE, SIDE, dtype=torch.float64)] if skip else []
    y = step(x, *more)
    (gradient,) = torch.autograd.grad(y[0, :, SIDE // 2, SIDE // 2].square().sum(), x)
    rows, columns = (gradient[0].abs().sum(0) > 0).nonzero(as_tuple=True)
    return int(max((rows - SIDE // 2).abs().max(), (columns - SIDE // 2).abs().max()))


@pytest.mark.parametrize("name", ["stem", "head", "smooth"])
def test_a_convolution_looks_as_far_as_the_table_says(network: MattingNetwork, name: str) -> None:
    assert reach(getattr(network, name), STAGES[name].inputs) == STAGES[name].reach


@pytest.mark.parametrize("name", ["stage1", "stage2", "stage3"])
def test_a_residual_block_looks_as_far_as_the_table_says(
    network: MattingNetwork, name: str
) -> None:
    for block in getattr(network, name):
        assert reach(block, STAGES[name].inputs) == STAGES[name].reach


@pytest.mark.parametrize("name", ["down2", "down3"])
def test_the_convolutions_of_a_halving_look_as_far_as_the_table_says(
    network: MattingNetwork, name: str
) -> None:
    block: DownBlock = getattr(network, name)
    assert reach(block.first, STAGES[name].inputs) == STAGES[name].reach
    assert reach(block.second, STAGES[name].channels) == STAGES[name].reach


def test_the_context_looks_as_far_as_the_table_says_beside_its_mean(
    network: MattingNetwork,
) -> None:
    stage = STAGES["context"]
    mean = torch.zeros(1, stage.channels, 1, 1, dtype=torch.float64)

    class AroundAMean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return network.context(x, mean)

    assert reach(AroundAMean(), stage.inputs) == stage.reach


@pytest.mark.parametrize("name", ["decoder4", "decoder3", "decoder2", "decoder1"])
def test_a_decoder_looks_as_far_as_the_table_says(network: MattingNetwork, name: str) -> None:
    stage, decoder = STAGES[name], getattr(network, name)
    of_features = reach(decoder, stage.inputs, skip=stage.skip)

    class OfTheSkip(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            features = torch.zeros(1, stage.inputs, SIDE, SIDE, dtype=torch.float64)
            return decoder(features, x)

    assert max(of_features, reach(OfTheSkip(), stage.skip)) == stage.reach


@pytest.mark.parametrize("name", RESAMPLING)
def test_a_pair_looks_as_far_as_the_table_says_for_given_kernels(
    network: MattingNetwork, name: str
) -> None:
    module = getattr(network, name)
    pair: AffinityPair = module.pair if isinstance(module, DownBlock) else module
    planes = STAGES[name].channels
    x = torch.randn(1, planes, SIDE, SIDE, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        kernels = pair.generator(x)
    pair.generator.forward = lambda _: kernels  # type: ignore[method-assign]
    try:
        half, state = pair.down(x)
        (fine,) = torch.autograd.grad(half[0, :, SIDE // 4, SIDE // 4].sum(), x)
        coarse = torch.randn(1, planes, SIDE // 2, SIDE // 2, dtype=torch.float64)
        full = pair.up(coarse.requires_grad_(), state)
        (around,) = torch.autograd.grad(full[0, :, SIDE // 2, SIDE // 2].sum(), coarse)
    finally:
        del pair.generator.forward
    middle = SIDE // 4
    for gradient, size in ((fine, 2), (around, 1)):
        rows = (gradient[0].abs().sum(0) > 0).any(1).nonzero()
        first, last = int(rows.min()) // size, int(rows.max()) // size
        assert max(middle - first, last - middle) == STAGES[name].reach


def test_every_stage_gives_the_size_and_the_planes_that_the_table_says(
    network: MattingNetwork,
) -> None:
    sizes: dict[str, tuple[int, ...]] = {}

    class Noting(WholePlanes):
        def run(self, stage: str, x: Tensor) -> Tensor:
            y = super().run(stage, x)
            sizes[stage] = (STAGES[stage].inputs == x.shape[1], *y.shape[1:])
            return y

        refine = surround = run

        def halve(self, stage: str, x: Tensor) -> tuple[Tensor, object]:
            y, state = super().halve(stage, x)
            sizes[stage] = (STAGES[stage].inputs == x.shape[1], *y.shape[1:])
            return y, state

        def descend(self, stage: str, x: Tensor) -> tuple[Tensor, object]:
            y, state = super().descend(stage, x)
            sizes[stage] = (STAGES[stage].inputs == x.shape[1], *y.shape[1:])
            return y, state

        def decode(self, stage: str, doubled: Tensor, skip: Tensor) -> Tensor:
            y = super().decode(stage, doubled, skip)
            fits = (STAGES[stage].inputs, STAGES[stage].skip) == (doubled.shape[1], skip.shape[1])
            sizes[stage] = (fits, *y.shape[1:])
            return y

    with torch.inference_mode():
        walk(Noting(network), torch.rand(1, 4, 32, 48, dtype=torch.float64))
    assert sizes == {
        name: (True, stage.channels, 32 >> stage.level, 48 >> stage.level)
        for name, stage in STAGES.items()
    }
