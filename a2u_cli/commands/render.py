"""`a2u render`: foregrounds with exact alpha, rendered from seeds, to train or to test on."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from ..errors import A2UError
from .options import NoLock, checking, choose, refuse_idle
from .terminal import say, show_path

if TYPE_CHECKING:
    from ..rendering.clips import Frame
    from ..rendering.sets import Order, Ordered

COUNT, SIZE = 8, 768
FRAMES, CLIP_SIZE = 24, 320
LEAST_SIZE, MOST_SIZE = 32, 4096


def _require_noise(text: str) -> None:
    from ..rendering.clips import parse_noise

    parse_noise(text)


def render(
    folder: Annotated[Path, typer.Argument(help="Where the pictures and their journal go.")],
    *,
    count: Annotated[
        int | None,
        typer.Option(min=1, help=f"Pictures, of all kinds together. [default: {COUNT}]"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The first seed of each kind.")] = 0,
    kinds: Annotated[
        str | None, typer.Option(help="Of hair,fur,plants,nets,... [default: all, in turn]")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            min=LEAST_SIZE,
            max=MOST_SIZE,
            help=f"Pixels to a side. [default: {SIZE}, of clips {CLIP_SIZE}]",
        ),
    ] = None,
    format: Annotated[  # the option's name
        str | None, typer.Option(help="webp or png, both with alpha. [default: webp]")
    ] = None,
    composites: Annotated[
        bool,
        typer.Option(
            "--composites", help="Lay them over pictures: fg, alpha, bg, merged, trimaps."
        ),
    ] = False,
    backgrounds: Annotated[
        Path | None, typer.Option(help="A folder of pictures for --composites or --clips.")
    ] = None,
    clips: Annotated[
        int | None,
        typer.Option(min=1, help="Clips in place of pictures: hair, plants, still, cut, nets."),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, max=8999, help=f"Frames a clip. [default: {FRAMES}]")
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option(
            help="A clip's noise of reading and of light at white, of 255. [default: 1.5,3]",
            callback=checking(_require_noise),
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that render.")] = 1,
    no_lock: NoLock = False,
) -> None:
    """Render foregrounds, or clips, with exact alpha from seeds; run again to go on.

    Example: a2u render foregrounds/ --count 40 --kinds hair,fur,plants
    """
    from ..images.files import locked
    from ..rendering.sets import JOURNAL, render_set

    orders: Sequence[Ordered]
    if clips is None:
        refuse_idle("it is of --clips", frames=frames, noise=noise)
        number, side = count or COUNT, size or SIZE
        orders = _order(number, seed, kinds, side, format, composites, backgrounds)
    else:
        why = "clips have kinds, files and a count of their own"
        refuse_idle(why, count=count, kinds=kinds, format=format, composites=composites)
        number, side = frames or FRAMES, size or CLIP_SIZE
        orders = _order_clips(folder, clips, number, seed, side, noise, backgrounds)
    failures = []
    with locked(folder, JOURNAL, whole=True, lock=not no_lock):
        from .progress import progress

        each = render_set(folder, orders, workers=workers)
        with progress(len(orders)) as advance, closing(each):
            for rendered in each:
                name = rendered.order.name
                if rendered.failure:
                    failures.append(f"{name}: {rendered.failure}")
                for path in rendered.files:
                    show_path(folder / path)
                advance(name, "failed" if rendered.failure else "done")
    for failure in failures:
        say(f"failed: {failure}")
    if failures:
        raise typer.Exit(1)


def _order(
    count: int,
    seed: int,
    kinds: str | None,
    size: int,
    format: str | None,
    composites: bool,
    backgrounds: Path | None,
) -> list["Order"]:
    """Turn the options into orders, kind after kind; raises A2UError where they do not fit."""
    from ..rendering.scenes import KINDS
    from ..rendering.sets import Format, plan_set

    if composites:
        refuse_idle("composites are PNG files", format=format)
        _require_folder("--composites", backgrounds)
    else:
        refuse_idle("it is what --composites are laid over", backgrounds=backgrounds)
    behind = str(backgrounds) if composites else None
    kind: Format = choose("format", format, get_args(Format))
    words = [word.strip() for word in kinds.split(",")] if kinds else list(KINDS)
    chosen = [choose("kind", word, list(KINDS)) for word in words]
    return plan_set(count, seed, kinds=chosen, size=size, format=kind, backgrounds=behind)


def _order_clips(
    folder: Path,
    clips: int,
    frames: int,
    seed: int,
    size: int,
    noise: str | None,
    backgrounds: Path | None,
) -> list["Frame"]:
    """Turn the options into frames, clip after clip; raises A2UError where they do not fit."""
    from ..rendering.clips import NOISE, parse_noise, plan_clips, require_alike

    if backgrounds is not None:
        _require_folder("--clips", backgrounds)
    levels = parse_noise(noise) if noise is not None else NOISE
    behind = None if backgrounds is None else str(backgrounds)
    planned = plan_clips(clips, frames, seed, size=size, noise=levels, backgrounds=behind)
    require_alike(folder, planned)
    return planned


def _require_folder(option: str, backgrounds: Path | None) -> None:
    """Refuse backgrounds that are no folder of pictures; raises A2UError."""
    from ..backgrounds import choose_background

    if backgrounds is None or not backgrounds.is_dir():
        found = f"{backgrounds} is no folder" if backgrounds else "there is none"
        raise A2UError(f"{option} needs --backgrounds, a folder of pictures; {found}")
    choose_background(str(backgrounds), "")
