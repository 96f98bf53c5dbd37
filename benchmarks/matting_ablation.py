"""The paper's claim on matting: one network, many upsamplers, one budget.

    python -m benchmarks.matting_ablation runs/pack --rendered runs/renders \\
        --validation runs/validation --bfloat16
    python -m benchmarks.matting_ablation

`runs/pack` holds the pictures of `weights/select_data.py`, in fg/ and bg/, `runs/renders` what
`a2u render` writes, `runs/validation` what `benchmarks.validation` makes. Every operator trains the
same network on the same crops from the same seeds; what the foregrounds in three dimensions are is
settled when the first run begins, and kept with the runs. A run that was killed goes on from its
checkpoint, its rows are written when it ends, and its averaged weights stay in its folder.

On a CPU bilinear and A2U are trained, where a GPU is at hand the others too, and larger crops. The
tables are made from the rows, and so is the second command's: the four metrics on drawn pictures,
on real ones at full and at half size and on the validation composites, how far SAD is from
bilinear's with its interval over seeds and pictures and the word for it, and what each costs. An
operator without rows is there as not run.
"""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import cv2
import numpy as np
import torch
import typer

from a2u_cli.errors import A2UError
from a2u_cli.matting.devices import pick_device
from a2u_cli.network.model import MattingNetwork
from a2u_cli.rendering.sets import JOURNAL, Order, orders_of
from a2u_cli.scoring.metrics import Scores
from a2u_cli.training import memory
from a2u_cli.training.data.atlas import Source
from a2u_cli.training.data.building import build_engine
from a2u_cli.training.data.engine import DataEngine, fingerprint
from a2u_cli.training.data.pictures import rendered_foregrounds
from a2u_cli.units import UNKNOWN

from . import interleave, validation
from .ablation import (
    COMPOSITES,
    HALF,
    SETS,
    Budget,
    Judged,
    Variant,
    is_of,
    judge,
    paired_change,
    photographs,
    read_csv,
    run,
    score_case,
    tables,
)
from .complexity import OPERATOR_HEADER, operator_cells, operators
from .data_ablation import PICTURE_SHARE
from .eval_dev import DEV, Case, markdown_table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "matting_ablation.csv"
REFERENCE = "bilinear"
CLAIM = -0.14  # the paper's change of SAD against bilinear, on Composition-1k
NAMES = (REFERENCE, "a2u-dynamic-shared")
GPU_NAMES = (*NAMES, "nearest", "carafe", "indexnet", "a2u-static-wise")
SIZES, GPU_SIZES = (64, 128, 192, 256), (64, 128, 192, 256, 384)
GROWTH = (0.2, 0.55, 0.8, 0.9)  # the shares of a run's steps at which crops grow
BATCH, GPU_BATCH = 48, 144  # at the first size: 3 of 256 px, 4 of 384 px
RENDER_SHARE = 0.3, 0.5  # of the samples, as the weights that ship had it
RENDERS = "renders"  # in the runs' folder
TIMED = 512  # side of the picture
RUNS = 3


def gather_renders(folders: list[Path], folder: Path) -> list[Order]:
    """Copy what `a2u render` has written so far, and list it; what was copied before stays so.

    Of a folder that is still rendered into, all runs have the same.
    """
    place = folder / RENDERS
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder) as temporary:
            whole = Path(temporary) / RENDERS
            whole.mkdir()
            for source in folders:
                lines = (source / JOURNAL).read_text(encoding="utf-8").splitlines(keepends=True)
                for order in orders_of(source):
                    file = f"{order.name}.{order.format}"
                    shutil.copyfile(source / file, whole / file)
                with (whole / JOURNAL).open("a", encoding="utf-8") as journal:
                    journal.writelines(line for line in lines if line.endswith("\n"))
            whole.rename(place)
    return orders_of(place)


def describe_samples(orders: list[Order], folder: Path) -> str:
    """Say which foregrounds in three dimensions a run's samples have; nothing without any."""
    if not orders:
        return ""
    source = Source("renders", rendered_foregrounds(folder / RENDERS, orders), RENDER_SHARE)
    first, last = (f"{share:.0%}" for share in RENDER_SHARE)
    return f"renders {fingerprint(source)} in {first} to {last}"


def variants(
    pack: Path, folder: Path, orders: list[Order], names: tuple[str, ...]
) -> list[Variant]:
    """List the operators, all trained on the same samples."""

    def source(seed: int) -> DataEngine:
        return build_engine(
            seed=seed,
            foregrounds=pack / "fg",
            backgrounds=pack / "bg",
            picture_share=PICTURE_SHARE,
            renders=folder / RENDERS if orders else None,
            orders=orders,
            render_share=RENDER_SHARE,
        )

    return [Variant(name, partial(MattingNetwork, operator=name), source) for name in names]


def judge_all(
    network: MattingNetwork, composites: Path | None
) -> Iterator[tuple[tuple[str, str], Scores]]:
    """Score a network on what `judge` has, on photographs at half size, and on composites."""
    if composites and (missing := validation.list_missing(composites)):
        raise A2UError(
            f"{composites} lacks {missing[0]}; make it by python -m benchmarks.validation "
            f"{composites}, and run the same command again: what is trained is kept"
        )
    yield from judge(network)
    halves = map(halve, photographs())
    groups = validation.read_cases(composites) if composites else iter(())
    named = (replace(case, width=f"{COMPOSITES}, {case.width}") for case in groups)
    for case in chain(halves, named):
        yield (case.width, case.picture), score_case(network, case)


def halve(case: Case) -> Case:
    """Give a picture at half its size; unknown is what was so in part, or known both ways."""
    height, width = (max(1, length // 2) for length in case.trimap.shape)
    image, grey, truth = (
        cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)
        for plane in (case.image, case.trimap.astype(np.float32), case.truth)
    )
    known = np.where((grey == 0) | (grey == 255), grey, UNKNOWN).astype(np.uint8)
    planes = image.astype(np.float32), known, truth.astype(np.uint8)
    return Case(case.picture, f"{HALF}{case.width}", *planes)


def costs(names: list[str], device: torch.device) -> str:
    """Tabulate parameters, operations and seconds of the network with each operator."""
    seconds = interleave({name: partial(_time, name, device) for name in names}, runs=RUNS)
    lines = [
        [name, *operator_cells(row), f"{seconds[name].median:.2f}"]
        for name, row in operators(names).items()
    ]
    return markdown_table([*OPERATOR_HEADER, f"seconds at {TIMED}"], lines)


@torch.inference_mode()
def _time(name: str, device: torch.device) -> float:
    import time

    net = MattingNetwork(operator=name).eval().to(device)
    x = torch.rand(1, 3, TIMED, TIMED, device=device)
    trimap = torch.full((1, 1, TIMED, TIMED), 128 / 255, device=device)
    net(x, trimap)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    net(x, trimap).sum().item()
    return time.perf_counter() - start


def comparison(judged: list[Judged], set_: str) -> str:
    """Tabulate each operator's change of SAD against bilinear, with its interval.

    Whether the paper's claim holds is said of A2U alone.
    """
    present = list(dict.fromkeys(row.variant for row in judged if is_of(row, set_)))
    lines = []
    for name in present:
        if name != REFERENCE:
            change, low, high = paired_change(judged, name, REFERENCE, set_)
            word = verdict(low, high) if name.startswith("a2u") else ""
            lines.append([name, f"{change:+.1%}", f"{low:+.1%} to {high:+.1%}", word])
    return markdown_table([f"SAD against {REFERENCE}, {set_}", "change", "95 %", "claim"], lines)


def verdict(low: float, high: float) -> str:
    """Say whether an interval holds the paper's claim: reproduced where all of it is a gain."""
    if high < 0:
        return "reproduced" if low <= CLAIM else "reproduced in sign, smaller"
    return "not reproduced" if low > CLAIM else "inconclusive"


def report(judged: list[Judged], names: list[str]) -> str:
    """Write all tables of the rows: a set, or a group of one, after the other."""
    halves = [HALF + name for name in SETS[1:]]
    groups = [f"{COMPOSITES}, {group}" for group in validation.GROUPS]
    sets = [*SETS, *halves, COMPOSITES, *groups]
    there = {row.variant for row in judged}
    sections = [tables(judged, sets)] if judged else []
    if REFERENCE in there and len(there) > 1:
        held = [set_ for set_ in sets if any(is_of(row, set_) for row in judged)]
        sections += [comparison(judged, set_) for set_ in held]
    missing = [name for name in names if name not in there]
    return "\n\n".join([*sections, *(f"{name}: not run" for name in missing)])


def main(
    pack: Annotated[
        Path | None, typer.Argument(help="A folder with fg/ and bg/; without, nothing is trained.")
    ] = None,
    *,
    rendered: Annotated[
        list[Path] | None, typer.Option(help="A folder of a2u render; repeatable.")
    ] = None,
    composites: Annotated[
        Path | None, typer.Option("--validation", help="A folder of benchmarks.validation.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each operator.")] = 3,
    crops: Annotated[int, typer.Option(help="For each run.")] = Budget.crops,
    size: Annotated[list[int] | None, typer.Option(help="Of the crops; repeatable.")] = None,
    batch: Annotated[int | None, typer.Option(help="Crops of the first size a step.")] = None,
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="Convolve in bfloat16.")] = False,
    folder: Annotated[Path, typer.Option(help="The runs go here.")] = ROOT / "runs/ablation",
    results: Annotated[Path, typer.Option(help="The CSV.")] = RESULTS,
    only: Annotated[list[str] | None, typer.Option(help="Operators; repeatable.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
) -> None:
    """Train the operators, judge them, write the CSV, print the tables."""
    place = pick_device(device)
    cuda = place.type == "cuda"
    names = tuple(only or (GPU_NAMES if cuda else NAMES))
    if pack is None:
        judged = read_csv(results)
        for text in dict.fromkeys(row.budget for row in judged):
            rows = [row for row in judged if row.budget == text]
            typer.echo(f"## {text}\n\n{report(rows, list(GPU_NAMES))}\n")
        return
    for path, what in ((DEV, "photographs"), (composites, "validation composites")):
        if path is None or not path.is_dir():
            typer.echo(f"no {what} are judged: {path or '--validation'} is not here", err=True)
    if composites and (missing := validation.list_missing(composites)):
        typer.echo(
            f"{composites} lacks {len(missing)} yet; the first run's end needs all", err=True
        )
    memory.keep_memory()
    orders = gather_renders(rendered, folder) if rendered else []
    sizes = tuple(size or (GPU_SIZES if cuda else SIZES))
    samples = describe_samples(orders, folder)
    first = batch or (GPU_BATCH if cuda else BATCH)
    budget = Budget(crops, sizes, first, bfloat16, GROWTH, samples)
    judged = run(
        variants(pack, folder, orders, names),
        range(seeds),
        budget,
        folder,
        results,
        device=place,
        judge=partial(judge_all, composites=composites),
    )
    typer.echo(f"{budget}; {results}\n\n{report(judged, list(GPU_NAMES))}\n")
    typer.echo(costs(list(names), place))


if __name__ == "__main__":
    typer.run(main)
