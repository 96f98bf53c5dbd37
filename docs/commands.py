"""Write docs/commands.md from the commands' own help: python docs/commands.py."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from a2u_cli.cli import app

PAGE = Path(__file__).with_name("commands.md")
WIDE: dict[str, Any] = {"terminal_width": 100, "max_content_width": 100}
HEAD = """# Commands

What `--help` says, a section a command; `python docs/commands.py` writes this page.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | some picture failed |
| 2 | misuse: the last line says what was found, what was expected, what to do |
| 3 | weights are missing or bad |
| 4 | out of memory |
| 5 | a `--fail-if` condition held, or `--fail-above` |
| 130 | interrupted (Ctrl-C); 143: terminated (SIGTERM) |

Results go to stdout, progress and messages to stderr. What comes from outside, such as the names of
files, is escaped wherever it is shown; only a result's path in a pipe is given byte by byte.
"""


def page() -> str:
    """Lay out the help of every command as a page."""
    root = typer.main.get_command(app).make_context("a2u", [], resilient_parsing=True, **WIDE)
    return "\n".join((HEAD, *_sections(root)))


def _sections(context: Any) -> Iterator[str]:
    """Give the help of a command, and of those below it."""
    lines = [line.rstrip() for line in context.get_help().splitlines()]
    yield f"## {context.command_path}\n\n```text\n" + "\n".join(lines) + "\n```\n"
    for name, command in getattr(context.command, "commands", {}).items():
        yield from _sections(
            command.make_context(name, [], parent=context, resilient_parsing=True, **WIDE)
        )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
