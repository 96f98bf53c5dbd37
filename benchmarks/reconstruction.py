"""How well each upsampler rebuilds a picture: the paper's toy experiment, on Fashion-MNIST.

    python -m benchmarks.reconstruction [FOLDER] [--quick | --study | --table]

FOLDER holds the four standard files (train-images-idx3-ubyte.gz and so on) or
fashion_mnist_{train,test}.npz. The network is in `autoencoder.py`; L1 loss. The field takes 60,000
steps of 100 pictures by SGD 0.01, the rate times 0.1 at 50, 70 and 85 % of them. Here a step has
32, and Adam's rate rises to 5e-3, falls to a hundredth with a cosine, and is held there for the
last fifth, as the field's is low there; all operators have the same. Convolutions are in bfloat16;
the last one, the kernels and the scores are not.

A finished run adds its row to the CSV at once, and a run whose row is there is not made again; a
stopped run goes on from its checkpoint. `--study` makes all the readings at a small budget.
"""

import gzip
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from math import cos, pi
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from a2u_cli.images import read_grey, write_image
from a2u_cli.images.files import replacing
from a2u_cli.matting.devices import describe_device, pick_device, use_threads
from a2u_cli.operators.comparison import OPERATORS

from . import describe_machine
from .autoencoder import READINGS, SIDE, Autoencoder, same_network
from .rebuilt import Job, Row, add_row, differences, ranked, read_rows, study_table, summary, table

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "fashion"
RESULTS = ROOT / "benchmarks" / "results" / "reconstruction.csv"
STUDY = RESULTS.with_name("reconstruction_readings.csv")
BATCH, RATE = 32, 5e-3
RISEN, FALLEN, LOWEST = 0.1, 0.8, 0.01  # shares of the steps, and of the rate
READING = "convolution"
STEPS, STUDY_STEPS, QUICK_STEPS = 9000, 1000, 250
QUICK_TEST = 2000  # test pictures that a quick run or a study is scored on
SAVED = 250  # steps between checkpoints
SHOWN = 12  # test pictures in the grid
SEEDS = 3  # of the six that decide; the rest has one
DECIDING = (
    *("bilinear", "transposed", "carafe", "a2u-dynamic-shared", "a2u-without-twin-1x1-d4"),
    "indexnet",
)
STUDIED = (
    *DECIDING[:-1],
    "unpooling",
    *(f"a2u-dynamic-shared-{way}" for way in ("softmax", "sigmoid", "1x1")),
    *("a2u-without-twin", "a2u-without-twin-softmax", "a2u-without-twin-1x1"),
    DECIDING[-1],
)


@dataclass(frozen=True)
class Setting:
    """Where the runs of a table are made."""

    data: Path
    folder: Path
    device: str
    bfloat16: bool
    tested: int | None  # pictures; all


def plan(steps: int, seeds: int = SEEDS) -> list[Job]:
    """List the table's runs: the six first, and then what has one seed."""
    rest = [name for name in OPERATORS if name not in DECIDING]
    names = [(name, seed) for seed in range(seeds) for name in DECIDING]
    return [Job(READING, name, seed, steps) for name, seed in [*names, *((r, 0) for r in rest)]]


def plan_study(steps: int) -> list[Job]:
    """List the study's runs, each network once."""
    names = [(reading, name) for reading in READINGS for name in STUDIED]
    jobs = [Job(same_network(reading, name), name, 0, steps) for reading, name in names]
    return list(dict.fromkeys(jobs))


@cache
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


def rate(step: int, steps: int) -> float:
    """Give a step's learning rate: up in the first tenth, half a cosine down, held for the rest."""
    done = (step + 0.5) / steps
    if done < RISEN:
        return RATE * done / RISEN
    fall = (1 + cos(pi * min(1.0, (done - RISEN) / (FALLEN - RISEN)))) / 2
    return RATE * (LOWEST + (1 - LOWEST) * fall)


class Trial:
    """One run under way: a network, its optimiser, and what has been measured."""

    def __init__(self, job: Job, setting: Setting) -> None:
        self.job, self.setting = job, setting
        self.device = pick_device(setting.device)
        torch.manual_seed(job.seed)
        network = Autoencoder(READINGS[job.reading], job.operator)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(self.network.parameters(), RATE, fused=True)
        self.step, self.seconds, self.before = 0, 0.0, float("nan")
        self.place = setting.folder / f"{job}.pt"
        if self.place.exists():
            state = torch.load(self.place, map_location=self.device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.seconds, self.before = state["at"]

    def finish(self, pictures: Tensor, test: Tensor) -> Row:
        """Make the steps that remain, on pictures that lie on the device, and score the network."""
        job, start = self.job, time.process_time() - self.seconds
        order = np.random.default_rng(job.seed).integers(len(pictures), size=(job.steps, BATCH))
        while self.step < job.steps:
            if self.step == int(job.steps * FALLEN):
                self.before = measure(self.network, test)[0]
            self.learn(pictures[torch.from_numpy(order[self.step])])
            self.step += 1
            if self.step % SAVED == 0 or self.step == job.steps:
                self.seconds = time.process_time() - start
                self.save()
                if (parent := parent_process()) and not parent.is_alive():
                    os._exit(1)  # a worker alone: the next start goes on from here
        psnr, similarity, mse, mae = measure(self.network, test)
        where = f"{describe_machine()}, {describe_device(self.device)}"
        precision = "bfloat16" if self.setting.bfloat16 else "float32"
        return Row(
            *(job.reading, job.operator, job.seed, job.steps, BATCH),
            *(psnr, similarity, mse, mae, psnr - self.before),
            *(self.seconds / job.steps, len(test), precision, where),
        )

    def learn(self, batch: Tensor) -> None:
        """Make one step."""
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.setting.bfloat16):
            features = self.network.body(batch)
        loss = F.l1_loss(self.network.head(features.float()), batch)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.param_groups[0]["lr"] = rate(self.step, self.job.steps)
        self.optimiser.step()

    def save(self) -> None:
        state = {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}
        with replacing(self.place) as temporary:
            torch.save({**state, "at": (self.step, self.seconds, self.before)}, temporary)


@torch.inference_mode()
def measure(network: Autoencoder, pictures: Tensor) -> tuple[float, float, float, float]:
    """Score the rebuilt pictures, cut to [0, 1]: PSNR, SSIM, and MSE and MAE times 1,000.

    Means over the pictures, data range 1.
    """
    network.eval()
    rows = []
    for batch in pictures.split(500):
        rebuilt = network(batch).clamp(0, 1)
        error = rebuilt - batch
        mse = error.square().mean((1, 2, 3))
        psnr = -10 * mse.clamp_min(1e-10).log10()
        mae = error.abs().mean((1, 2, 3))
        rows.append(torch.stack([psnr, ssim(rebuilt, batch), 1000 * mse, 1000 * mae]))
    psnr, similarity, mse, mae = torch.cat(rows, 1).mean(1).tolist()
    return psnr, similarity, mse, mae


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


@torch.inference_mode()
def strip(network: Autoencoder, pictures: Tensor) -> npt.NDArray[np.float32]:
    """Lay rebuilt pictures side by side."""
    rebuilt = network(pictures).clamp(0, 1).cpu()
    return np.concatenate(list(rebuilt[:, 0].numpy()), 1)


def shown(test: Tensor) -> Tensor:
    """Pick the test pictures that a grid shows."""
    return test[torch.linspace(0, len(test) - 1, SHOWN).long()]


def make(job: Job, setting: Setting) -> Row:
    """Make one run from start to row, or from its checkpoint on."""
    trial = Trial(job, setting)
    training, test = (
        read_pictures(setting.data, part).to(trial.device) for part in ("train", "test")
    )
    if setting.tested:  # the file is grouped by class
        test = test[:: max(1, len(test) // setting.tested)]
    row = trial.finish(training, test)
    write_image(setting.folder / f"{job}.png", strip(trial.network.eval(), shown(test)))
    return row


def make_all(jobs: list[Job], setting: Setting, workers: int) -> Iterator[Row]:
    """Make runs in the order given, each worker in one thread; hand on what is finished."""
    if workers == 1:
        yield from (make(job, setting) for job in jobs)
        return
    spawn = get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, initializer=use_threads, initargs=(1,)) as pool:
        futures = [pool.submit(make, job, setting) for job in jobs]
        yield from (future.result() for future in as_completed(futures))


def draw_grid(jobs: list[Job], setting: Setting) -> None:
    """Lay the originals over the pictures that these runs have left on this machine."""
    strips = [
        np.concatenate(list(shown(read_pictures(setting.data, "test"))[:, 0].numpy()), 1),
        *(read_grey(place) for job in jobs if (place := setting.folder / f"{job}.png").exists()),
    ]
    grid = np.repeat(np.repeat(np.concatenate(strips), 2, 0), 2, 1)
    write_image(setting.folder / "grid.png", grid)


def main(
    data: Annotated[Path, typer.Argument(help="The folder of Fashion-MNIST.")] = DATA,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"{QUICK_STEPS} steps, one seed, {QUICK_TEST} pictures.")
    ] = False,
    study: Annotated[bool, typer.Option("--study", help="All readings, few steps.")] = False,
    only_table: Annotated[bool, typer.Option("--table", help="Print, make no run.")] = False,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps of each run.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Operators; repeatable.")] = None,
    workers: Annotated[int, typer.Option(help="Runs at a time, each in one thread.")] = 1,
    folder: Annotated[Path, typer.Option(help="Checkpoints, grid.")] = ROOT / "runs/reconstruction",
    results: Annotated[Path | None, typer.Option(help="The CSV that rows are added to.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    bfloat16: Annotated[
        bool, typer.Option(help="In float32 a step can take twice as long.")
    ] = True,
) -> None:
    """Make the runs whose rows are missing, and print the table."""
    if study:
        steps, results = steps or STUDY_STEPS, results or STUDY
        jobs = plan_study(steps)
    else:
        steps = steps or (QUICK_STEPS if quick else STEPS)
        results = results or (folder / "rows.csv" if quick else RESULTS)
        jobs = plan(steps, 1 if quick else SEEDS)
    jobs = [job for job in jobs if job.operator in (only or OPERATORS)]
    setting = Setting(data, folder, device, bfloat16, QUICK_TEST if quick or study else None)
    done = {row.job for row in read_rows(results)}
    missing = [job for job in jobs if job not in done]
    if not only_table:
        for row in make_all(missing, setting, workers):
            add_row(row, results)
            typer.echo(f"{row.job}: {row.psnr:.2f} dB, {row.seconds * 1000:.0f} ms a step")
    rows = [row for row in read_rows(results) if row.job in jobs]
    typer.echo(f"{len(rows)} of {len(jobs)} runs; rows: {results}")
    if not rows:
        return
    if study:
        typer.echo(f"\n{study_table(rows)}")
    else:
        typer.echo(f"\n{table(rows)}\n\n{differences(rows)}\n\n{summary(rows)}")
        if not only_table:
            draw_grid([Job(READING, name, 0, steps) for name in ranked(rows)], setting)


if __name__ == "__main__":
    typer.run(main)
