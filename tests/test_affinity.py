"""The operator against slow loops, small cases by hand, the parity cases and gradients."""

import copy
import json
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import TOLERANCE
from torch import Tensor

from a2u_cli.operators.affinity import (
    AffinityPair,
    Constant,
    KernelGenerator,
    Moments,
    downsample,
    encode,
    normalise_down,
    normalise_up,
    pool,
    upsample,
)
from a2u_cli.operators.fused import convolution, encodings
from a2u_cli.operators.fused import kernels as fused_kernels

AUTHORS = {
    "bnu.0": "norm_u",
    "bnv.0": "norm_v",
    "bconv_UP.1": "project_up",
    "bconv_DP.1": "project_down",
    "bconv_U.1": "filter_u",
    "bconv_V.1": "filter_v",
}


def slow_downsample(x: Tensor, kernels: Tensor, groups: int) -> Tensor:
    samples, channels, height, width = x.shape
    size = round((kernels.shape[1] / groups) ** 0.5)
    pad = (size - 1) // 2
    out = x.new_zeros(samples, channels, height // 2, width // 2)
    for n, c, i, j in np.ndindex(*out.shape):
        for u, v in np.ndindex(size, size):
            y, z = 2 * i - pad + u, 2 * j - pad + v
            if 0 <= y < height and 0 <= z < width:
                tap = (c // (channels // groups) * size + u) * size + v
                out[n, c, i, j] += kernels[n, tap, i, j] * x[n, c, y, z]
    return out


def slow_upsample(x: Tensor, kernels: Tensor, groups: int) -> Tensor:
    samples, channels, height, width = x.shape
    size = round((kernels.shape[1] / groups) ** 0.5)
    pad = (size - 1) // 2
    out = x.new_zeros(samples, channels, 2 * height, 2 * width)
    for n, c, i, j in np.ndindex(*out.shape):
        for u, v in np.ndindex(size, size):
            y, z = i // 2 - pad + u, j // 2 - pad + v
            if 0 <= y < height and 0 <= z < width:
                tap = (c // (channels // groups) * size + u) * size + v
                out[n, c, i, j] += kernels[n, tap, i, j] * x[n, c, y, z]
    return out


@pytest.mark.parametrize(("size", "groups"), [(6, 1), (4, 2), (2, 3)])
def test_downsample_equals_a_slow_loop(size: int, groups: int) -> None:
    x = torch.randn(2, 6, 6, 10, dtype=torch.float64)
    kernels = torch.randn(2, groups * size * size, 3, 5, dtype=torch.float64)
    expected = slow_downsample(x, kernels, groups)
    result = downsample(x, kernels, groups=groups)
    torch.testing.assert_close(result, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("size", "groups"), [(3, 1), (5, 2), (1, 3)])
def test_upsample_equals_a_slow_loop(size: int, groups: int) -> None:
    x = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    kernels = torch.randn(2, groups * size * size, 6, 10, dtype=torch.float64)
    expected = slow_upsample(x, kernels, groups)
    torch.testing.assert_close(upsample(x, kernels, groups=groups), expected, atol=1e-12, rtol=0)


def test_a_centre_tap_upsamples_to_the_nearest_pixel() -> None:
    x = torch.arange(6.0).view(1, 1, 2, 3)
    kernels = torch.zeros(1, 9, 4, 6)
    kernels[:, 4] = 1.0
    expected = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(upsample(x, kernels), expected)


def test_even_kernels_of_ones_downsample_to_window_sums() -> None:
    x = torch.ones(1, 1, 8, 8)
    result = downsample(x, torch.ones(1, 36, 4, 4))
    # the first window begins two pixels outside, the last ends two outside: 4 of 6 rows count
    assert result[0, 0].tolist()[0] == [16.0, 24.0, 24.0, 16.0]


def test_every_operator_case_of_the_authors_holds(parity) -> None:
    for case in json.loads((parity / "ops/index.json").read_text())["cases"]:
        arrays = np.load(parity / "ops" / case["file"])
        if not case["file"].startswith(("upsample", "downsample")):
            continue
        operator = upsample if case["file"].startswith("up") else downsample
        features, masks, expected = (
            torch.from_numpy(arrays[name]) for name in ("features", "masks", "expected")
        )
        result = operator(features, masks, groups=int(arrays["groups"]))
        assert (result - expected).abs().max() < 1e-10, case["file"]


@pytest.mark.parametrize("number", range(4))
def test_every_generator_case_of_the_authors_holds(parity, number: int) -> None:
    arrays = np.load(parity / f"ops/generator_{number}.npz")
    generator = KernelGenerator(arrays["x"].shape[1], shared=bool(arrays["share"])).double()
    state = {}
    for key in arrays.files:
        if key.startswith("w:"):
            layer, leaf = key[2:].rsplit(".", 1)
            state[f"{AUTHORS[layer]}.{leaf}"] = torch.from_numpy(arrays[key])
    generator.load_state_dict(state)
    down, up = generator(torch.from_numpy(arrays["x"]))
    assert (down - torch.from_numpy(arrays["down"])).abs().max() < 1e-10
    assert (up - torch.from_numpy(arrays["up"])).abs().max() < 1e-10


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("rank", "groups"), [(1, 1), (2, 1), (3, 2)])
def test_the_taps_of_each_group_sum_to_one(shared: bool, rank: int, groups: int) -> None:
    generator = KernelGenerator(32, rank=rank, groups=groups, shared=shared)
    down, up = generator(torch.randn(2, 32, 8, 12))
    assert down.shape == (2, groups * 36, 4, 6)
    assert up.shape == (2, groups * 9, 8, 12)
    for kernels in (down, up):
        sums = kernels.unflatten(1, (groups, -1)).sum(2)
        torch.testing.assert_close(sums, torch.ones_like(sums))


@pytest.mark.parametrize("shared", [True, False])
def test_rank_two_is_the_sum_of_two_rank_one_models(shared: bool) -> None:
    both = KernelGenerator(32, rank=2, shared=shared).double()
    x = torch.randn(1, 32, 8, 8, dtype=torch.float64)
    affinity = both.affinity(x)
    mean = x.mean((2, 3), keepdim=True)
    logits = torch.zeros(1, 36, 4, 4, dtype=torch.float64)
    for r in range(2):
        one = KernelGenerator(32, shared=shared).double()
        for name in ("filter_u", "filter_v", "norm_u", "norm_v"):
            theirs, ours = getattr(both, name), getattr(one, name)
            for leaf in ("weight", "bias"):
                getattr(ours, leaf).data = getattr(theirs, leaf).data.chunk(2)[r]
        torch.testing.assert_close(one.affinity(x)[:, 0], affinity[:, r])
        weight = both.project_down(mean).unflatten(1, (36, 2))[:, :, r]
        logits = logits + weight * affinity[:, r : r + 1]
    torch.testing.assert_close(both(x)[0], normalise_down(logits, 1))


def test_the_twins_use_their_groups() -> None:
    pair = AffinityPair(32, groups=2)
    x = torch.randn(1, 32, 8, 8)
    down, up = pair.generator(x)
    half, state = pair.down(x)
    torch.testing.assert_close(half, downsample(x, down, groups=2))
    torch.testing.assert_close(pair.up(half, state), upsample(half, up, groups=2))


@pytest.mark.parametrize("rank", [1, 2])
def test_a_part_with_the_wholes_moments_is_a_part_of_the_whole(rank: int) -> None:
    """What streaming does: the norm's mean and variance come from the whole, the rest from a part.

    The variance is far from one, and so small in one group that epsilon counts.
    """
    generator = KernelGenerator(32, rank=rank, norm_groups=2)
    for norm in (generator.norm_u, generator.norm_v):
        torch.nn.init.normal_(norm.weight, 1.0, 0.5)
        torch.nn.init.normal_(norm.bias, 0.3, 0.5)
    x = torch.randn(1, 32, 16, 16) * torch.linspace(0.001, 3, 32).view(1, -1, 1, 1)
    a, b = encode(x, *generator.filters(torch.nn.functional.adaptive_avg_pool2d(x, 6)))

    def moments(encoded: Tensor) -> Moments:
        grouped = encoded.reshape(1, 2 * rank, -1).double()
        mean, variance = grouped.mean(2), grouped.var(2, correction=0)
        channels = encoded.shape[1] // grouped.shape[1]
        return Moments(
            *(m.repeat_interleave(channels, 1).view(1, -1, 1, 1) for m in (mean, variance))
        )

    part = (slice(None), slice(None), slice(2, 5), slice(1, 7))
    result = generator.affinity_with(a[part], b[part], (moments(a), moments(b)))
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, generator.affinity(x)[part], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("form", "filters", "projections"),
    [("dynamic", False, False), ("hybrid", True, False), ("static", True, True)],
)
def test_a_pair_has_the_constants_of_its_form(form, filters: bool, projections: bool) -> None:
    generator = AffinityPair(
        48, rank=2, groups=3, shared=False, form=form, normalise=("none", "softmax")
    ).generator
    assert (generator.rank, generator.groups, generator.normalise) == (2, 3, ("none", "softmax"))
    assert generator.norm_u.num_groups == 2 * 16  # the greatest that divides 32 and 48
    assert isinstance(generator.filter_u, Constant) == filters
    assert isinstance(generator.project_down, Constant) == isinstance(
        generator.project_up, Constant
    )
    assert isinstance(generator.project_up, Constant) == projections
    assert generator.filter_v.weight.shape == ((1, 96, 6, 6) if filters else (96, 48, 1, 1))


def test_a_pair_is_shared_rank_one_and_dynamic_unless_told() -> None:
    generator, whole = AffinityPair(32).generator, KernelGenerator(32)
    shapes = [{name: p.shape for name, p in g.named_parameters()} for g in (generator, whole)]
    assert shapes[0] == shapes[1]
    assert generator.filter_u.weight.shape == (1, 32, 1, 1)


@pytest.mark.parametrize("options", [{"groups": 3}, {"norm_groups": 5}])
def test_channels_that_cannot_be_split_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="32 channels cannot be split"):
        KernelGenerator(32, **options)


def test_autocast_leaves_the_kernels_as_they_are() -> None:
    generator, x = KernelGenerator(32), torch.randn(1, 32, 8, 8)
    expected = generator(x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(generator(x), expected, rtol=0, atol=0)


def test_no_upsampling_tap_takes_all() -> None:
    taps = normalise_up(torch.randn(1, 9, 4, 4) * 100, 1)
    assert taps.max() <= np.e / (np.e + 8) + 1e-6
    assert taps.min() >= 1 / (1 + 8 * np.e) - 1e-6


def test_a_batch_gives_what_its_samples_give_alone() -> None:
    generator = KernelGenerator(32).double()
    x = torch.randn(3, 32, 8, 12, dtype=torch.float64)
    together = generator(x)
    for n in range(3):
        for whole, part in zip(together, generator(x[n : n + 1]), strict=True):
            torch.testing.assert_close(whole[n : n + 1], part, atol=1e-12, rtol=0)


def test_channel_wise_filters_see_only_their_channel() -> None:
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    u = torch.randn(2, 1, 4, 6, 6, dtype=torch.float64)
    a, _ = encode(x, u, u)
    for c in range(4):
        kernels = u[:, 0, c].flatten(1)[..., None, None].expand(-1, -1, 3, 3)
        expected = slow_downsample(x[:, c : c + 1], kernels, 1)
        torch.testing.assert_close(a[:, c : c + 1], expected)


@pytest.mark.parametrize("shared", [True, False])
def test_gradients_hold_against_finite_differences(shared: bool) -> None:
    pair = AffinityPair(32, shared=shared).double()
    torch.manual_seed(1)
    x = torch.randn(1, 32, 2, 4, dtype=torch.float64, requires_grad=True)
    features = torch.randn(1, 2, 1, 2, dtype=torch.float64, requires_grad=True)

    def both(x: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        small, state = pair.down(x)
        return small[:, :4], pair.up(features, state)

    assert torch.autograd.gradcheck(both, (x, features), fast_mode=True)


def test_operators_are_differentiable_in_features_and_kernels() -> None:
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    down = torch.randn(1, 36, 2, 2, dtype=torch.float64, requires_grad=True)
    up = torch.randn(1, 9, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(downsample, (x, down))
    assert torch.autograd.gradcheck(upsample, (x, up))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_statistics_and_softmax_in_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    pair = AffinityPair(32)
    x = torch.randn(1, 32, 16, 16)
    expected, state = pair.down(x)
    half, half_state = pair.down(x.to(dtype))
    assert half.dtype == dtype
    assert half_state.dtype == torch.float32
    assert (half.float() - expected).abs().max() < TOLERANCE[dtype]
    assert (half_state - state).abs().max() < TOLERANCE[dtype]
    with torch.autocast("cpu", dtype):
        down, _ = pair.generator(x.to(dtype))
    assert down.dtype == torch.float32


def test_channel_wise_filters_learn_in_half_precision_what_they_learn_in_float32() -> None:
    torch.manual_seed(0)
    x, u = torch.randn(2, 4, 16, 16).bfloat16(), torch.randn(2, 1, 4, 6, 6)
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        leaves = [x.to(dtype).requires_grad_(), u.clone().requires_grad_()]
        a, _ = encode(leaves[0], leaves[1], leaves[1])
        assert a.dtype == dtype
        a.square().sum().backward()
        results.append([a.detach(), *(leaf.grad for leaf in leaves)])
    for exact, half in zip(*results, strict=True):
        assert (half.float() - exact).abs().max() < TOLERANCE[torch.bfloat16] * exact.abs().max()


@pytest.mark.parametrize(
    ("operator", "x", "kernels", "groups"),
    [
        (downsample, (1, 4, 6, 6), (1, 36, 3, 4), 1),
        (downsample, (1, 4, 6, 6), (1, 25, 3, 3), 1),
        (upsample, (1, 4, 3, 3), (1, 9, 6, 5), 1),
        (upsample, (1, 4, 3, 3), (1, 10, 6, 6), 1),
        (upsample, (1, 4, 3, 3), (1, 27, 6, 6), 3),
        (upsample, (2, 4, 3, 3), (1, 9, 6, 6), 1),
    ],
)
def test_shapes_that_do_not_fit_are_named(operator, x, kernels, groups) -> None:
    with pytest.raises(ValueError, match="kernels") as caught:
        operator(torch.zeros(x), torch.zeros(kernels), groups=groups)
    assert str(x) in str(caught.value)


@pytest.mark.requires_cuda
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_cuda_gives_what_the_cpu_gives(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    pair = AffinityPair(64).to(torch.float64 if dtype == torch.float64 else torch.float32)
    x = torch.randn(2, 64, 16, 24).to(dtype)
    expected, state = pair.down(x)
    back = pair.up(expected, state)
    pair = pair.cuda()
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # else float32 is not exact
        result, cuda_state = pair.down(x.cuda())
    assert (result.cpu().double() - expected.double()).abs().max() < TOLERANCE[dtype]
    result = pair.up(expected.cuda(), cuda_state)
    assert (result.cpu().double() - back.double()).abs().max() < TOLERANCE[dtype]


@pytest.mark.parametrize("size", [(16, 16), (6, 12), (22, 50)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pooling_is_torchs_and_so_is_its_gradient(size: tuple[int, int], dtype) -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 5, *size).to(dtype).requires_grad_()
    pooled, mean = pool(x, 6)
    wide = x.detach().float().requires_grad_()
    expected = F.adaptive_avg_pool2d(wide, 6), wide.mean((2, 3), keepdim=True)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    weights = [torch.rand_like(e) for e in expected]
    for one, other in zip((pooled, mean), expected, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)
    (ours,) = torch.autograd.grad((pooled, mean), x, weights)
    (theirs,) = torch.autograd.grad(expected, wide, weights)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.float(), theirs, atol=tolerance, rtol=tolerance)


@pytest.mark.skipif(not convolution.available(), reason="no compiled library, or no AVX2")
@pytest.mark.usefixtures("at_most")
@pytest.mark.parametrize("at_most", (32, 64), indirect=True)
@pytest.mark.parametrize(("channels", "height", "width"), [(32, 1, 1), (64, 5, 9), (128, 3, 4)])
def test_c_relates_encodings_as_torch_does_and_sums_them_up(
    channels: int, height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    generator = KernelGenerator(channels).double()
    x = torch.randn(1, channels, 2 * height + 4, 2 * width + 6, dtype=torch.float64)
    plane = x.float().contiguous(memory_format=torch.channels_last)
    x, narrow = x[:, :, 2:-2, 4:-2], plane[:, :, 2:-2, 4:-2]  # a window, not copied
    with torch.inference_mode():
        filters = generator.filters(F.adaptive_avg_pool2d(x, 6))
        coded = encode(x, *filters)
        moments = tuple(
            Moments(*torch.randn(2, 1, channels, 1, 1, dtype=torch.float64).square()) for _ in "uv"
        )
        expected = generator.affinity_with(*coded, moments)
        results = []
        for threads in (1, 2, 3):
            monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
            single = tuple(f.float() for f in filters)
            found = generator.affinity_of(narrow, single, moments)
            inner = slice(0, max(1, height - 1)), slice(min(1, width - 1), width)
            results.append((found, encodings.sums(narrow, *single, *inner)))
        for other in results[1:]:
            assert all(map(torch.equal, results[0], other))
    scale = expected.abs().max()
    assert (results[0][0] - expected).abs().max() / scale < 1e-5
    for of, (values, squares) in zip(coded, results[0][1], strict=True):
        part = of[0][:, inner[0], inner[1]]
        torch.testing.assert_close(values, part.sum((1, 2)), rtol=0, atol=2e-5 * part.numel())
        torch.testing.assert_close(squares, part.square().sum((1, 2)), rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(not convolution.available(), reason="no compiled library, or no AVX2")
@pytest.mark.usefixtures("at_most")
@pytest.mark.parametrize("at_most", (32, 64), indirect=True)
@pytest.mark.parametrize(
    "options",
    [{}, {"up_size": 1, "encode_size": 8}, {"normalise": ("sigmoid-softmax", "softmax")}],
    ids=str,
)
def test_c_makes_kernels_as_torch_does(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    generator = KernelGenerator(32, **options)
    affinity = (
        torch.randn(2, 1, 37, 22)[..., 2:-3] * torch.tensor([1.0, 200.0])[:, None, None, None]
    )
    mean = torch.randn(2, 32, 1, 1)
    wide = copy.deepcopy(generator).double()
    monkeypatch.setattr(fused_kernels, "_WORTH_A_THREAD", 1)
    for make in ("down_kernels", "up_kernels"):
        with torch.inference_mode():
            expected = getattr(wide, make)(affinity.double(), mean.double())
            results = []
            for threads in (1, 2):
                monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
                results.append(getattr(generator, make)(affinity, mean))
            spoilt = getattr(generator, make)(torch.full_like(affinity, torch.nan), mean)
        assert torch.equal(*results)
        assert (results[0] - expected).abs().max() < 2e-5
        assert spoilt.isnan().all()
