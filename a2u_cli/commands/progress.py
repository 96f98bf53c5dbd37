"""What the commands that take a folder share: progress, and pictures that fail alone."""

import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer


def each(
    pairs: Iterable[Any], work: Callable[[Any], object], *, unpaired: Iterable[Path] = ()
) -> None:
    """Do the work for every pair, print what it gives, and name what failed at the end.

    `unpaired` are pictures that could not be worked on. Exits with 1 if there is any, or a failure.
    """
    from ..jobs.folder import reason
    from ..jobs.journal import Outcome

    pairs, failures = tuple(pairs), [f"{path}: no matte" for path in unpaired]
    done = 0
    with progress(len(pairs)) as tell:
        for pair in pairs:
            start = time.monotonic()
            try:
                typer.echo(str(work(pair)))
                outcome = Outcome(pair.name, "done", seconds=time.monotonic() - start)
                done += 1
            except Exception as error:  # of one picture: the others go on
                outcome = Outcome(pair.name, "failed", reason(error))
                failures.append(f"{pair.name}: {outcome.reason}")
            tell(outcome)
    for failure in failures:
        typer.echo(f"failed: {failure}", err=True)
    typer.echo(f"{done} done, {len(failures)} failed", err=True)
    if failures:
        raise typer.Exit(1)


@contextmanager
def progress(total: int) -> Any:
    """Show a bar with rate and time left where stderr is a terminal, plain lines elsewhere."""
    from rich.console import Console
    from rich.markup import escape
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

    def line(outcome: Any) -> None:
        speed = rate()
        text = f"({speed:.2f}/s, {(total - count) / speed:.0f} s left)"
        typer.echo(f"{count}/{total} {outcome.state} {outcome.name} {text}", err=True)

    if not console.is_terminal:
        yield line
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=console) as bar:
        task = bar.add_task("", total=total)
        yield lambda outcome: bar.update(
            task, advance=1, description=f"{rate():.2f}/s {escape(outcome.name)}"
        )
