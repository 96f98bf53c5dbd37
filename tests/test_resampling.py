"""The fused CPU operators against an independent oracle: unfold and einsum in float64."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from a2u_cli.operators.affinity import AffinityPair
from a2u_cli.operators.fused import c_kernels, library, resampling

pytestmark = pytest.mark.skipif(
    not resampling.available(),
    reason="the compiled library a2u_cli/operators/fused/_compiled is not built",
)

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2}
DEFAULTS = ["meta", torch.float64]
# samples, channels, coarse height, coarse width
SHAPES = [(1, 3, 1, 1), (2, 33, 5, 7), (2, 64, 4, 3), (1, 8, 1, 6), (1, 84, 3, 67), (3, 1, 7, 1)]
SHAPES += [(1, 232, 3, 2)]
SIZES = {"downsample": [6, 3, 2, 1], "upsample": [3, 5, 2], "filter_pair": [6, 4]}
CASES = [(name, size) for name, sizes in SIZES.items() for size in sizes]
Operation = Callable[..., tuple[Tensor, ...]]


def windows(x: Tensor, size: int, stride: int) -> Tensor:
    """(N, C, H, W) -> (N, C, K*K, H/stride, W/stride), zeros outside."""
    pad = (size - 1) // 2
    x = F.pad(x, (pad, size - 1 - pad, pad, size - 1 - pad))
    columns = (x.shape[3] - size) // stride + 1
    flat = F.unfold(x, size, stride=stride)  # (N, C*K*K, H/stride * W/stride)
    result: Tensor = flat.unflatten(2, (-1, columns)).unflatten(1, (-1, size * size))
    return result


def oracle(name: str, x: Tensor, *kernels: Tensor) -> tuple[Tensor, ...]:
    size = int(kernels[0].shape[1] ** 0.5)
    if name == "downsample":
        return (torch.einsum("nctij,ntij->ncij", windows(x, size, 2), kernels[0]),)
    if name == "upsample":
        fine = windows(x, size, 1).repeat_interleave(2, 3).repeat_interleave(2, 4)
        return (torch.einsum("nctij,ntij->ncij", fine, kernels[0]),)
    return tuple(torch.einsum("nctij,nt->ncij", windows(x, size, 2), kernel) for kernel in kernels)


def inputs(name: str, size: int, shape: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    samples, channels, height, width = shape
    fine, coarse = (2 * height, 2 * width), (height, width)
    shapes: dict[str, list[tuple[int, ...]]] = {
        "downsample": [(samples, channels, *fine), (samples, size * size, *coarse)],
        "upsample": [(samples, channels, *coarse), (samples, size * size, *fine)],
        "filter_pair": [(samples, channels, *fine), *[(samples, size * size)] * 2],
    }
    return [torch.randn(s, generator=generator).to(dtype) for s in shapes[name]]


def call(name: str, *tensors: Tensor) -> tuple[Tensor, ...]:
    result = getattr(resampling, name)(*tensors)
    return result if isinstance(result, tuple) else (result,)


def with_gradients(function: Operation, name: str, tensors: list[Tensor]) -> list[Tensor]:
    """Outputs, then the gradient of every input for a fixed gradient of the outputs."""
    leaves = [t.detach().requires_grad_() for t in tensors]
    outputs = function(name, *leaves)
    generator = torch.Generator().manual_seed(8)
    grads = [torch.randn(o.shape, generator=generator).bfloat16().to(o.dtype) for o in outputs]
    return [*outputs, *torch.autograd.grad(outputs, leaves, grads)]


@contextmanager
def changed(default: str | torch.dtype) -> Iterator[None]:
    """Make new tensors on another device or in another dtype, where nothing else is asked for.

    C once wrote through what was then no pointer of its own.
    """
    try:
        if isinstance(default, str):
            torch.set_default_device(default)
        else:
            torch.set_default_dtype(default)
        yield
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def assert_close(result: Tensor, expected: Tensor, tolerance: float) -> None:
    assert result.shape == expected.shape
    error = (result.double() - expected).abs().max() / expected.abs().max()
    assert error <= tolerance, f"relative error {error:.2e}"


@pytest.mark.usefixtures("at_most")
@pytest.mark.parametrize("at_most", (16, 32, 64), indirect=True)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "size"), CASES)
def test_results_and_gradients_match_the_oracle(
    name: str, size: int, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    tensors = inputs(name, size, shape, dtype)
    result = with_gradients(call, name, tensors)
    expected = with_gradients(oracle, name, [t.double() for t in tensors])
    for one, other in zip(result, expected, strict=True):
        assert one.dtype == dtype
        assert_close(one, other, TOLERANCE[dtype])


@pytest.mark.parametrize("name", SIZES)
def test_float32_kernels_keep_their_precision_beside_bfloat16(name: str) -> None:
    x, *kernels = inputs(name, SIZES[name][0], (2, 33, 5, 7), torch.float32)
    tensors = [x.bfloat16(), *kernels]
    result = with_gradients(call, name, tensors)
    expected = with_gradients(oracle, name, [t.double() for t in tensors])
    gradients = zip(result[-len(kernels) :], expected[-len(kernels) :], strict=True)
    for one, other in zip(result, expected, strict=True):
        assert_close(one, other, TOLERANCE[torch.bfloat16])
    for one, other in gradients:
        assert one.dtype == torch.float32
        assert_close(one, other, TOLERANCE[torch.float32])


@pytest.mark.parametrize("name", SIZES)
def test_memory_layout_changes_nothing(name: str) -> None:
    tensors = inputs(name, SIZES[name][0], (2, 6, 4, 5), torch.float32)
    expected = with_gradients(call, name, tensors)
    strided = [torch.stack([t, t], -1)[..., 0] for t in tensors]
    last = [t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t for t in tensors]
    for variant in (strided, last):
        for one, other in zip(with_gradients(call, name, variant), expected, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("name", SIZES)
def test_one_and_two_threads_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_kernels, "_WORTH_A_THREAD", 1)
    tensors = inputs(name, SIZES[name][0], (3, 5, 5, 4), torch.float32)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(with_gradients(call, name, tensors))
    for one, other in zip(*results, strict=True):
        assert_close(one, other.double(), 1e-6)


@pytest.mark.parametrize("default", DEFAULTS, ids=str)
@pytest.mark.parametrize("name", SIZES)
def test_defaults_of_the_process_change_nothing(name: str, default: str | torch.dtype) -> None:
    tensors = inputs(name, SIZES[name][0], (2, 6, 4, 5), torch.float32)
    leaves = [t.requires_grad_() for t in tensors]
    results = []
    for context in (nullcontext(), changed(default)):
        with context:
            outputs = call(name, *leaves)
            grads = [o.detach().square() for o in outputs]
            results.append([*outputs, *torch.autograd.grad(outputs, leaves, grads)])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", SIZES)
def test_only_the_wanted_gradient_is_computed(name: str) -> None:
    size = SIZES[name][0]
    for wanted in range(2):
        gradients: list[Tensor] = []
        for function, dtype in ((call, torch.float32), (oracle, torch.float64)):
            tensors = [t.to(dtype) for t in inputs(name, size, (1, 4, 3, 3), torch.float32)]
            tensors[wanted].requires_grad_()
            total = torch.stack([o.square().sum() for o in function(name, *tensors)]).sum()
            gradients += torch.autograd.grad(total, tensors[wanted])
        assert_close(gradients[0], gradients[1], 1e-5)


def test_bfloat16_rounds_to_the_nearest_even_and_keeps_infinity_and_nan() -> None:
    values = torch.tensor([1.00390625, 1.01171875, float("inf"), float("nan"), -3.0e38, 1e-40])
    x = values.bfloat16().reshape(1, 6, 1, 1)
    kernels = torch.ones(1, 1, 2, 2, dtype=torch.bfloat16)
    torch.testing.assert_close(
        resampling.upsample(x, kernels), x.expand(1, 6, 2, 2), rtol=0, atol=0, equal_nan=True
    )
    # 1 + 2**-8 and 1 + 3 * 2**-8 lie half-way between two bfloat16 values
    halves = torch.tensor([[1.0, 2.0**-8], [1.0, 3 * 2.0**-8]]).bfloat16()[:, None, None]
    ones = torch.ones(2, 9, 2, 4, dtype=torch.bfloat16)
    expected = halves.float().sum(3).bfloat16()
    assert torch.equal(resampling.upsample(halves, ones)[:, :, 0, 0], expected[:, :, 0])


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("downsample", [(1, 4, 6, 6), (1, 36, 3, 2)]),
        ("downsample", [(1, 4, 5, 6), (1, 36, 2, 3)]),
        ("downsample", [(2, 4, 6, 6), (1, 36, 3, 3)]),
        ("downsample", [(1, 4, 6, 6), (1, 35, 3, 3)]),
        ("downsample", [(1, 4, 18, 18), (1, 81, 9, 9)]),
        ("downsample", [(4, 6, 6), (36, 3, 3)]),
        ("upsample", [(1, 4, 3, 3), (1, 9, 3, 3)]),
        ("upsample", [(1, 4, 3, 3), (9,)]),
        ("filter_pair", [(1, 4, 6, 6), (1, 36), (2, 36)]),
        ("filter_pair", [(1, 4, 6, 6), (1, 36), (1, 16)]),
        ("filter_pair", [(1, 4, 6, 6), (1, 36, 1, 1), (1, 36, 1, 1)]),
    ],
)
def test_shapes_that_do_not_fit_are_refused_by_name(
    name: str, shapes: list[tuple[int, ...]]
) -> None:
    with pytest.raises(ValueError, match=name) as caught:
        call(name, *(torch.zeros(shape) for shape in shapes))
    assert any(str(shape) in str(caught.value) for shape in shapes)


def test_dtypes_and_devices_that_do_not_fit_are_refused() -> None:
    x, kernels = torch.zeros(1, 4, 6, 6), torch.zeros(1, 36, 3, 3)
    with pytest.raises(ValueError, match="float64"):
        resampling.downsample(x.double(), kernels.double())
    with pytest.raises(ValueError, match="bfloat16"):
        resampling.downsample(x, kernels.bfloat16())
    with pytest.raises(ValueError, match="meta"):
        resampling.downsample(x.to("meta"), kernels)


def test_usable_says_when_the_torch_form_must_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(1, 4, 6, 6)
    assert resampling.usable(x, 6)
    assert resampling.usable(x.bfloat16(), 6)
    assert not resampling.usable(x.half(), 6)
    assert not resampling.usable(x.double(), 6)
    assert not resampling.usable(x.to("meta"), 6)
    assert not resampling.usable(x, 10)
    assert not resampling.usable(x, 6, groups=2)
    monkeypatch.setenv("A2U_NATIVE", "0")
    assert not resampling.usable(x, 6)


@pytest.mark.parametrize("shape", [(0, 4, 3, 3), (1, 0, 3, 3)], ids=str)
def test_nothing_in_gives_nothing_out(shape: tuple[int, ...]) -> None:
    tensors = inputs("downsample", 6, shape, torch.float32)
    assert resampling.downsample(*tensors).shape == shape


def test_own_threads_serve_where_those_of_torch_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(c_kernels, "_WORTH_A_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    tensors = inputs("upsample", 3, (2, 8, 5, 4), torch.float32)
    expected = resampling.upsample(*tensors)
    monkeypatch.setattr(library, "_openmp", lambda: None)
    assert torch.equal(resampling.upsample(*tensors), expected)


@pytest.mark.parametrize("name", SIZES)
def test_the_operators_are_what_torch_asks_of_its_own(name: str) -> None:
    """The schema, the form for fake tensors, and the gradients, eager and traced."""
    tensors = inputs(name, SIZES[name][0], (2, 3, 2, 3), torch.float32)
    last = [resampling._last(t).requires_grad_() for t in tensors]
    torch.library.opcheck(getattr(torch.ops.a2u, name).default, tuple(last))


class Pair(nn.Module):
    """Down and up again by one pair: all three operators."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = AffinityPair(4)

    def forward(self, x: Tensor) -> Tensor:
        half, state = self.pair.down(x)
        return self.pair.up(half, state)


def operators_of(graph: fx.Graph) -> list[str]:
    names = [str(node.target) for node in graph.nodes]
    return sorted(name.split(".")[1] for name in names if name.startswith("a2u."))


def test_a_compiled_graph_keeps_the_operators_and_their_gradients() -> None:
    from functorch.compile import make_boxed_func  # here: they are slow to import
    from torch._dynamo.backends.common import aot_autograd

    graphs: list[fx.Graph] = []

    def keep(module: fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        graphs.append(module.graph)
        return make_boxed_func(module.forward)

    pair, x = Pair(), torch.randn(1, 4, 8, 8, requires_grad=True)
    backend = aot_autograd(fw_compiler=keep, bw_compiler=keep)
    compiled = torch.compile(pair, backend=backend, fullgraph=True)
    result, expected = compiled(x), pair(x)
    torch.testing.assert_close(result, expected, rtol=0, atol=0)
    assert operators_of(graphs[0]) == sorted(SIZES)
    gradients = [torch.autograd.grad(y.square().sum(), x)[0] for y in (result, expected)]
    torch.testing.assert_close(*gradients)
    assert set(operators_of(graphs[1])) == {"filter_gradients", "image_gradient", "kernel_gradient"}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_an_exported_graph_needs_nothing_from_here(strict: bool) -> None:
    pair, x = Pair(), torch.randn(1, 4, 8, 8)
    exported = torch.export.export(pair, (x,), strict=strict)
    assert operators_of(exported.graph) == []
    torch.testing.assert_close(exported.module()(x), pair(x))


def test_a_second_derivative_is_refused() -> None:
    x, kernels = (t.requires_grad_() for t in inputs("upsample", 3, (1, 2, 2, 2), torch.float32))
    (gradient,) = torch.autograd.grad(
        resampling.upsample(x, kernels).sum(), kernels, create_graph=True
    )
    with pytest.raises(RuntimeError, match="kernel_gradient"):
        gradient.sum().backward()
