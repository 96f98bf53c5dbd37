"""Plans: what fits is used, what does not is refused in words, and the estimate holds."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2u_cli.errors import OutOfMemory
from a2u_cli.images.memory import free_memory
from a2u_cli.matting.planning import OPTIONAL, Plan, estimate_memory, make_plan

SIDES = st.integers(1, 12_000)


@settings(deadline=None)
@given(st.tuples(SIDES, SIDES), st.integers(0, 1 << 36), st.sampled_from([2, 4]))
def test_a_plan_keeps_to_the_budget_and_says_so(
    size: tuple[int, int], budget: int, value: int
) -> None:
    try:
        plan = make_plan(size, budget=budget, value=value)
    except OutOfMemory as error:
        least = estimate_memory(size, Plan((16, 16)), value=value)
        assert least > budget
        assert f"needs {least / 1e9:.1f} GB" in str(error)
        return
    assert plan.memory == estimate_memory(size, plan, value=value) <= budget
    assert re.fullmatch(r"in (one piece|tiles of \d+x\d+), about \d+\.\d GB of memory", str(plan))


@settings(deadline=None)
@given(st.tuples(SIDES, SIDES), st.integers(1 << 30, 1 << 36), st.integers(0, 1 << 34))
def test_more_memory_never_makes_smaller_tiles(
    size: tuple[int, int], budget: int, more: int
) -> None:
    try:
        plan = make_plan(size, budget=budget)
    except OutOfMemory:
        return
    assert make_plan(size, budget=budget + more).tile >= plan.tile


def test_ample_memory_keeps_everything_and_half_precision_takes_less() -> None:
    size = (1088, 1920)
    plan = make_plan(size, budget=1 << 40)
    assert plan.keep == set(OPTIONAL)
    assert plan.memory <= 2 << 30
    assert estimate_memory(size, plan, value=2) < plan.memory


@pytest.mark.parametrize(("size", "gigabytes"), [((4320, 7680), 4), ((8660, 11547), 6)])
def test_large_pictures_fit_where_they_must(size: tuple[int, int], gigabytes: int) -> None:
    assert make_plan(size, budget=gigabytes << 30).tile[0] >= 128


def test_tiles_of_more_channels_hold_about_as_many_values() -> None:
    plan = Plan((320, 320))
    for channels in (64, 128, 256, 512):
        rows, columns = plan.tile_for((1000, 1000), channels)
        assert rows * columns * channels <= 1.05 * 320 * 320 * 64
        assert rows * columns * channels >= 0.5 * 320 * 320 * 64
    assert plan.tile_for((325, 100), 64) == (163, 100)  # even shares, no thin rest
    assert Plan((1, 1)).tile_for((3, 3), 256) == (1, 1)


def test_free_memory_is_found_or_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert free_memory() > 0

    def refuse(*_: object) -> str:
        raise OSError

    monkeypatch.setattr(Path, "read_text", refuse)
    if hasattr(os, "sysconf"):
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        assert free_memory() == pages // 2
        monkeypatch.delattr(os, "sysconf")
    assert free_memory() == 4 << 30


def test_a_container_lowers_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:   8388608 kB\n",
        "/sys/fs/cgroup/memory.max": "3000000000\n",
        "/sys/fs/cgroup/memory.current": "1000000000\n",
        "/sys/fs/cgroup/memory.stat": "anon 1\nactive_file 9\ninactive_file 300000000\n",
    }
    monkeypatch.setattr(Path, "read_text", lambda path: texts[path.as_posix()])
    assert free_memory() == 2_300_000_000  # what files have left there is given up when asked for
    texts["/sys/fs/cgroup/memory.max"] = "max\n"
    assert free_memory() == 8 << 30


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux gives it")
@pytest.mark.parametrize("keep", [frozenset(), frozenset(OPTIONAL)], ids=["nothing", "everything"])
def test_the_estimate_bounds_what_a_process_takes(keep: frozenset[str]) -> None:
    size, plan = (320, 640), Plan((96, 128), keep)
    code = (
        "import numpy as np, torch\n"
        "from a2u_cli.cli import reuse_memory\n"
        "from a2u_cli.network import MattingNetwork, fold_norms\n"
        "from a2u_cli.matting.planning import Plan\n"
        "from a2u_cli.matting.streaming import stream\n"
        "reuse_memory(); torch.set_num_threads(1)\n"
        f"image, trimap = np.zeros(({size[0]}, {size[1]}, 3), 'f4'), np.zeros({size}, 'u1')\n"
        "with torch.inference_mode():\n"
        "    network = fold_norms(MattingNetwork().eval())\n"
        f"    stream(network, image, trimap, Plan({plan.tile}, {keep!r}))\n"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(run.stdout) << 10 <= estimate_memory(size, plan)
