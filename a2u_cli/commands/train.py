"""`a2u train`: train weights, or go on where a run stopped."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Device, NoLock, refuse_idle
from .terminal import say, show_path

if TYPE_CHECKING:
    from ..training.trainer import StepReport

PICTURE_SHARE = 0.15
RENDER_SHARE = 0.5, 0.5


def train(
    folder: Annotated[Path, typer.Argument(help="The run: curve, checkpoint, previews, weights.")],
    *,
    foregrounds: Annotated[
        Path | None,
        typer.Option(help="Foregrounds beside the drawn: RGBA, or x.png with x_alpha.png."),
    ] = None,
    backgrounds: Annotated[
        Path | None, typer.Option(help="A folder of photographs beside the drawn ones.")
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(help="Foregrounds for validation only. [default: those trained on]"),
    ] = None,
    picture_share: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help=f"Share of samples with one of --foregrounds. [default: {PICTURE_SHARE}]",
        ),
    ] = None,
    renders: Annotated[
        Path | None, typer.Option(help="Foregrounds of a2u render, in three dimensions.")
    ] = None,
    render_count: Annotated[
        int | None,
        typer.Option(
            min=1, help="So many of them; what is missing is rendered. [default: those there]"
        ),
    ] = None,
    render_share: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="Share of samples with one of them, at first and at last. "
            f"[default: {RENDER_SHARE[0]} {RENDER_SHARE[1]}]"
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimiser steps. [default: 2000]")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="As many steps as so many minutes take.")
    ] = None,
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
    frozen_norms: Annotated[
        bool | None,
        typer.Option(
            "--frozen-norms/--moving-norms",
            help="Keep the batch norms' statistics. [default: with --weights]",
        ),
    ] = None,
    operator: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How the network halves and doubles: a2u, bilinear, carafe, indexnet ... "
            "[default: a2u, or as --weights]",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            metavar="FORM",
            help="Of a2u: dynamic, hybrid or static, with -shared or -wise. "
            "[default: dynamic-shared]",
        ),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            help="Licence to write into the weights. [default: the run's so far, or unstated]"
        ),
    ] = None,
    device: Device = "auto",
    bfloat16: Annotated[bool, typer.Option("--bfloat16", help="Convolve in bfloat16.")] = False,
    no_lock: NoLock = False,
) -> None:
    """Train weights; a folder that holds a checkpoint is continued where it stopped.

    Example: a2u train runs/first --backgrounds photos/ --steps 2000
    """
    from contextlib import nullcontext
    from functools import partial

    from ..images.files import locked
    from ..matting.devices import describe_device, pick_device
    from ..operators.comparison import name_operator
    from ..training import distributed, memory
    from ..training.data.building import build_engine
    from ..training.options import TrainOptions
    from ..training.trainer import CURVE, Trainer, export, require_own, start_network
    from ..weights.cache import sha256_of
    from ..weights.header import read_header
    from ..weights.registry import locate

    if foregrounds is None:
        refuse_idle("it is the share of --foregrounds", picture_share=picture_share)
    if renders is None:
        refuse_idle("it is of --renders", render_count=render_count, render_share=render_share)
    if weights is not None:
        refuse_idle("--weights has its own operator", operator=operator, form=form)
    if minutes is not None:
        refuse_idle("--minutes says how long", steps=steps)
    options = TrainOptions(
        steps=steps or TrainOptions.steps,
        minutes=minutes,
        batch=batch,
        sizes=tuple(size or TrainOptions.sizes),
        growth=tuple(grow_at) if grow_at else None,
        learning_rate=learning_rate,
        span=(1.0, 1.0) if weights else (0.0, 1.0),  # trained weights need no easy start
        seed=seed,
        save_every=save_every,
        bfloat16=bfloat16,
        frozen_norms=weights is not None if frozen_norms is None else frozen_norms,
    )
    chosen = name_operator(operator, form)
    memory.keep_memory()
    place = distributed.join(pick_device(device))
    first = distributed.rank() == 0

    with locked(folder, CURVE, whole=True, lock=not no_lock) if first else nullcontext():
        if first:
            require_own(folder)
        build = partial(build_engine, seed=seed, backgrounds=backgrounds, device=place)
        engine = build(
            foregrounds=foregrounds,
            picture_share=PICTURE_SHARE if picture_share is None else picture_share,
            renders=renders,
            render_count=render_count,
            render_share=render_share or RENDER_SHARE,
        )
        judge = (
            build(foregrounds=held_out, picture_share=1.0, held=96, measures=True)
            if held_out
            else None
        )
        start = locate(weights) if weights else None
        quality = read_header(start).quality if start else ""
        network = start_network(str(start) if start else None, seed=seed, operator=chosen)
        trainer = Trainer(
            network,
            engine,
            options,
            folder,
            device=place,
            held_out=judge,
            start=sha256_of(start) if start else None,
            licence=licence,
        )
        if first:
            until = f"on for {minutes:g} minutes" if minutes else f"to {options.steps}"
            others = f", {n} processes" if (n := distributed.processes()) > 1 else ""
            say(f"device: {describe_device(place)}{others}; from step {trainer.step} {until}")
        trainer.run(_report)
        if first:
            show_path(export(trainer, quality=quality))
    distributed.leave()


def _report(step: "StepReport") -> None:
    """Say how training goes, at every validation, and what steps are lost."""
    if step.lost:
        say(f"step {step.step}: the gradient is not finite; nothing is learned from this step")
    if step.validation is not None:
        say(
            f"step {step.step}: loss {step.loss:.4f}, {step.seconds:.1f} s a step, "
            f"{step.validation}"
        )
