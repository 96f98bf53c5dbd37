"""Compare mattes of half precision with those of float32 on real photographs.

    python -m benchmarks.half [WEIGHTS]             # computed in bfloat16
    python -m benchmarks.half --storage RUN         # stored in float16, as a run exports them

On processors without bfloat16 the sums are float32's, as bfloat16 hardware has them; what is
rounded, filters and every layer's result, is the same.
"""

from pathlib import Path
from statistics import fmean
from typing import Annotated

import numpy as np
import torch
import typer

from a2u_cli.matting.devices import pick_device
from a2u_cli.matting.inference import matte
from a2u_cli.network.folding import fold_norms
from a2u_cli.network.model import MattingNetwork
from a2u_cli.scoring.metrics import score
from a2u_cli.units import UNKNOWN
from a2u_cli.weights import DEFAULT, load_model

from .eval_dev import APART, DEV, markdown_table, read_cases, to_u8
from .goals import at_most

LARGEST, USUAL, SHARE = 16, 4, 0.999  # differences in 1/255, and how many are at most the usual


def main(
    weights: Annotated[str, typer.Argument(help="A name or a path.")] = DEFAULT,
    *,
    storage: Annotated[
        Path | None, typer.Option(help="A training run, for its float32 average.")
    ] = None,
) -> None:
    """Print how far the mattes are apart, and whether that is within what we promise."""
    if not DEV.is_dir():
        typer.echo("nothing compared: the photographs lie in ../shared/data/dev, not here")
        return
    dtypes = (torch.float32, torch.float32 if storage else torch.bfloat16)
    networks = stored(storage) if storage else [load_model(weights)] * 2
    folded = [
        fold_norms(network.to(pick_device()), dtype)
        for network, dtype in zip(networks, dtypes, strict=True)
    ]
    rows, differences, sads = [], [], []
    for case in read_cases():
        full, half = (
            matte(one, case.image, case.trimap, dtype=dtype)
            for one, dtype in zip(folded, dtypes, strict=True)
        )
        scored = [score(to_u8(alpha), case.truth, case.trimap).sad for alpha in (full, half)]
        apart = 255 * np.abs(full - half)[case.trimap == UNKNOWN]
        differences.append(apart)
        if case.picture != APART:
            sads.append(scored)
        most = np.quantile(apart, SHARE), apart.max()
        rows.append([f"{case.picture} ({case.width})", *(f"{x:.3f}" for x in (*scored, *most))])
    header = ["picture", "SAD float32", "SAD half", "99.9 % within", "all within (1/255)"]
    typer.echo(markdown_table(header, rows))
    apart = np.concatenate(differences)
    full_sad, half_sad = (fmean(column) for column in zip(*sads, strict=True))
    change = 100 * abs(half_sad / full_sad - 1)
    typer.echo(at_most("mean SAD changes by (%)", float(change), 0.5))
    beyond = 100 * float((apart > USUAL).mean())
    typer.echo(at_most(f"unknown pixels beyond {USUAL}/255 (%)", beyond, 100 * (1 - SHARE)))
    typer.echo(at_most("largest difference (1/255)", float(apart.max()), LARGEST))


def stored(run: Path) -> list[MattingNetwork]:
    """Give a run's averaged weights as they were trained, and as they are released."""
    state = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)["average"]
    networks = []
    for dtype in (torch.float32, torch.float16):
        network = MattingNetwork()
        kept = {n.removeprefix("module."): v for n, v in state.items() if n != "n_averaged"}
        network.load_state_dict(
            {n: v.to(dtype) if v.is_floating_point() else v for n, v in kept.items()}
        )
        networks.append(network.eval())
    return networks


if __name__ == "__main__":
    typer.run(main)
