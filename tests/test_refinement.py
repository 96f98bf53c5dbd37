"""The refinement held against dense matrices, written out window by window and tie by tie."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
import torch

from a2u_cli.errors import A2UError
from a2u_cli.matting import c_laplacian, laplacian
from a2u_cli.matting import refinement as module
from a2u_cli.matting.refinement import refine
from a2u_cli.operators.fused.library import available

Array = npt.NDArray[np.float32]


@pytest.fixture(params=["C", "torch"], autouse=True)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run all in both forms."""
    if request.param == "C" and not available():
        pytest.skip("the compiled library a2u_cli/operators/fused/_compiled is not built")
    monkeypatch.setattr(module, "compiled", lambda: request.param == "C")
    return str(request.param)


def sample(height: int, width: int) -> tuple[Array, npt.NDArray[np.uint8], Array, Array]:
    """Draw a picture, a trimap with an unknown band, a matte and a confidence."""
    rng = np.random.default_rng(height * 1000 + width)
    trimap = np.full((height, width), 128, np.uint8)
    trimap[:, : width // 4], trimap[:, -(width // 4) :] = 0, 255
    image = rng.random((height, width, 3), np.float32)
    confidence = np.float32(10) ** rng.uniform(-3, 0, (height, width)).astype(np.float32)
    return image, trimap, rng.random((height, width), np.float32), confidence


def dense_laplacian(image: Array) -> npt.NDArray[np.float64]:
    """Levin et al., equation 12, window by window."""
    height, width = image.shape[:2]
    number = np.arange(height * width).reshape(height, width)
    total = np.zeros((height * width, height * width))
    for y, x in itertools.product(range(height - 2), range(width - 2)):
        colours = image[y : y + 3, x : x + 3].reshape(9, 3).astype(np.float64)
        inverse = np.linalg.inv(np.cov(colours.T, bias=True) + 1e-7 / 9 * np.eye(3))
        centred = colours - colours.mean(0)
        window = number[y : y + 3, x : x + 3].ravel()
        total[np.ix_(window, window)] += np.eye(9) - (1 + centred @ inverse @ centred.T) / 9
    return total


def dense_ties(image: Array, free: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Tie every free pixel to the three free ones closest in colour and, a little, in place."""
    height, width = image.shape[:2]
    place = 0.05 / max(height, width) * np.stack(np.mgrid[:height, :width], -1)
    look = np.concatenate([image, place], -1).reshape(-1, 5).astype(np.float64)
    numbers = np.flatnonzero(free)
    total = np.zeros((height * width, height * width))
    for n in numbers:
        apart = ((look[numbers] - look[n]) ** 2).sum(1)
        for m in numbers[np.argsort(apart)[1:4]]:
            weight = 8e-3 / 2 * (1 - np.abs(look[n, :3] - look[m, :3]).mean())
            total[n, n] += weight
            total[m, m] += weight
            total[n, m] -= weight
            total[m, n] -= weight
    return total


def solve_densely(
    image: Array, trimap: npt.NDArray[np.uint8], alpha: Array, confidence: Array
) -> npt.NDArray[np.float64]:
    free = (trimap == 128).ravel()
    laplacian = dense_laplacian(image) + dense_ties(image, free)
    known = (trimap / 255.0).ravel()
    trust = confidence.ravel()[free].astype(np.float64)
    target = trust * alpha.ravel()[free] - laplacian[np.ix_(free, ~free)] @ known[~free]
    known[free] = np.linalg.solve(laplacian[np.ix_(free, free)] + np.diag(trust), target)
    return known.reshape(trimap.shape).clip(0, 1)


@pytest.mark.parametrize("size", [(3, 8), (9, 13), (20, 24)])
def test_minimises_what_it_says(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOLERANCE", 1e-7)
    monkeypatch.setattr(laplacian, "CHUNK", 50)
    arrays = sample(*size)
    np.testing.assert_allclose(refine(*arrays), solve_densely(*arrays), atol=1e-5)


def test_a_grey_picture_has_a_minimum_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOLERANCE", 1e-7)
    image, trimap, alpha, confidence = sample(20, 24)
    image = np.repeat(image[..., :1], 3, 2)  # no window's colours span more than a line
    expected = solve_densely(image, trimap, alpha, confidence / 1000)
    found = refine(image, trimap, alpha, confidence / 1000)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_stops_close_to_the_minimum() -> None:
    arrays = sample(20, 24)
    np.testing.assert_allclose(refine(*arrays), solve_densely(*arrays), atol=0.05)


def test_follows_the_colours_where_nothing_is_sure_and_the_matte_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "TOLERANCE", 1e-5)
    monkeypatch.setattr(module, "MOST_ROUNDS", 2000)
    ramp = np.clip(np.linspace(-0.5, 1.5, 64, dtype=np.float32), 0, 1)
    truth = np.broadcast_to(ramp, (40, 64))
    front, back = (np.array(c, np.float32) for c in ((0.9, 0.4, 0.1), (0.1, 0.3, 0.7)))
    image = truth[..., None] * front + (1 - truth[..., None]) * back
    trimap = np.full((40, 64), 128, np.uint8)
    trimap[:, :8], trimap[:, -8:] = 0, 255
    wrong = np.float32(0.5) * np.ones_like(truth)
    unsure = refine(image, trimap, wrong, np.full_like(wrong, 1e-6))
    assert np.abs(unsure - truth).max() < 0.02
    sure = refine(image, trimap, wrong, np.full_like(wrong, 1e6))
    assert np.abs(sure - wrong)[trimap == 128].max() < 1e-3


def test_one_of_two_like_strands_helps_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.full((40, 60, 3), 0.2, np.float32)
    image[:, 20], image[:, 40] = 0.8, 0.8
    image += np.random.default_rng(0).normal(0, 0.01, image.shape).astype(np.float32)
    trimap = np.full((40, 60), 128, np.uint8)
    trimap[:, :5], trimap[:2, 20] = 0, 255
    given = np.zeros((40, 60), np.float32)
    given[:, 20] = 1
    confidence = np.full_like(given, 0.1)
    confidence[:, 38:43] = 1e-4  # the network missed the second strand, and doubts it
    found = refine(image, trimap, given, confidence)
    assert found[:, 40].min() > 0.8
    assert found[:, 30].max() < 0.1
    monkeypatch.setattr(module, "ALIKE", 0.0)
    assert refine(image, trimap, given, confidence)[:, 40].max() < 0.2


def test_keeps_what_the_trimap_knows_and_stays_in_range() -> None:
    image, trimap, alpha, confidence = sample(30, 40)
    before = [a.copy() for a in (image, trimap, alpha, confidence)]
    found = refine(image, trimap, alpha, confidence)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_array_equal(found[trimap != 128], trimap[trimap != 128] / 255)
    for array, kept in zip((image, trimap, alpha, confidence), before, strict=True):
        np.testing.assert_array_equal(array, kept)


@pytest.mark.parametrize(("ties", "limit"), [(0.0, 5e-3), (8e-3, 1e-2)])  # none leaves its tile
def test_tiles_give_nearly_the_same_without_seams(
    ties: float, limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap, alpha, _ = sample(90, 120)
    confidence = np.full_like(alpha, 0.3)
    monkeypatch.setattr(module, "TOLERANCE", 1e-5)
    monkeypatch.setattr(module, "ALIKE", ties)
    whole = refine(image, trimap, alpha, confidence)
    monkeypatch.setattr(module, "TILE", 40)
    monkeypatch.setattr(module, "OVERLAP", 12)
    np.testing.assert_allclose(refine(image, trimap, alpha, confidence), whole, atol=limit)


def test_the_half_size_is_only_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOLERANCE", 1e-6)
    arrays = sample(60, 80)
    at_once = refine(*arrays)
    monkeypatch.setattr(module, "SMALLEST", 16)
    np.testing.assert_allclose(refine(*arrays), at_once, atol=1e-3)


def test_a_wide_band_is_crossed_from_the_half_size_in_few_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_ROUNDS", 20)
    truth = np.zeros((160, 240), np.float32)
    truth[:, 120:] = 1
    image = np.repeat(0.2 + 0.6 * truth[..., None], 3, 2)
    image += np.random.default_rng(0).normal(0, 0.01, image.shape).astype(np.float32)
    trimap = np.full(truth.shape, 128, np.uint8)
    trimap[:, :20], trimap[:, -20:] = 0, 255
    wrong, trust = np.full_like(truth, 0.5), np.full_like(truth, 1e-6)
    monkeypatch.setattr(module, "SMALLEST", 16)
    found = np.abs(refine(image, trimap, wrong, trust) - truth).mean()
    monkeypatch.setattr(module, "SMALLEST", 1000)
    assert found < 0.1 * np.abs(refine(image, trimap, wrong, trust) - truth).mean()


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("unknown", [1, 2, 3])
def test_few_unknown_pixels_have_few_that_look_like_them(
    unknown: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    image, trimap, alpha, confidence = sample(9, 13)
    trimap[:], trimap[4, :unknown] = 0, 128
    found = refine(image, trimap, alpha, confidence)
    expected = solve_densely(image, trimap, alpha, confidence)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (2, 30), (30, 2), (3, 3)])
def test_takes_any_size(size: tuple[int, int]) -> None:
    alpha = np.full(size, 0.25, np.float32)
    found = refine(np.ones((*size, 3), np.float32), np.full(size, 128, np.uint8), alpha, alpha)
    np.testing.assert_allclose(found, alpha, atol=1e-4)


def test_sizes_must_agree() -> None:
    image, trimap, alpha, confidence = sample(8, 12)
    with pytest.raises(A2UError, match="12x7"):
        refine(image, trimap[:-1], alpha, confidence)


@pytest.mark.parametrize("form", ["C"], indirect=True)
def test_the_forms_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOLERANCE", 1e-7)
    arrays = sample(100, 140)
    found = []
    for native in (True, False):
        monkeypatch.setattr(module, "compiled", lambda native=native: native)
        found.append(refine(*arrays))
    np.testing.assert_allclose(*found, atol=2e-5)


@pytest.mark.parametrize("form", ["C"], indirect=True)
def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_laplacian, "WORTH_THREADS", 0)
    arrays, found = sample(100, 140), []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        found.append(refine(*arrays))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
