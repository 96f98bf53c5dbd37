"""Measure what a painter waits for, and whether doubt lies where a matte errs.

    python -m benchmarks.painting [--composites FOLDER] [--pictures 16]

The times are of a picture of a million pixels: by the clock, and of the processor, for a clock on a
machine that does something else tells little. The composites are a folder of `a2u render`, whose
alphas are exact.
"""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Annotated

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from a2u_cli.images import read_grey, read_image, write_image
from a2u_cli.images.writing import encode_image
from a2u_cli.matting.box import box_trimap
from a2u_cli.matting.doubt import doubt
from a2u_cli.matting.drafting import draft, shrink
from a2u_cli.matting.matter import Matter
from a2u_cli.trimap import read_trimap
from a2u_cli.units import UNKNOWN, FloatArray, Trimap

from . import append, describe_machine

RESULTS = Path(__file__).resolve().parent / "results"
SIDE, RUNS = 1000, 3
RADIUS = 0.3 * SIDE  # of the object
REST = 0.5  # seconds
TOKEN = "of-this-measurement-alone"  # noqa: S105
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
    rows = [*_times(matter), *_served(matter)]
    if composites:
        rows += _foretold(matter, composites, pictures)
    machine = f"{describe_machine()}, {matter.threads} threads"
    for row in rows:
        typer.echo("  ".join(row))
    append(results / "painting.csv", HEADER, [[*row, machine] for row in rows])


def _times(matter: Matter) -> Iterator[Row]:
    image = _picture()
    for name, trimap in _trimaps().items():
        yield from _timed(f"draft, {name}", partial(draft, matter, image, trimap))
    whole = np.full((SIDE, SIDE), 0.5, np.float32)
    unknown = np.full((SIDE, SIDE), UNKNOWN, np.uint8)
    yield from _timed("doubt of a matte, all unknown", lambda: doubt(matter, image, unknown, whole))
    large = np.asarray(cv2.resize(image, (4000, 3000)), np.float32)
    box = 800, 450, 2400, 2100
    yield from _timed("box, 12 million pixels", lambda: box_trimap(large, box, "1.5%"))


def _served(matter: Matter) -> Iterator[Row]:
    """Time what the page waits for, over HTTP, and a full matte against one without a server."""
    image, trimaps = _picture(), _trimaps()
    with TemporaryDirectory() as folder, _Served(Path(folder), image) as ask:
        for name, trimap in trimaps.items():
            seconds, ratios = list[float](), list[float]()
            for run in range(RUNS + 1):
                drawn = trimap.copy()
                drawn[0, : run + 1] ^= UNKNOWN  # another each time, or the matte made before is it
                ask("PUT", "trimap", encode_image(drawn, "png", depth=8))
                seconds.append(_time(lambda: ask("GET", "alpha?draft=1")))
                served = _time(lambda: ask("GET", "alpha"))
                alone = _time(partial(_make, matter, image, drawn))
                ratios.append(served / alone)
            yield _row(f"draft over HTTP, {name}", seconds[1:], "s")
            yield _row(f"full matte over HTTP / in Python, {name}", ratios[1:], "times")


def _make(matter: Matter, image: FloatArray, trimap: Trimap) -> bytes:
    return encode_image(matter.matte(image, trimap), "png", depth=8)


def _time(work: Callable[[], object]) -> float:
    """Time some work, once the threads of what was before have gone to sleep."""
    time.sleep(REST)
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


class _Served:
    """`a2u serve` of one picture; gives the way to ask it."""

    def __init__(self, folder: Path, image: FloatArray) -> None:
        write_image(folder / "picture.png", image, depth=8)
        command = [sys.executable, "-m", "a2u_cli", "serve", str(folder / "picture.png")]
        words = ["--no-open", "--token", TOKEN, "--device", "cpu"]
        self.process = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Callable[..., bytes]:
        assert self.process.stdout
        address = self.process.stdout.readline().split("#")[0]

        def ask(method: str, what: str, body: bytes | None = None) -> bytes:
            headers = {"X-A2U-Token": TOKEN}
            where = f"{address}api/jobs/p1/{what}"
            request = urllib.request.Request(where, body, headers, method=method)  # noqa: S310
            with urllib.request.urlopen(request) as answer:  # noqa: S310
                return bytes(answer.read())

        return ask

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


def _picture() -> FloatArray:
    """Draw a disc before a soft background, float32 (SIDE, SIDE, 3)."""
    coarse = np.random.default_rng(1).random((SIDE // 20, SIDE // 20, 3), np.float32)
    image = np.asarray(cv2.resize(coarse, (SIDE, SIDE)), np.float32)
    image[_apart() < RADIUS, 1:] *= np.float32(0.3)
    return image


def _trimaps() -> dict[str, Trimap]:
    trimaps: dict[str, Trimap] = {}
    for name, reach in (("a band of 4 %", 0.02), ("a band of 16 %", 0.08), ("all unknown", 1.0)):
        trimap = np.where(_apart() < RADIUS, 255, 0).astype(np.uint8)
        trimap[np.abs(_apart() - RADIUS) < reach * SIDE] = UNKNOWN
        trimaps[name] = trimap
    return trimaps


def _apart() -> NDArray[np.float64]:
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    return np.asarray(np.hypot(rows, columns))


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
