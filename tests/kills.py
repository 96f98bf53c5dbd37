"""Kill `a2u batch` at random moments until it is done, and compare: python tests/kills.py

Signals are SIGKILL, SIGTERM and SIGINT, at moments drawn from the whole life of the process, start
and writing included. After each, every file that is there must be whole; at the end the results
must equal, byte for byte, those of a run that nobody disturbed.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from a2u_cli.images import read_image, write_image

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CODES = {-signal.SIGKILL, -signal.SIGTERM, 130, 0}


def prepare(folder: Path, pictures: int) -> None:
    rng = np.random.default_rng(5)
    for number in range(pictures):
        write_image(folder / f"{number:03}.png", rng.random((40, 60, 3), np.float32))
        trimap = np.full((40, 60), 128, np.uint8)
        trimap[:, :15], trimap[:, -15:] = 0, 255
        write_image(folder / f"{number:03}_trimap.png", trimap)


def command(folder: Path, out: Path) -> list[str]:
    options = ["--save", "alpha,cutout", "--device", "cpu", "-o", str(out)]
    return [sys.executable, "-m", "a2u_cli", "batch", str(folder), *options]


def check(out: Path) -> int:
    """Read every result and every line of the journal but a torn last one; count the results."""
    found = sorted(out.rglob("*.png"))
    for path in found:
        read_image(path)
    journal = out / "journal.jsonl"
    lines = journal.read_bytes().split(b"\n") if journal.exists() else []
    for line in lines[:-1]:
        if line:
            json.loads(line)
    return len(found)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=150)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        prepare(root / "in", given.pictures)
        start = time.monotonic()
        subprocess.run(command(root / "in", root / "whole"), check=True, capture_output=True)
        life = time.monotonic() - start
        expected, rounds = contents(root / "whole"), 0
        while sum(tally.values()) < given.kills:
            rounds += 1
            out = root / f"out{rounds}"
            while sum(tally.values()) < given.kills:
                process = subprocess.Popen(
                    command(root / "in", out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
                )
                time.sleep(rng.uniform(0.2, 0.9) * life)
                kind = rng.choice(SIGNALS)
                process.send_signal(kind)
                text = process.communicate()[1].decode()
                if process.returncode not in CODES or "Traceback" in text:
                    print(f"{kind.name}: exit {process.returncode}\n{text}")
                    return 1
                check(out)
                if process.returncode == 0:
                    break  # it was done before the signal came
                tally[kind.name] += 1
            subprocess.run(command(root / "in", out), check=True, capture_output=True)
            if contents(out) != expected or list(out.rglob("*.part")):
                print(f"round {rounds}: the results are others")
                return 1
    print(f"{dict(tally)} in {rounds} rounds over {given.pictures} pictures: nothing lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
