"""The first minutes on a GPU, rehearsed on the CPU: every part runs, and what travels is there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from a2u_cli.training.trainer import start_network


@pytest.mark.timeout(240)
def test_a_rehearsal_runs_every_part_and_leaves_what_travels(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "benchmarks.gpu_train", "--rehearse", "--out", str(out)]
    command += ["--folder", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = (out / "report.txt").read_text()
    for part in ("versions", "operator", "network", "steps", "train"):
        assert f"== {part}: exit 0" in report, done.stdout
    assert "FAILED" not in report
    travels = {path.name: path.stat().st_size for path in out.iterdir()}
    expected = {"average.safetensors", "curve.jsonl", "preview.png", "run.json", "report.txt"}
    assert travels.keys() == expected
    assert max(travels.values()) < 16 * 2**20 + 2**19
    assert json.loads((out / "run.json").read_text())["steps"] == 3
    again = start_network(str(out / "average.safetensors"), seed=0)
    assert again.stem.conv.weight.isfinite().all()
