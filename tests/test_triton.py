"""The fused CUDA operators against the CPU's oracle: on a GPU, else by Triton's interpreter.

Triton asks whether to interpret when it is imported, which torch or another test may have done:
without a GPU, one test starts a process of its own for all the others.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from test_resampling import SIZES, assert_close, call, inputs, oracle, with_gradients
from torch import Tensor

from a2u_cli.operators.affinity import AffinityPair
from a2u_cli.operators.fused import resampling

if find_spec("triton") is None:
    reason = "Triton, which torch's CUDA builds bring, is not here"
    pytest.skip(reason, allow_module_level=True)

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
by_triton = pytest.mark.skipif(
    not (CUDA or INTERPRETED),
    reason="no GPU: test_the_interpreter_passes_the_rest runs this in a process of its own",
)
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}
# samples, channels, coarse height, coarse width
SHAPES = [(2, 3, 1, 1), (1, 20, 5, 3)] + [(2, 100, 33, 47)] * CUDA
CASES = [(name, SIZES[name][0], shape) for name in SIZES for shape in SHAPES]
CASES += [(name, size, (1, 5, 3, 2)) for name in SIZES for size in SIZES[name][1:]]


@pytest.fixture(autouse=True)
def triton_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU, send tensors in main memory to the interpreted kernels.

    Tiles are made small, so that small images have more than one, and parts of one at the edges.
    """
    if CUDA or not INTERPRETED:
        return
    from a2u_cli.operators.fused import triton_kernels

    monkeypatch.setattr(resampling, "_form", lambda device_type: triton_kernels)
    for name, value in {"_VALUES": 128, "_COLUMNS": 2, "_CHANNELS": 16}.items():
        monkeypatch.setattr(triton_kernels, name, value)
    monkeypatch.setitem(resampling._DTYPES, "cpu", resampling._DTYPES["cuda"])


@pytest.mark.skipif(CUDA or INTERPRETED, reason="the rest runs in this process")
def test_the_interpreter_passes_the_rest() -> None:
    file = Path(__file__)
    options = ["-p", "no:cacheprovider", "-p", "no:xdist", "-rs", str(file)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=file.parent.parent,
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def on_device(name: str, size: int, shape: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    return [tensor.to(DEVICE) for tensor in inputs(name, size, shape, dtype)]


def check(name: str, tensors: list[Tensor], tolerance: float) -> None:
    """Compare results and gradients, each in its own input's dtype, with the oracle's."""
    result = with_gradients(call, name, tensors)
    expected = with_gradients(oracle, name, [t.double().cpu() for t in tensors])
    outputs = len(result) - len(tensors)
    dtypes = [tensors[0].dtype] * outputs + [t.dtype for t in tensors]
    for one, other, dtype in zip(result, expected, dtypes, strict=True):
        assert one.dtype == dtype
        assert_close(one.cpu(), other, tolerance)


@by_triton
@pytest.mark.parametrize(("name", "size", "shape"), CASES)
def test_results_and_gradients_match_the_oracle(
    name: str, size: int, shape: tuple[int, ...]
) -> None:
    check(name, on_device(name, size, shape, torch.float32), TOLERANCE[torch.float32])


@by_triton
@pytest.mark.parametrize("kernels_too", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("name", "size"), [("downsample", 2), ("upsample", 3), ("filter_pair", 4)])
def test_half_precision_matches_the_oracle(
    name: str, size: int, dtype: torch.dtype, kernels_too: bool
) -> None:
    x, *kernels = on_device(name, size, (1, 20, 3, 2), torch.float32)
    kernels = [k.to(dtype) for k in kernels] if kernels_too else kernels
    check(name, [x.to(dtype), *kernels], TOLERANCE[dtype])


@by_triton
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("wanted", [0, 1])
def test_only_the_wanted_gradient_is_computed(name: str, wanted: int) -> None:
    gradients: list[Tensor] = []
    for function, dtype in ((call, torch.float32), (oracle, torch.float64)):
        tensors = [
            t.to(dtype) for t in on_device(name, SIZES[name][-1], (1, 4, 3, 3), torch.float32)
        ]
        tensors[wanted].requires_grad_()
        total = torch.stack([o.square().sum() for o in function(name, *tensors)]).sum()
        gradients += torch.autograd.grad(total, tensors[wanted])
    assert_close(gradients[0], gradients[1], 1e-5)


@by_triton
@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("shape", [(0, 4, 3, 3), (1, 0, 3, 3)], ids=str)
def test_nothing_in_gives_nothing_out(name: str, shape: tuple[int, ...]) -> None:
    tensors = on_device(name, SIZES[name][0], shape, torch.float32)
    result = with_gradients(call, name, tensors)
    for gradient, tensor in zip(result[-len(tensors) :], tensors, strict=True):
        assert gradient.shape == tensor.shape
        assert not gradient.any()


@pytest.mark.requires_cuda
def test_cuda_tensors_are_taken_and_the_doctor_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.zeros(1, 4, 6, 6, device="cuda")
    for dtype in resampling._DTYPES["cuda"]:
        assert resampling.usable(x.to(dtype), 6)
    assert not resampling.usable(x.double(), 6)
    assert "Triton" in resampling.describe()
    with pytest.raises(ValueError, match="cuda"):
        resampling.downsample(x, torch.zeros(1, 36, 3, 3))
    monkeypatch.setenv("A2U_NATIVE", "0")
    assert not resampling.usable(x, 6)


@pytest.mark.requires_cuda
@pytest.mark.parametrize("name", SIZES)
def test_results_repeat_bit_for_bit(name: str) -> None:
    tensors = on_device(name, SIZES[name][0], (2, 64, 33, 47), torch.bfloat16)
    first, second = (with_gradients(call, name, tensors) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


@pytest.mark.requires_cuda
def test_a_pair_of_operators_agrees_with_the_cpu() -> None:
    torch.manual_seed(3)
    pair = AffinityPair(64)
    x = torch.randn(2, 64, 24, 40)
    results = []
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for device in ("cpu", "cuda"):
            half, state = pair.to(device).down(x.to(device))
            results.append(pair.up(half, state).cpu())
    assert_close(results[1], results[0].double(), 1e-4)


@pytest.mark.requires_cuda
@pytest.mark.parametrize("name", ["downsample", "upsample"])
def test_more_than_2_to_the_31_values_are_addressed(name: str) -> None:
    if torch.cuda.mem_get_info()[0] < 24 << 30:
        pytest.skip("needs 24 GiB of free GPU memory")
    channels, height, width = 64, 2900, 2900  # 64 * 5800 * 5800 > 2^31
    coarse, fine = (height, width), (2 * height, 2 * width)
    down = name == "downsample"
    x_size, kernel_size = (fine, coarse) if down else (coarse, fine)
    x = torch.zeros(1, channels, *x_size, dtype=torch.bfloat16, device="cuda")
    x = x.contiguous(memory_format=torch.channels_last)
    x[..., -8:, -8:] = torch.randn(channels, 8, 8)
    taps = 36 if down else 9
    kernels = torch.zeros(1, *kernel_size, taps, device="cuda").movedim(-1, 1)
    kernels[..., -8:, -8:] = torch.randn(taps, 8, 8)
    (result,) = call(name, x, kernels)
    (expected,) = oracle(name, x[..., -8:, -8:].double(), _corner(kernels, down).double())
    assert_close(result[..., -2:, -2:], expected[..., -2:, -2:], 1e-2)


def _corner(kernels: Tensor, down: bool) -> Tensor:
    """Give the kernels that belong to the last 8 x 8 pixels of x."""
    side = 4 if down else 16
    return kernels[..., -side:, -side:]
