"""Render a validation set from seeds that nothing trains on, and score weights on it by group.

    python -m benchmarks.validation DIR
    python -m benchmarks.validation DIR --weights a2u-open --quality fast --quality auto

The first lays 96 rendered foregrounds over photographs that training leaves out, in the layout of
Composition-1k, and goes on where it stopped. The second scores weights on what is there, beside
calling every unknown pixel half transparent; every picture's scores go to `results/validation.csv`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
import typer

from a2u_cli.backgrounds import choose_by_name
from a2u_cli.errors import A2UError
from a2u_cli.images import read_grey, read_image, write_image
from a2u_cli.images.files import locked
from a2u_cli.images.reading import SUFFIXES
from a2u_cli.rendering.held_out import FIRST_SEED, is_held_out_photograph
from a2u_cli.rendering.sets import JOURNAL, Order, render_set
from a2u_cli.trimap import read_trimap

from .eval_dev import (
    BASELINES,
    ROOT,
    SHEET_COLUMN,
    Case,
    Results,
    evaluate,
    markdown_table,
    means,
    network_methods,
    to_u8,
    write_rows,
)

RESULTS = ROOT / "benchmarks" / "results" / "validation.csv"
PHOTOGRAPHS = Path("../shared/data/train/bg")
GROUPS = ("hair", "fur", "plants", "nets", "glass", "smoke", "feathers", "hard")
EACH = 12  # pictures of a group
SIZE, DETAIL = 640, 0.8  # training draws 768 and 1
BANDS = (1.5, 72.0)  # pixels of 768: up to 60 of 640
ALIKE = "sumit2011_"  # hundreds of frames of one aquarium: they would be a quarter of all
SHOWN = ("SAD", "MSE x 1e3", "Grad")
COLUMN = 200  # pixels, on the sheet


def list_seeds(each: int) -> list[tuple[str, int]]:
    """List kinds and seeds, group after group."""
    return [(kind, seed) for kind in GROUPS for seed in range(FIRST_SEED, FIRST_SEED + each)]


def list_orders(
    photographs: Path, *, each: int = EACH, size: int = SIZE, detail: float = DETAIL
) -> list[Order]:
    """List the set's pictures, group after group; each has its photograph by its name.

    Raises A2UError where the folder has no photograph that is held out.
    """
    files = sorted(
        path
        for path in (photographs.iterdir() if photographs.is_dir() else ())
        if path.suffix.lower() in SUFFIXES
        and is_held_out_photograph(path.name)
        and not path.name.startswith(ALIKE)
    )
    if not files:
        raise A2UError(f"{photographs} has no photograph that training leaves out; give another")
    orders = (Order(kind, seed, size, detail=detail) for kind, seed in list_seeds(each))
    return [
        replace(order, backgrounds=str(choose_by_name(files, order.name)), bands=BANDS)
        for order in orders
    ]


def render(folder: Path, orders: Iterable[Order], *, workers: int = 1) -> None:
    """Render what is not there yet; raises A2UError where one gives no good picture."""
    with locked(folder, JOURNAL):
        for rendered in render_set(folder, orders, workers=workers):
            if rendered.failure:
                raise A2UError(rendered.failure)
            typer.echo(f"rendered {rendered.order.name}", err=True)


def list_missing(folder: Path, *, each: int = EACH) -> list[str]:
    """Name the composites that are not there yet."""
    names = (Order(kind, seed, SIZE).name for kind, seed in list_seeds(each))
    return [name for name in names if not (folder / "alpha" / f"{name}.png").is_file()]


def read_cases(folder: Path, *, each: int = EACH) -> Iterator[Case]:
    """Read the composites one after the other; a case's width is its group."""
    for kind, seed in list_seeds(each):
        name = Order(kind, seed, SIZE).name
        yield Case(
            picture=name,
            width=kind,
            image=read_image(folder / "merged" / f"{name}.png").image,
            trimap=read_trimap(folder / "trimaps" / f"{name}.png", strict=True),
            truth=to_u8(read_grey(folder / "alpha" / f"{name}.png")),
        )


def report(results: Results) -> str:
    """Tabulate each metric's means: a row a method, a column a group."""
    sections = []
    for metric in SHOWN:
        rows = [
            [method, *(f"{means(results, method, at)[0][metric]:.2f}" for at in (*GROUPS, None))]
            for method in results
        ]
        sections.append(markdown_table([metric, *GROUPS, "all"], rows))
    return "\n\n".join(sections) + "\n"


def lay_out(results: Results, strips: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Lay the strips of `evaluate` below one another, those of the highest SAD first.

    The SADs are those of the first method, and stand in the strips with the pictures' names.
    """
    scores = next(iter(results.values()))
    shrink, rows = COLUMN / SHEET_COLUMN, []
    for ((_, picture), found), strip in zip(scores.items(), strips, strict=True):
        row = cv2.resize(strip, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        words, font = f"{picture} {found.sad:.2f}", cv2.FONT_HERSHEY_SIMPLEX
        for colour, pen in ((0, 3), (255, 1)):
            cv2.putText(row, words, (4, 14), font, 0.4, (colour,) * 3, pen, cv2.LINE_AA)
        rows.append((found.sad, row))
    rows.sort(key=lambda entry: -entry[0])
    return np.concatenate([row for _, row in rows]).astype(np.uint8, copy=False)


def main(
    folder: Annotated[Path, typer.Argument(help="Where the set is, or goes.")],
    *,
    photographs: Annotated[
        Path, typer.Option(help="What it is laid over; one in eight is.")
    ] = PHOTOGRAPHS,
    workers: Annotated[int, typer.Option(min=1, help="Processes that render.")] = 1,
    weights: Annotated[list[str] | None, typer.Option(help="Names or paths; repeatable.")] = None,
    quality: Annotated[
        list[str] | None, typer.Option(help="auto, fast, refined, best; repeatable.")
    ] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet here, PNG.")] = None,
    rows: Annotated[Path, typer.Option(help="Write the CSV here.")] = RESULTS,
) -> None:
    """Make the set, or go on making it; with --weights, score them on it."""
    if not weights:
        render(folder, list_orders(photographs), workers=workers)
        return
    methods = network_methods(weights, quality or ["auto"])
    results, strips = evaluate(methods | {"fill": BASELINES["fill"]}, read_cases(folder))
    write_rows(results, rows, at="group")
    typer.echo(report(results))
    if sheet:
        write_image(sheet, lay_out(results, strips))


if __name__ == "__main__":
    typer.run(main)
