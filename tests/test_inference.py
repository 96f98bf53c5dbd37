"""From arrays to arrays: padding, refusals, precision, and the authors' results to the last bit."""

import contextlib
import copy
import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import TOLERANCE, error_histogram, sane_network
from PIL import Image
from typer.testing import CliRunner

from a2u_cli import weights
from a2u_cli.cli import app
from a2u_cli.errors import A2UError, ImageError, OutOfMemory, TrimapError
from a2u_cli.matting import devices, inference
from a2u_cli.matting import quality as composing
from a2u_cli.matting.inference import matte
from a2u_cli.matting.planning import PROCESS
from a2u_cli.matting.quality import Quality, require_quality
from a2u_cli.matting.streaming import pad_to_stride
from a2u_cli.network.folding import fold_norms
from a2u_cli.network.model import MattingNetwork
from a2u_cli.operators.fused import convolution

Array = np.ndarray
SIZE = (40, 56)


@pytest.fixture(scope="module")
def network() -> MattingNetwork:
    return sane_network()


def sample(height: int, width: int) -> tuple[Array, Array]:
    """Make an image and a trimap with the known on either side of the unknown."""
    rng = np.random.default_rng(7)
    image = rng.random((height, width, 3), dtype=np.float32)
    trimap = np.full((height, width), 128, np.uint8)
    trimap[:, : width // 4], trimap[:, width - width // 4 :] = 0, 255
    return image, trimap


def answer(monkeypatch: pytest.MonkeyPatch, what: object) -> None:
    """Make the network give a constant, or raise."""

    def raw_alpha(network: MattingNetwork, image: Array, trimap: Array, *_: object, **__: object):
        if isinstance(what, BaseException):
            raise what
        return np.full(trimap.shape, what, np.float32)

    monkeypatch.setattr(inference, "raw_alpha", raw_alpha)


def mirrored(index: int, length: int) -> int:
    """Give the pixel that an index beyond the edge shows, by the definition of mirroring."""
    if length == 1:
        return 0
    place = index % (2 * length - 2)
    return min(place, 2 * length - 2 - place)


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 7), (7, 1), (2, 3), (3, 5), (7, 9), (16, 32), (17, 33), (97, 13)]
)
def test_padding_mirrors_without_the_edge_as_often_as_it_takes(
    size: tuple[int, int], rng: np.random.Generator
) -> None:
    image = rng.random((*size, 3), dtype=np.float32)
    padded = pad_to_stride(image)
    height, width = (-(-side // 16) * 16 for side in size)
    rows = [mirrored(row, size[0]) for row in range(height)]
    columns = [mirrored(column, size[1]) for column in range(width)]
    assert np.array_equal(padded, image[rows][:, columns])
    assert np.array_equal(pad_to_stride(image[..., 0]), padded[..., 0])
    edges = [(0, height - size[0]), (0, width - size[1]), (0, 0)]
    assert np.array_equal(padded, np.pad(image, edges, mode="reflect"))


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (17, 33), SIZE])
def test_the_matte_is_the_clipped_raw_output_where_the_trimap_is_unknown(
    network: MattingNetwork, size: tuple[int, int]
) -> None:
    image, trimap = sample(*size)
    alpha = matte(network, image, trimap)
    assert (alpha.shape, alpha.dtype) == (size, np.float32)

    edges = [(0, -side % 16) for side in size]
    colours = torch.from_numpy(np.pad(image, [*edges, (0, 0)], "reflect")).permute(2, 0, 1)[None]
    hint = torch.from_numpy(np.pad(np.float32(trimap) / 255, edges, "reflect"))[None, None]
    exact = copy.deepcopy(network).double()  # what float32, whole or in tiles, approaches
    with torch.inference_mode():
        raw = exact(colours.double(), hint.double())[0, 0, : size[0], : size[1]].numpy()
    expected = np.where(trimap == 128, np.clip(raw, 0, 1), trimap / 255)
    error = np.abs(alpha - expected).max()
    assert error <= TOLERANCE[torch.float32], error_histogram(alpha, expected)


def test_known_pixels_survive_exactly(
    network: MattingNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap = sample(*SIZE)
    for value in (-3.0, 0.3, 7.0):
        answer(monkeypatch, value)
        alpha = matte(network, image, trimap)
        assert (alpha[trimap == 0] == 0).all()
        assert (alpha[trimap == 255] == 1).all()
        assert (alpha[trimap == 128] == np.float32(min(max(value, 0), 1))).all()


def test_rounding_beyond_the_range_is_no_reason_to_refuse(network: MattingNetwork) -> None:
    image, trimap = sample(*SIZE)
    image /= image.max()
    beyond = image * np.float32(1 + 1e-6)
    for quality in ("fast", "refined", "best"):
        expected = matte(network, image, trimap, quality=quality)
        assert np.allclose(matte(network, beyond, trimap, quality=quality), expected, atol=1e-3)


def test_arguments_are_not_changed_and_may_be_views(network: MattingNetwork) -> None:
    image, trimap = sample(*SIZE)
    expected = matte(network, image, trimap)
    mirror = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(trimap[:, ::-1])
    for array in mirror:
        array.flags.writeable = False
    assert np.array_equal(matte(network, mirror[0][:, ::-1], mirror[1][:, ::-1]), expected)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda image: np.uint8(image * 255), "image holds uint8 values, expected floats"),
        (lambda image: image.astype(np.float64), "image is float64"),
        (lambda image: image[..., 0], r"image has shape \(40, 56\)"),
        (lambda image: np.dstack([image, image]), r"\(40, 56, 6\)"),
        (lambda image: image[:0], r"\(0, 56, 3\)"),
        (lambda image: image * 255, r"values from .* expected \[0, 1\]"),
        (lambda image: image - 1, r"values from -"),
        (
            lambda image: image / image.max() + np.float32(1e-4),
            r"to 1\.0001, .* clip what a resize",
        ),
        (lambda image: np.where(image > 0.9, np.float32("nan"), image), "values from nan"),
        (torch.from_numpy, r"image is a torch\.Tensor, expected a numpy array \(H, W, 3\)"),
        (lambda image: Image.new("RGB", (56, 40)), r"image is a PIL\.Image\.Image, expected"),
        (lambda image: image.tolist(), "image is a list, expected"),
    ],
)
def test_an_image_of_another_kind_is_refused(network: MattingNetwork, change, text: str) -> None:
    image, trimap = sample(*SIZE)
    with pytest.raises(ImageError, match=text):
        matte(network, change(image), trimap)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda trimap: trimap / np.float32(255), "trimap is float32"),
        (lambda trimap: trimap[..., None], r"trimap has shape \(40, 56, 1\)"),
        (lambda trimap: np.where(trimap == 128, np.uint8(127), trimap), "expected uint8"),
        (lambda trimap: trimap[:-1], "trimap is 56x39 but image is 56x40; resize one"),
        (lambda trimap: np.zeros_like(trimap), "no unknown pixels"),
        (torch.from_numpy, r"trimap is a torch\.Tensor, expected a numpy array \(H, W\)"),
    ],
)
def test_a_trimap_of_another_kind_is_refused(network: MattingNetwork, change, text: str) -> None:
    image, trimap = sample(*SIZE)
    with pytest.raises(TrimapError, match=text):
        matte(network, image, change(trimap))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_output_that_is_not_finite_is_refused(
    network: MattingNetwork, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    answer(monkeypatch, value)
    with pytest.raises(A2UError, match=r"not finite in torch\.float32; use"):
        matte(network, *sample(*SIZE))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    ],
)
def test_running_out_of_memory_is_said_in_words(
    network: MattingNetwork, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    answer(monkeypatch, error)
    with pytest.raises(OutOfMemory, match="56x40 does not fit into the memory of cpu") as caught:
        matte(network, *sample(*SIZE))
    assert caught.value.exit_code == 4


def test_another_runtime_error_is_not_mistaken_for_memory(
    network: MattingNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        matte(network, *sample(*SIZE))


@pytest.fixture
def tf32() -> Iterator[tuple[Any, Any]]:
    """Hand out torch's two switches between float32 and TF32, and put them back."""
    switches = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = [switch.fp32_precision for switch in switches]
    yield switches
    for switch, value in zip(switches, before, strict=True):
        switch.fp32_precision = value


@pytest.mark.parametrize("failure", [None, ZeroDivisionError()])
@pytest.mark.parametrize("before", ["tf32", "ieee", "none"])
def test_tf32_is_off_inside_and_as_before_afterwards(
    network: MattingNetwork,
    monkeypatch: pytest.MonkeyPatch,
    tf32: tuple[Any, Any],
    before: str,
    failure: Exception | None,
) -> None:
    for switch in tf32:
        switch.fp32_precision = before
    expected = [switch.fp32_precision for switch in tf32]
    seen = []

    def raw_alpha(network: MattingNetwork, image: Array, trimap: Array, *_: object, **__: object):
        seen.extend(switch.fp32_precision for switch in tf32)
        if failure:
            raise failure
        return np.zeros(trimap.shape, np.float32)

    monkeypatch.setattr(inference, "raw_alpha", raw_alpha)
    with pytest.raises(ZeroDivisionError) if failure else contextlib.nullcontext():
        matte(network, *sample(*SIZE))
    assert seen == ["ieee", "ieee"]
    assert [switch.fp32_precision for switch in tf32] == expected


@pytest.mark.usefixtures("tf32")
@pytest.mark.parametrize("before", [True, False])
def test_the_older_tf32_switches_survive_too(network: MattingNetwork, before: bool) -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    old = cudnn.allow_tf32, matmul.allow_tf32
    try:
        cudnn.allow_tf32 = matmul.allow_tf32 = before
        matte(network, *sample(1, 1))
        assert (cudnn.allow_tf32, matmul.allow_tf32) == (before, before)
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = old


@pytest.mark.parametrize(("dtype", "mean"), [(torch.bfloat16, 0.03), (torch.float16, 0.01)])
def test_half_precision_stays_close(
    network: MattingNetwork, dtype: torch.dtype, mean: float
) -> None:
    image, trimap = sample(*SIZE)
    exact, half = matte(network, image, trimap), matte(network, image, trimap, dtype=dtype)
    assert half.dtype == np.float32
    assert not np.array_equal(half, exact)  # the dtype was used at all
    assert np.abs(half - exact).mean() < mean, error_histogram(half, exact)


@pytest.mark.requires_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_cuda_gives_the_matte_of_the_cpu(network: MattingNetwork, dtype: torch.dtype) -> None:
    image, trimap = sample(97, 130)
    expected = matte(network, image, trimap)
    found = matte(sane_network().to("cuda"), image, trimap, dtype=dtype)
    error = np.abs(found - expected)
    size = error.max() if dtype == torch.float32 else error.mean()
    limit = {torch.float32: TOLERANCE[dtype], torch.bfloat16: 0.03, torch.float16: 0.01}[dtype]
    assert size <= limit, error_histogram(found, expected)


@pytest.mark.parametrize("name", ["tpu", "", "cuda:x", "cuda:-1", "cpu:0", "mps:1", "CUDA"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(A2UError, match="is unknown; expected auto, cpu, cuda, cuda:N or mps"):
        devices.pick_device(name)


def test_a_device_that_is_not_there_is_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(A2UError, match=r"device cuda is not there \(found: 0 CUDA device\(s\)\)"):
        devices.pick_device("cuda")
    with pytest.raises(A2UError, match=r"device mps is not there \(found: none\)"):
        devices.pick_device("mps")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(A2UError, match=r"device cuda:2 is not there \(found: 2 CUDA device\(s\)\)"):
        devices.pick_device("cuda:2")


@pytest.mark.parametrize(
    ("cuda", "mps", "found"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_the_fastest_device_there_is(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, found: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert devices.pick_device() == torch.device(found)


def test_dtypes_go_by_name() -> None:
    names = {n: getattr(torch, n) for n in ("float32", "bfloat16", "float16")}
    assert {name: devices.pick_dtype(name) for name in names} == names
    with pytest.raises(A2UError, match="'float64' is unknown; expected auto, float32, bfloat16"):
        devices.pick_dtype("float64")


@pytest.mark.parametrize("half", [True, False])
def test_auto_is_bfloat16_for_8_bits_where_that_is_faster(
    monkeypatch: pytest.MonkeyPatch, half: bool
) -> None:
    expected = torch.bfloat16 if half else torch.float32
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: half)
    monkeypatch.setattr(convolution, "available", lambda: True)
    assert devices.pick_dtype("auto") == torch.float32
    monkeypatch.setattr(convolution, "available", lambda: False)
    assert devices.pick_dtype("auto") == expected
    assert devices.pick_dtype("auto", depth=16) == torch.float32
    assert devices.pick_dtype("auto", device=torch.device("mps")) == torch.float32
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8 if half else 7, 5))
    assert devices.pick_dtype("auto", device=torch.device("cuda")) == expected
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert devices.pick_dtype("auto") == torch.float32


@pytest.fixture(scope="module")
def imported(parity: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Import generated checkpoints in the authors' format, one of each variant."""
    folder = tmp_path_factory.mktemp("authors")
    build = runpy.run_path(str(parity / "make_weights.py"))["build"]
    paths = {}
    for variant in ("share", "unshare"):
        checkpoint = folder / f"{variant}.pth"
        torch.save(build(json.loads((parity / f"manifest_{variant}.json").read_text())), checkpoint)
        run = CliRunner().invoke(
            app, ["weights", "import", str(checkpoint)], env={"A2U_CACHE": str(folder / "cache")}
        )
        assert run.exit_code == 0, run.output
        paths[variant] = Path(run.stdout.strip())
    return paths


@pytest.mark.parametrize(
    ("case", "variant"),
    [("random_h97_w130", "share"), ("synth_h320_w320", "share"), ("synth_h320_w320", "unshare")],
)
def test_the_command_gives_the_authors_matte_in_16_bits(
    parity: Path, imported: dict[str, Path], tmp_path: Path, case: str, variant: str
) -> None:
    image, trimap = (parity / "cases" / f"{case}{role}.png" for role in ("", "_trimap"))
    output = tmp_path / "alpha.png"
    command = ["matte", image, "-t", trimap, "-o", output, "--weights", imported[variant]]
    options = ["--depth", "16", "--dtype", "float32", "--device", "cpu"]
    run = CliRunner().invoke(app, [*map(str, command), *options])
    assert run.exit_code == 0, run.output

    found = cv2.imread(str(output), cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint16
    known = cv2.imread(str(trimap), cv2.IMREAD_GRAYSCALE)
    raw = np.squeeze(np.load(parity / "cases" / f"{case}.{variant}.npz")["raw"])
    raw = np.clip(raw[: known.shape[0], : known.shape[1]], 0, 1)
    expected = np.where(np.isin(known, (0, 255)), known / 255, raw)
    error = np.abs(found / 65535 - expected).max()
    assert error <= 1 / 65535 + TOLERANCE[torch.float32], error_histogram(found / 65535, expected)


def test_the_package_offers_loading_and_matting_and_imports_torch_only_then(
    network: MattingNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "small.safetensors"
    weights.save_weights(network, path, licence="CC0", source="test", dtype=torch.float16)
    code = (
        "import sys, a2u_cli; assert 'torch' not in sys.modules; assert 'cv2' not in sys.modules\n"
        "from a2u_cli import A2UError; assert 'torch' not in sys.modules\n"
        "from a2u_cli import load_model, matte; import numpy as np\n"
        "image, trimap = np.full((7, 9, 3), 0.5, np.float32), np.full((7, 9), 128, np.uint8)\n"
        "alpha = matte(load_model(sys.argv[1]), image, trimap)\n"
        "assert alpha.shape == (7, 9) and alpha.dtype == np.float32, alpha\n"
        "assert set(a2u_cli.__all__) >= {'load_model', 'matte', 'estimate_foreground'}"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    import a2u_cli

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = a2u_cli.nothing


def test_a_network_with_other_operators_runs_in_one_piece(rng: np.random.Generator) -> None:
    network = sane_network(operator="carafe")
    image = rng.random((37, 50, 3), np.float32)
    trimap = np.full((37, 50), 128, np.uint8)
    trimap[:, :9] = 255
    alpha = matte(network, image, trimap)
    assert alpha.shape == (37, 50)
    assert (alpha[:, :9] == 1).all()
    with torch.inference_mode():
        padded = [torch.from_numpy(pad_to_stride(a)) for a in (image, trimap)]
        raw = network(padded[0].permute(2, 0, 1)[None], padded[1][None, None] / 255)[0, 0]
    expected = raw[:37, 9:50].clamp(0, 1).numpy()
    np.testing.assert_allclose(alpha[:, 9:], expected, atol=TOLERANCE[torch.float32])


def two_colours() -> tuple[Array, Array]:
    """A black background at the left, a white foreground at the right, a wide band between."""
    image = np.zeros((40, 200, 3), np.float32)
    image[:, 100:] = 1
    trimap = np.full((40, 200), 128, np.uint8)
    trimap[:, :20], trimap[:, 180:] = 0, 255
    return image, trimap


def test_the_colours_settle_the_mean_of_the_matte_and_the_mirrored_one(
    network: MattingNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap = two_colours()
    seen = []

    def ramp(network: MattingNetwork, image: Array, trimap: Array, *_: object) -> Array:
        seen.append(image)
        return np.tile(np.linspace(0, 1, trimap.shape[1], dtype=np.float32), (len(trimap), 1))

    monkeypatch.setattr(inference, "raw_alpha", ramp)
    given = []
    settle = composing.refine
    monkeypatch.setattr(composing, "refine", lambda *a, **k: given.append(a[2]) or settle(*a, **k))
    alpha = matte(network, image, trimap, quality="best")
    assert (seen[1] == image[:, ::-1]).all()
    np.testing.assert_allclose(given[0][:, 20:180], 0.5, atol=1e-6)
    assert alpha[:, 20:90].max() < 0.25
    assert alpha[:, 110:180].min() > 0.75


@pytest.mark.parametrize("quality", ["refined", "best"])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (17, 31)])
def test_every_quality_takes_any_size(
    network: MattingNetwork, size: tuple[int, int], quality: Quality
) -> None:
    image, trimap = sample(*size)
    assert matte(network, image, trimap, quality=quality).shape == size


def test_a_refined_matte_is_settled_by_colour_where_the_pass_is_between_0_and_1(
    network: MattingNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap = two_colours()
    answer(monkeypatch, 0.5)
    assert (matte(network, image, trimap)[trimap == 128] == 0.5).all()
    alpha = matte(network, image, trimap, quality="refined")
    assert alpha[:, 20:100].max() < 0.25
    assert alpha[:, 100:180].min() > 0.75
    np.testing.assert_array_equal(alpha[trimap != 128], trimap[trimap != 128] / 255)


def test_a_refined_matte_keeps_what_the_pass_is_sure_of(
    network: MattingNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap = two_colours()
    image[:] = np.random.default_rng(0).random(image.shape, np.float32)  # colours tell nothing
    answer(monkeypatch, 1.0)
    alpha = matte(network, image, trimap, quality="refined")
    assert alpha[:, 60:].min() > 0.85


def test_a_former_name_of_a_quality_is_known() -> None:
    assert require_quality("standard") == "fast"


def test_an_unknown_quality_is_refused(network: MattingNetwork) -> None:
    image, trimap = sample(16, 16)
    with pytest.raises(A2UError, match="'great' is unknown; expected fast, refined or best"):
        matte(network, image, trimap, quality="great")  # type: ignore[arg-type]


def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note whether pictures go through the network in one piece or in windows."""
    taken: list[str] = []
    for name in ("run_whole", "stream"):
        original = getattr(inference, name)

        def noting(*arguments: Any, name: str = name, original: Any = original, **more: Any) -> Any:
            taken.append(name)
            return original(*arguments, **more)

        monkeypatch.setattr(inference, name, noting)
    return taken


def test_a_picture_that_fits_runs_through_the_network_itself(
    network: MattingNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap = sample(40, 56)
    trimap[...] = 128
    taken = ways(monkeypatch)
    whole = matte(network, image, trimap)
    assert ((whole > 0) & (whole < 1)).mean() > 0.3  # not only what clipping has made alike
    assert taken == ["run_whole"]
    windows = matte(network, image, trimap, max_memory=PROCESS + 4_000_000)
    assert taken == ["run_whole", "stream"]
    np.testing.assert_allclose(windows, whole, rtol=0, atol=2 * TOLERANCE[torch.float32])


def test_windows_are_taken_where_most_is_known(
    network: MattingNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap = sample(240, 320)
    trimap[...] = 255
    trimap[100:140, 100:150] = 128
    taken = ways(monkeypatch)
    found = matte(network, image, trimap)
    assert taken == ["stream"]
    whole = matte(network, image, trimap, skip_known=False)
    np.testing.assert_allclose(found, whole, rtol=0, atol=2 * TOLERANCE[torch.float32])
    assert taken == ["stream", "run_whole"]


@pytest.mark.parametrize("size", [(24, 40), (64, 64), (50, 37), (130, 190)])
@pytest.mark.parametrize("skip_known", [True, False])
def test_the_number_of_threads_changes_no_byte(
    rng: np.random.Generator, size: tuple[int, int], skip_known: bool
) -> None:
    image = rng.random((*size, 3), np.float32)
    trimap = np.full(size, 128, np.uint8)
    trimap[:, size[1] // 3 :] = 255 if skip_known else 128
    network, mattes = fold_norms(sane_network()), set()
    for threads in (1, 2, 3, 5):
        torch.set_num_threads(threads)
        mattes.add(matte(network, image, trimap, skip_known=skip_known).tobytes())
    assert len(mattes) == 1
