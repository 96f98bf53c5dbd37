"""Open, ask and append to the journal of a million pictures: python -m benchmarks.journal.

Each step begins where the one before ended, but for the two openings, each in a fresh process.
Seconds are read on the clock and of the processor: beside other work only the latter tells.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from . import append, describe_machine

RESULTS = Path(__file__).resolve().parent / "results"
HEADER = ["step", "entries", "seconds", "processor (s)", "peak (MB)", "machine"]
GOALS = {"open": 1.0, "filter": 1.0, "append": 1.0}
PART = 100_000  # outputs that are asked of at once
MOST = 100.0  # MB in all


def run(
    results: Annotated[Path, typer.Option(help="The CSV's folder.")] = RESULTS,
    entries: Annotated[int, typer.Option(help="How many pictures.")] = 1_000_000,
) -> None:
    """Print what each step took; append a row a step to `journal.csv`."""
    if sys.platform != "linux":
        typer.echo("journal: not measured; memory is read as Linux gives it")
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_journal(Path(folder), entries)
        for first in (True, False):
            command = [sys.executable, "-m", "benchmarks.journal", "--steps", folder]
            told = subprocess.run([*command, "--entries", str(entries)], stdout=-1, check=True)
            for step, *figures in json.loads(told.stdout)[: 1 if first else None]:
                rows.append(["open without index" if first else step, entries, *figures])
    for step, _, wall, processor, peak in rows:
        missed = " MISSED" if processor > GOALS.get(step, 60) or peak > MOST else ""
        typer.echo(f"{step}: {wall:.2f} s, {processor:.2f} s of a processor, {peak:.0f} MB{missed}")
    cells = [[str(cell) for cell in (*row, describe_machine())] for row in rows]
    append(results / "journal.csv", HEADER, cells)


def name_of(number: int) -> str:
    """Name a picture."""
    return f"set{number % 1000:04}/picture{number:07}"


def write_journal(folder: Path, entries: int) -> None:
    """Write a journal of done pictures, as a batch writes it."""
    with (folder / "journal.jsonl").open("w") as file:
        for number in range(entries):
            digest, name = hashlib.sha256(b"%d" % number).hexdigest(), name_of(number)
            made = {"size": 1000 + number, "sha256": digest, "recipe": digest[:32]}
            line = {"name": name, "state": "done", "reason": "", "seconds": 0.25, "weights": digest}
            file.write(json.dumps(line | {"outputs": {f"alpha/{name}.png": made}}) + "\n")


def steps(folder: Path, entries: int) -> Iterator[tuple[str, float, float, float]]:
    """Take the steps one by one: seconds, those of the processor, and MB at the most."""
    from a2u_cli.jobs.journal import Content, Journal, Outcome

    before, begin = _peak(), (time.perf_counter(), time.process_time())

    def taken(step: str, since: tuple[float, float]) -> tuple[str, float, float, float]:
        wall, processor = time.perf_counter() - since[0], time.process_time() - since[1]
        return step, round(wall, 3), round(processor, 3), round(_peak() - before, 1)

    journal = Journal(folder)
    yield taken("open", begin)
    half, found, asking = entries // 2, 0, [0.0, 0.0]  # half of what is asked is not there
    for first in range(half, half + entries, PART):
        numbers = range(first, min(first + PART, half + entries))
        places = [f"alpha/{name_of(number)}.png" for number in numbers]
        start = time.perf_counter(), time.process_time()
        found += int(journal.names(places).sum())
        asking[0] += time.perf_counter() - start[0]
        asking[1] += time.process_time() - start[1]
    assert found == entries - half
    yield "filter", round(asking[0], 3), round(asking[1], 3), round(_peak() - before, 1)
    start = time.perf_counter(), time.process_time()
    journal.add(Outcome("new", "done"), {folder / "alpha/new.png": (Content(1, "s"), "r")})
    yield taken("append", start)


def _peak() -> float:
    """Tell the most memory that this process has taken, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1.024 / 1000 for line in lines if line.startswith("VmHWM"))


def main(
    results: Annotated[Path, typer.Option(help="The CSV's folder.")] = RESULTS,
    entries: Annotated[int, typer.Option(help="How many pictures.")] = 1_000_000,
    steps_in: Annotated[Path | None, typer.Option("--steps", hidden=True)] = None,
) -> None:
    """Measure, or take the steps in a process of its own."""
    if steps_in:
        print(json.dumps([*steps(steps_in, entries)]))
    else:
        run(results, entries)


if __name__ == "__main__":
    typer.run(main)
