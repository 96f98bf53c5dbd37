"""Time the whole pass and take its peak memory, beside the reference, its floor and its rivals.

Every measurement has a process of its own, and methods take turns. The medians' ratios are judged
by the project's goals. Without CUDA, that table says so.
"""

import csv
import multiprocessing
import platform
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from a2u_cli.operators.fused.convolution import computes_in

from . import Timing, describe_machine
from .cases import VITMATTE, Case
from .goals import Result, judge
from .methods import Measured, serve
from .plan import QUICK, Plan
from .plot import draw

RESULTS = Path(__file__).resolve().parent / "results"
NEEDS = {"closed-form": "pymatting", VITMATTE: "transformers"}
HALF_ANYWAY = 64 * 64  # pixels up to which bf16 is measured where the processor lacks it
TIME_LIMIT = 1800.0  # seconds
PARTING = 5.0  # seconds for a process that has answered to clean up
LINE = 120  # characters
ONCE = ("Photograph", "Giants")  # tables whose cases take minutes each


def run(results: Path, plan: Plan | None = None, *, only: str = "") -> None:
    """Print the tables and the goals; write `whole_pass.csv` and `whole_pass.png`.

    `only` is the start of the titles to measure: the other tables' rows then stay as they are, and
    so does the plot.
    """
    plan = plan or Plan()
    console = Console(width=LINE)
    by_case: dict[Case, Result] = {}
    for title, cases in plan.tables().items():
        if title.startswith(only):
            runs = 1 if title.startswith(ONCE) else plan.runs
            group = take_turns(cases, runs, console)
            show(title, group, console)
            by_case |= group
    write(by_case, results / "whole_pass.csv", keep=bool(only))
    for line in judge(by_case, plan):
        console.print(line, highlight=False, soft_wrap=True)
    if only:
        return
    if find_spec("matplotlib"):
        draw(by_case, plan, results / "whole_pass.png")
    else:
        console.print("no plot: matplotlib is not installed (pip install -e '.[bench]')")


def take_turns(cases: list[Case], runs: int, console: Console) -> dict[Case, Result]:
    """Measure every case in turn, `runs` times over; what cannot be measured is asked once."""
    notes: dict[Case, str] = {}
    measured: dict[Case, list[Measured]] = {case: [] for case in cases}
    for number in range(runs):
        for case in cases:
            if case in notes:
                continue
            answer = missing(case) or in_fresh_process(case)
            if isinstance(answer, Measured):
                measured[case].append(answer)
            else:
                notes[case] = answer
        console.print(f"round {number + 1} of {runs}: {len(cases) - len(notes)} cases measured")
    return {case: notes.get(case) or summarise(measured[case]) for case in cases}


def missing(case: Case) -> str | None:
    """Say why a case is not for this machine; None where it is."""
    package = NEEDS.get(case.method)
    if package and not find_spec(package):
        return f"skipped: {package} is not installed (pip install -e '.[bench]')"
    if case.device == "cuda" and not torch.cuda.is_available():
        return "not measured: no CUDA device on this machine"
    large = case.size[0] * case.size[1] > HALF_ANYWAY
    plain = case.device == "cpu" and case.method != "ours"  # ours then sums up in float32
    if plain and large and not computes_in(getattr(torch, case.dtype, torch.float64)):
        return "not measured: this processor does not compute in bfloat16"
    return None


def in_fresh_process(case: Case) -> Measured | str:
    """Measure a case where nothing ran before, so that its peak memory is its own.

    The process is a copy of one that has loaded torch and done nothing.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.methods"])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(case, theirs))
    process.start()
    theirs.close()
    answer: Measured | str = f"took longer than {TIME_LIMIT / 60:.0f} minutes"
    try:
        if ours.poll(TIME_LIMIT):
            answer = ours.recv()
    except EOFError:
        process.join()
        answer = f"did not fit (ended by signal {-(process.exitcode or 0)})"
    process.join(PARTING)
    process.kill()
    ours.close()
    return answer


def summarise(measured: list[Measured]) -> tuple[Timing, int]:
    """Give the spread over all runs, and the highest peak."""
    seconds = [second for one in measured for second in one.seconds]
    return Timing.of(seconds), max(one.peak for one in measured)


def label(case: Case) -> str:
    """Name a case in a line."""
    region = "all unknown" if case.region == "all" else f"{case.share:.0%} unknown, {case.region}"
    bound = "" if case.bound is None else f" in {case.bound:g} GiB"
    size = f"{case.size[1]}x{case.size[0]}"
    return f"{case.method} {case.dtype}, {size}, {region}, {case.device}{bound}"


def rows(by_case: Mapping[Case, Result]) -> list[list[str]]:
    """Lay out results as text, a row a case."""
    lines = []
    for case, result in by_case.items():
        width, height = str(case.size[1]), str(case.size[0])
        what = [case.method, case.dtype, case.device, width, height]
        what += [f"{100 * case.share:g}", case.region]
        what += ["" if case.bound is None else f"{case.bound:g}"]
        if isinstance(result, str):
            lines.append([*what, *[""] * 5, result])
        else:
            timing, peak = result
            times = [f"{s:.4f}" for s in (timing.median, timing.lowest, timing.highest)]
            lines.append([*what, *times, f"{peak / 2**20:.0f}", str(timing.runs), ""])
    return lines


CASE = ["method", "dtype", "device", "width", "height", "unknown (%)", "region", "bound (GiB)"]
HEADER = [*CASE, "median (s)", "lowest (s)", "highest (s)", "peak (MiB)", "runs", "note"]


def show(title: str, by_case: Mapping[Case, Result], console: Console) -> None:
    """Print a group's measurements as a table, and below it why others are missing."""
    table = Table(title=f"{title}\n{machine()}")
    for column in ("case", *HEADER[len(CASE) : -1]):
        table.add_column(column, justify="left" if column == "case" else "right")
    notes = []
    for case, row in zip(by_case, rows(by_case), strict=True):
        if row[-1]:
            notes.append(f"{label(case)}: {row[-1]}")
        else:
            table.add_row(label(case), *row[len(CASE) : -1])
    console.print(table if table.row_count else f"{title}: not measured")
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)


def write(by_case: Mapping[Case, Result], path: Path, *, keep: bool = False) -> None:
    """Write results as CSV, the machine in every row; `keep` keeps rows of other cases."""
    lines = {tuple(row[: len(CASE)]): [*row, machine()] for row in rows(by_case)}
    if keep and path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            lines = {tuple(row[: len(CASE)]): row for row in list(csv.reader(file))[1:]} | lines
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*HEADER, "machine"])
        writer.writerows(lines.values())


def machine() -> str:
    """Name processor, accelerator and versions."""
    accelerator = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{describe_machine()}{accelerator}, {torch.get_num_threads()} threads, {versions}"


def main(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Tiny sizes, once: a rehearsal.")] = False,
    results: Annotated[Path | None, typer.Option(help="Write the CSV and the plot here.")] = None,
    only: Annotated[str, typer.Option(help="Measure the tables whose title starts so.")] = "",
) -> None:
    """Measure the whole pass against the reference, its floor and its rivals."""
    if results is None and quick:  # numbers of a rehearsal replace none
        results = Path(tempfile.mkdtemp(prefix="a2u-bench-"))
    run(results or RESULTS, QUICK if quick else None, only=only)


if __name__ == "__main__":
    typer.run(main)
