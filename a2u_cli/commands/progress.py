"""What the commands that take a folder share: progress, and pictures that fail alone."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .terminal import plain, say

if TYPE_CHECKING:
    from ..pairing import Pair

Advance = Callable[[str, str], None]  # told a picture's name and what became of it


def for_each(
    pairs: Iterable["Pair"], action: Callable[["Pair"], None], *, unpaired: Iterable[Path] = ()
) -> None:
    """Act on pair after pair, and name what failed at the end.

    `unpaired` are pictures that could not be acted on. Exits with 1 if there is any, or a failure.
    """
    from ..jobs.folder import reason

    pairs, failures = tuple(pairs), [f"{path}: no matte" for path in unpaired]
    done = 0
    with progress(len(pairs)) as advance:
        for pair in pairs:
            try:
                action(pair)
                done += 1
                advance(pair.name, "done")
            except Exception as error:  # of one picture: the others go on
                failures.append(f"{pair.name}: {reason(error)}")
                advance(pair.name, "failed")
    for failure in failures:
        say(f"failed: {failure}")
    say(f"{done} done, {len(failures)} failed")
    if failures:
        raise typer.Exit(1)


@contextmanager
def progress(total: int, *, lines: bool = True) -> Iterator[Advance]:
    """Show a bar with rate and time left where stderr is a terminal, elsewhere plain `lines`."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    begin, count = time.monotonic(), 0

    def rate() -> float:
        nonlocal count
        count += 1
        return count / max(1e-9, time.monotonic() - begin)

    def line(name: str, state: str) -> None:
        speed = rate()
        text = f"({speed:.2f}/s, {(total - count) / speed:.0f} s left)"
        say(f"{count}/{total} {state} {name} {text}")

    if not console.is_terminal:
        yield line if lines else lambda _name, _state: None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    text = TextColumn("{task.description}", markup=False)
    with Progress(*columns, text, console=console, transient=not lines) as bar:
        task = bar.add_task("", total=total)
        yield lambda name, _state: bar.update(
            task, advance=1, description=f"{rate():.2f}/s {plain(name)}"
        )
