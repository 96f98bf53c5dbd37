"""Areas that are needed: by gradients through the decoder, and left out in C alone."""

import numpy as np
import pytest
import torch
from conftest import TOLERANCE, sane_network
from test_streaming import assert_same, picture, streamed, whole

from a2u_cli.matting import areas as matting_areas
from a2u_cli.matting.areas import needed_areas, needed_windows
from a2u_cli.matting.planning import Plan
from a2u_cli.network.folding import fold_norms
from a2u_cli.operators.affinity import KernelGenerator, upsample
from a2u_cli.operators.fused import c_kernels, convolution
from a2u_cli.operators.fused.area import Area

in_c = pytest.mark.skipif(not convolution.available(), reason="no compiled library, or no AVX2")


def bands(size: tuple[int, int], period: int = 37, thickness: int = 3) -> np.ndarray:
    """Mark thin diagonal bands that cross a plane."""
    return np.add.outer(np.arange(size[0]), np.arange(size[1])) % period < thickness


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (4, 8), (13, 18)])
def test_an_area_is_counted_in_tiles_from_the_top_left(size: tuple[int, int]) -> None:
    area = Area(bands(size, 11, 2))
    pixels, across = area.pixels, -(-size[1] // 4)
    expected = sorted({i // 4 * across + j // 4 for i, j in np.argwhere(pixels)})
    assert area.tiles.tolist() == expected
    assert np.flatnonzero(area.known).tolist() == expected
    halves = {(i // 2, j // 2) for i, j in np.argwhere(pixels)}
    assert {tuple(place) for place in np.argwhere(area.halve().pixels)} == halves
    near = [
        (i, j)
        for i, j in np.ndindex(*size)
        if pixels[max(0, i - 2) : i + 3, max(0, j - 2) : j + 3].any()
    ]
    assert [tuple(place) for place in np.argwhere(area.grow(2).pixels)] == near


def test_the_context_is_needed_as_far_as_gradients_reach() -> None:
    """The walk backwards through the areas ends where the decoder's own does."""
    network = fold_norms(sane_network().double(), torch.float64)
    size, needed = (160, 192), np.zeros((160, 192), bool)
    needed[70, 100] = True
    for pair in network.pairs():  # kernels whose taps all count
        pair.generator.up_kernels = lambda a, m, n=None: a.new_full(  # type: ignore[attr-defined]
            (1, 9, 2 * a.shape[2], 2 * a.shape[3]), 1 / 9
        )
    found: dict[str, torch.Tensor] = {}

    def keep(name: str) -> None:
        def hook(_module: object, _inputs: object, output: torch.Tensor) -> torch.Tensor:
            found[name] = output.detach().requires_grad_()
            return found[name]

        getattr(network, name).register_forward_hook(hook)

    names = ("context", "decoder4", "decoder3", "decoder2", "decoder1")
    reached: dict[str, np.ndarray] = {}
    for name in names:
        keep(name)
        raw = network(torch.rand(1, 3, *size).double(), torch.rand(1, 1, *size).double())
        (gradient,) = torch.autograd.grad(raw[0, 0][torch.from_numpy(needed)].sum(), found[name])
        reached[name] = (gradient[0].abs().sum(0) > 0).numpy()
        getattr(network, name)._forward_hooks.clear()
    areas = needed_areas(size, needed)
    for name in names:
        np.testing.assert_array_equal(areas[name].pixels, reached[name], err_msg=name)


@in_c
@pytest.mark.parametrize(
    ("inputs", "outputs", "size"), [(16, 32, 3), (4, 64, 3), (64, 32, 1), (32, 1, 3), (24, 17, 3)]
)
def test_a_convolution_gives_the_needed_pixels_whatever_lies_beyond(
    inputs: int, outputs: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(inputs, outputs, size, padding=size // 2)
    filter = convolution.prepare(layer)
    assert filter is not None and layer.bias is not None
    x, plus = torch.randn(1, inputs, 37, 50), torch.randn(1, outputs + -outputs % 16, 37, 50)
    area = Area(bands((37, 50), 23, 2))
    beyond = torch.from_numpy(~area.around.known.repeat(4, 0).repeat(4, 1)[:37, :50].astype(bool))
    spoilt = x.masked_fill(beyond, torch.nan)
    bias = layer.bias.detach()
    if outputs % 16:
        plus = None  # what is added has the filter's channels
    monkeypatch.setattr(convolution, "_WORTH_A_THREAD", 1)
    for late in (False, True):
        added = {"then" if late else "plus": plus}
        with torch.no_grad():
            expected = layer.double()(x.double())
        layer.float()
        expected = expected + plus if plus is not None and not late else expected
        expected = torch.nn.functional.leaky_relu(expected, 0.1)
        expected = expected + plus if plus is not None and late else expected
        results = []
        for threads in (1, 2):
            monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
            y = convolution.convolve(spoilt, filter, bias, slope=0.1, needed=area, **added)
            assert y.shape == (1, outputs, 37, 50)
            results.append(y[..., torch.from_numpy(area.pixels)])
        assert torch.equal(*results)
        wanted = expected[..., torch.from_numpy(area.pixels)]
        error = (results[0].double() - wanted).abs().max() / wanted.abs().max()
        assert error <= 5e-6


@in_c
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_upsampling_gives_the_needed_pixels_as_it_would_give_all(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    generator = KernelGenerator(32)
    affinity, mean = torch.randn(1, 1, 13, 9), torch.randn(1, 32, 1, 1)
    area = Area(bands((26, 18), 19, 2))
    where = torch.from_numpy(area.known.repeat(4, 0).repeat(4, 1)[:26, :18].astype(bool))
    x = torch.randn(1, 20, 13, 9).to(dtype)
    monkeypatch.setattr(c_kernels, "_WORTH_A_THREAD", 1)
    with torch.inference_mode():
        expected = upsample(x, generator.up_kernels(affinity, mean))
        kernels = generator.up_kernels(affinity, mean, area)
        for threads in (1, 2):
            monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
            found = upsample(x, kernels, needed=area)
            assert torch.equal(found[..., where], expected[..., where])


@in_c
@pytest.mark.parametrize("tile", [(4096, 4096), (48, 64), (33, 50)])
@pytest.mark.parametrize("known", [0.5, 0.99])
def test_thin_bands_across_windows_are_what_the_whole_gives(
    tile: tuple[int, int], known: float
) -> None:
    network = sane_network()
    image, trimap = picture((97, 122), 8, known)
    folded, needed = fold_norms(network), bands((97, 122))
    found = streamed(folded, image, trimap, Plan(tile), needed=needed)
    assert_same(found, whole(network.double(), image, trimap), needed, TOLERANCE[torch.float32])


@in_c
def test_only_needed_tiles_are_computed_and_fewer_windows_are_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folded = fold_norms(sane_network())
    image, trimap = picture((96, 128), 9)
    needed = bands(trimap.shape, 90, 1)
    counted = {"tiles": 0, "all": 0}
    plain = convolution.convolve

    def counting(x: torch.Tensor, *arguments: object, **more: object) -> torch.Tensor:
        if x.shape[1] == 32 and x.shape[2] >= 96:  # the finest decoder's
            area = more["needed"]
            counted["all"] += -(-x.shape[2] // 4) * -(-x.shape[3] // 4)
            counted["tiles"] += len(area.tiles)  # type: ignore[attr-defined]
        return plain(x, *arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(convolution, "convolve", counting)
    plan = Plan((4096, 4096), frozenset({"pair1"}))
    streamed(folded, image, trimap, plan, needed=needed)
    assert 0 < counted["tiles"] < 0.3 * counted["all"]
    areas = needed_areas(trimap.shape, needed)
    assert len(needed_windows(areas, plan, tiled=True)[0]) == 1
    monkeypatch.setenv("A2U_NATIVE", "0")
    assert not matting_areas.leaves_tiles_out(folded)
