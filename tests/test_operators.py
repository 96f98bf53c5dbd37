"""The operator family: shapes, slow oracles, gradients, export, and what each costs."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import sane_network
from torch import Tensor, nn

from a2u_cli.matting.planning import Plan
from a2u_cli.matting.streaming import run_whole, stream, streams
from a2u_cli.network.folding import fold_norms
from a2u_cli.network.model import MattingNetwork
from a2u_cli.operators.affinity import AffinityPair, KernelGenerator
from a2u_cli.operators.comparison import (
    OPERATORS,
    AffinityWithoutTwin,
    Carafe,
    IndexPair,
    SubPixelConvolution,
    TransposedConvolution,
    make_pair,
    name_operator,
)
from a2u_cli.operators.counting import count_operations, count_parameters
from a2u_cli.weights import load_model, save_weights

CHANNELS = 4
NAMES = sorted(OPERATORS)
OVERHEAD = {"a2u-dynamic-shared": 40_232, "a2u-dynamic-wise": 220_448}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(3)


def there_and_back(name: str, x: Tensor, channels: int = CHANNELS) -> Tensor:
    pair = make_pair(name, channels).to(x.dtype).eval()
    half, state = pair.down(x)
    return pair.up(half, state)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(2, 2), (8, 12), (7, 9), (1, 5)])
def test_down_halves_and_up_gives_the_size_back(name: str, size: tuple[int, int]) -> None:
    pair = make_pair(name, CHANNELS).eval()
    half, state = pair.down(torch.rand(2, CHANNELS, *size))
    assert half.shape == (2, CHANNELS, -(-size[0] // 2), -(-size[1] // 2))
    assert pair.up(half, state).shape == (2, CHANNELS, *size)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    pair = make_pair(name, CHANNELS).double().eval()
    x = torch.rand(1, CHANNELS, 6, 6, dtype=torch.float64, requires_grad=True)
    features = torch.rand(1, CHANNELS, 3, 3, dtype=torch.float64, requires_grad=True)

    def both(x: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        half, state = pair.down(x)
        return half, pair.up(features, state)

    assert torch.autograd.gradcheck(both, (x, features), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns(name: str) -> None:
    pair = make_pair(name, CHANNELS)
    x = torch.rand(2, CHANNELS, 12, 12, requires_grad=True)
    half, state = pair.down(x)
    (pair.up(torch.rand_like(half), state).square().mean() + half.square().mean()).backward()
    idle = [n for n, p in pair.named_parameters() if p.grad is None]
    assert not idle


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")
def test_the_operator_can_be_exported(name: str) -> None:
    class ThereAndBack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair = make_pair(name, CHANNELS).eval()

        def forward(self, x: Tensor) -> Tensor:
            half, state = self.pair.down(x)
            return self.pair.up(half, state)

    module, x = ThereAndBack(), torch.rand(1, CHANNELS, 8, 8)
    exported = torch.export.export(module, (x,), strict=False).module()
    torch.testing.assert_close(exported(x), module(x))


def test_importing_the_operators_brings_no_triton(tmp_path: Path) -> None:
    """It takes seconds and memory, and is needed on CUDA alone."""
    (tmp_path / "triton.py").write_text("raise SystemExit('triton was imported')")
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    command = [sys.executable, "-c", "import a2u_cli.operators, a2u_cli.operators.fused.resampling"]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_name_is_told_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"'cubic' is unknown, expected one of nearest, bilinear"):
        make_pair("cubic", 4)


def test_unpooling_puts_maxima_back_where_they_were() -> None:
    x = torch.tensor([[1.0, 2.0], [4.0, 3.0]])[None, None]
    assert there_and_back("unpooling", x, 1).tolist() == [[[[0.0, 0.0], [4.0, 0.0]]]]


def test_bilinear_and_nearest_agree_on_a_constant() -> None:
    x = torch.full((1, 4, 6, 6), 0.7)
    for name in ("nearest", "bilinear"):
        torch.testing.assert_close(there_and_back(name, x), x)


def test_a_transposed_convolution_scatters_every_value() -> None:
    layer = TransposedConvolution(2)
    x = torch.rand(1, 2, 3, 3)
    expected = layer.bias[:, None, None].expand(2, 8, 8).clone()
    for c, d, i, j, u, v in np.ndindex(2, 2, 3, 3, 4, 4):
        expected[d, 2 * i + u, 2 * j + v] += x[0, c, i, j] * layer.weight[c, d, u, v]
    torch.testing.assert_close(layer(x)[0], expected[:, 1:-1, 1:-1])


def test_sub_pixels_are_the_channels_in_rows() -> None:
    layer = SubPixelConvolution(2)
    x = torch.rand(1, 2, 3, 3)
    wide = layer[0](x)
    for d, y, z in np.ndindex(2, 6, 6):
        plane = 4 * d + 2 * (y % 2) + z % 2
        torch.testing.assert_close(layer(x)[0, d, y, z], wide[0, plane, y // 2, z // 2])


def test_carafe_is_its_equation() -> None:
    layer = Carafe(2, compressed=3)
    x = torch.rand(1, 2, 4, 4)
    logits = layer.encode(layer.compress(x))[0]
    padded = F.pad(x, (2, 2, 2, 2))[0]
    result = layer(x)[0]
    for y, z in np.ndindex(8, 8):
        i, j, phase = y // 2, z // 2, 2 * (y % 2) + z % 2
        kernel = torch.stack([logits[4 * tap + phase, i, j] for tap in range(25)]).softmax(0)
        window = padded[:, i : i + 5, j : j + 5].flatten(1)
        torch.testing.assert_close(result[:, y, z], window @ kernel)


@pytest.mark.parametrize("holistic", [False, True])
def test_indices_pool_and_upsample_as_in_the_paper(holistic: bool) -> None:
    pair = IndexPair(2, holistic=holistic).eval()
    x, features = torch.rand(1, 2, 4, 4), torch.rand(1, 2, 2, 2)
    half, state = pair.down(x)
    planes = [branch(x)[0] for branch in pair.branches]
    for c, i, j in np.ndindex(2, 2, 2):
        logits = planes[0][:, i, j] if holistic else torch.stack([p[c, i, j] for p in planes])
        sigmoid = logits.sigmoid()
        block = x[0, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].flatten()
        torch.testing.assert_close(half[0, c, i, j], sigmoid.softmax(0) @ block)
        up = pair.up(features, state)[0, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].flatten()
        torch.testing.assert_close(up, features[0, c, i, j] * sigmoid)


@pytest.mark.parametrize("rank", [1, 2, 4])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("form", ["static", "hybrid", "dynamic"])
def test_logits_are_projections_of_the_affinity_planes(form: str, shared: bool, rank: int) -> None:
    """The affinity and the kernels by loops over positions, taps and ranks."""
    options = {"norm_groups": 4, "normalise": ("none", "none")}
    generator = KernelGenerator(4, rank=rank, shared=shared, form=form, **options).double()
    x = torch.rand(1, 4, 6, 8, dtype=torch.float64)
    down, up = generator(x)
    pooled = F.adaptive_avg_pool2d(x, 6)
    mean = x.mean((2, 3), keepdim=True)

    def evaluate(layer: nn.Module, source: Tensor) -> Tensor:
        return layer(source)[0] if isinstance(layer, nn.Conv2d) else layer.weight[0]

    padded = F.pad(x, (2, 2, 2, 2))[0]
    encodings = []
    for layer, norm in (
        (generator.filter_u, generator.norm_u),
        (generator.filter_v, generator.norm_v),
    ):
        filters = evaluate(layer, pooled)
        planes = torch.zeros(rank * 4, 3, 4, dtype=torch.float64)
        for r, c, i, j in np.ndindex(rank, 4, 3, 4):
            taps = filters[r] if shared else filters[4 * r + c]
            planes[4 * r + c, i, j] = (padded[c, 2 * i : 2 * i + 6, 2 * j : 2 * j + 6] * taps).sum()
        encodings.append(F.leaky_relu(norm(planes[None]), 0.01)[0])
    affinity = (encodings[0] * encodings[1]).unflatten(0, (rank, 4)).sum(1) / 2.0
    p_down, p_up = (
        evaluate(layer, mean)[:, 0, 0] for layer in (generator.project_down, generator.project_up)
    )
    for m, i, j in np.ndindex(36, 3, 4):
        expected = sum(p_down[rank * m + r] * affinity[r, i, j] for r in range(rank))
        torch.testing.assert_close(down[0, m, i, j], expected)
    for tap, y, z in np.ndindex(9, 6, 8):
        m = 4 * tap + 2 * (y % 2) + z % 2
        expected = sum(p_up[rank * m + r] * affinity[r, y // 2, z // 2] for r in range(rank))
        torch.testing.assert_close(up[0, tap, y, z], expected)


@pytest.mark.parametrize("rule", ["softmax", "sigmoid-softmax"])
def test_normalised_taps_sum_to_one(rule: str) -> None:
    generator = KernelGenerator(4, groups=2, norm_groups=4, normalise=(rule, rule))
    for kernels in generator(torch.rand(1, 4, 8, 8)):
        sums = kernels.unflatten(1, (2, -1)).sum(2)
        torch.testing.assert_close(sums, torch.ones_like(sums))


def test_unknown_forms_and_rules_are_refused() -> None:
    with pytest.raises(ValueError, match="form 'learned'"):
        KernelGenerator(32, form="learned")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sparsemax"):
        AffinityPair(32, normalise=("softmax", "sparsemax"))  # type: ignore[arg-type]


def test_static_kernels_follow_the_picture_by_affinity_alone() -> None:
    """Learned constants do not see the picture: only the affinity plane tells two apart."""
    generator = KernelGenerator(4, form="static", norm_groups=4)
    filters = [generator.filters(F.adaptive_avg_pool2d(torch.rand(1, 4, 8, 8), 6)) for _ in "ab"]
    torch.testing.assert_close(filters[0], filters[1])
    names = {name for name, _ in generator.named_parameters()}
    assert "filter_u.bias" not in names


def test_without_the_twin_the_halving_is_max_pooling() -> None:
    pair, x = AffinityWithoutTwin(4), torch.rand(1, 4, 8, 8)
    half, state = pair.down(x)
    torch.testing.assert_close(half, F.max_pool2d(x, 2))
    torch.testing.assert_close(state, AffinityPair.down(_with_twin(pair), x)[1])


def _with_twin(pair: AffinityWithoutTwin) -> AffinityPair:
    whole = AffinityPair(4)
    whole.load_state_dict(pair.state_dict(), strict=False)
    return whole


@pytest.mark.parametrize(("name", "more"), OVERHEAD.items())
def test_the_matting_network_uses_the_family(name: str, more: int) -> None:
    """What the paper counts: the operator's parameters against those of the rest."""
    with torch.device("meta"):
        bare = MattingNetwork(pair=lambda channels: make_pair("nearest", channels))
        network = MattingNetwork(pair=lambda channels: make_pair(name, channels))
        default = MattingNetwork(shared=name.endswith("shared"))
    rest = count_parameters(bare)
    assert rest == 8_049_003
    assert count_parameters(network) - rest == more
    assert count_parameters(default) == count_parameters(network)
    assert type(network.pair1.pair) is type(default.pair1) is AffinityPair
    if name == "a2u-dynamic-shared":
        assert f"{more / rest:.4%}" == "0.4998%"


def test_operations_are_counted_by_running() -> None:
    with torch.device("meta"):
        x = torch.empty(1, 8, 6, 6)
        conv = nn.Conv2d(8, 16, 3, padding=1)
        assert count_operations(lambda: conv(x)) == 36 * 9 * 8 * 16
        assert count_operations(lambda: x * x) == x.numel()
        assert count_operations(lambda: F.max_pool2d(x, 2)) == 0


@pytest.mark.parametrize(
    ("operator", "form", "name"),
    [
        (None, None, None),
        ("a2u", None, "a2u-dynamic-shared"),
        (None, "static", "a2u-static-shared"),
        ("a2u", "hybrid-wise", "a2u-hybrid-wise"),
        ("carafe", None, "carafe"),
        ("a2u-without-twin", None, "a2u-without-twin"),
    ],
)
def test_operators_and_forms_are_named(
    operator: str | None, form: str | None, name: str | None
) -> None:
    assert name_operator(operator, form) == name


@pytest.mark.parametrize(
    "name",
    [
        "bilinear",
        "carafe",
        "indexnet",
        "unpooling",
        "a2u-without-twin",
        "a2u-dynamic-shared-softmax",
    ],
)
def test_operators_are_saved_loaded_and_folded(name: str, tmp_path: Path) -> None:
    network = sane_network(operator=name)
    path = tmp_path / "x.safetensors"
    save_weights(network, path, licence="x", source="y")
    loaded = load_model(path)
    assert loaded.operator == network.operator == name
    x, trimap = torch.rand(1, 3, 32, 48), torch.full((1, 1, 32, 48), 128 / 255)
    with torch.inference_mode():
        expected = network(x, trimap)
        torch.testing.assert_close(loaded(x, trimap), expected)
        close = {"atol": 1e-4, "rtol": 0}
        torch.testing.assert_close(fold_norms(loaded)(x, trimap), expected, **close)
        half = fold_norms(loaded, torch.bfloat16)(x, trimap)
    assert (half - expected).abs().mean() < 0.1


@pytest.mark.parametrize(
    "name",
    ["a2u-static-shared", "a2u-hybrid-wise", "a2u-dynamic-shared-d2", "a2u-dynamic-shared-softmax"],
)
def test_forms_of_a2u_are_computed_in_windows(name: str, rng: np.random.Generator) -> None:
    network = fold_norms(sane_network(operator=name))
    image = rng.random((41, 50, 3), np.float32)
    trimap = np.full((41, 50), 128, np.uint8)
    assert streams(network)
    with torch.inference_mode():
        windows = stream(network, image, trimap, Plan((32, 32)))
        np.testing.assert_allclose(windows, run_whole(network, image, trimap), atol=1e-4)
