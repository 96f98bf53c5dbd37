"""`a2u train`: train weights, or go on where a run stopped."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Device, refuse_idle
from .terminal import say, show_path

if TYPE_CHECKING:
    from ..training.trainer import StepReport

PICTURE_SHARE = 0.15


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
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help=f"Share of samples with one of --foregrounds. [default: {PICTURE_SHARE}]",
        ),
    ] = None,
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

    from ..images.files import locked
    from ..matting.devices import describe_device, pick_device
    from ..training import distributed, memory
    from ..training.data.samples import SampleSource
    from ..training.options import TrainOptions
    from ..training.trainer import CURVE, Trainer, export, start_network

    if foregrounds is None:
        refuse_idle("it is the share of --foregrounds", picture_share=picture_share)
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
    memory.keep_memory()
    place = distributed.join(pick_device(device))
    first = distributed.rank() == 0

    def draw_from(foregrounds: Path | None, share: float) -> SampleSource:
        return SampleSource(
            seed=seed, foregrounds=foregrounds, backgrounds=backgrounds, picture_share=share
        )

    source = draw_from(foregrounds, PICTURE_SHARE if picture_share is None else picture_share)
    judge = draw_from(held_out, 1.0) if held_out else None
    with locked(folder, CURVE) if first else nullcontext():
        network = start_network(weights, seed=seed)
        trainer = Trainer(
            network, source, options, folder, device=place, workers=workers, held_out=judge
        )
        if first:
            others = f", {n} processes" if (n := distributed.processes()) > 1 else ""
            say(f"device: {describe_device(place)}{others}; from step {trainer.step} to {steps}")
        trainer.run(_report)
        if first:
            show_path(export(trainer, licence=licence))
    distributed.leave()


def _report(step: "StepReport") -> None:
    """Say how training goes, at every validation."""
    if step.validation is not None:
        say(
            f"step {step.step}: loss {step.loss:.4f}, {step.seconds:.1f} s a step, "
            f"{step.validation}"
        )
