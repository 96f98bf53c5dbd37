"""The export forms against the readable ones, at sizes that nothing divides."""

import numpy as np
import pytest
import torch
from conftest import TOLERANCE, error_histogram, sane_network

from a2u_cli.errors import A2UError
from a2u_cli.export import forms
from a2u_cli.matting.inference import matte
from a2u_cli.matting.streaming import pad_to_stride
from a2u_cli.operators.affinity import AffinityPair, KernelGenerator, downsample, pool, upsample

EVEN = [
    *((2, 2), (4, 10), (12, 12), (14, 26), (34, 50), (6, 122)),
    *((66, 38), (2, 46), (22, 16), (38, 10), (58, 4), (46, 62)),
]
SIZES = [
    (1, 1),
    (1, 9),
    (7, 3),
    (16, 16),
    (17, 31),
    (34, 50),
    (5, 97),
    (48, 32),
    (101, 37),
    (64, 90),
    (2, 33),
    (53, 19),
]


def close(
    found: torch.Tensor, expected: torch.Tensor, limit: float = TOLERANCE[torch.float32]
) -> None:
    assert found.shape == expected.shape
    histogram = error_histogram(found.detach().numpy(), expected.detach().numpy())
    assert (found - expected).abs().max() <= limit, histogram


@pytest.mark.parametrize("size", SIZES)
def test_pooling_by_products_is_adaptive_pooling(size: tuple[int, int]) -> None:
    x = torch.rand(1, 4, *size)
    close(forms.pool(x, 6), torch.nn.functional.adaptive_avg_pool2d(x, 6))
    close(forms.pool(x, 6), pool(x, 6)[0])


@pytest.mark.parametrize("size", SIZES)
def test_padding_mirrors_as_numpy_does(size: tuple[int, int]) -> None:
    x = torch.rand(1, 2, *size)
    expected = pad_to_stride(x[0].permute(1, 2, 0).numpy())
    assert np.array_equal(forms.mirror(x)[0].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("size", EVEN)
@pytest.mark.parametrize("shared", [True, False])
def test_a_pair_halves_and_doubles_as_the_operator_does(
    size: tuple[int, int], shared: bool
) -> None:
    torch.manual_seed(1)
    pair = AffinityPair(64, shared=shared).requires_grad_(False)
    x, features = torch.randn(1, 64, *size), torch.randn(1, 5, size[0] // 2, size[1] // 2)
    half, kernels = pair.down(x)
    plain = forms.PlainPair(pair)
    found, state = plain.down(x)
    close(found, half)
    close(state.flatten(1, 2), kernels_by_block(kernels))
    close(plain.up(features, state), pair.up(features, kernels))


def kernels_by_block(kernels: torch.Tensor) -> torch.Tensor:
    """Lay kernels out as the export form has them: (1, 9, 2h, 2w) -> (1, 9 * 4, h, w)."""
    return torch.nn.functional.pixel_unshuffle(kernels, 2)


def test_halving_and_doubling_take_any_kernels() -> None:
    x, down = torch.randn(1, 3, 8, 14), torch.randn(1, 36, 4, 7)
    order = torch.arange(36).view(1, 36, 1, 1)
    sorted_taps = down[:, forms.by_phase(order, 6).flatten()].unflatten(1, (9, 4))
    close(forms.halve(x, sorted_taps), downsample(x, down))
    up = torch.randn(1, 9, 16, 28)
    close(forms.double(x, kernels_by_block(up).unflatten(1, (9, 4))), upsample(x, up))


@pytest.mark.parametrize("shared", [True, False])
def test_the_network_gives_the_same_at_every_size(shared: bool, rng: np.random.Generator) -> None:
    network = sane_network(shared=shared)
    whole = forms.WholePicture(network)
    for height, width in SIZES:
        image = rng.random((height, width, 3), np.float32)
        trimap = rng.choice(np.array([0, 128, 255], np.uint8), (height, width))
        trimap[0, 0] = 128
        colours = torch.from_numpy(image).permute(2, 0, 1)[None]
        known = torch.from_numpy(trimap)[None, None].float() / 255
        with torch.inference_mode():
            found = whole(colours, known)[0, 0]
        close(found, torch.from_numpy(matte(network, image, trimap)), 1e-4)  # as files are held to


def test_half_precision_stays_near(rng: np.random.Generator) -> None:
    network = sane_network()
    image, trimap = torch.rand(1, 3, 40, 56), torch.full((1, 1, 40, 56), 128 / 255)
    with torch.inference_mode():
        exact = forms.WholePicture(network)(image, trimap)
        half = forms.WholePicture(network, torch.float16)(image, trimap)
    assert half.dtype == torch.float32
    assert 0 < (half - exact).abs().max() < 2e-2


@pytest.mark.parametrize(
    "pair",
    [
        AffinityPair(64, rank=2),
        AffinityPair(64, groups=2),
        AffinityPair(64, form="static"),
        AffinityPair(64, normalise=("softmax", "softmax")),
    ],
)
def test_what_has_no_export_form_is_refused(pair: AffinityPair) -> None:
    assert isinstance(pair.generator, KernelGenerator)
    with pytest.raises(A2UError, match="as it is released"):
        forms.PlainPair(pair)


def test_other_operators_have_no_export_form() -> None:
    with pytest.raises(A2UError, match="A2U's own operator"):
        forms.WholePicture(sane_network(operator="bilinear"))
