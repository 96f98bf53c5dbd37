"""`a2u batch`: matte a folder, overnight if need be, and say in the morning what became of each."""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import A2UError, Interrupted
from ..weights import registry
from ..weights.cache import sha256_of
from .progress import progress

SAMPLE = (512, 512)  # pixels that the time is estimated from
Quality = Annotated[
    str,
    typer.Option(help="standard, or best: doubtful parts settled by colour; 5 x the time."),
]


def batch(
    folder: Annotated[Path, typer.Argument(help="The pictures, also in folders below.")],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="[default: DIR/a2u_output]")
    ] = None,
    trimaps: Annotated[
        Path | None, typer.Option(help="Trimaps, by the pictures' names. [default: found by name]")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Masks to make trimaps from, where there is none.")
    ] = None,
    band: Annotated[
        str, typer.Option(help="Unknown band around a mask's edges: 12 pixels, or 1.5% (diagonal).")
    ] = "1.5%",
    save: Annotated[
        str, typer.Option(help="What to write, of alpha,cutout,foreground,composite.")
    ] = "alpha",
    background: Annotated[
        str, typer.Option(help="For composites: a colour, gradient, checker, blur, a picture.")
    ] = "white",
    fit: Annotated[
        str, typer.Option(help="How it fills: cover, contain, stretch or tile.")
    ] = "cover",
    linear: Annotated[bool, typer.Option("--linear", help="Mix light, not sRGB values.")] = False,
    colours: Annotated[
        str,
        typer.Option(help="Foreground colours by multilevel, or blur-fusion (rougher, faster)."),
    ] = "multilevel",
    depth: Annotated[int, typer.Option(help="Bits a channel: 8 or 16.")] = 8,
    weights: Annotated[
        str,
        typer.Option(envvar="A2U_WEIGHTS", help="A name, a file, or hf://owner/repo[@revision]."),
    ] = registry.DEFAULT,
    device: Annotated[
        str,
        typer.Option(envvar="A2U_DEVICE", help="auto, cpu, cuda, cuda:N or mps; never another."),
    ] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    max_memory: Annotated[str | None, typer.Option(help="Bound on memory, as 2GB.")] = None,
    quality: Quality = "standard",
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse trimap values other than 0, 128 and 255.")
    ] = False,
    shard: Annotated[
        str | None, typer.Option(help="Do part I of N, as 2/8; all parts share the output folder.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and write nothing.")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first failure.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each picture.")
    ] = False,
) -> None:
    """Matte every picture below a folder that has a trimap or a mask; run again to go on.

    Example: a2u batch photos/ -o mattes/ --save alpha,cutout
    """
    from ..images.files import locked
    from ..jobs.folder import run
    from ..jobs.folder import shard as take
    from ..jobs.journal import JOURNAL, Journal
    from ..jobs.options import Options
    from ..pairing import OUTPUT_FOLDER, find_pairs

    out = output or folder / OUTPUT_FOLDER
    part, parts = _shard(shard)
    found = find_pairs(folder, trimaps=trimaps, masks=masks, skip=out)
    pairs = take(found.found, part, parts)
    unpaired = found.unpaired if part == 1 else ()  # one part reports them
    for path in unpaired:
        typer.echo(f"no trimap or mask: {path}", err=True)
    made = sum(pair.is_mask for pair in pairs)
    text = f"{len(pairs)} pictures to matte into {out}, {len(unpaired)} without a trimap"
    typer.echo(f"{text}, {made} trimaps to make from masks", err=True)
    kinds = tuple(kind.strip() for kind in save.split(","))
    any_method: Any = colours
    options = Options(
        kinds, depth, strict, band, background, fit, linear, any_method, quality=quality
    )
    matte, options = _prepare(options, weights, device, dtype, max_memory)
    if dry_run:
        _plan(pairs, matte, options)
        return
    name = JOURNAL if parts == 1 else f"journal-{part}-of-{parts}.jsonl"
    tally: Counter[str] = Counter()
    failures = []
    try:
        with locked(out, name, sweep=name == JOURNAL), progress(len(pairs)) as tell:
            journal = Journal(out, name)
            work = run(pairs, out, matte, options, journal=journal, fail_fast=fail_fast)
            for outcome in work:
                tally[outcome.state] += 1
                tell(outcome)
                if as_json:
                    typer.echo(json.dumps(vars(outcome)))
                if outcome.state == "failed":
                    failures.append(outcome)
    except Interrupted:
        raise Interrupted(
            f"interrupted after {sum(tally.values())} of {len(pairs)} pictures; "
            "the same command goes on from there"
        ) from None
    for outcome in failures:
        typer.echo(f"failed: {outcome.name}: {outcome.reason}", err=True)
    for path in unpaired:
        typer.echo(f"failed: {path}: no trimap or mask", err=True)
    states = ", ".join(f"{tally[state]} {state}" for state in ("done", "skipped", "failed"))
    typer.echo(f"{states}, {len(unpaired)} without a trimap", err=True)
    if failures or unpaired:
        raise typer.Exit(1)


def _shard(text: str | None) -> tuple[int, int]:
    try:
        part, parts = (int(number) for number in (text or "1/1").split("/"))
    except ValueError:
        raise A2UError(f"shard {text!r} cannot be read; expected I/N, such as 2/8") from None
    return part, parts


def _prepare(
    options: Any, weights: str, device: str, dtype: str, max_memory: str | None
) -> tuple[Callable[[Any, Any], Any], Any]:
    """Load the weights once, and say what will run where."""
    import dataclasses

    import torch

    from ..matting import devices, inference
    from ..matting.planning import parse_bytes
    from ..network.folding import fold_norms
    from ..weights.format import load_model

    chosen = devices.pick_device(device)
    precision = devices.pick_dtype(dtype, device=chosen, depth=options.depth)
    bound = parse_bytes(max_memory)
    how = inference.require_quality(options.quality)
    name = str(precision).removeprefix("torch.")
    with torch.inference_mode():
        network = fold_norms(load_model(weights, device=chosen), precision)
    typer.echo(f"device: {devices.describe_device(chosen)}, {name}", err=True)
    digest = sha256_of(registry.locate(weights))

    def matte(image: Any, trimap: Any) -> Any:
        return inference.matte(
            network, image, trimap, dtype=precision, max_memory=bound, quality=how
        )

    return matte, dataclasses.replace(options, dtype=name, weights=digest)


def _plan(pairs: Any, matte: Callable[[Any, Any], Any], options: Any) -> None:
    """Show what a run would take: sizes from the files' heads, the time from a sample's."""
    import numpy as np

    from ..images.reading import picture_size
    from ..jobs.folder import unknown_share
    from ..matting.planning import make_plan

    sizes = [size for pair in pairs if (size := picture_size(pair.image))]
    sample = np.full(SAMPLE, 128, np.uint8)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        matte(np.zeros((*SAMPLE, 3), np.float32), sample)
        seconds.append(time.perf_counter() - start)
    pixels = sum(height * width for height, width in sizes)
    most = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    typer.echo(f"pictures:   {len(pairs)}, {pixels / 1e6:.1f} megapixels")
    typer.echo(f"largest:    {most[1]}x{most[0]}")
    shares = [share for pair in pairs if (share := unknown_share(pair, options)) is not None]
    if shares:
        typer.echo(f"unknown:    {sum(shares) / len(shares):.1%} on average")
    hours = min(seconds) * pixels / (SAMPLE[0] * SAMPLE[1]) / 3600
    typer.echo(f"time:       at most about {hours:.2f} hours (less where little is unknown)")
    if most[0]:
        plan = make_plan(most, budget=2**62)
        typer.echo(f"memory:     about {plan.memory / 1e9:.1f} GB for the largest, less if bounded")
