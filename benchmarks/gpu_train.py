"""Train for a fixed number of minutes on one GPU, from a pack of pictures to float16 weights.

    python -m benchmarks.gpu_train --build-pack runs/pack runs/pack.npz
    python -m benchmarks.gpu_train --pack runs/pack.npz --minutes 9 --sizes 256 --compile \
        --start weights.safetensors --span 0.4 0.7 --out out

Between machines only `weights.safetensors` (the last weights), `average.safetensors` (their
exponential average), `curve.jsonl`, `preview.png` and `run.json` travel; the next run starts from
either export with a warm-up of the optimiser and, to see new samples, a `--seed` of its own. On one
machine the same command goes on from the checkpoint in `--folder`. `--final` lets the rate fall
over the last two fifths; `--rehearse` does it all in seconds on a CPU. Beside PyTorch it needs
numpy, opencv, pillow, safetensors, huggingface-hub and platformdirs.
"""

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # processes that only render import this file too, and need no PyTorch
    from a2u_cli.training.data.batches import BatchComposer
    from a2u_cli.training.options import TrainOptions
    from a2u_cli.training.trainer import StepReport, Trainer

TRIAL_STEPS = 8
RESERVE = 0.06  # of the time, for validation and for what the trial could not foresee
REHEARSAL = {"minutes": 5.0, "batch": 2, "steps": 3, "sizes": [64], "warmup": 1, "save_every": 3}


class TimeUpError(Exception):
    """The minutes are over before the steps are."""


def main() -> None:
    """Build a pack, or train."""
    arguments = parse()
    if arguments.build_pack:
        from a2u_cli.training.data.pictures import build_pack

        folder, path = arguments.build_pack
        print(f"{path}: {build_pack(folder, path) / 2**20:.1f} MiB")
    else:
        train(arguments)


def parse() -> argparse.Namespace:
    """Read the command line; a rehearsal overrides what makes a run long."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_train")
    add = parser.add_argument
    add("--build-pack", nargs=2, type=Path, metavar=("FOLDER", "PACK"), help="from fg/ and bg/")
    add("--pack", type=Path, help="a pack, or a folder with fg/ and bg/")
    add("--out", type=Path, default=Path("runs/gpu/out"), help="what travels goes here")
    add("--folder", type=Path, default=Path("runs/gpu/run"), help="curve and checkpoint")
    add("--start", help="weights to go on from")
    add("--minutes", type=float, default=9.0, help="for everything, from start to export")
    add("--steps", type=int, help="instead of as many as fit; makes a run repeatable")
    add("--sizes", type=int, nargs="+", default=[256])
    add("--batch", type=int, default=64, help="samples a step at the first size")
    add("--span", type=float, nargs=2, default=(0.0, 1.0), help="part of the whole training")
    add("--rate", type=float, default=2e-3)
    add("--warmup", type=int, default=150)
    add("--final", action="store_true", help="let the rate fall at the end")
    add("--compile", action="store_true", help="fuse the network's operations")
    add("--save-every", type=int, default=250)
    add("--rendered", type=int, default=1024, help="foregrounds rendered before the start")
    add("--capacity", type=int, default=8192, help="rendered foregrounds held at most")
    add("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    add("--seed", type=int, default=0)
    add("--rehearse", action="store_true", help="tiny, on the CPU")
    arguments = parser.parse_args()
    if arguments.rehearse:
        vars(arguments).update(REHEARSAL, rendered=8, capacity=16, workers=1)
    return arguments


def train(arguments: argparse.Namespace) -> None:
    """Fill the atlases, find out how many steps fit, train them, export."""
    begin = time.monotonic()
    import torch

    from a2u_cli.training.data.batches import build_composer
    from a2u_cli.training.trainer import Trainer, start_network

    device = "cpu" if arguments.rehearse else "cuda"
    torch.backends.cudnn.benchmark = True  # the shapes repeat
    torch.set_float32_matmul_precision("high")
    composer = build_composer(
        files=arguments.pack,
        rendered=arguments.rendered,
        capacity=arguments.capacity,
        scenes=arguments.rendered // 4,
        side=64 if arguments.rehearse else 512,
        seed=arguments.seed,
        device=device,
        workers=arguments.workers,
    )
    print(
        f"{time.monotonic() - begin:.0f} s: {composer.foregrounds.filled} foregrounds", flush=True
    )
    network = start_network(arguments.start, seed=arguments.seed)
    if arguments.compile:
        network.compile()
    end = begin + 60 * arguments.minutes
    facts: dict[str, Any] = {}
    steps = arguments.steps
    if steps is None or arguments.rehearse:
        trial = Trainer(
            network, composer, plan(arguments, 10**6), arguments.folder / "trial", device=device
        )
        facts = measure(trial, composer, 1 if arguments.rehearse else TRIAL_STEPS)
        left = (end - time.monotonic()) * (1 - RESERVE)
        steps = steps or int(left / facts["seconds_a_step"])
    options = plan(arguments, steps)
    trainer = Trainer(network, composer, options, arguments.folder, device=device)
    try:
        follow(trainer, arguments, end, facts)
    finally:
        if composer.refill:
            composer.refill.close()


def plan(arguments: argparse.Namespace, steps: int) -> "TrainOptions":
    """Make the options of a run of so many steps."""
    from a2u_cli.training.options import TrainOptions

    return TrainOptions(
        steps=steps,
        batch=arguments.batch,
        sizes=tuple(arguments.sizes),
        learning_rate=arguments.rate,
        warmup=arguments.warmup,
        decay=0.4 if arguments.final else 0.0,
        span=tuple(arguments.span),
        average=0.999,
        seed=arguments.seed,
        save_every=arguments.save_every,
        bfloat16=not arguments.rehearse,  # slow on most processors
    )


def measure(trial: "Trainer", composer: "BatchComposer", steps: int) -> dict[str, float]:
    """Time a step at each crop size, and composing alone, leaving the network as it was.

    The share of composing is what the GPU does not spend on the network.
    """
    import copy

    state = copy.deepcopy(trial.network.state_dict())
    options, seconds, composing = trial.options, [], []
    for first, last in pairwise([0.0, *options.grows_at, 1.0]):
        requests = options.requests(int(first * options.steps))
        weight = last - first

        def learn(requests: list[Any] = requests) -> None:
            trial.losses(trial.network.train(), composer.batch(requests))["loss"].backward()

        learn()  # the first call compiles
        seconds.append(weight * timed(learn, steps))
        composing.append(weight * timed(partial(composer.batch, requests), steps))
    trial.network.zero_grad()
    trial.network.load_state_dict(state)
    facts = {"seconds_a_step": 1.03 * sum(seconds), "composing": sum(composing) / sum(seconds)}
    print(f"a step: {facts['seconds_a_step']:.3f} s, of that composing {facts['composing']:.0%}")
    return facts


def timed(run: Callable[[], object], times: int) -> float:
    """Give the mean seconds of what is run, the device's part included."""
    import torch

    def wait() -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    wait()
    start = time.perf_counter()
    for _ in range(times):
        run()
    wait()
    return (time.perf_counter() - start) / times


def follow(
    trainer: "Trainer", arguments: argparse.Namespace, end: float, facts: dict[str, Any]
) -> None:
    """Run to the last step or the end of the time; export at each validation and at the end."""
    lines: list[StepReport] = []
    begin, first = time.monotonic(), trainer.step

    def report(line: "StepReport") -> None:
        lines.append(line)
        if line.validation is not None:
            print(describe(line), flush=True)
            export_all(trainer, arguments.out, describe_run())
        if time.monotonic() > end:
            raise TimeUpError

    def describe_run() -> dict[str, Any]:
        counts = [len(trainer.options.requests(s)) for s in range(first, trainer.step)]
        return facts | {
            "steps": trainer.step,
            "samples": sum(counts),
            "samples_a_second": sum(counts) / (time.monotonic() - begin),
            "options": trainer.options.filled(),
        }

    try:
        trainer.run(report)
    except TimeUpError:
        print("the time was over first", flush=True)
        trainer.save()
    export_all(trainer, arguments.out, describe_run())
    print("\n".join(describe(line) for line in lines[-10:]))
    print(json.dumps({k: v for k, v in describe_run().items() if k != "options"}))


def describe(line: "StepReport") -> str:
    """Put a step on one line."""
    score = "" if line.validation is None else f"  {line.validation}"
    return f"step {line.step}  loss {line.loss:.4f}  alpha {line.alpha:.4f}{score}"


def export_all(trainer: "Trainer", out: Path, run: dict[str, Any]) -> None:
    """Write everything that travels."""
    import torch

    from a2u_cli.weights import save_weights

    out.mkdir(parents=True, exist_ok=True)
    for name, network in (("weights", trainer.network), ("average", trainer.averaged)):
        save_weights(
            network,
            out / f"{name}.safetensors",
            licence="Apache-2.0",
            source="benchmarks.gpu_train",
            training=trainer.options.filled() | {"steps": trainer.step},
            dtype=torch.float16,
        )
    for file in ("curve.jsonl", "preview.png"):
        if (trainer.folder / file).exists():
            shutil.copyfile(trainer.folder / file, out / file)
    (out / "run.json").write_text(json.dumps(run, indent=1) + "\n")


if __name__ == "__main__":
    main()
