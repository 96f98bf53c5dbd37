"""Time whole training steps of this checkout and of another revision, by turns in one run.

    python -m benchmarks.training_speed --against a9b2af1

A step is eight crops of 256 pixels: forward, loss, backward, optimiser; what is compared is the
processor's time in one thread, as in `revisions`. This checkout runs with its batch norms in
training, and frozen, as `TrainOptions.frozen_norms` has them. Composing the crops is not in it, but
in the rows of `a2u train`: the command itself, by the clock, as each revision runs it.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

from . import describe_machine
from .revisions import ROOT, Revision, checkout

RESULTS = ROOT / "benchmarks/results/training_speed.csv"
CROPS, SIZE = 8, 256
TURNS, STEPS, WARM_UP = 3, 16, 5  # of the whole command: how often, and its steps
FROZEN = "this, a2u train --frozen-norms"
PHASES = ("forward", "loss", "backward", "optimiser")
# Only names that every revision has, or with what the older ones do instead.
WORKER = f"""
import json, sys, time
import torch
from torch import nn
from a2u_cli import cli
from a2u_cli.training import muon
from a2u_cli.training.losses import matting_loss
from a2u_cli.training.trainer import start_network

cli.reuse_memory()
try:
    from a2u_cli.training.memory import keep_memory
    keep_memory()
except ImportError:
    pass
torch.set_num_threads(1)
torch.manual_seed(0)
last = torch.channels_last
image = torch.rand({CROPS}, 3, {SIZE}, {SIZE}).contiguous(memory_format=last)
batch = {{name: torch.rand({CROPS}, 3, {SIZE}, {SIZE}) for name in ("foreground", "background")}}
batch["alpha"] = torch.rand({CROPS}, 1, {SIZE}, {SIZE})
batch["trimap"] = torch.full_like(batch["alpha"], 128 / 255)


def prepare(half):
    network = start_network("a2u-open", seed=0).to(memory_format=last)
    banks = [p for p in network.parameters() if muon.suits(p)]
    rest = [p for p in network.parameters() if not muon.suits(p)]
    try:
        first = muon.Muon(banks, 1e-4, dtype=torch.bfloat16 if half else torch.float32)
    except TypeError:  # older revisions orthogonalise in float32 alone
        first = muon.Muon(banks, 1e-4)
    return network, (first, torch.optim.AdamW(rest, 1e-4))


runs = {{half: prepare(half) for half in (False, True)}}
for line in sys.stdin:
    half, frozen = json.loads(line)
    network, optimisers = runs[half]
    network.train()
    for module in network.modules():
        if frozen and isinstance(module, nn.BatchNorm2d):
            module.eval()
    clock = [time.process_time()]
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        raw = network(image, batch["trimap"])
    clock.append(time.process_time())
    loss = matting_loss(raw, batch)["loss"]
    clock.append(time.process_time())
    network.zero_grad()
    loss.backward()
    clock.append(time.process_time())
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    for optimiser in optimisers:
        optimiser.step()
    clock.append(time.process_time())
    print(json.dumps([after - before for before, after in zip(clock, clock[1:])]), flush=True)
"""


def compare(ours: Revision, theirs: Revision, name: str, runs: int) -> list[dict[str, str]]:
    """Time both dtypes by turns, after one warm-up; a row for each way to train."""
    rows = []
    for half in (True, False):
        ways = {
            name: (theirs, False),
            "this": (ours, False),
            "this, frozen norms": (ours, True),
        }
        steps: dict[str, list[list[float]]] = {way: [] for way in ways}
        for _ in range(runs + 1):
            for way, (revision, frozen) in ways.items():
                steps[way].append(revision.ask([half, frozen]))
        seconds = {way: median(map(sum, times[1:])) for way, times in steps.items()}
        for way, times in steps.items():
            phases = [median(phase) for phase in zip(*times[1:], strict=True)]
            shares = (f"{100 * phase / sum(phases):.1f}" for phase in phases)
            rows.append(
                {
                    "dtype": "bfloat16" if half else "float32",
                    "revision": way,
                    "step (s)": f"{seconds[way]:.3f}",
                    "crops a second": f"{CROPS / seconds[way]:.2f}",
                    "faster": f"{seconds[name] / seconds[way]:.2f}",
                    **{f"{p} (%)": share for p, share in zip(PHASES, shares, strict=True)},
                    "runs": str(runs),
                }
            )
            print(rows[-1], flush=True)
    return rows


def train(folder: Path, out: Path, steps: int, *more: str, processes: int = 1) -> list[float]:
    """Train by a revision's own command, from the weights that ship; seconds of its later steps."""
    options = f"--batch {CROPS} --size {SIZE} --steps {steps} --save-every {10 * steps}"
    command = ["-m", "a2u_cli", "train", str(out), "--weights", "a2u-open", "--device", "cpu"]
    several = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    starter = several if processes > 1 else []
    threads = {"OMP_NUM_THREADS": str((os.cpu_count() or 1) // processes)} if starter else {}
    subprocess.run(
        [sys.executable, *starter, *command, "--bfloat16", *options.split(), *more],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), **threads},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    lines = map(json.loads, (out / "curve.jsonl").read_text().splitlines())
    return [line["seconds"] for line in lines][WARM_UP:-1]  # the last one validates


def whole(theirs: Path, name: str, turns: int, steps: int) -> list[dict[str, str]]:
    """Time the commands by turns, after one warm-up; what is drawn is on disk from then on."""
    ways = {
        f"{name}, a2u train": partial(train, theirs),
        "this, a2u train": partial(train, ROOT),
        FROZEN: partial(_frozen, processes=1),
        f"{FROZEN}, two processes": partial(_frozen, processes=2),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(turns + 1):
        for way, run in ways.items():
            with tempfile.TemporaryDirectory() as out:
                times = run(Path(out), steps)
            seconds[way] += times if turn else []
    medians = {way: median(times) for way, times in seconds.items()}
    return [
        {
            "dtype": "bfloat16",
            "revision": way,
            "step (s)": f"{seconds_a_step:.3f}",
            "crops a second": f"{CROPS / seconds_a_step:.2f}",
            "faster": f"{medians[f'{name}, a2u train'] / seconds_a_step:.2f}",
            "runs": str(len(seconds[way])),
        }
        for way, seconds_a_step in medians.items()
    ]


def _frozen(out: Path, steps: int, processes: int) -> list[float]:
    return train(ROOT, out, steps, "--frozen-norms", processes=processes)


def composing(runs: int) -> float:
    """Time the composing of a step's crops, with what is drawn on disk: median seconds."""
    from a2u_cli.training.data.building import build_engine
    from a2u_cli.training.data.engine import Request

    engine, times = build_engine(), []
    for step in range(runs + 2):
        start = time.perf_counter()
        engine.batch(Request(step, range(CROPS * step, CROPS * (step + 1)), SIZE))
        times.append(time.perf_counter() - start)
    return median(times[2:])


def run(results: Path = RESULTS, *, against: str = "a9b2af1", runs: int = 5) -> None:
    """Compare, print, and write the rows."""
    with checkout(against) as folder:
        rows = whole(folder, against, TURNS, STEPS)
        share = 100 * composing(runs) / float(rows[1]["step (s)"])
        rows[1]["composing (%)"] = f"{share:.1f}"
        print(*rows, sep="\n", flush=True)
        rows += compare(Revision(ROOT, WORKER), Revision(folder, WORKER), against, runs)
    with results.open("w", newline="", encoding="utf-8") as file:
        header = dict.fromkeys(key for row in (*rows[4:], *rows) for key in row)
        writer = csv.DictWriter(file, [*header, "machine"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"machine": describe_machine()} for row in rows)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_speed")
    parser.add_argument("--against", default="a9b2af1", help="a commit to compare with")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    run(against=arguments.against, runs=arguments.runs)


if __name__ == "__main__":
    main()
