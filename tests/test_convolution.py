"""The fast 3x3 convolution against torch's in float64."""

from contextlib import nullcontext

import pytest
import torch
from test_resampling import DEFAULTS, changed
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from a2u_cli.network.folding import Folded
from a2u_cli.network.model import ConvNorm
from a2u_cli.operators.affinity import LEAK
from a2u_cli.operators.fused import convolution, library, resampling

pytestmark = pytest.mark.skipif(
    not convolution.available(),
    reason="no AVX2, or the compiled library a2u_cli/operators/fused/_compiled is not built",
)
# samples, inputs, outputs, height, width
SHAPES = [
    (1, 16, 16, 1, 1),
    (2, 32, 48, 5, 7),
    (1, 64, 32, 4, 4),
    (2, 48, 96, 13, 11),
    (3, 16, 64, 9, 2),
    (1, 48, 16, 37, 61),
]
TOLERANCE = 5e-6  # of the largest value


def tensors(shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    samples, inputs, outputs, height, width = shape
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(samples, inputs, height, width, generator=generator)
    weight = torch.randn(outputs, inputs, 3, 3, generator=generator)
    return x, weight, torch.randn(outputs, generator=generator)


def assert_close(result: Tensor, expected: Tensor) -> None:
    assert result.shape == expected.shape
    assert result.dtype == torch.float32
    error = ((result.double() - expected).abs().max() / expected.abs().max()).item()
    assert error <= TOLERANCE, f"relative error {error:.2e}"


@pytest.mark.usefixtures("at_most")
@pytest.mark.parametrize("at_most", (32, 64), indirect=True)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_results_match_float64(shape: tuple[int, ...]) -> None:
    x, weight, bias = tensors(shape)
    expected = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    result = convolution.convolve(x, convolution.transform(weight), bias)
    assert_close(result, expected)
    plus = torch.randn_like(result)
    result = convolution.convolve(x, convolution.transform(weight), bias, plus=plus, slope=0.1)
    assert_close(result, F.leaky_relu(expected + plus, 0.1))


@pytest.mark.usefixtures("at_most")
@pytest.mark.parametrize("at_most", (32, 64), indirect=True)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_match_float64(shape: tuple[int, ...]) -> None:
    x, weight, _ = tensors(shape)
    layer = convolution.Conv2d(shape[1], shape[2], 3, padding=1, bias=False)
    layer.weight.data = weight
    assert convolution.usable(x, layer)
    leaf = x.clone().requires_grad_()
    wide = [t.double().requires_grad_() for t in (x, weight)]
    result, expected = layer(leaf), F.conv2d(*wide, padding=1)
    grad = torch.randn(expected.shape, generator=torch.Generator().manual_seed(6))
    result.backward(grad)
    expected.backward(grad.double())
    for one, other in zip((leaf, layer.weight), wide, strict=True):
        assert one.grad is not None and other.grad is not None
        assert_close(one.grad, other.grad)


@pytest.mark.parametrize(("inputs", "size"), [(32, 3), (4, 3), (64, 1)])
def test_wider_vectors_give_the_same_bytes(inputs: int, size: int) -> None:
    x = torch.randn(2, inputs, 21, 30).contiguous(memory_format=torch.channels_last)
    filter = convolution.prepare(nn.Conv2d(inputs, 64, size, padding=size // 2))
    bias, plus = torch.randn(64), torch.randn(2, 64, 21, 30)
    assert filter is not None
    results = []
    try:
        for size_ in (32, 64):
            library.use_at_most(size_)
            results.append(convolution.convolve(x, filter, bias, plus=plus, slope=0.1))
    finally:
        library.use_at_most(64)
    assert torch.equal(*results)


@pytest.mark.parametrize("at_most", (16, 32, 64), indirect=True)
def test_the_widest_vectors_of_the_processor_are_taken(at_most: int) -> None:
    assert convolution.available() == (at_most > 16)
    names = {16: {""}, 32: {"AVX2"}, 64: {"AVX2", "AVX-512"}}
    assert library.vectors() in names[at_most]
    assert resampling.describe().endswith({16: "C"}.get(at_most, f"C ({library.vectors()})"))


@pytest.mark.parametrize("default", DEFAULTS, ids=str)
def test_defaults_of_the_process_change_nothing(default: str | torch.dtype) -> None:
    x, weight, _ = tensors(SHAPES[-1])
    layer = convolution.Conv2d(*weight.shape[1::-1], 3, padding=1, bias=False)
    layer.weight.data = weight
    results = []
    for context in (nullcontext(), changed(default)):
        with context:
            leaf = x.clone().requires_grad_()
            y = layer(leaf)
            results.append([y, *torch.autograd.grad(y, (leaf, layer.weight), y.detach())])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_layout_windows_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight, bias = tensors((2, 32, 16, 21, 18))
    filter, plus = convolution.transform(weight), torch.randn(2, 16, 13, 12)
    part = x[:, :, 3:16, 5:17]
    expected = convolution.convolve(part.contiguous(), filter, bias, plus=plus)
    last = x.contiguous(memory_format=torch.channels_last)[:, :, 3:16, 5:17]
    wide = plus.repeat(1, 1, 2, 2).contiguous(memory_format=torch.channels_last)
    variants = [(part, plus), (last, plus), (last, wide[:, :, 13:, 12:])]
    monkeypatch.setattr(convolution, "_WORTH_A_THREAD", 1)
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        for one, other in variants:
            result = convolution.convolve(one, filter, bias, plus=other)
            assert torch.equal(result, expected)


def test_only_layers_that_it_can_do_take_the_fast_form(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(1, 32, 4, 4)
    assert convolution.usable(x, nn.Conv2d(32, 16, 3, padding=1))
    for options in ({"stride": 2}, {"dilation": 2}, {"groups": 32}, {"padding": 0}):
        layer = nn.Conv2d(32, 32, 3, **({"padding": 1} | options))
        assert not convolution.usable(x, layer)
    for channels in ((4, 16), (16, 1), (32, 24)):
        assert not convolution.suits(nn.Conv2d(*channels, 3, padding=1))
    assert not convolution.suits(nn.Conv2d(32, 32, 1))
    layer = nn.Conv2d(32, 16, 3, padding=1)
    for other in (x.double(), x.bfloat16(), x.to("meta")):
        assert not convolution.usable(other, layer)
    assert not convolution.usable(x, nn.Conv2d(32, 16, 3, padding=1, device="meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert not convolution.usable(x, layer)
    monkeypatch.setenv("A2U_NATIVE", "0")
    assert not convolution.usable(x, layer)


@pytest.mark.parametrize("activate", [True, False])
def test_a_folded_layer_gives_what_the_layer_gives(
    activate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    layer = ConvNorm(32, 16, activate=activate).eval()
    nn.init.uniform_(layer.norm.running_var, 0.5, 2.0)
    nn.init.normal_(layer.norm.running_mean)
    x, plus = torch.randn(1, 32, 7, 6), torch.randn(1, 16, 7, 6)
    with torch.inference_mode():
        wide = F.conv2d(x.double(), layer.conv.weight.double(), padding=1)
        mean, variance = layer.norm.running_mean.double(), layer.norm.running_var.double()
        expected = F.batch_norm(wide, mean, variance, eps=1e-5) + plus
        expected = F.leaky_relu(expected, LEAK) if activate else expected
        assert_close(layer(x, plus.clone()), expected)
        conv = fuse_conv_bn_eval(layer.conv, layer.norm)
        folded = Folded(conv, torch.float32, activate=activate)
        assert_close(folded(x, plus), expected)
        monkeypatch.setenv("A2U_NATIVE", "0")
        assert_close(folded(x, plus), expected)


@pytest.mark.parametrize("native", ["0", "1"])
@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_frozen_norm_gives_the_gradients_of_a_norm_in_evaluation(
    native: str, summed: bool, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A2U_NATIVE", native)
    torch.manual_seed(0)
    layer = ConvNorm(16, 32)
    norm = layer.norm.eval()
    for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        assert values is not None
        nn.init.uniform_(values, 0.5, 1.5)
    x = torch.randn(2, 16, 9, 14).contiguous(memory_format=layout).requires_grad_()
    plus = torch.randn(2, 32, 9, 14).contiguous(memory_format=layout).requires_grad_()
    wanted = (x, layer.conv.weight, norm.weight, norm.bias, *([plus] if summed else []))
    grad = torch.randn(2, 32, 9, 14)

    def plain() -> Tensor:
        y: Tensor = norm(F.conv2d(x, layer.conv.weight, padding=1))
        return F.leaky_relu(y + plus if summed else y, LEAK)

    y, expected = layer(x, plus * 1 if summed else None), plain()
    torch.testing.assert_close(y, expected, atol=1e-4, rtol=1e-4)
    found = torch.autograd.grad(y, wanted, grad)
    for one, other in zip(found, torch.autograd.grad(expected, wanted, grad), strict=True):
        torch.testing.assert_close(one, other, atol=2e-4 * float(other.abs().max()), rtol=0)
    with torch.no_grad():  # evaluation stays as it was, to the bit
        reference = norm(layer.conv(x))
        reference = reference + plus if summed else reference
        assert torch.equal(layer(x, plus if summed else None), F.leaky_relu(reference, LEAK))


@pytest.mark.parametrize("dilation", [6, 12])
def test_gradients_in_bfloat16_hold_nothing_that_lay_in_memory(dilation: int) -> None:
    layer = ConvNorm(64, 64, dilation=dilation, groups=64).eval()
    layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(2, 64, 32, 32, generator=torch.Generator().manual_seed(5))
    x = x.to(memory_format=torch.channels_last)

    def gradient(*, coarse: bool) -> Tensor:
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=coarse):
            y = layer(x.bfloat16().requires_grad_() if coarse else x)
        y.float().square().sum().backward()
        assert layer.conv.weight.grad is not None
        return layer.conv.weight.grad.clone()

    exact = gradient(coarse=False)
    for left in (0.0, 1e30, float("nan")):
        freed = [torch.full((1 << bits,), left) for bits in range(10, 22) for _ in range(4)]
        del freed
        found = gradient(coarse=True)
        assert (found - exact).abs().max() < 0.01 * exact.abs().max()
