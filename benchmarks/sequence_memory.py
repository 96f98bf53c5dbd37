"""Take the memory and the time of `a2u sequence` on long and on large sequences.

    python -m benchmarks.sequence_memory

A rendered picture and its trimap are shifted a pixel a frame; keys are at both ends of each 24. The
command is a process of its own, of one thread, whose memory /proc tells after each frame: `held` is
the median from the 10th frame on (of fewer than 20, from the 5th), and the slope a line through the
same. A row of each run goes to the CSV.
"""

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, NamedTuple

import cv2
import numpy as np
import typer

from a2u_cli.images import write_image
from a2u_cli.images.reading import read_levels
from a2u_cli.units import UNKNOWN, Levels

from . import describe_machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks/results/sequence_memory.csv"
EVERY = 24
MIB = 1 << 20
HEADER = ["frames", "width", "height", "unknown (%)", "options", "peak (MiB)", "held (MiB)"]
HEADER += ["slope (MiB a frame)", "processor (s a frame)", "machine"]


class Run(NamedTuple):
    """What is measured; `words` are the command's."""

    frames: int
    width: int
    height: int
    words: tuple[str, ...] = ()


RUNS = (
    Run(200, 640, 360, ("--quality", "fast")),
    Run(10, 3840, 2160, ("--quality", "fast")),
    Run(10, 3840, 2160, ("--quality", "fast", "--max-memory", "4GB")),
    Run(2, 3840, 2160),
)


class Measured(NamedTuple):
    """A run's peak, what it took after each frame, in MiB, and its processor seconds."""

    peak: float
    after: list[float]
    seconds: float

    @property
    def steady(self) -> list[float]:
        """Give what it took once the frames within reach were there."""
        return self.after[9:] if len(self.after) >= 20 else self.after[4:]

    @property
    def slope(self) -> float:
        """Fit a line to that."""
        return float(np.polyfit(range(len(self.steady)), self.steady, 1)[0])


def run(
    results: Annotated[Path, typer.Option(help="The CSV.")] = RESULTS,
    only: Annotated[list[int] | None, typer.Option(help="The numbers of runs, from 0.")] = None,
) -> None:
    """Measure all runs, or the rows of some anew; print and write them."""
    before = list(csv.reader(results.open()))[1:] if results.exists() else []
    rows = {(row[0], row[1], row[4]): row for row in before}
    for at in range(len(RUNS)) if only is None else only:
        with tempfile.TemporaryDirectory() as folder:
            share = shift(RUNS[at], Path(folder))
            row = describe(RUNS[at], share, measure(RUNS[at], Path(folder)))
        rows[row[0], row[1], row[4]] = row
        print("  ".join(row), flush=True)
        with results.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([HEADER, *rows.values()])


def describe(made: Run, share: float, found: Measured) -> list[str]:
    """Give a run's row; of few frames nothing is steady."""
    row = [str(made.frames), str(made.width), str(made.height), f"{100 * share:.0f}"]
    row += [" ".join(made.words), f"{found.peak:.0f}"]
    few = len(found.steady) < 2
    row += ["", ""] if few else [f"{np.median(found.steady):.0f}", f"{found.slope:.2f}"]
    return [*row, f"{found.seconds / made.frames:.1f}", describe_machine()]


def shift(made: Run, folder: Path) -> float:
    """Write frames/p.0001.png and their keys; give the share that is unknown."""
    side = made.width + made.frames
    image, trimap = (read_levels(ROOT / "examples" / f"plush{n}.png") for n in ("", "_trimap"))
    wide = cv2.resize(image[..., :3], (side, side), interpolation=cv2.INTER_CUBIC)
    drawn = cv2.resize(trimap[..., 0], (side, side), interpolation=cv2.INTER_NEAREST)
    top = (side - made.height) // 2
    unknown = []
    for at in range(made.frames):
        window = slice(top, top + made.height), slice(at, at + made.width)
        write(folder / f"frames/p.{at + 1:04}.png", wide[window])
        if at % EVERY in (0, EVERY - 1) or at == made.frames - 1:
            write(folder / f"keys/p.{at + 1:04}.png", drawn[window])
        unknown.append((drawn[window] == UNKNOWN).mean())
    return float(np.mean(unknown))


def write(path: Path, levels: Levels | np.ndarray) -> None:
    write_image(path, np.ascontiguousarray(levels, np.uint8))


def measure(made: Run, folder: Path) -> Measured:
    """Run the command on what was written, and look at it after each frame."""
    command = [sys.executable, "-m", "a2u_cli", "sequence", str(folder / "frames"), *made.words]
    command += ["--trimaps", str(folder / "keys"), "-o", str(folder / "out"), "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "A2U_DEVICE": "cpu"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=ROOT)
    assert process.stdout is not None
    after = [taken for _ in process.stdout if (taken := held(process.pid))]
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or len(after) < made.frames - 1:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Measured(used.ru_maxrss / 1024, after, used.ru_utime + used.ru_stime)


def held(process: int) -> float:
    """Give what a process has in memory, in MiB; 0 where it has just ended."""
    status = Path(f"/proc/{process}/status").read_text()
    taken = (line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return int(next(taken, 0)) * 1024 / MIB


if __name__ == "__main__":
    typer.run(run)
