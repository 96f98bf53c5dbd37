"""Time `a2u batch --on ray` beside plain `a2u batch`, by turns, or watch its memory.

    python -m benchmarks.cluster [--pictures 2000] [--side 96] [--runs 3]
    python -m benchmarks.cluster --pictures 5000 --memory

Both have two workers, and one pass: so Ray's part is as large as it gets. The time is the whole
command's; what goes by before the first picture is told is given apart. Memory is what the driver
and each actor hold at so many pictures.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from . import append, describe_machine
from .small_pictures import ROOT, make_pictures

RESULTS = ROOT / "benchmarks/results"
WAYS = {"batch": (), "ray": ("--on", "ray")}
BAR, FLAT = 1.2, 1.1  # times the time of plain batch; last memory over that at a tenth of the way
HEADER = ["pictures", "side", "way", "median (s)", "lowest (s)", "highest (s)", "start (s)"]
HEADER += ["runs", "ratio", "machine"]
MEMORY_HEADER = ["pictures", "side", "done", "driver (MiB)", "largest actor (MiB)", "machine"]
PARTS = 20  # looks at memory


def run(
    results: Annotated[Path, typer.Option(help="The CSVs' folder.")] = RESULTS,
    pictures: Annotated[int, typer.Option(help="How many.")] = 2000,
    side: Annotated[int, typer.Option(help="Pixels.")] = 96,
    runs: Annotated[int, typer.Option(help="Of each way.")] = 3,
    memory: Annotated[bool, typer.Option(help="Watch memory instead.")] = False,
) -> None:
    """Print what Ray costs; append rows to `cluster.csv`, or to `cluster_memory.csv`."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_pictures(root / "in", pictures, side)
        if memory:
            _watch(root, results, pictures, side)
        else:
            _compare(root, results, pictures, side, runs)


def _compare(root: Path, results: Path, pictures: int, side: int, runs: int) -> None:
    seconds: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for turn in range(runs):
        for way, words in WAYS.items():
            begin, first = time.perf_counter(), 0.0
            for _ in batch(root / "in", root / f"{way}-{turn}", *words):
                first = first or time.perf_counter() - begin
            seconds[way].append((time.perf_counter() - begin, first))
            typer.echo(f"{way}: {seconds[way][-1][0]:.1f} s, {first:.1f} s until the first picture")
    rows, plain = [], median(whole for whole, _ in seconds["batch"])
    for way, taken in seconds.items():
        whole, start = [one for one, _ in taken], median(first for _, first in taken)
        ratio = median(whole) / plain
        times = [f"{value:.1f}" for value in (median(whole), min(whole), max(whole), start)]
        row = [str(pictures), str(side), way, *times, str(runs), f"{ratio:.2f}"]
        rows.append([*row, describe_machine()])
    missed = "" if ratio <= BAR else " MISSED"
    typer.echo(f"ray / batch: {ratio:.2f} (at most {BAR}){missed}")
    append(results / "cluster.csv", HEADER, rows)


def _watch(root: Path, results: Path, pictures: int, side: int) -> None:
    rows, looks = [], []
    for done, process in batch(root / "in", root / "out", *WAYS["ray"]):
        if done % (pictures // PARTS) == 0:
            driver, actor = _held(process.pid), max(map(_held, _actors(process.pid)), default=0)
            if actor:  # else they are gone already
                looks.append((driver, actor))
                facts = [pictures, side, done, driver, actor, describe_machine()]
                rows.append([str(fact) for fact in facts])
    for name, first, last in zip(("driver", "actor"), looks[1], looks[-1], strict=True):
        missed = "" if last <= FLAT * first else " MISSED"
        typer.echo(
            f"{name}: {first} MiB after a tenth of {pictures} pictures, {last} MiB at the end, "
            f"ratio {last / first:.3f} (at most {FLAT}){missed}"
        )
    append(results / "cluster_memory.csv", MEMORY_HEADER, rows)


def batch(folder: Path, out: Path, *words: str) -> "Iterator[tuple[int, subprocess.Popen[str]]]":
    """Run `a2u batch` in a session of its own; gives how many pictures are told of, one by one."""
    command = [sys.executable, "-m", "a2u_cli", "batch", str(folder), "-o", str(out)]
    process = subprocess.Popen(
        [*command, "--device", "cpu", "--quality", "fast", "--workers", "2", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    said = []
    try:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if found := re.match(r"(\d+)/", line):
                yield int(found[1]), process
                said.clear()
        if process.wait():
            raise RuntimeError("".join(said))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)


def _actors(session: int) -> list[int]:
    """List the processes of a run's actors."""
    listing = ["ps", "-eo", "pid=,sess=,args="]
    text = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in text.splitlines()]
    return [int(pid) for pid, own, args in rows if int(own) == session and "MapWorker" in args]


def _held(process: int) -> int:
    """Tell how many MiB of memory a process holds; 0 where it is gone."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


if __name__ == "__main__":
    typer.run(run)
