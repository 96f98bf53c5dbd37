"""What the commands that take a folder share: progress, and pictures that fail alone."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .terminal import plain, say, say_list, show_path, telling_once

if TYPE_CHECKING:
    from ..images.listing import LeftOut
    from ..jobs.journal import Outcome
    from ..pairing import Pair, Pairs

PATIENCE = 2.0  # seconds before it is shown what one picture is at
Advance = Callable[[str, str], None]  # told a picture's name and what became of it


@dataclass(frozen=True)
class Filling:
    """A folder that gets a result of each picture, and what shapes the results."""

    folder: Path
    shaping: tuple[object, ...]
    force: bool
    no_lock: bool
    suffix: str = ".png"


@dataclass(frozen=True)
class Rest:
    """What is not matted: pictures without a trimap, files that are none, rows that failed."""

    unpaired: tuple[Path, ...] = ()
    left_out: "LeftOut" = ()
    failed: "tuple[Outcome, ...]" = ()  # of a manifest's rows

    def say(self) -> None:
        """Name them."""
        for row in self.failed:
            say(f"failed: {row.name}: {row.reason}")
        say_list([f"no trimap or mask: {path}" for path in self.unpaired])
        say_left_out(self.left_out)

    @property
    def counts(self) -> str:
        """Count them."""
        more = f", {len(self.left_out)} left out" if self.left_out else ""
        return f"{len(self.unpaired)} without a trimap{more}"

    @property
    def facts(self) -> list[dict[str, str]]:
        """Give them as a run gives its outcomes."""
        alone = [(path, "unpaired", "no trimap or mask") for path in self.unpaired]
        every = (*alone, *((path, "left out", why) for path, why in self.left_out))
        rows = [(row.name, row.state, row.reason) for row in self.failed]
        return [
            {"name": str(name), "state": state, "reason": why}
            for name, state, why in (*rows, *every)
        ]


def make_each(
    pairs: "Pairs",
    filling: Filling,
    make: Callable[["Pair", Path], bytes],
    *,
    reads: Callable[["Pair"], Iterable[Path]],
    others: Iterable[Path] = (),
) -> None:
    """Make a file of each picture in a folder; a journal there holds what is done, as of a batch.

    `make` gives the bytes of a file that will have this path, from the files that `reads` names;
    `others` are files, too, that no result may replace. Exits with 1 if one could not be made.
    """
    from ..images.files import locked
    from ..jobs.journal import JOURNAL, Journal, Outcome
    from ..jobs.places import Places, hash_file, make_recipe, require_no_input

    say_sources(pairs.found, "matte")

    def place(pair: "Pair") -> Path:
        return filling.folder / f"{pair.name}{filling.suffix}"

    inputs = (*pairs.files, *others)
    require_no_input(map(place, pairs.found), inputs)
    with locked(filling.folder, JOURNAL, lock=not filling.no_lock):
        places = Places(Journal(filling.folder), inputs, force=filling.force)

        def make_one(pair: "Pair") -> str:
            path = place(pair)
            recipe = make_recipe(map(hash_file, reads(pair)), filling.shaping)
            if not places.missing({path: recipe}):
                return "skipped"
            places.write(Outcome(pair.name, "done"), [(path, recipe, make(pair, path))])
            show_path(path)
            return "done"

        for_each(pairs.found, make_one, unpaired=pairs.unpaired, left_out=pairs.left_out)


def for_each(
    pairs: Iterable["Pair"],
    action: Callable[["Pair"], str | None],
    *,
    unpaired: Sequence[Path] = (),
    left_out: Sequence[tuple[Path, str]] = (),
) -> None:
    """Act on pair after pair, and name what failed at the end.

    An action may say what became of its pair; `unpaired` are pictures that could not be acted on,
    `left_out` files with the reason why they were taken for none. Exits with 1 if there is any, or
    a failure.
    """
    from ..jobs.folder import reason
    from ..jobs.journal import JournalError

    pairs, failures, alone = tuple(pairs), [], [f"failed: {path}: no matte" for path in unpaired]
    tally: Counter[str] = Counter()
    with progress(len(pairs)) as advance:
        for pair in pairs:
            try:
                state = action(pair) or "done"
                tally[state] += 1
                advance(pair.name, state)
            except JournalError:
                raise
            except Exception as error:  # of one picture: the others go on
                failures.append(f"{pair.name}: {reason(error)}")
                advance(pair.name, "failed")
    for failure in failures:
        say(f"failed: {failure}")
    say_list(alone)
    say_left_out(left_out)
    skipped = f"{tally['skipped']} skipped, " if tally["skipped"] else ""
    rest = f", {len(left_out)} left out" if left_out else ""
    say(f"{tally['done']} done, {skipped}{len(failures) + len(alone)} failed{rest}")
    if failures or alone or left_out:
        raise typer.Exit(1)


def count_sources(pairs: Iterable["Pair"], what: str = "trimap") -> dict[str, int]:
    """Count pairs by where what belongs to the pictures was found, in words; masks are masks.

    A picture that stands for itself has no such place.
    """
    return Counter(
        f"{'mask' if pair.is_mask else what}s {pair.source}" for pair in pairs if pair.source
    )


def say_sources(pairs: Iterable["Pair"], what: str = "trimap") -> None:
    """Say where what belongs to the pictures was found, a line a place."""
    counts = count_sources(pairs, what)
    say_list([f"{source}: {count}" for source, count in counts.items()])


def say_left_out(left_out: Iterable[tuple[Path, str]]) -> None:
    """Name files that are taken for no pictures, and why."""
    say_list([f"left out: {path}: {why}" for path, why in left_out])


@contextmanager
def progress(total: int, *, lines: bool = True) -> Iterator[Advance]:
    """Show a bar with rate and time left where stderr is a terminal, elsewhere plain `lines`.

    What would be told of file after file is told once, at the end.
    """
    from ..images.writing import BEYOND

    clipped = "in {} results light beyond what sRGB holds is clipped; --for nuke, or .exr, keeps it"
    with telling_once(BEYOND, clipped), _showing(total, lines=lines) as advance:
        yield advance


@contextmanager
def _showing(total: int, *, lines: bool) -> Iterator[Advance]:
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


@contextmanager
def watching() -> Iterator[Callable[[str, float], object] | None]:
    """Show what one picture's matting is at, and about how long it goes on, where it takes long.

    Gives what is told of each step and of the share that is done by then, None where stderr is no
    terminal: there nothing is shown.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    left = TextColumn("{task.fields[left]}", markup=False)
    bar = Progress(*columns, left, console=console, transient=True)
    task, begin = bar.add_task("", total=None, left=""), time.monotonic()

    def tell(step: str, done: float) -> None:
        elapsed = time.monotonic() - begin
        more = f"about {elapsed * (1 - done) / done:.0f} s left" if done else ""
        bar.update(task, description=step, left=more)

    late = threading.Timer(PATIENCE, bar.start)
    late.start()
    try:
        yield tell
    finally:
        late.cancel()
        late.join()  # else it might begin when all is done
        bar.stop()
