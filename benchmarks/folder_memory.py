"""Watch the memory of a long `a2u batch`: python -m benchmarks.folder_memory.

The memory in use after each of many small pictures must not grow with their number.
"""

import csv
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from a2u_cli.batch import Journal, Options
from a2u_cli.batch import run as run_batch
from a2u_cli.images import write_image
from a2u_cli.inference import matte
from a2u_cli.network import fold_norms
from a2u_cli.pairing import find_pairs
from a2u_cli.registry import DEFAULT
from a2u_cli.weights import load_model

from . import describe_machine

RESULTS = Path(__file__).resolve().parent / "results"
PICTURES = 1000
PART = 100  # pictures at either end
SIZE = (64, 96)
BAR = 1.05


def run(results: Path, pictures: int = PICTURES) -> None:
    """Print the peaks of the first and the last part; write `folder_memory.csv`."""
    if sys.platform != "linux":
        print("folder memory: not measured; memory in use is read as Linux gives it")
        return
    with tempfile.TemporaryDirectory() as folder:
        used = watch(Path(folder), pictures)
    part = min(PART, pictures // 2)
    first, last = max(used[:part]), max(used[-part:])
    holds = "" if last <= BAR * first else " MISSED"
    sizes = f"first {part}: {first / 2**20:.0f} MiB, last {part}: {last / 2**20:.0f} MiB"
    print(
        f"a2u batch, {pictures} pictures, {sizes}, ratio {last / first:.3f} (at most {BAR}){holds}"
    )
    results.mkdir(parents=True, exist_ok=True)
    with (results / "folder_memory.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "in use (MiB)", "machine"])
        step = max(1, pictures // 20)
        machine = describe_machine()
        writer.writerows(
            [n + 1, f"{used[n] / 2**20:.0f}", machine] for n in range(step - 1, pictures, step)
        )


def watch(folder: Path, pictures: int) -> list[int]:
    """Matte pictures made for it and give the bytes in use after each."""
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
    return [page * int(Path("/proc/self/statm").read_text().split()[1]) for _ in outcomes]


if __name__ == "__main__":
    run(RESULTS)
