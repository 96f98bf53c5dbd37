"""What matters in the training data: the data engine with one part at a time switched off.

    python -m benchmarks.data_ablation runs/pack

`runs/pack` holds the pictures of `weights/select_data.py`, in fg/ and bg/. Every row is a network
of its own, trained from nothing on the same number of crops.
"""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from a2u_cli.matting.devices import pick_device
from a2u_cli.network.model import MattingNetwork
from a2u_cli.training.data.building import build_engine
from a2u_cli.training.data.engine import WHOLE, DataEngine, Recipe

from .ablation import Budget, Variant, run, tables

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "data_ablation.csv"
PICTURE_SHARE = 0.15
RECIPES = {
    "everything": WHOLE,
    "even bands": Recipe(careless=None),
    "careless bands": Recipe(careless=1.0),
    "no curriculum": Recipe(curriculum=False),
    "crops as they fall": Recipe(well_posed=False),
    "no camera": Recipe(camera=False),
}


def variants(pack: Path) -> list[Variant]:
    """List the engine as it is, with other trimaps, without one of its parts, without pictures."""

    def source(recipe: Recipe, seed: int) -> DataEngine:
        return build_engine(
            seed=seed,
            foregrounds=pack / "fg",
            backgrounds=pack / "bg",
            picture_share=PICTURE_SHARE,
            recipe=recipe,
        )

    rows = [
        Variant(name, MattingNetwork, partial(source, recipe)) for name, recipe in RECIPES.items()
    ]
    return [*rows, Variant("drawn only", MattingNetwork, lambda seed: build_engine(seed=seed))]


def main(
    pack: Annotated[Path, typer.Argument(help="A folder with fg/ and bg/.")],
    *,
    seeds: Annotated[int, typer.Option(help="How many runs of each row.")] = 1,
    crops: Annotated[int, typer.Option(help="For each run.")] = Budget.crops,
    size: Annotated[list[int] | None, typer.Option(help="Of the crops; repeatable.")] = None,
    batch: Annotated[int, typer.Option(help="Crops of the first size a step.")] = Budget.batch,
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="Convolve in bfloat16.")] = False,
    folder: Annotated[Path, typer.Option(help="The runs go here.")] = ROOT / "runs/data_ablation",
    results: Annotated[Path, typer.Option(help="The CSV.")] = RESULTS,
    only: Annotated[list[str] | None, typer.Option(help="Rows by name; repeatable.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
) -> None:
    """Train the rows, judge them, write the CSV, print the tables."""
    chosen = pick_device(device)
    budget = Budget(crops, tuple(size or Budget.sizes), batch, bfloat16)
    rows = [row for row in variants(pack) if not only or row.name in only]
    judged = run(
        rows,
        range(seeds),
        budget,
        folder,
        results,
        device=chosen,
    )
    typer.echo(f"{budget}; {results}\n\n{tables(judged)}")


if __name__ == "__main__":
    typer.run(main)
