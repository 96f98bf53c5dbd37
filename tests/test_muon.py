"""Muon: orthogonal steps of the size of AdamW's, and a state that can be kept."""

import copy

import pytest
import torch
from torch import nn

from a2u_cli.training.muon import COEFFICIENTS, ITERATIONS, Muon, orthogonalise, suits


@pytest.mark.parametrize("shape", [(3, 20, 50), (2, 50, 20), (1, 16, 16)])
def test_singular_values_come_near_one(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
    assert values.min() > 0.3  # the smallest of a square matrix start near 0
    assert values.median() == pytest.approx(1.0, abs=0.3)
    assert values.max() < 1.3


def test_singular_values_come_near_one_in_bfloat16_too() -> None:
    torch.manual_seed(0)
    uneven = torch.logspace(0, -3, 576)  # as those of gradients are
    wide, square = torch.randn(2, 64, 576) * uneven, torch.randn(2, 64, 64) * uneven[::9]
    for matrices in (wide, wide.mT, square):
        values = torch.linalg.svdvals(orthogonalise(matrices, torch.bfloat16).float())
        assert values.max() < 1.3
        if matrices is not square:  # whose smallest values start near 0
            assert values.min() > 0.6


def test_the_gram_form_is_the_plain_iteration() -> None:
    torch.manual_seed(0)
    matrices = torch.randn(2, 24, 4) @ torch.randn(2, 4, 90) + 1e-3 * torch.randn(2, 24, 90)
    x = matrices.double() / matrices.double().norm(dim=(1, 2), keepdim=True)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    for given, expected in ((matrices, x), (matrices.mT, x.mT)):
        torch.testing.assert_close(orthogonalise(given).double(), expected, atol=1e-4, rtol=0)


def test_a_step_has_the_root_mean_square_of_adams() -> None:
    torch.manual_seed(0)
    bank = nn.Parameter(torch.zeros(32, 16, 3, 3))
    bank.grad = torch.randn_like(bank)
    Muon([bank], lr=1.0).step()
    assert bank.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.2)
    assert (bank * bank.grad).sum() < 0


def test_the_layout_in_memory_makes_no_difference() -> None:
    torch.manual_seed(0)
    start, gradient = torch.randn(2, 16, 16, 3, 3)
    steps = []
    for layout in (torch.contiguous_format, torch.channels_last):
        bank = nn.Parameter(start.clone().to(memory_format=layout))
        bank.grad = gradient.to(memory_format=layout)
        Muon([bank], lr=0.1, weight_decay=0.1).step()
        steps.append(bank.detach().contiguous())
    torch.testing.assert_close(*steps)


def test_equal_shapes_do_not_mix_and_what_has_no_gradient_stays() -> None:
    torch.manual_seed(0)
    banks = [nn.Parameter(torch.randn(16, 16, 1, 1)) for _ in range(3)]
    alone = nn.Parameter(banks[1].detach().clone())
    before = banks[2].detach().clone()
    for bank in banks[:2]:
        bank.grad = torch.randn_like(bank)
    alone.grad = banks[1].grad.clone()
    Muon(banks, lr=0.1).step()
    Muon([alone], lr=0.1).step()
    torch.testing.assert_close(banks[1], alone)
    torch.testing.assert_close(banks[2].detach(), before)


def test_a_kept_state_goes_on_as_if_nothing_had_happened() -> None:
    torch.manual_seed(0)
    gradients = torch.randn(4, 16, 16, 1, 1)
    straight = nn.Parameter(torch.ones(16, 16, 1, 1))
    optimiser = Muon([straight], lr=0.1)
    for number, gradient in enumerate(gradients):
        straight.grad = gradient
        optimiser.step()
        if number == 1:
            kept = copy.deepcopy(optimiser.state_dict())
            resumed = nn.Parameter(straight.detach().clone())
    again = Muon([resumed], lr=0.1)
    again.load_state_dict(kept)
    for gradient in gradients[2:]:
        resumed.grad = gradient
        again.step()
    torch.testing.assert_close(resumed, straight)


def test_only_banks_that_are_worth_it_are_taken() -> None:
    assert suits(nn.Parameter(torch.zeros(64, 4, 7, 7)))
    assert not suits(nn.Parameter(torch.zeros(256, 1, 3, 3)))  # depthwise
    assert not suits(nn.Parameter(torch.zeros(1, 32, 3, 3)))  # the head
    assert not suits(nn.Parameter(torch.zeros(256)))
