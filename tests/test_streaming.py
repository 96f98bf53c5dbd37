"""The bounded pass against the network on the whole picture: the same to rounding."""

import copy
import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TOLERANCE, error_histogram, sane_network
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from a2u_cli import weights
from a2u_cli.matting.plane_statistics import Pools, Sums
from a2u_cli.matting.planning import OPTIONAL, Plan
from a2u_cli.matting.streaming import pad_to_stride, stream
from a2u_cli.matting.windows import grid
from a2u_cli.network.folding import fold_norms
from a2u_cli.network.model import MattingNetwork

Array = np.ndarray
WHOLE = Plan((4096, 4096))


@pytest.fixture(scope="module", params=[True, False], ids=["shared", "channel-wise"])
def exact(request: pytest.FixtureRequest) -> MattingNetwork:
    """Sane random weights in float64: what differs by more than rounding cannot hide."""
    return sane_network(shared=request.param).double()


def picture(size: tuple[int, int], seed: int, known: float = 0.5) -> tuple[Array, Array]:
    """Make a smooth picture with noise, and a trimap of coarse squares."""
    rng = np.random.default_rng(seed)
    height, width = size
    colours = rng.random((-(-height // 16), -(-width // 16), 3))
    image = np.kron(colours, np.ones((16, 16, 1)))[:height, :width]
    image = 0.8 * image + 0.2 * rng.random((*size, 3))
    share = [known / 2, 1 - known, known / 2]
    levels = rng.choice(
        np.array([0, 128, 255], np.uint8), (-(-height // 8), -(-width // 8)), p=share
    )
    trimap = np.kron(levels, np.ones((8, 8), np.uint8))[:height, :width]
    return image.astype(np.float32), trimap


def whole(network: MattingNetwork, image: Array, trimap: Array) -> Array:
    """Run the network itself, in its own precision, on what float32 makes of the picture."""
    height, width = trimap.shape
    dtype = network.stem.conv.weight.dtype
    colours = torch.from_numpy(pad_to_stride(image)).permute(2, 0, 1)[None]
    mean, std = (t.float() for t in (network.mean, network.std))
    if dtype == torch.float64:
        colours = ((colours - mean) / std).double() * network.std + network.mean
    hint = torch.from_numpy(pad_to_stride(trimap)).float()[None, None] / 255.0
    with torch.inference_mode():
        return network(colours, hint.to(dtype))[0, 0, :height, :width].numpy()


def streamed(network: MattingNetwork, *arguments: object, **options: object) -> Array:
    with torch.inference_mode():
        return stream(network, *arguments, **options)  # type: ignore[arg-type]


def assert_same(found: Array, expected: Array, where: Array | None, tolerance: float) -> None:
    where = np.ones(found.shape, bool) if where is None else where
    found, expected = found[where], expected[where]
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    assert np.isfinite(found).all()
    error = np.abs(found - expected).max(initial=0.0) / scale
    assert error <= tolerance, error_histogram(found / scale, expected / scale)


@settings(max_examples=10, deadline=None)
@given(
    size=st.tuples(st.integers(1, 110), st.integers(1, 110)),
    rows=st.integers(16, 96),
    columns=st.sampled_from([16, 33, 64, 4096]),
    keep=st.frozensets(st.sampled_from(sorted(OPTIONAL))),
    known=st.sampled_from([0.0, 0.5, 0.9, 0.99]),
    skip=st.booleans(),
    seed=st.integers(0, 99),
)
def test_no_tiling_changes_the_result_by_more_than_rounding(
    exact: MattingNetwork,
    size: tuple[int, int],
    rows: int,
    columns: int,
    keep: frozenset[str],
    known: float,
    skip: bool,
    seed: int,
) -> None:
    image, trimap = picture(size, seed, known)
    needed = trimap == 128 if skip else None
    plan = Plan((rows, columns), keep)
    found = streamed(fold_norms(exact, torch.float64), image, trimap, plan, needed=needed)
    assert found.dtype == np.float32
    assert_same(found, whole(exact, image, trimap), needed, 1e-6)


@pytest.mark.parametrize("rows", range(16, 112, 16))
def test_strips_of_every_height_give_the_whole_in_float32(rows: int) -> None:
    network = sane_network()
    image, trimap = picture((97, 61), 1)
    plan = Plan((rows, 4096), frozenset({"pair1"}) if rows % 32 else frozenset())
    found = streamed(fold_norms(network), image, trimap, plan)
    assert_same(found, whole(network.double(), image, trimap), None, TOLERANCE[torch.float32])


def test_one_unknown_pixel_is_enough_and_enough_for_one_pixel(exact: MattingNetwork) -> None:
    image, _ = picture((90, 111), 2)
    expected = whole(exact, image, trimap := np.full((90, 111), 255, np.uint8))
    for row, column in [(0, 0), (89, 110), (31, 32)]:
        needed = np.zeros_like(trimap, bool)
        needed[row, column] = True
        plan = Plan((32, 32), frozenset({"pair1"}))
        found = streamed(fold_norms(exact, torch.float64), image, trimap, plan, needed=needed)
        assert_same(found, expected, needed, 1e-6)
        assert (found == 0).mean() > 0.5  # most was left out


def test_where_nothing_is_needed_nothing_is_decoded(
    exact: MattingNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap = picture((48, 33), 3)
    folded = fold_norms(exact, torch.float64)
    for stage in (folded.context, folded.decoder4, folded.decoder3, folded.decoder2):
        monkeypatch.setattr(stage, "forward", lambda *_: pytest.fail("decoded"))
    nothing = np.zeros(trimap.shape, bool)
    assert not streamed(folded, image, trimap, WHOLE, needed=nothing).any()


@pytest.mark.parametrize("variant", ["share", "unshare"])
def test_the_authors_cases_hold_in_tiles_of_every_kind(
    parity: Path, tmp_path: Path, variant: str
) -> None:
    import cv2

    build = runpy.run_path(str(parity / "make_weights.py"))["build"]
    manifest = json.loads((parity / f"manifest_{variant}.json").read_text())
    torch.save(build(manifest), tmp_path / "weights.pth")
    network = fold_norms(weights.read_checkpoint(tmp_path / "weights.pth"))
    for case in sorted((parity / "cases").glob(f"*.{variant}.npz")):
        name = case.name.split(".")[0]
        image = cv2.imread(str(case.parent / f"{name}.png"))[..., ::-1] / np.float32(255)
        trimap = cv2.imread(str(case.parent / f"{name}_trimap.png"), cv2.IMREAD_GRAYSCALE)
        trimap[(trimap != 0) & (trimap != 255)] = 128
        raw = np.squeeze(np.load(case)["raw"])[: trimap.shape[0], : trimap.shape[1]]
        large = trimap.size > 160 * 160
        for plan in [Plan((112, 96))] if large else [WHOLE, Plan((48, 64), frozenset(OPTIONAL))]:
            found = streamed(network, image, trimap, plan, needed=trimap == 128)
            assert_same(found, raw, trimap == 128, TOLERANCE[torch.float32])


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (13, 40), (24, 18)])
def test_sums_by_windows_are_those_of_the_whole(size: tuple[int, int]) -> None:
    x = torch.randn(1, 8, *size, dtype=torch.float64) + 3
    pools, sums = Pools(size, 6), Sums()
    for window in grid(size, (5, 7)):
        part = x[:, :, window.rows, window.columns]
        pools.add(part, window)
        sums.add(part)
    pooled = torch.nn.functional.adaptive_avg_pool2d(x, 6)
    torch.testing.assert_close(pools.pooled(), pooled, atol=1e-12, rtol=0)
    torch.testing.assert_close(pools.mean(), x.mean((2, 3), keepdim=True), atol=1e-12, rtol=0)
    moments = sums.moments(4)
    variance, mean = torch.var_mean(x.view(4, -1), 1, correction=0)
    torch.testing.assert_close(moments.mean.flatten(), mean.repeat_interleave(2))
    torch.testing.assert_close(moments.variance.flatten(), variance.repeat_interleave(2))


def test_moments_survive_a_mean_far_from_zero() -> None:
    x = torch.randn(1, 4, 64, 64) + 1000
    sums = Sums()
    for window in grid((64, 64), (16, 64)):
        sums.add(x[:, :, window.rows, window.columns])
    expected = x.double().view(2, -1).var(1, correction=0)
    found = sums.moments(2).variance.flatten()[::2]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_streams_in_its_dtype(dtype: torch.dtype) -> None:
    network = sane_network()
    image, trimap = picture((45, 61), 4)
    exact = streamed(fold_norms(network), image, trimap, WHOLE)
    seen: list[torch.dtype] = []
    folded = fold_norms(network, dtype)
    folded.decoder3.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    half = streamed(folded, image, trimap, Plan((32, 48)))
    assert set(seen) == {dtype}
    assert np.abs(np.clip(half, 0, 1) - np.clip(exact, 0, 1)).mean() < 0.03


def test_folding_leaves_the_network_alone_and_its_result() -> None:
    network = sane_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    image, trimap = picture((48, 48), 5)
    folded = fold_norms(copy.deepcopy(network).double(), torch.float64)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    found = whole(folded, image, trimap)
    fold_norms(network, torch.bfloat16)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert_same(found, whole(network.double(), image, trimap), None, 1e-10)


@pytest.mark.requires_cuda
def test_cuda_streams_what_the_cpu_streams() -> None:
    network = sane_network()
    image, trimap = picture((97, 130), 6)
    expected = streamed(fold_norms(network), image, trimap, WHOLE)
    with torch.backends.cudnn.flags(allow_tf32=False):
        found = streamed(fold_norms(network.cuda()), image, trimap, Plan((64, 64)))
    assert_same(found, expected, None, 2 * TOLERANCE[torch.float32])


def test_a_tensor_of_the_picture_is_never_whole(exact: MattingNetwork) -> None:
    """With nothing kept, no layer sees more of the full resolution than a tile and its halo."""
    folded = fold_norms(exact, torch.float64)
    seen: list[tuple[int, ...]] = []

    def watch(_module: object, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        seen.append(tuple(inputs[0].shape))

    for module in (folded.stem, folded.decoder1.first, folded.head):
        module.register_forward_hook(watch)
    image, trimap = picture((128, 112), 7)
    streamed(folded, image, trimap, Plan((32, 32)))
    assert max(height for _, _, height, _ in seen) <= 32 + 2 * 32
    assert max(width for _, _, _, width in seen) <= 32 + 2 * 32
