"""Fine-tune `a2u-open` on one kind of picture and score it on some that it never saw.

    python examples/fine_tune.py runs/feathers

Renders cut-outs of feathers, trains on most of them, and compares before with after on the rest.
The commands are those of docs/fine-tuning.md, printed as they are run.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np

from a2u_cli import write_image
from a2u_cli.rendering.foregrounds import render_background, render_foreground
from a2u_cli.trimap import make_trimap

KIND = "feather"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, usage="fine_tune.py FOLDER [options]")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cutouts", type=int, default=48, help="of which an eighth is held out")
    parser.add_argument("--side", type=int, default=320, help="of the pictures, in pixels")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=128, help="of the crops, in pixels")
    given = parser.parse_args()
    before, after = fine_tune(
        given.folder,
        cutouts=given.cutouts,
        side=given.side,
        training=("--steps", given.steps, "--batch", given.batch, "--size", given.size),
    )
    change = after / before - 1
    print(f"mean SAD over the held-out pictures: {before:.2f} -> {after:.2f} ({change:+.0%})")


def fine_tune(
    folder: Path, *, cutouts: int, side: int, training: tuple[object, ...]
) -> tuple[float, float]:
    """Render, train, matte and score: the mean SAD on held-out pictures before and after."""
    render(folder, cutouts, side)
    run = folder / "run"
    a2u(
        *("train", run, "--weights", "a2u-open", "--foregrounds", folder / "cutouts"),
        *("--held-out", folder / "held-out", "--picture-share", 0.8, "--learning-rate", 1e-3),
        *("--licence", "CC0-1.0", *training),
    )
    sads = []
    for name, weights in (("before", "a2u-open"), ("after", run / "weights.safetensors")):
        output = folder / name
        a2u("batch", folder / "pictures", "-o", output, "--weights", weights)
        report = output.with_suffix(".json")
        truth = folder / "truth" / "alpha"
        a2u("eval", output / "alpha", "--gt", truth, "--json", report, "--force")
        sads.append(json.loads(report.read_text())["means"]["sad"])
    return sads[0], sads[1]


def render(folder: Path, cutouts: int, side: int) -> None:
    """Write the cut-outs, and pictures of the held-out ones with trimap and truth."""
    for number in range(cutouts):
        rng = np.random.default_rng((11, number))
        colour, alpha = render_foreground(side, rng, kind=KIND)
        held_out = number % 8 == 0
        name = f"{KIND}{number:03}.png"
        cutout = np.dstack([colour, alpha])
        write_image(folder / ("held-out" if held_out else "cutouts") / name, cutout)
        if held_out:
            background = render_background(side, rng)
            image = background + (colour - background) * alpha[..., None]
            trimap = make_trimap(alpha, inside=4, outside=4)
            write_image(folder / "pictures" / name, image)
            write_image(folder / "pictures" / name.replace(".png", "_trimap.png"), trimap)
            write_image(folder / "truth" / "alpha" / name, alpha)
            write_image(folder / "truth" / "trimap" / name, trimap)


def a2u(*arguments: object) -> None:
    """Run a command of the tool, and show it."""
    words = [str(argument) for argument in arguments]
    print("$", shlex.join(["a2u", *words]), flush=True)
    subprocess.run([sys.executable, "-m", "a2u_cli", *words], check=True)


if __name__ == "__main__":
    main()
