"""`a2u render`: foregrounds with exact alpha, rendered from seeds, to train or to test on."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from ..errors import A2UError
from .options import NoLock, choose, refuse_idle
from .terminal import say, show_path

if TYPE_CHECKING:
    from ..rendering.sets import Order

SIZE = 768
LEAST_SIZE, MOST_SIZE = 32, 4096


def render(
    folder: Annotated[Path, typer.Argument(help="Where the pictures and their journal go.")],
    *,
    count: Annotated[int, typer.Option(min=1, help="Pictures, of all kinds together.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="The first seed of each kind.")] = 0,
    kinds: Annotated[
        str | None, typer.Option(help="Of hair,fur,plants,nets,... [default: all, in turn]")
    ] = None,
    size: Annotated[
        int, typer.Option(min=LEAST_SIZE, max=MOST_SIZE, help="Pixels to a side.")
    ] = SIZE,
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
        Path | None, typer.Option(help="A folder of pictures for --composites.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that render.")] = 1,
    no_lock: NoLock = False,
) -> None:
    """Render foregrounds with exact alpha from seeds; run again to go on.

    Example: a2u render foregrounds/ --count 40 --kinds hair,fur,plants
    """
    from ..images.files import locked
    from ..rendering.sets import JOURNAL, render_set

    orders = _order(count, seed, kinds, size, format, composites, backgrounds)
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
        if backgrounds is None or not backgrounds.is_dir():
            found = f"{backgrounds} is no folder" if backgrounds else "there is none"
            raise A2UError(f"--composites needs --backgrounds, a folder of pictures; {found}")
    else:
        refuse_idle("it is what --composites are laid over", backgrounds=backgrounds)
    behind = str(backgrounds) if composites else None
    kind: Format = choose("format", format, get_args(Format))
    words = [word.strip() for word in kinds.split(",")] if kinds else list(KINDS)
    chosen = [choose("kind", word, list(KINDS)) for word in words]
    return plan_set(count, seed, kinds=chosen, size=size, format=kind, backgrounds=behind)
