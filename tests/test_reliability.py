"""The promises of docs/reliability.md that have no better home, and the page itself."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import sane_network

from a2u_cli.matting.inference import matte

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "reliability.md").read_text()


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.requires_cuda)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_two_runs_give_the_same_bytes(device: str, dtype: torch.dtype) -> None:
    rng = np.random.default_rng(7)
    image = rng.random((150, 210, 3), np.float32)
    trimap = rng.choice(np.array([0, 128, 255], np.uint8), (15, 21)).repeat(10, 0).repeat(10, 1)
    network = sane_network().to(device)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, second = (matte(network, image, trimap, dtype=dtype) for _ in range(2))
    finally:
        torch.set_num_threads(threads)
    assert first.tobytes() == second.tobytes()


def test_nothing_switches_verification_off() -> None:
    """No call in the package passes verify=False, and no SSL context is made by hand."""
    for path in (ROOT / "a2u_cli").rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not names & {"_create_unverified_context", "CERT_NONE", "check_hostname"}, path
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg in ("verify", "ssl", "use_ssl"):
                assert not isinstance(node.value, ast.Constant), path
    assert "HF_HUB_DISABLE_TELEMETRY" in (ROOT / "a2u_cli" / "cli.py").read_text()


def test_every_promise_names_tests_that_exist() -> None:
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", PAGE)
    assert len(named) > 40
    for file, test in named:
        text = (ROOT / "tests" / file).read_text()
        assert f"def {test}(" in text, f"{file}::{test}"
