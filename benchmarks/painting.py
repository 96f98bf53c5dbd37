"""Measure what a painter waits for, and whether doubt lies where a matte errs.

    python -m benchmarks.painting [--composites FOLDER] [--pictures 16]

The times are of a picture of a million pixels: by the clock, and of the processor, for a clock on a
machine that does something else tells little. The composites are a folder of `a2u render`, whose
alphas are exact.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Annotated

import cv2
import numpy as np
import typer

from a2u_cli.images import read_grey, read_image
from a2u_cli.matting.box import box_trimap
from a2u_cli.matting.doubt import doubt
from a2u_cli.matting.drafting import draft, shrink
from a2u_cli.matting.matter import Matter
from a2u_cli.trimap import read_trimap
from a2u_cli.units import UNKNOWN, FloatArray, Trimap

from . import describe_machine
from .small_pictures import append

RESULTS = Path(__file__).resolve().parent / "results"
SIDE, RUNS = 1000, 3
WRONG = 0.1  # an error of alpha that a painter mends
TOP = 0.1  # of the unknown pixels, the most doubtful
HEADER = ["what", "value", "lowest", "highest", "unit", "count", "machine"]
Row = list[str]


def run(
    results: Annotated[Path, typer.Option(help="The CSV's folder.")] = RESULTS,
    composites: Annotated[Path | None, typer.Option(help="Composites of `a2u render`.")] = None,
    pictures: Annotated[int, typer.Option(help="How many of them.")] = 16,
) -> None:
    """Print the times, and what of a matte's error doubt foretells; append both to the CSV."""
    matter = Matter(device="cpu")
    rows = [*_times(matter), *(_foretold(matter, composites, pictures) if composites else [])]
    machine = f"{describe_machine()}, {matter.threads} threads"
    for row in rows:
        typer.echo("  ".join(row))
    append(results / "painting.csv", HEADER, [[*row, machine] for row in rows])


def _times(matter: Matter) -> Iterator[Row]:
    rng = np.random.default_rng(1)
    coarse = rng.random((SIDE // 20, SIDE // 20, 3), np.float32)
    image = np.asarray(cv2.resize(coarse, (SIDE, SIDE)), np.float32)
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    apart = np.hypot(rows, columns)
    image[apart < 0.3 * SIDE, 1:] *= np.float32(0.3)
    trimaps: dict[str, Trimap] = {}
    for name, reach in (("a band of 4 %", 0.02), ("a band of 16 %", 0.08), ("all unknown", 1.0)):
        trimap = np.where(apart < 0.3 * SIDE, 255, 0).astype(np.uint8)
        trimap[np.abs(apart - 0.3 * SIDE) < reach * SIDE] = UNKNOWN
        trimaps[name] = trimap
    whole = np.full((SIDE, SIDE), 0.5, np.float32)
    for name, trimap in trimaps.items():
        yield from _timed(f"draft, {name}", partial(draft, matter, image, trimap))
    yield from _timed("doubt of a matte, all unknown", lambda: doubt(matter, image, trimap, whole))
    large = np.asarray(cv2.resize(image, (4000, 3000)), np.float32)
    box = 800, 450, 2400, 2100
    yield from _timed("box, 12 million pixels", lambda: box_trimap(large, box, "1.5%"))


def _timed(what: str, work: Callable[[], object]) -> Iterator[Row]:
    work()
    clocks = {"s": time.perf_counter, "processor s": time.process_time}
    taken: dict[str, list[float]] = {unit: [] for unit in clocks}
    for _ in range(RUNS):
        begun = {unit: clock() for unit, clock in clocks.items()}
        work()
        for unit, clock in clocks.items():
            taken[unit].append(clock() - begun[unit])
    for unit, seconds in taken.items():
        yield _row(what, seconds, unit)


def _row(what: str, values: list[float], unit: str, middle: float | None = None) -> Row:
    middle = median(values) if middle is None else middle
    figures = (f"{value:.3f}" for value in (middle, min(values), max(values)))
    return [what, *figures, unit, str(len(values))]


def _foretold(matter: Matter, folder: Path, count: int) -> Iterator[Row]:
    """Score doubt as a ranking of the unknown pixels by their error, beside other rankings."""
    found: dict[tuple[str, str], list[float]] = {}
    names = sorted(path.name for path in (folder / "alpha").iterdir())
    for name in names[:: max(1, len(names) // count)]:
        image = read_image(next((folder / "merged").glob(f"{Path(name).stem}.*"))).image
        trimap, truth = read_trimap(folder / "trimaps" / name), read_grey(folder / "alpha" / name)
        alpha = matter.matte(image, trimap)
        small = shrink(image, trimap)[1]
        size = small.shape[::-1]
        error, matte = (
            np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))[small == UNKNOWN]
            for plane in (np.abs(alpha - truth), alpha)
        )
        rankings = {
            "doubt": doubt(matter, image, trimap, alpha)[small == UNKNOWN],
            "doubt of drafts": doubt(matter, image, trimap)[small == UNKNOWN],
            "4 alpha (1 - alpha)": 4 * matte * (1 - matte),
            "the error itself": error,
        }
        for which, ranking in rankings.items():
            found.setdefault((which, "of the error in the top 10 %"), []).append(
                _top(ranking, error)
            )
            if 0 < np.count_nonzero(error > WRONG) < error.size:
                found.setdefault((which, "AUC"), []).append(
                    area_under_curve(ranking, error > WRONG)
                )
    for (which, unit), values in found.items():
        yield _row(which, values, unit, mean(values))


def _top(ranking: FloatArray, error: FloatArray) -> float:
    most = np.argsort(-ranking, kind="stable")[: max(1, round(TOP * ranking.size))]
    return float(error[most].sum() / error.sum())


def area_under_curve(ranking: FloatArray, wrong: FloatArray) -> float:
    """Tell how often a wrong pixel ranks above a right one; equal ranks count half."""
    _, place, count = np.unique(ranking, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    bad = int(np.count_nonzero(wrong))
    above = ranks[wrong].sum() - bad * (bad + 1) / 2
    return float(above / (bad * (wrong.size - bad)))


if __name__ == "__main__":
    typer.run(run)
