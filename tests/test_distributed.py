"""Several processes under torchrun take the steps that one takes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from a2u_cli.network.model import MattingNetwork
from a2u_cli.training.distributed import SharedBatchNorm, share_norms

WORKER = Path(__file__).with_name("distributed_worker.py")


def curve(folder: Path, *launcher: str) -> list[dict[str, float]]:
    command = [sys.executable, *launcher, str(WORKER), str(folder)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=240)
    return [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]


def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    """At no rate to speak of: Adam and Muon turn a rounding error into a whole step."""
    one = curve(tmp_path / "one")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    two = curve(tmp_path / "two", *launcher)
    assert len(one) == len(two) == 4
    for alone, together in zip(one, two, strict=True):
        for name in ("loss", "alpha", "composition", "pyramid"):
            assert together[name] == pytest.approx(alone[name], rel=1e-6), name
    assert two[-1]["validation"]["error"] == pytest.approx(one[-1]["validation"]["error"], rel=1e-6)
    gradients, statistics = [], []
    for name in ("one", "two"):
        state = torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        moments = [m for kept in state["optimisers"] for m in kept["state"].values()]
        averages = [m.get("momentum", m.get("exp_avg")) for m in moments]
        gradients.append(torch.cat([average.flatten() for average in averages]))
        kept = state["network"].items()
        statistics.append(torch.cat([v.flatten() for n, v in kept if "running" in n]))
    for alone, together in (gradients, statistics):
        assert (together - alone).norm() < 1e-9 * alone.norm()


def test_the_shared_norm_is_batch_norm(rng: np.random.Generator) -> None:
    x = torch.from_numpy(rng.normal(0.3, 0.2, (3, 5, 4, 6)).astype(np.float32))
    slope = torch.from_numpy(rng.normal(size=x.shape).astype(np.float32))
    results = []
    for kind in (nn.BatchNorm2d, SharedBatchNorm):
        norm, leaf = kind(5), x.clone().requires_grad_()
        (norm(leaf) * slope).sum().backward()
        results.append([leaf.grad, norm.weight.grad, norm.bias.grad, *norm.state_dict().values()])
        results[-1].append(norm.eval()(x))
    for expected, value in zip(*results, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)


def test_shared_norms_take_the_places_of_a_networks_own_and_leave_those_as_they_are() -> None:
    torch.manual_seed(0)
    network = MattingNetwork().eval()
    own = [module for module in network.modules() if type(module) is nn.BatchNorm2d]
    tensors = {name: id(tensor) for name, tensor in network.state_dict(keep_vars=True).items()}
    x, trimap = torch.rand(1, 3, 32, 48), torch.rand(1, 1, 32, 48)
    with torch.inference_mode():
        expected = network(x, trimap)
        share_norms(network)
        assert torch.equal(network(x, trimap), expected)
    assert len(own) > 40
    assert all(type(norm) is nn.BatchNorm2d for norm in own)
    assert sum(isinstance(module, SharedBatchNorm) for module in network.modules()) == len(own)
    after = network.state_dict(keep_vars=True)
    assert {name: id(tensor) for name, tensor in after.items()} == tensors
    assert not network.training
    assert not any(module.training for module in network.modules())
