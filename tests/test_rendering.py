"""Rendered foregrounds and backgrounds: ranges, determinism, and what their alpha must hold."""

import numpy as np
import pytest

from a2u_cli.rendering.foregrounds import KINDS, render_foreground
from a2u_cli.rendering.textures import render_background, render_texture

SEMITRANSPARENT = ("smoke", "glass", "net", "feather")


@pytest.mark.parametrize("kind", KINDS)
def test_equal_generators_give_equal_bytes(kind: str) -> None:
    first, second = (
        render_foreground(96, np.random.default_rng(7), kind=kind, smooth=0.5) for _ in range(2)
    )
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1].tobytes() == second[1].tobytes()


def test_different_generators_give_different_pictures() -> None:
    first, second = (render_foreground(64, np.random.default_rng(seed)) for seed in (1, 2))
    assert not np.array_equal(first[0], second[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [32, 47, 127, 320, 512])
def test_any_size_gives_colour_and_alpha_in_range(kind: str, size: int) -> None:
    colour, alpha = render_foreground(size, np.random.default_rng(size), kind=kind)
    assert colour.shape == (size, size, 3)
    assert alpha.shape == (size, size)
    for array in (colour, alpha):
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert np.isfinite(array).all()
        assert array.min() >= 0
        assert array.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_alpha_holds_background_soft_pixels_and_opaque_ones(kind: str) -> None:
    alphas = np.stack(
        [render_foreground(160, np.random.default_rng(seed), kind=kind)[1] for seed in range(6)]
    )
    assert ((alphas == 0).mean(axis=(1, 2)) > 0.05).all()
    soft = ((alphas > 0) & (alphas < 1)).mean(axis=(1, 2))
    assert (soft > 0.002).all()
    if kind not in SEMITRANSPARENT:
        assert ((alphas == 1).mean(axis=(1, 2)) > 0.01).all()


@pytest.mark.parametrize("kind", ["hair", "fur"])
def test_hair_thins_out_over_a_wide_zone(kind: str) -> None:
    share = [
        float(((alpha > 0.02) & (alpha < 0.98)).mean())
        for _, alpha in (
            render_foreground(256, np.random.default_rng(seed), kind=kind) for seed in range(8)
        )
    ]
    assert np.mean(share) > 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_smooth_colours_have_no_strong_local_change(kind: str) -> None:
    colour, _ = render_foreground(256, np.random.default_rng(3), kind=kind, smooth=1.0)
    steps = np.abs(np.diff(colour, axis=0)).max(), np.abs(np.diff(colour, axis=1)).max()
    assert max(steps) < 0.03


@pytest.mark.parametrize("smooth", [0.0, 1.0])
@pytest.mark.parametrize("size", [32, 101, 256])
def test_textures_and_backgrounds_are_in_range(size: int, smooth: float) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        for image in (
            render_background(size, rng, smooth=smooth),
            render_texture(size, rng, smooth=smooth),
        ):
            assert image.shape == (size, size, 3)
            assert image.dtype == np.float32
            assert np.isfinite(image).all()
            assert image.min() >= 0
            assert image.max() <= 1


def test_the_global_random_state_is_left_alone() -> None:
    before = np.random.get_state(legacy=False)
    render_foreground(64, np.random.default_rng(0), kind="hair")
    after = np.random.get_state(legacy=False)
    assert np.array_equal(before["state"]["key"], after["state"]["key"])
