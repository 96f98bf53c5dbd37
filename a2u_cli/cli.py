"""The command `a2u`: parse, import what is needed, call, report, exit."""

import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from . import __version__, cli_batch, cli_composite, cli_eval, cli_trimap, cli_weights, registry
from .errors import A2UError, ImageError, Interrupted, OutOfMemory, TrimapError, is_memory

# GNU OpenMP's threads that wait for one without a processor of its own keep it from working: beside
# a busy program a matte takes 11 s with its 300,000 and 4 s with this, alone this takes 3 % more.
SPINS = "30000"

app = typer.Typer(
    help="A2U matting: image + trimap -> alpha matte, for hair, fur, glass and smoke.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help starts in half the time
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("batch")(cli_batch.batch)
app.command("composite")(cli_composite.composite)
app.command("cutout")(cli_composite.cutout)
app.command("eval")(cli_eval.evaluate)
app.add_typer(cli_trimap.app, name="trimap")
app.add_typer(cli_weights.app, name="weights")

Weights = Annotated[
    str, typer.Option(envvar="A2U_WEIGHTS", help="A name, a file, or hf://owner/repo[@revision].")
]
Device = Annotated[
    str, typer.Option(envvar="A2U_DEVICE", help="auto, cpu, cuda, cuda:N or mps; never another.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse trimap values other than 0, 128 and 255.")
]


def main() -> None:
    """Run the command line; every failure is one line on stderr and the documented exit code."""
    signal.signal(signal.SIGINT, _interrupt)
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    try:
        app()
    except Interrupted as stop:
        typer.echo(f"\n{stop}", err=True)
        raise SystemExit(stop.exit_code) from None
    except A2UError as error:
        _fail(str(error), error.exit_code)
    except Exception as error:
        if os.environ.get("A2U_DEBUG"):
            raise
        if is_memory(error):
            text = "out of memory; close other programs or make the picture smaller"
            _fail(text, OutOfMemory.exit_code)
        text = f"unexpected {type(error).__name__}: {error}; set A2U_DEBUG=1 and report the trace"
        _fail(text, code=1)


def _fail(text: str, code: int) -> NoReturn:
    typer.echo(f"error: {' '.join(text.split())}", err=True)
    raise SystemExit(code) from None


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise Interrupted("interrupted; nothing half-written is left, run the command again to go on")


def _version(value: bool) -> None:
    if value:
        licence = registry.REGISTRY[registry.DEFAULT].licence
        typer.echo(f"a2u {__version__}, default weights {registry.DEFAULT} ({licence})")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            min=1,
            envvar="A2U_MAX_PIXELS",
            help="Most pixels that a picture may have. [default: 300000000]",
        ),
    ] = None,
) -> None:
    if max_pixels:
        os.environ["A2U_MAX_PIXELS"] = str(max_pixels)


@app.command()
def matte(
    image: Annotated[str, typer.Argument(help="The picture, or - for stdin.", show_default=False)],
    *,
    trimap: Annotated[
        str | None,
        typer.Option(
            "--trimap",
            "-t",
            help="Black background, white foreground, grey unknown; - for stdin.",
            show_default=False,
        ),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="A mask or a rough alpha to make the trimap from.")
    ] = None,
    band: cli_trimap.Band = cli_trimap.BAND,
    inside: cli_trimap.Inside = None,
    outside: cli_trimap.Outside = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Alpha matte, .png or .tif, or - for stdout. [default: IMAGE_alpha.png]",
        ),
    ] = None,
    cutout: Annotated[
        Path | None,
        typer.Option(help="Also write the cut-out: straight RGBA with foreground colours."),
    ] = None,
    depth: Annotated[int, typer.Option(help="Bits a channel: 8 or 16.")] = 8,
    weights: Weights = registry.DEFAULT,
    device: Device = "auto",
    dtype: Annotated[
        str,
        typer.Option(
            help="auto (bfloat16 for 8 bits where it is fast), float32, bfloat16, float16."
        ),
    ] = "auto",
    max_memory: Annotated[
        str | None,
        typer.Option(help="Bound on memory, as 2GB or 800MB. [default: most of what is free]"),
    ] = None,
    quality: cli_batch.Quality = "standard",
    strict: Strict = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Estimate the alpha matte of one picture.

    Example: a2u matte photo.jpg --trimap trimap.png --cutout cutout.png
    """
    alpha_path = _output_path(image, output)
    outputs = [path for path in (alpha_path, cutout) if path]
    hint = trimap or (str(mask) if mask else None)
    if hint is None or (trimap and mask):
        raise TrimapError("give what is known of the picture: either --trimap, or --mask")
    _require_places(outputs, [image, hint], cutout=cutout, depth=depth, force=force)
    made = None
    if mask:
        made = cli_trimap.from_mask(mask, band=band, inside=inside, outside=outside)
    picture, parsed, report = _read_pair(image, hint, strict=strict, parsed=made)

    from . import images, inference
    from .planning import parse_bytes
    from .weights import load_model

    chosen = inference.pick_device(device)
    precision = inference.pick_dtype(dtype, device=chosen, depth=depth)
    how = inference.require_quality(quality)
    precision_name = str(precision).removeprefix("torch.")
    bound = parse_bytes(max_memory)
    plan = inference.plan_memory(picture.size, device=chosen, dtype=precision, max_memory=bound)
    network = load_model(weights, device=chosen)
    _say(f"memory: {plan}")
    _say(f"device: {inference.describe_device(chosen)}, {precision_name}")
    start = time.perf_counter()
    alpha = inference.matte(
        network, picture.image, parsed, dtype=precision, max_memory=bound, quality=how
    )
    seconds = round(time.perf_counter() - start, 3)
    metadata: dict[str, Any] = {"depth": depth, "icc": picture.icc, "exif": picture.exif}
    if cutout:
        from .foreground import cut_out

        images.write_image(cutout, cut_out(picture.image, alpha), **metadata)
    if alpha_path:
        images.write_image(alpha_path, alpha, **metadata)
    else:
        sys.stdout.buffer.write(images.encode_image(alpha, "png", **metadata))
    if as_json:
        report |= {
            "weights": weights,
            "device": str(chosen),
            "dtype": precision_name,
            "quality": quality,
        }
        report |= {"outputs": [str(path) for path in outputs], "seconds": seconds}
        typer.echo(json.dumps(report), err=alpha_path is None)
    else:
        for path in outputs:
            typer.echo(str(path), err=alpha_path is None)


def _require_places(
    outputs: list[Path], inputs: list[str], *, cutout: Path | None, depth: int, force: bool
) -> None:
    """Refuse outputs that cannot be written before any work is done."""
    from . import images

    taken = [Path(name) for name in inputs if name != "-"]
    for path in outputs:
        images.output_format(path, channels=4 if path == cutout else 1, depth=depth)
        images.require_free(path, taken, force=force)
        taken.append(path)


def _read_pair(
    image: str, trimap: str, *, strict: bool, parsed: Any = None
) -> tuple[Any, Any, dict[str, Any]]:
    """Read a picture and its trimap, if not `parsed` yet, and say how the trimap was understood."""
    from . import images
    from . import trimap as trimaps

    if image == trimap == "-":
        raise ImageError("both the image and the trimap are -; stdin holds one, give a file")
    names = _name(image), _name(trimap)
    picture = images.read_image(_source(image), name=names[0])
    if parsed is None:
        grey = images.read_grey(_source(trimap), name=names[1])
        parsed = trimaps.parse_trimap(grey, strict=strict, name=names[1])
    warnings = trimaps.check_pair(
        picture.size, parsed, names=names, image_orientation=picture.orientation
    )
    shares = trimaps.describe(parsed)
    _say(f"trimap: {shares}")
    for warning in warnings:
        _say(f"warning: {warning}")
    height, width = picture.size
    report = {"image": image, "trimap": trimap, "height": height, "width": width}
    return picture, parsed, report | dataclasses.asdict(shares) | {"warnings": warnings}


@app.command()
def explain(
    image: Annotated[str, typer.Argument(help="The picture.", show_default=False)],
    *,
    trimap: Annotated[str, typer.Option("--trimap", "-t", help="Its trimap.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="[default: IMAGE_explained.png]")
    ] = None,
    weights: Weights = registry.DEFAULT,
    device: Device = "auto",
    strict: Strict = False,
    force: Force = False,
) -> None:
    """Show the operator at work: its affinity planes and kernels over the picture, on one page.

    Example: a2u explain photo.jpg --trimap trimap.png
    """
    path = output or Path(image).parent / f"{Path(image).stem}_explained.png"
    from . import images

    images.output_format(path, channels=3, depth=8)
    images.require_free(path, [Path(image), Path(trimap)], force=force)
    picture, parsed, _ = _read_pair(image, trimap, strict=strict)
    from . import explain as explaining
    from . import inference
    from .weights import load_model

    small, known = explaining.shrink(picture.image, parsed)
    network = load_model(weights, device=inference.pick_device(device))
    alpha = inference.matte(network, small, known)
    page = explaining.page(small, known, alpha, explaining.look(network, small, known))
    images.write_image(path, page)
    typer.echo(str(path))


@app.command()
def doctor(*, as_json: AsJson = False) -> None:
    """Show versions, devices, weights and folders: what to send with a bug report.

    Example: a2u doctor
    """
    from .doctor import examine

    facts = examine()
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        typer.echo(f"{name:<22} {value}")


@app.command()
def train(
    folder: Annotated[Path, typer.Argument(help="The run: curve, checkpoint, previews, weights.")],
    *,
    foregrounds: Annotated[
        Path | None,
        typer.Option(help="Foregrounds beside the rendered: RGBA, or x.png with x_alpha.png."),
    ] = None,
    backgrounds: Annotated[
        Path | None, typer.Option(help="A folder of photographs beside the rendered ones.")
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(help="Foregrounds for validation only. [default: those trained on]"),
    ] = None,
    picture_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of foregrounds taken from the folder.")
    ] = 0.15,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 2000,
    batch: Annotated[int, typer.Option(min=2, help="Crops a step at the first size.")] = 16,
    size: Annotated[
        list[int] | None, typer.Option(help="Crop size in pixels; repeat to let it grow.")
    ] = None,
    grow_at: Annotated[
        list[float] | None,
        typer.Option(help="Share of training at which the next size begins. [default: evenly]"),
    ] = None,
    learning_rate: Annotated[float, typer.Option(min=0.0, help="The highest rate.")] = 3e-3,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    save_every: Annotated[
        int, typer.Option(min=1, help="Steps between checkpoints, each with a validation.")
    ] = 50,
    weights: Annotated[
        str | None, typer.Option(help="Weights to start from; none for a new network.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Licence to write into the weights.")] = "unstated",
    device: Device = "auto",
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="Convolve in bfloat16.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes that make samples.")] = 1,
) -> None:
    """Train weights; a folder that holds a checkpoint is continued where it stopped.

    Example: a2u train runs/first --backgrounds photos/ --steps 2000
    """
    from contextlib import nullcontext

    from . import distributed, inference
    from .dataset import SampleSource
    from .files import locked
    from .training import CURVE, Trainer, TrainOptions, export, start_network

    chosen = distributed.join(inference.pick_device(device))
    first = distributed.rank() == 0
    options = TrainOptions(
        steps=steps,
        batch=batch,
        sizes=tuple(size or TrainOptions.sizes),
        growth=tuple(grow_at) if grow_at else None,
        learning_rate=learning_rate,
        span=(1.0, 1.0) if weights else (0.0, 1.0),  # trained weights need no easy start
        seed=seed,
        save_every=save_every,
        bfloat16=bfloat16,
    )
    source = SampleSource(
        seed=seed, foregrounds=foregrounds, backgrounds=backgrounds, picture_share=picture_share
    )
    judge = None
    if held_out:
        judge = SampleSource(
            seed=seed, foregrounds=held_out, backgrounds=backgrounds, picture_share=1.0
        )

    def report(line: Any) -> None:
        if line.validation is not None:
            _say(
                f"step {line.step}: loss {line.loss:.4f}, {line.seconds:.1f} s a step, "
                f"{line.validation}"
            )

    with locked(folder, CURVE) if first else nullcontext():
        network = start_network(weights, seed=seed)
        trainer = Trainer(
            network, source, options, folder, device=chosen, workers=workers, held_out=judge
        )
        if first:
            others = f", {n} processes" if (n := distributed.processes()) > 1 else ""
            where = f"{inference.describe_device(chosen)}{others}"
            _say(f"device: {where}; from step {trainer.step} to {steps}")
        trainer.run(report)
        if first:
            typer.echo(str(export(trainer, licence=licence)))
    distributed.leave()


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _name(argument: str) -> str:
    return "stdin" if argument == "-" else argument


def _source(argument: str) -> Path | bytes:
    return sys.stdin.buffer.read() if argument == "-" else Path(argument)


def _output_path(image: str, output: str | None) -> Path | None:
    """Choose the matte's path: beside the image unless told; None is stdout."""
    if output == "-" or (output is None and image == "-"):
        return None
    if output is not None:
        return Path(output)
    return Path(image).parent / f"{Path(image).stem}_alpha.png"
