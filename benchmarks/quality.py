"""What the qualities cost: against one pass, and against closed-form matting at the same tolerance.

    python -m benchmarks.quality

Pictures are the development set's, made-up ones of 1920x1088, and one of 12 million pixels, whose
peak memory is taken in processes of their own. Writes `results/quality.csv`. What the time buys is
measured by `benchmarks.eval_dev`.
"""

import csv
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, get_args

import numpy as np
import typer

from a2u_cli import load_model
from a2u_cli.matting.inference import matte
from a2u_cli.matting.quality import Quality, trust
from a2u_cli.matting.refinement import TOLERANCE, refine
from a2u_cli.network.folding import fold_norms
from a2u_cli.network.model import MattingNetwork
from a2u_cli.units import UNKNOWN, FloatArray, Trimap

from . import Timing, cases, describe_machine, interleave
from .eval_dev import DEV, TRIMAPS, read_cases

RESULTS = Path(__file__).resolve().parent / "results" / "quality.csv"
WEIGHTS = "a2u-open"
QUALITIES: tuple[Quality, ...] = get_args(Quality)
SCREEN, PHOTO = (1088, 1920), (3000, 4000)  # height, width
REGIONS = (("compact", 0.1), ("bands", 0.1), ("compact", 0.4))
PHOTO_SHARE = 0.2
BOUND = 2.0  # GiB
HEADER = ["pictures", "megapixels", "unknown (%)", "method", "median (s)", "of fast"]
HEADER += ["of closed-form", "peak (GiB)", "bound (GiB)", "machine"]

Pair = tuple[FloatArray, Trimap]
Run = Callable[[FloatArray, Trimap], object]


def groups(screen: cases.Size) -> Iterator[tuple[str, list[Pair]]]:
    """Name what is timed, group after group: images float32 (H, W, 3), trimaps uint8 (H, W)."""
    if DEV.is_dir():
        for width in TRIMAPS:
            pairs = [(case.image, case.trimap) for case in read_cases() if case.width == width]
            yield f"dev, {width}", pairs
    for region, share in REGIONS:
        case = cases.Case("", "float32", screen, share, region)
        yield f"{screen[1]}x{screen[0]}, {share:.0%} in {region}", [cases.picture(case)]


@cache
def network() -> MattingNetwork:
    return fold_norms(load_model(WEIGHTS))


def methods(pairs: list[Pair]) -> dict[str, Callable[[], float]]:
    """Give each method as a function that runs it on all pairs and tells the seconds."""
    given = {id(image): matte(network(), image, trimap) for image, trimap in pairs}

    def refinement(image: FloatArray, trimap: Trimap) -> object:
        return refine(image, trimap, given[id(image)], trust(given[id(image)]))

    run: dict[str, Run] = {name: partial(matte, network(), quality=name) for name in QUALITIES}
    run["refinement alone"] = refinement
    if find_spec("pymatting"):
        run["closed-form"] = closed_form
    return {name: partial(_seconds, one, pairs) for name, one in run.items()}


def closed_form(image: FloatArray, trimap: Trimap) -> object:
    """Run pymatting's closed-form matting until the residual is as small as ours."""
    import pymatting

    pair = image.astype(np.float64), trimap / 255.0
    return pymatting.estimate_alpha_cf(*pair, cg_kwargs={"rtol": TOLERANCE})


def _seconds(run: Run, pairs: list[Pair]) -> float:
    start = time.perf_counter()
    for pair in pairs:
        run(*pair)
    return time.perf_counter() - start


def peak(quality: Quality, size: cases.Size, bound: float) -> tuple[float, float]:
    """Matte the large picture within `bound` GiB: seconds, and the process's peak in GiB."""
    pair = cases.picture(cases.Case("", "float32", size, PHOTO_SHARE, "compact"))
    run = partial(matte, network(), quality=quality, max_memory=int(bound * 2**30))
    seconds = _seconds(run, [pair])
    # its own peak alone: ru_maxrss would count what its parent held when it was started
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return seconds, int(status.partition("VmHWM:")[2].split()[0]) / 2**20


def rows_of(name: str, pairs: list[Pair], timings: Mapping[str, Timing]) -> list[list[str]]:
    """Lay out a group's timings as text."""
    pixels = sum(trimap.size for _, trimap in pairs)
    unknown = sum(int((trimap == UNKNOWN).sum()) for _, trimap in pairs)
    what = [name, f"{pixels / 1e6:.1f}", f"{100 * unknown / pixels:.0f}"]
    rival = timings.get("closed-form")
    rows = []
    for method, timing in timings.items():
        times = f"{timing.median:.2f}", f"{timing.median / timings['fast'].median:.2f}"
        against = f"{timing.median / rival.median:.2f}" if rival else ""
        rows.append([*what, method, *times, against, "", ""])
    return rows


def large(size: cases.Size, bound: float) -> list[list[str]]:
    """Measure each quality on the large picture, in a process of its own."""
    what = [
        f"{size[1]}x{size[0]}, compact",
        f"{size[0] * size[1] / 1e6:.1f}",
        f"{100 * PHOTO_SHARE:.0f}",
    ]
    context = multiprocessing.get_context("spawn")
    found = {}
    for name in QUALITIES:
        with context.Pool(1) as pool:
            found[name] = pool.apply(peak, (name, size, bound))
    return [
        [
            *what,
            name,
            f"{seconds:.2f}",
            f"{seconds / found['fast'][0]:.2f}",
            "",
            f"{most:.2f}",
            f"{bound:g}",
        ]
        for name, (seconds, most) in found.items()
    ]


def main(
    *,
    runs: Annotated[int, typer.Option(help="Of each, after one that is not counted.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="Tiny sizes, once: a rehearsal.")] = False,
    results: Annotated[Path, typer.Option(help="Write the CSV here.")] = RESULTS,
) -> None:
    """Time every quality beside closed-form matting, and take the peaks of a large picture."""
    screen, photo = ((96, 128), (128, 160)) if quick else (SCREEN, PHOTO)
    rows = []
    for name, pairs in groups(screen):
        if quick and name.startswith("dev"):
            continue
        rows += rows_of(name, pairs, interleave(methods(pairs), 1 if quick else runs))
        typer.echo(f"{name}: " + "; ".join(" ".join(row[3:6]) for row in rows if row[0] == name))
    rows += large(photo, BOUND)
    for row in rows[-len(QUALITIES) :]:
        typer.echo(f"{row[0]}: {row[3]} {row[4]} s, at most {row[7]} GiB of {row[8]}")
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows([*row, describe_machine()] for row in rows)


if __name__ == "__main__":
    typer.run(main)
