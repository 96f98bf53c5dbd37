"""The first minutes on a GPU: check, time, profile, then train for all that is left.

    python -m benchmarks.gpu_train --build-pack DATA runs/pack
    python -m benchmarks.gpu_train --pack runs/pack --start a2u-open --minutes 9 --out OUT

Each part is a process of its own with a time limit, so that none can take the others along; what
they say goes to `OUT/report.txt` as it comes. While they run, other processes render foregrounds in
three dimensions from seeds, which the training takes in as they come. Its average is written every
minute (`average.safetensors`, float16, 16 MB) with curve, preview and facts: only these travel. A
second run starts from that average, with a `--seed` of its own and `--only train`; on one machine
the same command goes on from the checkpoint in `--folder`. The rate follows the time that is left.
`--rehearse` does it all in seconds on a CPU. Beside PyTorch it needs numpy, opencv, pillow,
safetensors, huggingface-hub and platformdirs.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a process that only renders imports this file too, and needs no PyTorch
    from a2u_cli.training.data.engine import DataEngine
    from a2u_cli.training.options import TrainOptions
    from a2u_cli.training.trainer import StepReport, Trainer

LIMITS = {"versions": 20, "operator": 60, "network": 60, "steps": 90}  # seconds at most
RESERVE = 30  # seconds before the end: for the last validation, export, and what was not foreseen
EXPORT_EVERY = 60  # seconds
SHAPES = ((2, 64, 64, 64), (2, 128, 32, 32), (2, 256, 16, 16))  # N, C, h, w of the coarse picture
ROWS = 10  # of a profile


def main() -> None:
    """Build a pack, lead all parts, or be one of them."""
    arguments = parse()
    if arguments.build_pack:
        from a2u_cli.training.data.pictures import build_pack

        source, target = arguments.build_pack
        print(f"{target}: {build_pack(source, target) / 2**20:.1f} MiB")
    elif arguments.part:
        PARTS[arguments.part](arguments)
    else:
        lead(arguments)


def parse() -> argparse.Namespace:
    """Read the command line; a rehearsal overrides what makes a run long."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_train")
    add = parser.add_argument
    add("--build-pack", nargs=2, type=Path, metavar=("FOLDER", "PACK"), help="from fg/ and bg/")
    add("--pack", type=Path, help="a folder with fg/ and bg/")
    add("--out", type=Path, default=Path("runs/gpu/out"), help="what travels goes here")
    add("--folder", type=Path, default=Path("runs/gpu/run"), help="curve, checkpoint, renders")
    add("--start", default="a2u-open", help="weights to go on from")
    add("--minutes", type=float, default=9.0, help="for everything, from start to export")
    add("--steps", type=int, help="instead of as many as fit; makes a run repeatable")
    add("--sizes", type=int, nargs="+", default=[256, 384, 512])
    add("--batch", type=int, default=64, help="samples a step at the first size")
    add("--rate", type=float, default=2e-3)
    add("--renders", type=int, default=1024, help="foregrounds in three dimensions")
    add("--render-seed", type=int, default=200_000)
    add("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 4), help="that render")
    add("--held", type=int, default=1500, help="pictures in the GPU's memory")
    add("--seed", type=int, default=0)
    add("--frozen-norms", action="store_true", help="keep the batch norms' statistics")
    add("--only", nargs="+", choices=[*LIMITS, "train"], help="some parts")
    add("--rehearse", action="store_true", help="tiny, on the CPU")
    add("--part", choices=["render", *LIMITS, "train"], help=argparse.SUPPRESS)
    add("--until", type=float, help=argparse.SUPPRESS)  # by time.time()
    arguments = parser.parse_args()
    if arguments.rehearse:
        tiny = {"steps": 3, "batch": 2, "sizes": [64], "renders": 9, "held": 12, "workers": 1}
        vars(arguments).update(tiny, minutes=5.0)
    return arguments


def lead(arguments: argparse.Namespace) -> None:
    """Run the parts one after the other, each until its limit, and the rendering beside them."""
    until = time.time() + 60 * arguments.minutes
    arguments.out.mkdir(parents=True, exist_ok=True)
    rest = [*sys.argv[1:], "--until", str(until), "--part"]
    command = [sys.executable, "-m", "benchmarks.gpu_train", *rest]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with (arguments.out / "report.txt").open("a") as report:
        rendering = subprocess.Popen(
            [*command, "render"],
            env=environment | threads,
            stdout=subprocess.DEVNULL,
            stderr=report,
        )
        try:
            for part in arguments.only or PARTS:
                if part == "render":
                    continue
                limit = min(LIMITS.get(part, 1e9), until - time.time())
                print(f"\n== {part}", file=report, flush=True)
                start = time.monotonic()
                try:
                    done = subprocess.run(
                        [*command, part],
                        env=environment,
                        stdout=report,
                        stderr=subprocess.STDOUT,
                        timeout=max(1.0, limit),
                        check=False,
                    )
                    end = f"exit {done.returncode}"
                except subprocess.TimeoutExpired:
                    end = "stopped at its limit"
                print(
                    f"== {part}: {end}, {time.monotonic() - start:.0f} s", file=report, flush=True
                )
        finally:
            rendering.terminate()
            rendering.wait()
    print((arguments.out / "report.txt").read_text()[-11_000:])


def render(arguments: argparse.Namespace) -> None:
    """Render the set that the training draws on."""
    from a2u_cli.rendering.sets import render_set

    for rendered in render_set(renders(arguments), plan(arguments), workers=arguments.workers):
        print(rendered.order.name, rendered.failure)


def renders(arguments: argparse.Namespace) -> Path:
    folder: Path = arguments.folder / "renders"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def plan(arguments: argparse.Namespace) -> list[Any]:
    """Order the renders: the same in the process that renders and in the one that trains."""
    from a2u_cli.rendering.sets import plan_set

    size = 64 if arguments.rehearse else 768
    return plan_set(arguments.renders, arguments.render_seed, size=size)


def versions(arguments: argparse.Namespace) -> None:
    """Say what the machine is."""
    import platform
    from importlib.metadata import version

    import torch

    print(sys.version.split()[0], platform.platform(), f"{os.cpu_count()} processors")
    print("torch", torch.__version__, "CUDA", torch.version.cuda)
    if torch.cuda.is_available():
        print("Triton", version("triton"), torch.cuda.get_device_name())
        for query in (
            ["nvidia-smi", "-L"],
            ["nvidia-smi", "--query-gpu=clocks.sm", "--format=csv"],
        ):
            subprocess.run(query, check=False)


def operator(arguments: argparse.Namespace) -> None:
    """Compare the fused operators, gradients included, with the plain form in float64."""
    import torch

    from . import cuda_check

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    device = device_of(arguments)
    for name in cuda_check.OPERATORS:
        for label in ("float32", "bfloat16"):
            for shape in ((1, 4, 4, 4),) if arguments.rehearse else SHAPES:
                tensors = cuda_check.operands(name, shape, cuda_check.DTYPES[label], device)
                result = cuda_check.with_gradients(name, tensors)
                with cuda_check.plain_torch():
                    expected = cuda_check.with_gradients(name, [t.double() for t in tensors])
                worst = max(map(cuda_check.difference, result, expected))
                verdict = "ok" if worst <= cuda_check.TOLERANCE[label] else "FAILED"
                print(f"{name} {label} {shape}: {worst:.2e} {verdict}")


def network(arguments: argparse.Namespace) -> None:
    """Time the network and a whole matte at 1920x1080 in bfloat16; profile both."""
    import numpy as np
    import torch

    from a2u_cli.matting.inference import matte
    from a2u_cli.network.folding import fold_norms
    from a2u_cli.weights import load_model

    from . import cuda_check

    device = device_of(arguments)
    height, width = (32, 64) if arguments.rehearse else (1080, 1920)
    setup = cuda_check.Setup(device, arguments.rehearse)
    weights = load_model(arguments.start, device=device)
    folded = fold_norms(weights, torch.bfloat16)
    planes = cuda_check.make_input(device, 1, -(-height // 16) * 16, width)
    image = np.random.default_rng(0).random((height, width, 3), np.float32)
    trimap = np.full((height, width), 128, np.uint8)
    trimap[:, : width // 3], trimap[:, -width // 3 :] = 0, 255

    @torch.inference_mode()
    def alone() -> None:
        folded(*(plane.bfloat16() for plane in planes))

    def whole() -> None:
        matte(weights, image, trimap)

    for name, run in (("network", alone), ("matte", whole)):
        seconds = setup.seconds(run)
        print(f"{name} {width}x{height}: median {1e3 * seconds:.1f} ms")
        print(profile(run, device))


def steps(arguments: argparse.Namespace) -> None:
    """Time and profile whole training steps: composing, forward, backward, both optimisers."""
    import torch

    device = device_of(arguments)
    engine = build(arguments, small=True)
    trainer = make_trainer(
        arguments, engine, options(arguments, minutes=None, steps=10**6), "trial"
    )
    for size in arguments.sizes:
        count = trainer.options.crops[arguments.sizes.index(size)]
        request = trainer.options.request(0, 0.0)
        request = replace(request, numbers=range(count), size=size)

        def step(request: Any = request) -> None:
            trainer._train_step(engine.batch(request), 1e-6)

        step()
        wait(device)
        start = time.perf_counter()
        times = 1 if arguments.rehearse else 20
        for _ in range(times):
            step()
        wait(device)
        seconds = (time.perf_counter() - start) / times
        composed = time.perf_counter()
        engine.batch(request)
        wait(device)
        share = (time.perf_counter() - composed) / seconds
        print(
            f"{count} of {size} px: {seconds:.3f} s a step, {count / seconds:.0f} crops a second,"
        )
        print(f"composing {share:.0%}")
        if device.type == "cuda":
            print(f"peak {torch.cuda.max_memory_allocated() / 1e9:.0f} GB")
    print(profile(step, device))


def train(arguments: argparse.Namespace) -> None:
    """Train until the time is over, exporting the average every minute."""
    left = (arguments.until or time.time() + 60 * arguments.minutes) - time.time() - RESERVE
    minutes = None if arguments.steps else max(0.2, left / 60)
    engine = build(arguments)
    trainer = make_trainer(arguments, engine, options(arguments, minutes, arguments.steps), "run")
    trainer.validate()  # compiles its kernels before the clock starts
    lines: list[StepReport] = []
    begin, exported = time.monotonic(), [time.monotonic()]

    def report(line: "StepReport") -> None:
        lines.append(line)
        now = time.monotonic()
        if line.validation is not None or now - exported[0] > EXPORT_EVERY:
            exported[0] = now
            export_all(trainer, arguments.out, {"steps": line.step, "seconds": now - begin})
            print(f"{now - begin:.0f} s, step {line.step}: loss {line.loss:.4f} {line.validation}")

    trainer.run(report)
    seconds = time.monotonic() - begin
    export_all(trainer, arguments.out, {"steps": trainer.step, "seconds": seconds})


def build(arguments: argparse.Namespace, *, small: bool = False) -> "DataEngine":
    """Gather the pictures; a trial takes but the pack's and the drawn."""
    from a2u_cli.training.data.building import build_engine

    tiny: dict[str, Any] = {"drawn": 4, "scenes": 2, "drawn_side": 64} if arguments.rehearse else {}
    with_renders = not small
    pack = arguments.pack
    return build_engine(
        seed=arguments.seed,
        foregrounds=pack / "fg" if pack else None,
        backgrounds=pack / "bg" if pack else None,
        picture_share=0.15,
        renders=renders(arguments) if with_renders else None,
        orders=plan(arguments) if with_renders else None,
        render_share=(0.3, 0.6),
        held=64 if small else arguments.held,
        cache=arguments.folder / "cache",
        device=device_of(arguments),
        **tiny,
    )


def options(
    arguments: argparse.Namespace, minutes: float | None, steps: int | None
) -> "TrainOptions":
    from a2u_cli.training.options import TrainOptions

    return TrainOptions(
        steps=steps or TrainOptions.steps,
        minutes=minutes,
        batch=arguments.batch,
        sizes=tuple(arguments.sizes),
        learning_rate=arguments.rate,
        span=(1.0, 1.0),
        seed=arguments.seed,
        save_every=10**9,
        frozen_norms=arguments.frozen_norms,
        bfloat16=not arguments.rehearse,
    )


def make_trainer(
    arguments: argparse.Namespace, engine: "DataEngine", chosen: "TrainOptions", name: str
) -> "Trainer":
    import torch

    from a2u_cli.training.trainer import Trainer, start_network

    torch.backends.cudnn.benchmark = True  # the shapes repeat
    torch.set_float32_matmul_precision("high")
    net = start_network(arguments.start, seed=arguments.seed)
    return Trainer(net, engine, chosen, arguments.folder / name, device=device_of(arguments))


def export_all(trainer: "Trainer", out: Path, facts: dict[str, Any]) -> None:
    """Write everything that travels."""
    import torch

    from a2u_cli.weights import save_weights

    save_weights(
        trainer.averaged,
        out / "average.safetensors",
        licence="Apache-2.0",
        source="benchmarks.gpu_train",
        training=trainer.options.filled() | facts,
        dtype=torch.float16,
    )
    for file in ("curve.jsonl", "preview.png"):
        if (trainer.folder / file).exists():
            shutil.copyfile(trainer.folder / file, out / file)
    facts = facts | {"options": trainer.options.filled(), "data": trainer.source.facts()}
    (out / "run.json").write_text(json.dumps(facts, indent=1) + "\n")


def device_of(arguments: argparse.Namespace) -> Any:
    import torch

    return torch.device("cpu" if arguments.rehearse else "cuda")


def wait(device: Any) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()


def profile(run: Any, device: Any) -> str:
    """Run once more, and give the rows that take the device longest."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiled:
        run()
        wait(device)
    key = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    return str(profiled.key_averages().table(sort_by=key, row_limit=ROWS))


PARTS = {
    "render": render,
    "versions": versions,
    "operator": operator,
    "network": network,
    "steps": steps,
    "train": train,
}

if __name__ == "__main__":
    main()
