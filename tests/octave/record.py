"""Record golden values of the metrics: python tests/octave/record.py (needs GNU Octave).

Octave's functions are `scores.m` and, of clips, `changes.m`; the cases are those of
`tests/metric_cases.py`.
"""

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from metric_cases import GOLDEN, GOLDEN_CLIPS, RECORDED, RECORDED_CLIPS, Case, Clip  # noqa: E402

HEADER = ("case", "pixels", "sad", "mse", "grad", "conn", "conn_a2u")
CLIP_HEADER = ("case", "rvm", "tcvom", "dvm", "dvm_soft", "messddt")
NOT_KNOWN = 1e10  # of a flow, in a file of numbers


def ask_octave(call: str, **planes: np.ndarray) -> list[str]:
    """Let Octave compute a row from planes, each by its name in the call."""
    with tempfile.TemporaryDirectory() as folder:
        for name, plane in planes.items():
            np.savetxt(Path(folder, name), plane, fmt="%.9g")
        loads = "; ".join(f"{name} = load('-ascii', '{folder}/{name}')" for name in planes)
        code = f"addpath('{HERE}'); {loads}; printf('%.17g ', {call})"
        run = subprocess.run(
            ["octave-cli", "--quiet", "--eval", code], check=True, capture_output=True, text=True
        )
    return run.stdout.split()


def score_frame(case: Case) -> list[str]:
    """Let Octave score a picture."""
    return ask_octave("scores(p, t, trimap)", **dict(zip(("p", "t", "trimap"), case, strict=True)))


def score_clip(clip: Clip) -> list[str]:
    """Let Octave score how a clip changes; its frames go side by side."""
    frames, flows = clip
    p, t, trimap = (np.hstack(planes) for planes in zip(*frames, strict=True))
    u, v = np.moveaxis(np.nan_to_num(np.hstack(flows), nan=NOT_KNOWN), 2, 0)
    return ask_octave(
        f"changes(p, t, trimap, u, v, {len(frames)})", p=p, t=t, trimap=trimap, u=u, v=v
    )


def record(path: Path, header: tuple[str, ...], rows: list[list[str]]) -> None:
    """Write what Octave found."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    print(f"{len(rows)} cases recorded in {path}")


if __name__ == "__main__":
    record(RECORDED, HEADER, [[name, *score_frame(case)] for name, case in GOLDEN.items()])
    record(
        RECORDED_CLIPS, CLIP_HEADER, [[name, *score_clip(c)] for name, c in GOLDEN_CLIPS.items()]
    )
