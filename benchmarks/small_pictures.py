"""Time `a2u batch` on many small pictures, in one process and in workers: by turns, in one run.

    python -m benchmarks.small_pictures [--pictures 200] [--side 512]
    python -m benchmarks.small_pictures --pictures 300 --side 96 --revision a9b2af1

The second way, one pass each, against another revision: is `batch` slower than it was? Smooth
colours with noise, and a ring of which a sixth of the picture is unknown. The time is the whole
command's, its start and that of its workers included.
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from a2u_cli.images import write_image

from . import append, describe_machine
from .revisions import checkout

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks/results"
WORKERS = ("1", "auto")
ONE_PASS = ("--quality", "standard")  # the word that every revision has
BAR = 1.6  # times the pictures a second of one process, on two cores
HEADER = ["pictures", "side", "way", "median (s)", "lowest (s)", "highest (s)", "a second"]
HEADER += ["runs", "ratio", "machine"]


def run(
    results: Annotated[Path, typer.Option(help="The CSV's folder.")] = RESULTS,
    pictures: Annotated[int, typer.Option(help="How many.")] = 200,
    side: Annotated[int, typer.Option(help="Pixels.")] = 512,
    runs: Annotated[int, typer.Option(help="Of each way.")] = 3,
    revision: Annotated[str, typer.Option(help="A commit to compare with.")] = "",
) -> None:
    """Print how many pictures a second each way does; append a row of each to the CSV."""
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        if revision:  # both with the one pass that was its default
            elsewhere = held.enter_context(checkout(revision))
            ways = {revision: (elsewhere, ONE_PASS), "auto": (ROOT, ONE_PASS)}
        else:
            ways = {workers: (ROOT, ("--workers", workers)) for workers in WORKERS}
        make_pictures(folder / "in", pictures, side)
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(runs):
            for way, (root, words) in ways.items():
                out = str(folder / f"out-{way}-{turn}")
                seconds[way].append(seconds_of_batch(folder / "in", *words, "-o", out, root=root))
    first = next(iter(seconds))
    rows = []
    for way, taken in seconds.items():
        rate, ratio = pictures / median(taken), median(seconds[first]) / median(taken)
        typer.echo(f"{pictures} of {side} px, {way}: {rate:.2f} pictures a second")
        times = [f"{value:.1f}" for value in (median(taken), min(taken), max(taken))]
        row = [str(pictures), str(side), way, *times, f"{rate:.3f}", str(runs)]
        rows.append([*row, f"{ratio:.2f}", describe_machine()])
    bar = 1.0 if revision else BAR
    missed = "" if ratio >= bar else " MISSED"
    typer.echo(f"auto / {first}: {ratio:.2f} (at least {bar} on two cores){missed}")
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


def seconds_of_batch(folder: Path, *words: str, root: Path = ROOT) -> float:
    """Time a whole `a2u batch`, which must succeed."""
    start = time.perf_counter()
    batch(folder, *words, root=root)
    return time.perf_counter() - start


def batch(folder: Path, *words: str, root: Path = ROOT) -> str:
    """Run a checkout's `a2u batch` in a process of its own, on the CPU; gives what it prints."""
    command = [sys.executable, "-m", "a2u_cli", "batch", str(folder), "--device", "cpu", *words]
    paths = {**os.environ, "PYTHONPATH": str(root)}
    ended = subprocess.run(
        command, cwd=root, env=paths, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    return ended.stdout


if __name__ == "__main__":
    typer.run(run)
