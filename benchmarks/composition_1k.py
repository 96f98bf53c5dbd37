"""Score weights on Composition-1k as the authors do, beside what was published.

    python -m benchmarks.composition_1k DIM_DATA --weights a2u-official

DIM_DATA is the root of the test set in any layout that `a2u eval` knows (`merged`, `trimaps`,
`alpha`). The convention is the authors' test script's: the whole picture in float32, mirrored at
the bottom and right to a multiple of 16; unknown is exactly 128; known pixels are the trimap's;
8 bits by truncation. Mattes that are there are kept, so a run that was stopped goes on. A picture
that fails is counted, where that script leaves it out in silence.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from a2u_cli.errors import A2UError
from a2u_cli.images import read_grey, read_image, write_image
from a2u_cli.matting import inference
from a2u_cli.matting.devices import pick_device
from a2u_cli.network.model import MattingNetwork
from a2u_cli.scoring.evaluation import Row, evaluate, means
from a2u_cli.scoring.layouts import Item, find_items
from a2u_cli.trimap import parse_trimap
from a2u_cli.weights import load_model, registry

from .eval_dev import METRICS, markdown_table

PICTURES = 1000
PUBLISHED = {
    "the paper, A2U": (32.15, 8.2, 16.39, 29.25),
    "the authors' release, channel-shared": (32.10, 7.8, 16.33, 29.00),
    "the authors' release, channel-wise": (31.87, 7.5, 14.25, 29.17),
    "same network, bilinear": (37.31, 10.3, 21.38, 35.39),
    "same network, nearest": (37.51, 9.6, 19.07, 35.72),
    "same network, CARAFE": (41.01, 11.8, 21.39, 39.01),
    "same network, IndexNet": (34.28, 8.1, 15.94, 31.91),
}


def main(
    data: Annotated[Path, typer.Argument(help="The test set's root.")],
    *,
    weights: Annotated[str, typer.Option(help="A name or a file.")] = registry.DEFAULT,
    output: Annotated[
        Path, typer.Option(help="The mattes go here, one folder for each weights.")
    ] = Path("runs/composition_1k"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
) -> None:
    """Matte every composite, score it, and print the table."""
    folder = output / Path(weights).stem
    network = load_model(weights, device=pick_device(device))
    failures = matte_all(find_items(None, data).items, network, folder)
    rows = evaluate(find_items(folder, data), conn_rule="a2u")
    for row in failures:
        typer.echo(f"{row.item.name}: {row.reason}", err=True)
    typer.echo(table(Path(weights).stem, rows))
    if failures or any(row.state != "scored" for row in rows):
        raise typer.Exit(1)


def matte_all(items: tuple[Item, ...], network: MattingNetwork, folder: Path) -> list[Row]:
    """Write the mattes that are not there yet; give the pictures that failed, with the reason."""
    failures = []
    for item in items:
        path = folder / f"{item.name}.png"
        if path.exists():
            continue
        try:
            if item.image is None or item.trimap is None:
                raise A2UError("its composite or its trimap is missing")
            image = read_image(item.image).image
            trimap = parse_trimap(read_grey(item.trimap), strict=True, name=str(item.trimap))
            write_image(path, truncate(inference.matte(network, image, trimap)))
        except A2UError as error:
            failures.append(Row(item, "failed", str(error)))
        else:
            typer.echo(str(path), err=True)
    return failures


def truncate(alpha: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Cut alpha (H, W) in [0, 1] to whole levels, where the tool itself would round."""
    return (alpha * np.float32(255.0)).astype(np.uint8)


def table(name: str, rows: list[Row]) -> str:
    """Tabulate the means beside the published ones, and say over how many pictures."""
    averages = means(rows)
    scored = sum(row.scores is not None for row in rows)
    lines = []
    if averages:
        ours = (averages["sad"], 1000 * averages["mse"], averages["grad"], averages["conn"])
        lines.append([f"{name}, here", *(f"{value:.2f}" for value in ours), str(scored)])
    for source, published in PUBLISHED.items():
        lines.append([source, *(f"{value:.2f}" for value in published), str(PICTURES)])
    return markdown_table(["Composition-1k", *METRICS, "pictures"], lines)


if __name__ == "__main__":
    typer.run(main)
