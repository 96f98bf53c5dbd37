"""The paper's claim on matting: one network, many upsamplers, one budget.

    python -m benchmarks.matting_ablation runs/pack [--seeds 2]

`runs/pack` holds the pictures of `weights/select_data.py`, in fg/ and bg/. Every operator trains
the same network on the same crops from the same seeds. The tables give the four metrics on rendered
pictures and on real ones, what each operator costs, and how far SAD is from bilinear's, with its
interval over seeds and pictures and the word for it.
"""

from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from a2u_cli.matting.devices import pick_device
from a2u_cli.training.data.building import build_engine
from a2u_cli.training.data.engine import DataEngine

from . import interleave
from .ablation import SETS, Budget, Judged, Variant, paired_change, run, tables
from .complexity import OPERATOR_HEADER, operator_cells, operators, with_operator
from .data_ablation import PICTURE_SHARE
from .eval_dev import markdown_table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "matting_ablation.csv"
REFERENCE = "bilinear"
CLAIM = -0.14  # the paper's change of SAD against bilinear, on Composition-1k
NAMES = (
    *("nearest", REFERENCE, "sub-pixel", "carafe", "indexnet"),
    *(
        f"a2u-{form}-{kind}"
        for form in ("dynamic", "hybrid", "static")
        for kind in ("shared", "wise")
    ),
)
TIMED = 512  # side of the picture
RUNS = 3


def variants(pack: Path, names: tuple[str, ...] = NAMES) -> list[Variant]:
    """List the operators, all trained on the same samples."""

    def source(seed: int) -> DataEngine:
        return build_engine(
            seed=seed,
            foregrounds=pack / "fg",
            backgrounds=pack / "bg",
            picture_share=PICTURE_SHARE,
        )

    return [Variant(name, partial(with_operator, name), source) for name in names]


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

    net = with_operator(name).eval().to(device)
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
    present = list(dict.fromkeys(row.variant for row in judged if row.set == set_))
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


def main(
    pack: Annotated[Path, typer.Argument(help="A folder with fg/ and bg/.")],
    *,
    seeds: Annotated[int, typer.Option(help="Runs of each operator.")] = 2,
    crops: Annotated[int, typer.Option(help="For each run.")] = Budget.crops,
    size: Annotated[list[int] | None, typer.Option(help="Of the crops; repeatable.")] = None,
    batch: Annotated[int, typer.Option(help="Crops of the first size a step.")] = Budget.batch,
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="Convolve in bfloat16.")] = False,
    folder: Annotated[Path, typer.Option(help="The runs go here.")] = ROOT / "runs/ablation",
    results: Annotated[Path, typer.Option(help="The CSV.")] = RESULTS,
    only: Annotated[list[str] | None, typer.Option(help="Operators; repeatable.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
) -> None:
    """Train the operators, judge them, write the CSV, print the tables."""
    chosen = pick_device(device)
    budget = Budget(crops, tuple(size or Budget.sizes), batch, bfloat16)
    names = tuple(only or NAMES)
    judged = run(
        variants(pack, names),
        range(seeds),
        budget,
        folder,
        results,
        device=chosen,
    )
    typer.echo(f"{budget}; {results}\n\n{tables(judged)}\n")
    if REFERENCE in names:
        for set_ in SETS:
            if any(row.set == set_ for row in judged):
                typer.echo(f"{comparison(judged, set_)}\n")
    typer.echo(costs(list(names), chosen))


if __name__ == "__main__":
    typer.run(main)
