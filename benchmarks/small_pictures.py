"""Time `a2u batch` on many small pictures, in one process and in workers: by turns, in one run.

    python -m benchmarks.small_pictures [--pictures 200] [--side 512]

Smooth colours with noise, and a ring of which a sixth of the picture is unknown. The time is the
whole command's, its start and that of its workers included.
"""

import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from a2u_cli.images import write_image

from . import describe_machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks/results"
WORKERS = ("1", "auto")
BAR = 1.6  # times the pictures a second of one process, on two cores
HEADER = ["pictures", "side", "workers", "median (s)", "lowest (s)", "highest (s)", "a second"]
HEADER += ["runs", "ratio", "machine"]


def run(
    results: Annotated[Path, typer.Option(help="The CSV's folder.")] = RESULTS,
    pictures: Annotated[int, typer.Option(help="How many.")] = 200,
    side: Annotated[int, typer.Option(help="Pixels.")] = 512,
    runs: Annotated[int, typer.Option(help="Of each way.")] = 3,
) -> None:
    """Print how many pictures a second each way does; append a row of each to the CSV."""
    seconds: dict[str, list[float]] = {workers: [] for workers in WORKERS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_pictures(folder / "in", pictures, side)
        for turn in range(runs):
            for workers in WORKERS:
                words = ("--workers", workers, "-o", str(folder / f"out-{workers}-{turn}"))
                seconds[workers].append(seconds_of_batch(folder / "in", *words))
    ratio = median(seconds["1"]) / median(seconds["auto"])
    rows = []
    for workers, taken in seconds.items():
        rate = pictures / median(taken)
        typer.echo(f"{pictures} of {side} px, --workers {workers}: {rate:.2f} pictures a second")
        times = [f"{value:.1f}" for value in (median(taken), min(taken), max(taken))]
        row = [str(pictures), str(side), workers, *times, f"{rate:.3f}", str(runs)]
        rows.append([*row, f"{median(seconds['1']) / median(taken):.2f}", describe_machine()])
    missed = "" if ratio >= BAR else " MISSED"
    typer.echo(f"auto / 1: {ratio:.2f} (at least {BAR} on two cores){missed}")
    append(results / "small_pictures.csv", HEADER, rows)


def sample(side: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Draw smooth colours with noise, and a ring of which a sixth of the picture is unknown."""
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.random((8, 8, 3), np.float32), (side, side))
    image = np.clip(smooth + rng.normal(0, 0.01, smooth.shape), 0, 1).astype(np.float32)
    trimap = np.zeros((side, side), np.uint8)
    centre = side // 2, side // 2
    trimap = np.asarray(cv2.circle(trimap, centre, side // 3, 255, -1), np.uint8)
    return image, np.asarray(cv2.circle(trimap, centre, side // 3, 128, side // 12), np.uint8)


def make_pictures(folder: Path, count: int, side: int, *, name: str = "s") -> None:
    """Write pictures, each with its trimap beside it."""
    image, trimap = sample(side)
    for number in range(count):
        write_image(folder / f"{name}{number}.png", image)
        write_image(folder / f"{name}{number}_trimap.png", trimap)


def seconds_of_batch(folder: Path, *words: str) -> float:
    """Time a whole `a2u batch`, which must succeed."""
    start = time.perf_counter()
    batch(folder, *words)
    return time.perf_counter() - start


def batch(folder: Path, *words: str) -> str:
    """Run `a2u batch` in a process of its own, on the CPU; gives what it prints."""
    command = [sys.executable, "-m", "a2u_cli", "batch", str(folder), "--device", "cpu", *words]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    return ended.stdout


def append(path: Path, header: list[str], rows: list[list[str]]) -> None:
    """Add rows to a CSV, which begins with its header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header] * is_new + rows)


if __name__ == "__main__":
    typer.run(run)
