"""What the qualities cost: their times against one pass's, alternated in one process.

    python -m benchmarks.quality --side 800 --side 2000

What this buys is measured by `benchmarks.eval_dev`.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Annotated, get_args

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from a2u_cli import load_model, matte
from a2u_cli.matting.inference import Quality

from . import describe_machine

QUALITIES: tuple[Quality, ...] = get_args(Quality)


def sample(side: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Draw smooth colours with noise, and a ring of which a sixth of the picture is unknown."""
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.random((8, 8, 3), np.float32), (side, side))
    image = np.clip(smooth + rng.normal(0, 0.01, smooth.shape), 0, 1).astype(np.float32)
    trimap = np.zeros((side, side), np.uint8)
    centre = side // 2, side // 2
    trimap = np.asarray(cv2.circle(trimap, centre, side // 3, 255, -1), np.uint8)
    return image, np.asarray(cv2.circle(trimap, centre, side // 3, 128, side // 12), np.uint8)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main(
    side: Annotated[list[int] | None, typer.Option(help="Pixels; repeatable.")] = None,
    *,
    repeats: Annotated[int, typer.Option(help="Of each, after one that is not counted.")] = 3,
    device: Annotated[str, typer.Option(help="cpu, cuda.")] = "cpu",
) -> None:
    """Print the medians and their ratio for each side."""
    network = load_model("a2u-open", device=device)
    typer.echo(describe_machine())
    for length in side or [800, 2000]:
        image, trimap = sample(length)
        times: dict[str, list[float]] = {name: [] for name in QUALITIES}
        for turn in range(repeats + 1):
            for name in QUALITIES:
                taken = seconds(partial(matte, network, image, trimap, quality=name))
                if turn:
                    times[name].append(taken)
        medians = {name: median(taken) for name, taken in times.items()}
        costs = (
            f"{name} {taken:.2f} s, {taken / medians['fast']:.1f} times"
            for name, taken in medians.items()
        )
        share = (trimap == 128).mean()
        typer.echo(f"{length}x{length}, {share:.0%} unknown: {'; '.join(costs)}")


if __name__ == "__main__":
    typer.run(main)
