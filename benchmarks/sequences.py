"""Score `a2u sequence` on rendered clips: frame by frame, steadied, and with trimaps of a few keys.

    a2u render runs/clips --clips 5 --frames 24 --size 320
    python -m benchmarks.sequences runs/clips

For each clip: MAD x 1e3 and dtSSD (RVM's protocol) over whole frames, both ways with the true
trimaps; then, of trimaps carried between keys EVERY frames apart, how much of what is truly soft
lies in their unknown, how large that is beside the true one, and the SAD of mattes with them
against that with the true ones. A row of each clip, and of their mean, goes to the CSV.
"""

import csv
import json
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Annotated, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from a2u_cli.commands.sequence import sequence
from a2u_cli.images import quantise, read_grey
from a2u_cli.images.reading import read_levels
from a2u_cli.scoring.temporal import dtssd_rvm
from a2u_cli.units import UNKNOWN

from . import describe_machine

RESULTS = Path(__file__).resolve().parent / "results" / "sequences.csv"
EVERY = 12
SOFT = 1 / 255  # alphas nearer to 0 or 1 are those
HEADER = ["clip", "frames", "MAD alone", "MAD steadied", "dtSSD alone", "dtSSD steadied"]
HEADER += ["dtSSD ratio", "soft covered (%)", "unknown / true", "SAD carried / true", "machine"]
Alphas = list[NDArray[np.uint8]]


class Row(NamedTuple):
    """The figures of a clip, as the header names them."""

    clip: str
    frames: int
    figures: list[float]


def run(
    clips: Annotated[Path, typer.Argument(help="Rendered by a2u render --clips.")],
    every: Annotated[int, typer.Option(help="Frames from key to key.")] = EVERY,
    results: Annotated[Path, typer.Option(help="The CSV.")] = RESULTS,
) -> None:
    """Print and write a row of each clip, and their mean."""
    rows = [score(clip, every) for clip in sorted(clips.iterdir()) if (clip / "image").is_dir()]
    if not rows:
        raise SystemExit(f"{clips} holds no clips; render some: a2u render {clips} --clips 5")
    figures = [fmean(column) for column in zip(*(row.figures for row in rows), strict=True)]
    rows.append(Row("mean", sum(row.frames for row in rows), figures))
    with results.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for row in rows:
            shown = [row.clip, row.frames, *(f"{value:.3f}" for value in row.figures)]
            print("  ".join(map(str, shown)), flush=True)
            writer.writerow([*shown, describe_machine()])


def score(clip: Path, every: int) -> Row:
    """Matte a clip in three ways, and give its row."""
    names = sorted(path.name for path in (clip / "image").iterdir())
    truth = [eight_bits(clip / "alpha" / name) for name in names]
    trimaps = [read_levels(clip / "trimap" / name)[..., 0] for name in names]
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys"
        keys.mkdir()
        shots = find_cuts(clip)
        for at, name in enumerate(names):
            start = max(cut for cut in shots if cut <= at)
            ends = at + 1 in (*shots, len(names))
            if (at - start) % every == 0 or ends:
                (keys / name).symlink_to((clip / "trimap" / name).resolve())
        ways = {
            "alone": matte(clip, clip / "trimap", Path(folder) / "alone", steady=False),
            "steady": matte(clip, clip / "trimap", Path(folder) / "steady", steady=True),
            "carried": matte(clip, keys, Path(folder) / "carried", steady=True),
        }
        made = [
            read_levels(path)[..., 0] if path.exists() else trimap
            for name, trimap in zip(names, trimaps, strict=True)
            for path in [Path(folder) / "carried" / "trimap" / name]
        ]
    soft = [(a > SOFT * 255) & (a < 255 - SOFT * 255) for a in truth]
    covered = sum(int((m[s] == UNKNOWN).sum()) for m, s in zip(made, soft, strict=True))
    area = sum(int((m == UNKNOWN).sum()) for m in made)
    own = sum(int((t == UNKNOWN).sum()) for t in trimaps)
    sads = [mad(ways[way], truth) for way in ("carried", "steady")]
    changes = [change(ways[way], truth, shots) for way in ("alone", "steady")]
    mads = [1e3 * mad(ways[way], truth) for way in ("alone", "steady")]
    figures = [*mads, *changes, changes[1] / changes[0]]
    share = 100 * covered / max(1, sum(int(s.sum()) for s in soft))
    return Row(clip.name, len(names), [*figures, share, area / own, sads[0] / sads[1]])


def matte(clip: Path, trimaps: Path, out: Path, *, steady: bool) -> Alphas:
    """Run the command, and read what it wrote."""
    sequence(clip / "image", trimaps=trimaps, output=out, steady=steady, save_trimaps=True)
    return [eight_bits(path) for path in sorted((out / "alpha").iterdir())]


def eight_bits(path: Path) -> NDArray[np.uint8]:
    return quantise(read_grey(path), 8).astype(np.uint8)


def find_cuts(clip: Path) -> list[int]:
    """Give the places where shots begin, 0 among them."""
    facts = json.loads((clip / "clip.json").read_text())
    return [0, *(cut - facts["first"] for cut in facts["cuts"])]


def mad(found: Alphas, truth: Alphas) -> float:
    return fmean(
        float(np.abs(f.astype(np.int16) - t).mean()) / 255
        for f, t in zip(found, truth, strict=True)
    )


def change(found: Alphas, truth: Alphas, shots: list[int]) -> float:
    """Give dtSSD, mean of all pairs of frames of one shot."""
    pairs = list(zip(found, truth, strict=True))
    return fmean(
        dtssd_rvm(pairs[at], pairs[at - 1]) for at in range(1, len(pairs)) if at not in shots
    )


if __name__ == "__main__":
    typer.run(run)
