"""Compare this checkout's speed with another revision's, in one run: is a change slower?

    python -m benchmarks.revisions 7864bae

Both mattes are made by turns, in a process each; the other revision is checked out and built in a
temporary folder. Ratios are of medians, of the processor's time in one thread: on a machine that
others share it is steadier than the clock, and tells of work that was added.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from . import describe_machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks/results/revisions.csv"
SIZES = ((240, 320), (600, 800), (1088, 1920))
KINDS = ("all unknown", "compact 10 %")
# Only names that every revision has: what runs here is the other revision's code too.
WORKER = """
import json, sys, time
import numpy as np, torch
from a2u_cli import cli, load_model, matte
from a2u_cli.network import fold_norms

if hasattr(cli, "reuse_memory"):  # as the command does; older revisions do it in every matte
    cli.reuse_memory()
torch.set_num_threads(1)
with torch.inference_mode():
    network = fold_norms(load_model())
for line in sys.stdin:
    height, width, side = json.loads(line)
    image = np.random.default_rng(0).random((height, width, 3), np.float32)
    trimap = np.full((height, width), 128, np.uint8)
    if side:
        trimap[:, : width // 2], trimap[:, width // 2 :] = 0, 255
        top, left = (height - side) // 2, (width - side) // 2
        trimap[top : top + side, left : left + side] = 128
    start = time.process_time()
    matte(network, image, trimap)
    print(time.process_time() - start, flush=True)
"""


class Revision:
    """A process that runs one revision's code: a worker, which answers a line with a line."""

    def __init__(self, folder: Path, worker: str = WORKER) -> None:
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", worker],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self, height: int, width: int, side: int) -> float:
        """Matte a picture whose unknown is a square of `side` pixels, or all of it for 0."""
        return float(self.ask([height, width, side]))

    def ask(self, question: Any) -> Any:
        """Ask the worker, and wait for its answer; both are JSON."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """Check a revision out into a temporary folder, and build its C library."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "tree"
        run = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*run, "add", "--detach", str(folder), revision], check=True)
        try:
            build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
            subprocess.run(build, cwd=folder, check=True)
            yield folder
        finally:
            subprocess.run([*run, "remove", "--force", str(folder)], check=True)


def compare(ours: Revision, theirs: Revision, runs: int) -> list[dict[str, str]]:
    """Time every case by turns, after one warm-up; gives a row a case."""
    rows = []
    for height, width in SIZES:
        for kind in KINDS:
            side = round((0.1 * height * width) ** 0.5) if kind.startswith("compact") else 0
            pairs = [
                (ours.seconds(height, width, side), theirs.seconds(height, width, side))
                for _ in range(runs + 1)
            ][1:]
            here, there = (median(times) for times in zip(*pairs, strict=True))
            rows.append(
                {
                    "size": f"{width}x{height}",
                    "unknown": kind,
                    "this (s)": f"{here:.3f}",
                    "that (s)": f"{there:.3f}",
                    "ratio": f"{here / there:.3f}",
                    "runs": str(runs),
                }
            )
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Compare, print, and write the rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.revisions")
    parser.add_argument("revision", help="a commit to compare with")
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    with checkout(arguments.revision) as folder:
        rows = compare(Revision(ROOT), Revision(folder), arguments.runs)
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        more = {"that": arguments.revision, "machine": describe_machine()}
        writer = csv.DictWriter(file, [*rows[0], *more], lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | more for row in rows)


if __name__ == "__main__":
    main()
