"""Bands: distances as measured one by one, and trimaps that keep their promise."""

import numpy as np
import pytest
import torch

from a2u_cli.training.data.drawn_trimaps import (
    UNKNOWN,
    close,
    distance_to,
    draw_bands,
    draw_style,
    finish_trimaps,
    nearest_within,
)
from a2u_cli.training.data.random_draws import RandomDraws


@pytest.fixture
def discs() -> torch.Tensor:
    """Eight soft discs of growing size, (8, 1, 96, 96)."""
    rows, columns = np.mgrid[:96, :96]
    distance = torch.from_numpy(np.hypot(rows - 48, columns - 40)).float()
    return (torch.arange(12.5, 44.0, 4.0)[:, None, None] - distance).clamp(0, 1)[:, None]


def draws(seed: int = 0) -> RandomDraws:
    return RandomDraws.seeded(seed, range(8))


def draw_trimaps(
    alpha: torch.Tensor, crop: int, draws: RandomDraws, *, without: float = 0.0
) -> torch.Tensor:
    style = draw_style(draws, crop, careless=0.2, without=without)
    return finish_trimaps(draw_bands(alpha, crop, style)[0], alpha, style)


@pytest.mark.parametrize("measure", [distance_to, nearest_within])
def test_distances_are_exact_up_to_the_limit(measure) -> None:
    mask = torch.rand(2, 1, 13, 17, generator=torch.Generator().manual_seed(0)) > 0.95
    rows, columns = np.mgrid[:13, :17]
    for distance, of in zip(measure(mask, 6), mask.numpy(), strict=True):
        places = np.argwhere(of[0])
        expected = np.min([np.hypot(rows - r, columns - c) for r, c in places], axis=0)
        near = expected <= 6
        np.testing.assert_allclose(distance[0].numpy()[near], expected[near], rtol=1e-6)
        assert (distance[0].numpy()[~near] > 6).all()


@pytest.mark.parametrize("measure", [distance_to, nearest_within])
def test_an_empty_mask_is_far_from_everything(measure) -> None:
    assert (measure(torch.zeros(1, 1, 8, 8, dtype=torch.bool), 4) > 4).all()


def test_closing_fills_small_holes_and_leaves_large_ones() -> None:
    mask = torch.ones(1, 1, 40, 40, dtype=torch.bool)
    mask[..., 5:8, 5:8] = False
    mask[..., 15:35, 15:35] = False
    closed = close(mask, torch.full((1, 1, 1, 1), 4.0), 8)
    assert closed[..., 5:8, 5:8].all()
    assert not closed[..., 22:28, 22:28].any()


def test_known_pixels_are_nearly_solid_or_nearly_empty(discs) -> None:
    for seed in range(4):
        trimap = draw_trimaps(discs, 64, draws(seed))
        assert ((trimap == 0) | (trimap == UNKNOWN) | (trimap == 1)).all()
        assert (discs[trimap == 1] >= 0.97).all()
        assert (discs[trimap == 0] <= 0.03).all()


def test_bands_come_narrow_and_wide(discs) -> None:
    shares = [
        (draw_trimaps(discs, 96, draws(s)) == UNKNOWN).float().mean((1, 2, 3)) for s in range(8)
    ]
    share = torch.cat(shares)
    assert share.min() < 0.1
    assert share.max() > 0.25


def test_sometimes_no_foreground_is_known(discs) -> None:
    assert not (draw_trimaps(discs, 64, draws(), without=1.0) == 1).any()
