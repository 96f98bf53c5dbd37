"""Record golden values of the metrics: python tests/octave/record.py (needs GNU Octave).

Octave's functions are `scores.m`; the cases are those of `tests/metric_cases.py`.
"""

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from metric_cases import GOLDEN, RECORDED, Case  # noqa: E402

HEADER = ("case", "pixels", "sad", "mse", "grad", "conn", "conn_a2u")


def ask_octave(case: Case) -> list[str]:
    """Let Octave score a case."""
    with tempfile.TemporaryDirectory() as folder:
        names = ("p", "t", "trimap")
        for name, plane in zip(names, case, strict=True):
            np.savetxt(Path(folder, name), plane, fmt="%d")
        loads = "; ".join(f"{name} = load('-ascii', '{folder}/{name}')" for name in names)
        code = f"addpath('{HERE}'); {loads}; printf('%.17g ', scores(p, t, trimap))"
        run = subprocess.run(
            ["octave-cli", "--quiet", "--eval", code], check=True, capture_output=True, text=True
        )
    return run.stdout.split()


if __name__ == "__main__":
    with RECORDED.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows([name, *ask_octave(case)] for name, case in GOLDEN.items())
    print(f"{len(GOLDEN)} cases recorded in {RECORDED}")
