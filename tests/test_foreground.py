"""Foreground colours come back from behind the matte, without a trace of the old background."""

import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from a2u_cli.errors import ImageError, OutOfMemory
from a2u_cli.foreground import (
    METHODS,
    Method,
    _relax,
    composite,
    cut_out,
    estimate_colours,
    estimate_foreground,
)
from a2u_cli.images.colour import from_linear, to_linear
from a2u_cli.rendering.foregrounds import render_foreground
from a2u_cli.rendering.textures import render_texture
from benchmarks import colours

Array = np.ndarray
RED, BLUE = np.float32([0.9, 0.2, 0.1]), np.float32([0.1, 0.3, 0.8])


def soft_disc(height: int = 90, width: int = 120) -> Array:
    """Alpha of a disc whose edge fades over ten pixels."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    distance = np.hypot(rows - height / 2, columns - width / 2)
    return np.clip((35 - distance) / 10, 0, 1)


def compose(foreground: Array, background: Array, alpha: Array) -> Array:
    share = alpha[..., None]
    return np.asarray(foreground * share + background * (1 - share), np.float32)


@pytest.mark.parametrize(("method", "most"), [("multilevel", 1.05), ("blur-fusion", 1.5)])
def test_colours_are_about_as_good_as_pymattings(method: Method, most: float) -> None:
    error = colours.mean_error(partial(estimate_colours, method=method))
    assert error <= most * colours.PYMATTING


def test_the_multilevel_update_is_the_minimum_of_its_cost() -> None:
    rng = np.random.default_rng(2)
    colours_before = torch.from_numpy(rng.random((2, 3, 4, 5), np.float32))
    planes = torch.from_numpy(rng.random((1, 4, 4, 5), np.float32))
    found = _relax(colours_before, planes, 1).numpy()
    image, alpha = planes[0, :3].numpy(), planes[0, 3].numpy()
    for y, x in np.ndindex(4, 5):
        near = [(max(y - 1, 0), x), (min(y + 1, 3), x), (y, max(x - 1, 0)), (y, min(x + 1, 4))]
        weights = [1e-5 + abs(alpha[y, x] - alpha[at]) for at in near]
        share = np.array([alpha[y, x], 1 - alpha[y, x]])
        matrix = np.outer(share, share) + sum(weights) * np.eye(2)
        before = colours_before.numpy()
        right = share[:, None] * image[:, y, x] + sum(
            weight * before[:, :, i, j] for weight, (i, j) in zip(weights, near, strict=True)
        )
        expected = np.clip(np.linalg.solve(matrix, right), 0, 1)
        np.testing.assert_allclose(found[:, :, y, x], expected, atol=2e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_scene_laid_on_its_own_background_is_the_scene(method: Method) -> None:
    off = []
    for image, alpha, foreground in colours.scenes():
        share = alpha[..., None]
        rest = image - foreground * share  # (1 - alpha) B, where B itself is not at hand
        found = estimate_colours(image, alpha, method=method)[0]
        off.append(np.abs(found * share + rest - image).mean())
    assert np.mean(off) < 1 / 255


def test_other_methods_are_refused() -> None:
    with pytest.raises(ImageError, match="colours 'best' are unknown; expected multilevel or blur"):
        estimate_colours(
            np.zeros((2, 2, 3), np.float32), np.zeros((2, 2), np.float32), method="best"
        )


def test_the_background_comes_back_too(rng: np.random.Generator) -> None:
    alpha = soft_disc()
    foreground, background = estimate_colours(compose(RED, BLUE, alpha), alpha)
    assert np.abs(background - BLUE)[alpha < 0.5].max() < 0.05
    assert np.abs(compose(foreground, background, alpha) - compose(RED, BLUE, alpha)).max() < 0.01


def test_constant_colours_are_recovered() -> None:
    alpha = soft_disc()
    image = compose(RED, BLUE, alpha)
    found = estimate_foreground(image, alpha)
    error = np.abs(found - RED).max(axis=2)
    assert error[alpha > 0.5].max() < 0.05
    assert error[alpha > 0].mean() < 0.02
    assert np.abs(image - RED).max(axis=2)[alpha > 0].max() > 0.7  # what the picture has there


def test_a_picture_of_one_colour_stays_as_it_is() -> None:
    alpha = soft_disc()
    image = compose(RED, RED, alpha)
    assert np.abs(estimate_foreground(image, alpha) - RED)[alpha > 0].max() < 2e-3


def test_solid_pixels_keep_their_colour_exactly(rng: np.random.Generator) -> None:
    alpha = soft_disc()
    image = rng.random((*alpha.shape, 3), dtype=np.float32)
    found = estimate_foreground(image, alpha)
    assert np.array_equal(found[alpha == 1], image[alpha == 1])


@pytest.mark.parametrize("kind", ["hair", "fur", "defocus", "spikes"])
def test_a_rendered_object_leaves_its_background_behind(kind: str) -> None:
    rng = np.random.default_rng(3)
    foreground, alpha = render_foreground(160, rng, kind=kind, smooth=1.0)
    background = render_texture(160, rng, smooth=1.0)
    image = compose(foreground, background, alpha)
    found = estimate_foreground(image, alpha)
    soft = (alpha > 0.02) & (alpha < 0.98)

    again = compose(found, background, alpha)
    assert np.abs(again - image).mean() < 0.01
    assert np.abs(again - image)[soft].mean() < 0.02
    green = np.float32([0, 1, 0])
    truth = compose(foreground, green, alpha)
    ours = np.abs(compose(found, green, alpha) - truth)[soft].mean()
    halo = np.abs(compose(image, green, alpha) - truth)[soft].mean()
    assert ours < halo / 4, f"error {ours:.4f}, with the picture's own colours {halo:.4f}"


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 9)])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_small_pictures_and_empty_mattes_give_finite_colours(
    size: tuple[int, int], level: float, rng: np.random.Generator
) -> None:
    image = rng.random((*size, 3), dtype=np.float32)
    found = estimate_foreground(image, np.full(size, level, np.float32))
    assert (found.shape, found.dtype) == (image.shape, np.float32)
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_a_cut_out_is_straight_colour_with_the_matte_beside_it(rng: np.random.Generator) -> None:
    alpha = soft_disc()
    image = rng.random((*alpha.shape, 3), dtype=np.float32)
    found = cut_out(image, alpha)
    assert (found.shape, found.dtype) == ((*alpha.shape, 4), np.float32)
    assert np.array_equal(found[..., 3], alpha)
    assert np.array_equal(found[..., :3], estimate_foreground(image, alpha))


def test_the_arguments_are_not_changed(rng: np.random.Generator) -> None:
    alpha = soft_disc()
    image = rng.random((*alpha.shape, 3), dtype=np.float32)
    alpha.flags.writeable = image.flags.writeable = False
    estimate_foreground(image, alpha)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (150, 61), (61, 150), (9, 200)])
def test_strips_give_the_bytes_of_the_whole(
    method: Method, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(4)
    image, alpha = rng.random((*size, 3), np.float32), soft_disc(*size)
    whole = estimate_colours(image, alpha, method=method)
    monkeypatch.setattr("a2u_cli.foreground.LEAST_ROWS", 1)
    for strip in (1, 700, 3000):
        monkeypatch.setattr("a2u_cli.foreground.STRIP", strip)
        for found, expected in zip(
            estimate_colours(image, alpha, method=method), whole, strict=True
        ):
            np.testing.assert_array_equal(found, expected)
        assert np.array_equal(estimate_foreground(image, alpha, method=method), whole[0])


@pytest.mark.parametrize("method", METHODS)
def test_little_memory_does_not_change_the_colours(method: Method) -> None:
    image = np.random.default_rng(4).random((300, 20, 3), np.float32)
    alpha = soft_disc(300, 20)
    expected = estimate_foreground(image, alpha, method=method)
    found = estimate_foreground(image, alpha, method=method, max_memory=430_000)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(cut_out(image, alpha, max_memory=10**9)[..., 3], alpha)
    with pytest.raises(OutOfMemory, match=r"20x300 take at least 0\.4 MB, expected at most 0\.1"):
        estimate_foreground(image, alpha, method=method, max_memory=100_000)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of Linux")
@pytest.mark.parametrize("method", METHODS)
def test_the_bound_on_memory_holds(method: Method) -> None:
    bound = 160_000_000
    code = f"""
import resource, sys, numpy as np, torch
from a2u_cli.foreground import estimate_foreground
torch.set_num_threads(1)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
small = np.full((64, 64, 3), 0.5, np.float32)
estimate_foreground(small, small[..., 0].copy(), method={method!r})
image = np.full((2000, 2000, 3), 0.5, np.float32)
alpha = np.tile(np.linspace(0, 1, 2000, dtype=np.float32), (2000, 1))
before = peak()
estimate_foreground(image, alpha, method={method!r}, max_memory={bound})
print(peak() - before)
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert int(run.stdout) <= bound


@pytest.mark.parametrize("wrong", [Image.new("RGB", (3, 2)), torch.zeros(2, 3, 3), None])
def test_what_is_no_array_is_refused_in_words(wrong: Any) -> None:
    image, alpha = np.zeros((2, 3, 3), np.float32), np.zeros((2, 3), np.float32)
    for name, call in (
        ("image", partial(estimate_foreground, wrong, alpha)),
        ("alpha", partial(estimate_colours, image, wrong)),
        ("alpha", partial(cut_out, image, wrong)),
        ("foreground", partial(composite, wrong, alpha, image)),
        ("alpha", partial(composite, image, wrong, image)),
        ("background", partial(composite, image, alpha, wrong)),
    ):
        with pytest.raises(ImageError, match=rf"^{name} is a .*, expected a numpy array \(H, W"):
            call()


def test_levels_are_no_colours() -> None:
    alpha = np.zeros((2, 3), np.float32)
    with pytest.raises(ImageError, match=r"image holds uint8 values, expected floats in \[0, 1\]"):
        estimate_foreground(np.zeros((2, 3, 3), np.uint8), alpha)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"image holds values from 0 to 255, expected \[0, 1\]"):
        estimate_foreground(np.float32([[[0, 0, 255]] * 3] * 2), alpha)


def test_what_a_resize_has_overshot_is_solid(rng: np.random.Generator) -> None:
    alpha = soft_disc()
    image = rng.random((*alpha.shape, 3), dtype=np.float32)
    shot = np.where(alpha == 1, np.nextafter(np.float32(1), np.float32(2)), alpha)
    assert np.array_equal(estimate_foreground(image, shot)[alpha == 1], image[alpha == 1])


@pytest.mark.parametrize("estimate", [estimate_foreground, cut_out])
def test_a_matte_of_another_size_is_refused(estimate, rng: np.random.Generator) -> None:
    image = rng.random((20, 30, 3), dtype=np.float32)
    with pytest.raises(ImageError, match="image is 30x20 but alpha is 20x30; use the matte"):
        estimate(image, np.zeros((30, 20), np.float32))


def test_a_composite_on_the_true_background_is_the_scene() -> None:
    rng = np.random.default_rng(5)
    foreground, background = rng.random((2, 9, 7, 3), np.float32)
    alpha = rng.random((9, 7), np.float32)
    scene = background + (foreground - background) * alpha[..., None]
    np.testing.assert_allclose(composite(foreground, alpha, background), scene, atol=1e-6)


def test_linear_light_brightens_what_is_half_covered() -> None:
    white, black = np.ones((1, 3, 3), np.float32), np.zeros((1, 3, 3), np.float32)
    alpha = np.array([[0.0, 0.5, 1.0]], np.float32)
    mixed = composite(white, alpha, black, linear=True)[0, :, 0]
    np.testing.assert_allclose(mixed, [0.0, 0.735357, 1.0], atol=1e-5)  # of IEC 61966-2-1
    values = np.linspace(0, 1, 256, dtype=np.float32)
    np.testing.assert_allclose(from_linear(to_linear(values)), values, atol=1e-6)


def test_a_composite_of_other_sizes_is_refused() -> None:
    with pytest.raises(ImageError, match="do not fit; make them one size"):
        composite(np.zeros((2, 2, 3)), np.zeros((2, 2)), np.zeros((2, 3, 3)))
