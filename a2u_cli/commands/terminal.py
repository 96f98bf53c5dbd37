"""What people and programs are shown, in one place: nothing from outside commands a terminal.

Names of files, headers of weights, words of other libraries may hold anything. On a terminal, and
in messages wherever they go, what could be obeyed or hidden is written as its escape. JSON escapes
by itself. Only a result's path in a pipe stays as it is: a script must be able to open it.
"""

import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

# Unicode's controls (ESC), formats (turns of direction), bytes that are no text, ends of lines.
ESCAPED = ("Cc", "Cf", "Cs", "Zl", "Zp")
MOST_LINES = 10
UNBROKEN = 10_000  # columns of a table that nobody looks at
JOINERS = "\u200c\u200d"  # formats that Persian names and emoji need


def plain(text: object) -> str:
    """Write what a terminal would obey or hide as its escape: ESC as \\x1b, a new line as \\n."""
    text = str(text)
    if text.isprintable():
        return text
    import unicodedata  # late: most texts need none

    return "".join(
        char.encode("unicode_escape").decode()
        if unicodedata.category(char) in ESCAPED and char not in JOINERS
        else char
        for char in text
    )


def say(text: object) -> None:
    """Print a line of progress, or a message, on stderr."""
    _echo(plain(text), err=True)


class Told(logging.Handler):
    """Print what the library's log tells of files as warnings on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line."""
        say(f"{record.levelname.lower()}: {record.getMessage()}")


@contextmanager
def telling_once(words: str, total: str) -> Iterator[None]:
    """Keep back the warnings with these words, and say at the end how many of them there were.

    A run may have one for each of its files. `total` is the line, with {} where their number goes.
    """
    found: list[str] = []

    def count(record: logging.LogRecord) -> bool:
        if words not in (text := record.getMessage()):
            return True
        found.append(text)
        return False

    handlers = logging.getLogger("a2u_cli").handlers
    for handler in handlers:
        handler.addFilter(count)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(count)
        if found:
            say(f"warning: {total.format(len(found))}")


def say_list(lines: Sequence[str]) -> None:
    """Print lines on stderr: all of a few, of many the first ten and how many more there are."""
    for line in _few(lines):
        say(line)


def show_list(lines: Sequence[str]) -> None:
    """Print lines on stdout, as `say_list` does."""
    for line in _few(lines):
        show(line)


def _few(lines: Sequence[str]) -> list[str]:
    more = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], *([f"... and {more} more"] if more > 0 else [])]


def show(text: object) -> None:
    """Print a line of a result on stdout."""
    _echo(plain(text))


def show_path(path: Path) -> None:
    """Print a result's path on stdout: plain on a terminal, byte by byte where a script reads."""
    show_exact(str(path))


def show_exact(text: str) -> None:
    """Print a line with names of files on stdout: byte by byte where no terminal is."""
    if sys.stdout is None or sys.stdout.isatty():
        _echo(plain(text))
    else:
        typer.echo(os.fsencode(text))


def show_text(text: str) -> None:
    """Print lines of a result on stdout, each plain on its own."""
    for line in text.rstrip("\n").split("\n"):
        show(line)


def show_json(facts: Any, *, indent: int | None = None, err: bool = False) -> None:
    """Print facts for machines on stdout, or on stderr where that is taken."""
    text = json.dumps(facts, indent=indent).replace("\x7f", "\\u007f")  # the control it leaves
    _echo(text, err=err)


def show_table(titles: Sequence[str], rows: Iterable[Sequence[str]], total: Sequence[str]) -> None:
    """Print a table on stdout: names on the left, numbers on the right, a last row set apart."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*titles)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    table.add_section()
    table.add_row(*(Text(plain(cell)) for cell in total))
    table.columns[0].overflow = "fold"  # a name is never cut short: in a pipe, not broken either
    screen = sys.stdout is not None and sys.stdout.isatty()
    console = Console(soft_wrap=True, width=None if screen else UNBROKEN)
    with console.capture() as captured:
        console.print(table)
    _echo(captured.get(), end="")


def _echo(text: str, *, err: bool = False, end: str = "\n") -> None:
    """Print a text in the stream's encoding, with escapes for what that lacks."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    shown = text.encode(encoding, "backslashreplace").decode(encoding)
    typer.echo(shown + end, err=err, nl=False)


def confirm(question: str) -> bool:
    """Ask on stderr, where somebody can answer; elsewhere the answer is no."""
    return sys.stdin.isatty() and typer.confirm(plain(question), err=True)
