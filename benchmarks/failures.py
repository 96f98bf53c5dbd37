"""Show what the weights that ship get wrong, on pictures of our own: the model card's sheet.

    python -m benchmarks.failures weights/failures.jpg

They fail as the photographs do that may not be shown.
"""

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from a2u_cli.images import write_image
from a2u_cli.rendering import foregrounds as synthesis
from a2u_cli.trimap import make_trimap
from a2u_cli.weights import DEFAULT

from .eval_dev import SHEET_COLUMN, Case, evaluate, network_method, to_u8

SHOWN = (("wisps", 1), ("hair", 5), ("leaves", 2), ("leaves", 4), ("wisps", 0), ("smoke", 2))
QUALITIES = ("fast", "refined")
SIDE = 448
COLUMN = 220  # pixels, on the sheet
REACH = SIDE / 20  # of the unknown region, beyond what is soft


def render(kind: str, seed: int) -> Case:
    """Render a foreground over a background, and a trimap with a wide unknown region."""
    rng = np.random.default_rng(seed)
    colour, alpha = synthesis.render_foreground(SIDE, rng, kind=kind)
    rng = np.random.default_rng((seed, 1))
    background = synthesis.render_background(SIDE, rng)
    defocus = float(rng.choice([0.5, 2.0, 6.0]))
    behind = np.asarray(cv2.GaussianBlur(background, (0, 0), defocus), np.float32)
    image = behind + (colour - behind) * alpha[..., None]
    trimap = make_trimap(alpha, inside=REACH, outside=REACH)
    return Case(f"{kind} {seed}", "wide", image, trimap, to_u8(alpha))


def main(path: Annotated[Path, typer.Argument(help="Of the sheet, PNG or JPEG.")]) -> None:
    """Write a sheet of picture, trimap, the mattes of two qualities, and truth; print the SADs."""
    methods = {how: network_method(DEFAULT, how) for how in QUALITIES}
    results, rows = evaluate(methods, (render(*shown) for shown in SHOWN))
    for kind, seed in SHOWN:
        name = f"{kind} {seed}"
        figures = (f"{how} {scores['wide', name].sad:.2f}" for how, scores in results.items())
        typer.echo(f"{name}: SAD {', '.join(figures)}")
    shrink = COLUMN / SHEET_COLUMN
    sheet = cv2.resize(
        np.concatenate(rows), None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA
    )
    write_image(path, sheet)


if __name__ == "__main__":
    typer.run(main)
