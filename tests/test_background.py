"""`weights/background.sh`: a run in the background gives way, goes on after a crash, and ends."""

import itertools
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "weights" / "background.sh"
TICKS = 'while :; do date +%s.%N >>"$0/ticks"; sleep 0.05; done'


def script(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def ticks(run: Path) -> list[float]:
    path = run / "ticks"
    return [float(line) for line in path.read_text().split()] if path.exists() else []


def until(happened, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_run_stands_still_while_something_else_goes_on(tmp_path: Path) -> None:
    assert script("start", tmp_path, "sh", "-c", TICKS, tmp_path).returncode == 0
    try:
        until(lambda: ticks(tmp_path))
        again = script("start", tmp_path, "true")
        assert (again.returncode, "at work already" in again.stderr) == (1, True)
        assert script("aside", tmp_path, "sleep", 1).returncode == 0
        before = len(ticks(tmp_path))
        until(lambda: len(ticks(tmp_path)) > before + 1)
        times = ticks(tmp_path)
        assert max(b - a for a, b in itertools.pairwise(times)) > 0.8
    finally:
        script("stop", tmp_path)
    until(lambda: not (tmp_path / "group").exists())
    time.sleep(0.3)
    before = len(ticks(tmp_path))
    time.sleep(0.3)
    assert len(ticks(tmp_path)) == before


@pytest.mark.timeout(60)
def test_a_run_that_ends_with_an_error_is_tried_again(tmp_path: Path) -> None:
    once = 'test -e "$0/tried" || { touch "$0/tried"; exit 1; }; touch "$0/done"'
    script("start", tmp_path, "sh", "-c", once, tmp_path)
    until((tmp_path / "done").exists)
    until(lambda: not (tmp_path / "group").exists())
    assert "once more from the checkpoint" in (tmp_path / "log").read_text()


def test_a_command_aside_runs_without_a_run_too(tmp_path: Path) -> None:
    done = script("aside", tmp_path, "sh", "-c", "echo here; exit 3")
    assert (done.stdout, done.returncode) == ("here\n", 3)
