"""How well each upsampler rebuilds a picture: the paper's toy experiment, on Fashion-MNIST.

    python -m benchmarks.reconstruction [FOLDER] [--quick]

FOLDER holds the four standard files (train-images-idx3-ubyte.gz and so on) or
fashion_mnist_{train,test}.npz. One small encoder-decoder, without skips but for what an operator's
halves share; L1 loss, Adam 3e-3, batches of 100, the rate times 0.1 at 50, 70 and 85 % of the
steps. The field takes 100 epochs of SGD 0.01, 60,000 steps; in the few hundred that two cores have
time for Adam gets further. Finished runs are kept, so a stopped table goes on.
"""

import csv
import gzip
import json
import time
from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from a2u_cli.images import write_image
from a2u_cli.matting.devices import describe_device, pick_device
from a2u_cli.operators.comparison import OPERATORS, make_pair
from a2u_cli.operators.counting import count_operations, count_parameters
from a2u_cli.operators.pair import as_pair

from . import describe_machine
from .eval_dev import markdown_table

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "fashion"
RESULTS = ROOT / "benchmarks" / "results" / "reconstruction.csv"
NAMES = tuple(OPERATORS)
SIDE, BATCH, RATE = 32, 100, 3e-3
FALLS = (0.5, 0.7, 0.85)
WIDTHS = (16, 32, 64)
STEPS, QUICK_STEPS = 300, 80
QUICK_TEST = 2000  # test pictures that a quick run is scored on
FIELDS = ("PSNR", "SSIM", "MSE x 1e3", "MAE x 1e3")
SHOWN = 12  # test pictures in the grid


class Autoencoder(nn.Module):
    """Three halvings and three doublings: (N, 1, 32, 32) in [0, 1] to the same."""

    def __init__(self, operator: str) -> None:
        super().__init__()
        ins = (1, *WIDTHS)
        self.encoder = nn.ModuleList(_layer(a, b) for a, b in zip(ins, WIDTHS, strict=False))
        self.pairs = nn.ModuleList(make_pair(operator, width) for width in WIDTHS)
        self.middle = _layer(WIDTHS[-1], WIDTHS[-1])
        self.decoder = nn.ModuleList(_layer(b, a) for a, b in pairwise(WIDTHS))
        self.head = nn.Conv2d(WIDTHS[0], 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        states: list[Any] = []
        for layer, pair in zip(self.encoder, self.pairs, strict=True):
            x, state = as_pair(pair).down(layer(x))
            states.append(state)
        x = self.middle(x)  # (N, 64, 4, 4)
        for level in reversed(range(len(WIDTHS))):
            x = as_pair(self.pairs[level]).up(x, states[level])
            x = self.decoder[level - 1](x) if level else self.head(x)
        return x


def _layer(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def read_pictures(folder: Path, part: str) -> Tensor:
    """Read the train or test pictures, (N, 1, 32, 32) in [0, 1], resized from 28x28."""
    packed = folder / f"fashion_mnist_{part}.npz"
    standard = folder / f"{'train' if part == 'train' else 't10k'}-images-idx3-ubyte.gz"
    if packed.exists():
        images = np.load(packed)["images"]
    elif standard.exists():
        with gzip.open(standard) as file:  # magic, count, rows, columns; then the bytes
            images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    else:
        raise typer.BadParameter(f"found neither {packed} nor {standard.name}; give their folder")
    small = torch.from_numpy(np.ascontiguousarray(images))[:, None].float() / 255.0
    larger = F.interpolate(small, (SIDE, SIDE), mode="bilinear", align_corners=False)
    return larger.contiguous(memory_format=torch.channels_last)


def train(
    operator: str, seed: int, steps: int, pictures: Tensor
) -> tuple[Autoencoder, list[float]]:
    """Train one network on pictures that lie on its device; also give every step's loss."""
    torch.manual_seed(seed)
    network = Autoencoder(operator).to(pictures.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    order = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.MultiStepLR(
        optimiser, [round(share * steps) for share in FALLS]
    )
    losses = []
    for _ in range(steps):
        batch = pictures[torch.from_numpy(order.integers(len(pictures), size=BATCH))]
        loss = F.l1_loss(network(batch), batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.detach())
    return network.eval(), torch.stack(losses).tolist()


@torch.inference_mode()
def measure(network: Autoencoder, pictures: Tensor) -> dict[str, float]:
    """Score the rebuilt pictures, cut to [0, 1]: means over the pictures, data range 1."""
    rows = []
    for batch in pictures.split(500):
        rebuilt = network(batch).clamp(0, 1)
        error = rebuilt - batch
        mse = error.square().mean((1, 2, 3))
        psnr = -10 * mse.clamp_min(1e-10).log10()
        mae = error.abs().mean((1, 2, 3))
        rows.append(torch.stack([psnr, ssim(rebuilt, batch), 1000 * mse, 1000 * mae]))
    values = torch.cat(rows, 1).mean(1).tolist()
    return dict(zip(FIELDS, values, strict=True))


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity of (N, 1, H, W) in [0, 1], one value each.

    Wang et al., IEEE TIP 2004: Gaussian window of 11 pixels and deviation 1.5, where it fits.
    """
    taps = torch.exp(-(torch.arange(-5.0, 6.0, device=x.device) ** 2) / (2 * 1.5**2))
    taps = taps / taps.sum()
    window = torch.outer(taps, taps)[None, None]
    mean_x, mean_y = F.conv2d(x, window), F.conv2d(y, window)
    var_x = F.conv2d(x * x, window) - mean_x**2
    var_y = F.conv2d(y * y, window) - mean_y**2
    both = F.conv2d(x * y, window) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean_x * mean_y + c1) * (2 * both + c2)
    bottom = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return (top / bottom).mean((1, 2, 3))


def late_gain(losses: list[float]) -> float:
    """Tell by how much of itself the loss still fell over the last fifth of the steps."""
    part = max(1, len(losses) // 20)
    start = max(part, len(losses) - 4 * part)
    before, after = fmean(losses[start - part : start]), fmean(losses[-part:])
    return 1 - after / before


def cost(operator: str) -> tuple[int, int]:
    """Count an operator's share of the network: parameters, and multiply-adds for one picture."""
    with torch.device("meta"):
        network, bare = Autoencoder(operator).eval(), Autoencoder("nearest").eval()
        x = torch.empty(1, 1, SIDE, SIDE)
        operations = [count_operations(partial(net, x)) for net in (network, bare)]
    return count_parameters(network) - count_parameters(bare), operations[0] - operations[1]


def table(rows: list[dict[str, Any]]) -> str:
    """Rank the operators by PSNR: mean and deviation over seeds, and what each costs."""
    lines = []
    for name in ranked(rows):
        runs = [row for row in rows if row["operator"] == name]
        cells = [_spread([run[field] for run in runs], field) for field in FIELDS]
        parameters, operations = cost(name)
        lines.append([name, *cells, f"{parameters:,}", f"{operations / 1e6:.2f}", str(len(runs))])
    header = ["operator", *FIELDS, "parameters", "M multiply-adds", "seeds"]
    return markdown_table(header, lines)


def ranked(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Order the operators, the highest mean PSNR first."""
    ratios: dict[str, list[float]] = {}
    for row in rows:
        ratios.setdefault(row["operator"], []).append(row["PSNR"])
    return sorted(ratios, key=lambda name: -fmean(ratios[name]))


def _spread(values: list[float], field: str) -> str:
    digits = 4 if field == "SSIM" else 2
    deviation = stdev(values) if len(values) > 1 else 0.0
    return f"{fmean(values):.{digits}f} ± {deviation:.{digits}f}"


@torch.inference_mode()
def strip(network: Autoencoder, pictures: Tensor) -> npt.NDArray[np.float32]:
    """Lay rebuilt pictures side by side."""
    rebuilt = network(pictures).clamp(0, 1).cpu()
    return np.concatenate(list(rebuilt[:, 0].numpy()), 1)


def main(
    data: Annotated[Path, typer.Argument(help="The folder of Fashion-MNIST.")] = DATA,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"{QUICK_STEPS} steps, {QUICK_TEST} test pictures.")
    ] = False,
    steps: Annotated[int, typer.Option(help="Optimiser steps of each run.")] = STEPS,
    seeds: Annotated[int, typer.Option(help="Runs of each operator.")] = 3,
    only: Annotated[list[str] | None, typer.Option(help="Operators; repeatable.")] = None,
    folder: Annotated[Path, typer.Option(help="Runs and grid.")] = ROOT / "runs/reconstruction",
    results: Annotated[
        Path | None,
        typer.Option(help="The CSV; by default the table's own, or beside the grid if in part."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
) -> None:
    """Train every operator with every seed, write the CSV and the grid, print the table."""
    steps = QUICK_STEPS if quick else steps
    chosen = pick_device(device)
    training, test = (read_pictures(data, part).to(chosen) for part in ("train", "test"))
    if quick:  # the file is grouped by class
        test = test[:: max(1, len(test) // QUICK_TEST)]
    shown = test[torch.linspace(0, len(test) - 1, SHOWN).long()]
    rows, strips = [], [np.concatenate(list(shown[:, 0].cpu().numpy()), 1)]
    names = only or list(NAMES)
    for seed in range(seeds):
        for name in names:
            place = folder / f"{name}-{seed}-{steps}.json"
            if not place.exists():
                start = time.monotonic()
                network, losses = train(name, seed, steps, training)
                row = {"operator": name, "seed": seed, "steps": steps, **measure(network, test)}
                row |= {"gain": late_gain(losses), "seconds": time.monotonic() - start}
                row |= {"device": describe_device(chosen)}
                write_image(place.with_suffix(".png"), strip(network, shown))
                place.write_text(json.dumps(row))
                typer.echo(f"{name}, seed {seed}: {row['PSNR']:.2f} dB, {row['seconds']:.0f} s")
            rows.append(json.loads(place.read_text()))
    from a2u_cli.images import read_grey

    best = ranked(rows)
    strips += [read_grey(folder / f"{name}-0-{steps}.png") for name in best]
    write_image(folder / "grid.png", np.repeat(np.repeat(np.concatenate(strips), 2, 0), 2, 1))
    results = results or (folder / "rows.csv" if quick or only else RESULTS)
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "machine"])
        writer.writeheader()
        writer.writerows(row | {"machine": describe_machine()} for row in rows)
    typer.echo(f"\n{table(rows)}\n")
    settled = [row["gain"] for row in rows if row["operator"] == "bilinear"]
    if settled:
        gain = fmean(settled)
        typer.echo(f"bilinear's loss fell by {gain:.1%} over the last fifth of the {steps} steps")
    for rank, name in enumerate(best, 1):
        if name.startswith("a2u"):
            typer.echo(f"{name} is number {rank} of {len(best)} by PSNR")
    typer.echo(f"rows: {results}; pictures: {folder / 'grid.png'}, the originals and then by rank")


if __name__ == "__main__":
    typer.run(main)
