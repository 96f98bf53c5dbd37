"""Watch a long `a2u batch`: python -m benchmarks.soak [--pictures 10000].

After each of many small pictures the memory in use, the open files and the time that it took are
read: none may grow with their number.
"""

import csv
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer

from a2u_cli.images import write_image
from a2u_cli.jobs.folder import run as run_batch
from a2u_cli.jobs.journal import Journal
from a2u_cli.jobs.options import Options
from a2u_cli.matting.inference import matte
from a2u_cli.network.folding import fold_norms
from a2u_cli.pairing import find_pairs
from a2u_cli.weights import DEFAULT, load_model

from . import describe_machine

RESULTS = Path(__file__).resolve().parent / "results"
PICTURES = 1000
PART = 100  # pictures at either end
SIZE = (64, 96)
BARS = {"memory": 1.05, "files": 1.0, "seconds": 1.25}  # last part over first; times are noisy


@dataclass(frozen=True)
class Look:
    """What was read after a picture: bytes in use, open files, seconds since the one before."""

    memory: int
    files: int
    seconds: float


def run(
    results: Annotated[Path, typer.Option(help="The CSV's folder.")] = RESULTS,
    pictures: Annotated[int, typer.Option(help="How many.")] = PICTURES,
) -> None:
    """Print what the first and the last part took; write `soak.csv`."""
    if sys.platform != "linux":
        typer.echo("soak: not measured; memory and files are read as Linux gives them")
        return
    with tempfile.TemporaryDirectory() as folder:
        looks = watch(Path(folder), pictures)
    part = min(PART, pictures // 2)
    first, last = looks[:part], looks[-part:]
    for name, (low, high, unit) in {
        "memory": (_most(first, "memory") / 2**20, _most(last, "memory") / 2**20, "MiB"),
        "files": (_most(first, "files"), _most(last, "files"), "open files"),
        "seconds": (_typical(first) * 1000, _typical(last) * 1000, "ms a picture"),
    }.items():
        holds = "" if high <= BARS[name] * low else " MISSED"
        typer.echo(
            f"a2u batch, {pictures} pictures: first {part} {low:.0f}, last {part} {high:.0f} "
            f"{unit}, ratio {high / low:.3f} (at most {BARS[name]}){holds}"
        )
    results.mkdir(parents=True, exist_ok=True)
    with (results / "soak.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "in use (MiB)", "open files", "median (ms)", "machine"])
        step = max(1, pictures // 20)
        for end in range(step, pictures + 1, step):
            look, machine = looks[end - 1], describe_machine()
            typical = 1000 * _typical(looks[end - step : end])
            row = [end, f"{look.memory / 2**20:.0f}", look.files, f"{typical:.1f}", machine]
            writer.writerow(row)


def _most(looks: list[Look], name: str) -> float:
    return max(float(getattr(look, name)) for look in looks)


def _typical(looks: list[Look]) -> float:
    return median(look.seconds for look in looks)


def watch(folder: Path, pictures: int) -> list[Look]:
    """Matte pictures made for it, and look after each."""
    rng = np.random.default_rng(0)
    trimap = np.full(SIZE, 128, np.uint8)
    trimap[:, :20], trimap[:, -20:] = 0, 255
    for number in range(pictures):
        write_image(folder / f"in/{number}.png", rng.random((*SIZE, 3), np.float32))
        write_image(folder / f"in/{number}_trimap.png", trimap)
    network = fold_norms(load_model(DEFAULT))
    out = folder / "out"
    out.mkdir()
    page = os.sysconf("SC_PAGE_SIZE")
    outcomes = run_batch(
        find_pairs(folder / "in").found,
        out,
        lambda image, hint: matte(network, image, hint),
        Options(save=("alpha", "cutout")),
        journal=Journal(out),
    )
    looks = []
    before = time.perf_counter()
    for _ in outcomes:
        now = time.perf_counter()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        looks.append(Look(page * pages, len(list(Path("/proc/self/fd").iterdir())), now - before))
        before = now
    return looks


if __name__ == "__main__":
    typer.run(run)
