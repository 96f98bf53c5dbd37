"""What every test shares: a plain terminal, one tolerance table, the parity cases where at hand."""

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch

from a2u_cli import cli
from a2u_cli.commands import stopping
from a2u_cli.network.model import MattingNetwork
from a2u_cli.operators.fused import library
from a2u_cli.weights import registry, save_weights

os.environ["_TYPER_FORCE_DISABLE_TERMINAL"] = "1"
os.environ["TERMINAL_WIDTH"] = "200"
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # as the command line does for itself
for name in ("A2U_WEIGHTS", "A2U_DEVICE", "A2U_CACHE", "A2U_NATIVE"):
    os.environ.pop(name, None)

# What several files share.
pytest.register_assert_rewrite("sitting", "exported", "opened")
torch.set_num_threads(1)  # small pictures: more threads only wait for each other

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
CHROMIUM = shutil.which("chromium")
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = {
        "requires_cuda": not torch.cuda.is_available() and "no CUDA device on this machine",
        "requires_ray": not find_spec("ray") and "no Ray here: see make test-extras",
        "requires_ffmpeg": not shutil.which("ffmpeg") and "no ffmpeg here: see make test-extras",
        "requires_s3": not all(map(find_spec, ("s3fs", "moto"))) and "no s3fs or no moto here",
        "requires_chromium": not CHROMIUM and "no chromium here: see make test-extras",
    }
    for item in items:
        for mark, reason in missing.items():
            if reason and mark in item.keywords:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def parity() -> Path:
    folder = SHARED / "parity"
    if not folder.is_dir():
        pytest.skip("the parity cases lie in ../shared/parity, which is not here")
    return folder


def mount(folder: Path, *options: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a file system needs rights that this user has not")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    mount(folder, "-o", "size=32k")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(autouse=True)
def unmoved() -> Iterator[None]:
    """Keep a test from changing where, and in how many threads, those after it run."""
    before = Path.cwd()
    yield
    torch.set_num_threads(1)
    assert Path.cwd() == before


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def sane_network(*, shared: bool = True, operator: str | None = None) -> MattingNetwork:
    """Make random weights whose activations and alphas are of an ordinary size."""
    torch.manual_seed(0)
    network = MattingNetwork(shared=shared, operator=operator).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    trimap = torch.randint(0, 3, (8, 1, 4, 4)).repeat_interleave(16, 2).repeat_interleave(16, 3) / 2
    with torch.no_grad():
        network(torch.rand(8, 3, 64, 64), trimap)
        network.head.norm.weight.fill_(0.3)  # else alphas reach to -4 and 4, and so does rounding
        network.head.norm.bias.fill_(0.5)
    return network.eval()


def error_histogram(found: np.ndarray, expected: np.ndarray) -> str:
    """Say how two arrays differ: what a failed picture comparison prints."""
    error = np.abs(found.astype(np.float64) - expected.astype(np.float64)).ravel()
    edges = [0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, np.inf]
    counts = np.histogram(error, edges)[0]
    bins = ", ".join(f"<{edge:g}: {count}" for edge, count in zip(edges[1:], counts, strict=True))
    return f"largest error {error.max():.3g} of {error.size} values; {bins}"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Give the lines that a test has told through the log."""
    caplog.set_level(logging.WARNING, "a2u_cli")
    return lambda: [record.getMessage() for record in caplog.records]


class Run(NamedTuple):
    code: int
    stdout: bytes
    stderr: str


RunA2U = Callable[..., Run]


@pytest.fixture
def at_most(request: pytest.FixtureRequest) -> Iterator[int]:
    """Keep the C forms to vectors of so many bytes: the parameter."""
    library.use_at_most(request.param)
    yield request.param
    library.use_at_most(64)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write random weights whose alphas are neither all 0 nor all 1."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    facts = {"licence": "CC0", "source": "test", "quality": "fast"}
    save_weights(sane_network(), path, dtype=torch.float16, **facts)
    return path


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep out the weights, the cache and the settings of this machine."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("A2U_CACHE", str(cache))
    for name in ("A2U_WEIGHTS", "A2U_DEVICE", "A2U_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(registry, "SHIPPED_FOLDERS", ())
    return cache


@pytest.fixture
def run_a2u(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Iterator[RunA2U]:
    """Run `a2u` in this process; the file descriptors are read, so that nothing slips by."""

    def call(*arguments: str | Path, stdin: bytes = b"") -> Run:
        monkeypatch.setattr(sys, "argv", ["a2u", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=BytesIO(stdin)))
        with pytest.raises(SystemExit) as caught:
            cli.main()
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return Run(int(caught.value.code or 0), out, err.decode())

    handlers = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # and put back
    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def a2u(
    run_a2u: RunA2U, weights: Path, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> RunA2U:
    """Run `a2u` with random weights, on the CPU."""
    monkeypatch.setenv("A2U_WEIGHTS", str(weights))
    monkeypatch.setenv("A2U_DEVICE", "cpu")
    return run_a2u
