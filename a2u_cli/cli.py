"""The command `a2u`: its parts, and the one place where failures become words and exit codes."""

import io
import os
import re
import sys
from itertools import pairwise
from typing import Annotated, Any, NoReturn

import typer

from . import __version__
from .commands import (
    batch,
    check,
    composite,
    doctor,
    evaluate,
    explain,
    export,
    manifest,
    matte,
    provenance,
    render,
    sequence,
    serve,
    stopping,
    train,
    trimap,
    weights,
)
from .commands.process import prepare_process
from .commands.process import reuse_memory as reuse_memory
from .commands.terminal import say, show
from .errors import A2UError, Interrupted, in_words
from .weights import registry

MISUSE = typer.BadParameter.__mro__[2]  # Typer gives it no public name

app = typer.Typer(
    help="A2U matting: image + trimap -> alpha matte, for hair, fur, glass and smoke.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help starts in half the time
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(matte.matte)
app.command()(batch.batch)
app.command()(manifest.plan)
app.command()(check.check)
app.command()(sequence.sequence)
app.command()(serve.serve)
app.command()(composite.composite)
app.command()(composite.cutout)
app.add_typer(trimap.app, name="trimap")
app.command()(provenance.provenance)
app.command()(provenance.replay)
app.command("eval")(evaluate.evaluate)
app.command()(explain.explain)
app.add_typer(weights.app, name="weights")
app.add_typer(export.app, name="export")
app.command()(render.render)
app.command()(train.train)
app.command()(doctor.doctor)


def main() -> None:
    """Run the command line; every failure is one line on stderr and the documented exit code."""
    try:
        stopping.listen()
        prepare_process()
        _refuse_empty(sys.argv[1:])
        code = app(standalone_mode=False)
    except Interrupted as stop:
        say("")
        say(stop)
        raise SystemExit(stop.exit_code) from None
    except typer.Abort:
        _fail("nothing was answered", code=1)
    except Exception as error:
        if isinstance(error, MISUSE):
            _show_misuse(error)
        text, known = in_words(error)
        if os.environ.get("A2U_DEBUG") and not isinstance(error, A2UError):
            raise
        if known is None:
            _fail(f"{text}; set A2U_DEBUG=1 and report the trace", code=1)
        _fail(text, known)
    raise SystemExit(code)


def _refuse_empty(words: list[str]) -> None:
    """Refuse an argument without a letter: what a shell makes of a variable that is not set.

    As a folder it would be the one where the user stands; as an option's value, none at all.
    """
    for before, word in pairwise(["a2u", *words]):
        option = re.fullmatch(r"(--[a-z-]+)=", word)
        if option or not word:
            what = option[1] if option else before
            raise A2UError(
                f"what follows {what} is empty, expected a value; give one, or leave it out"
            )


def _fail(text: str, code: int) -> NoReturn:
    say(f"error: {text}")
    _let_go_of_stdout()
    raise SystemExit(code) from None


def _let_go_of_stdout() -> None:
    """Drop what nobody takes any more (a closed pipe, a full disk): Python tries again at its end.

    Otherwise it would say so in words of its own.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_misuse(error: Any) -> NoReturn:
    """Say what is wrong with the command line, in Typer's words, or show the help asked for."""
    text = io.StringIO()
    error.show(text)
    for line in text.getvalue().splitlines():
        say(line)
    raise SystemExit(error.exit_code) from None


def _version(value: bool) -> None:
    if value:
        licence = registry.REGISTRY[registry.DEFAULT].licence
        show(f"a2u {__version__}, default weights {registry.DEFAULT} ({licence})")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            min=1,
            envvar="A2U_MAX_PIXELS",
            help="Most pixels that a picture may have. [default: 300000000]",
        ),
    ] = None,
) -> None:
    if max_pixels:
        os.environ["A2U_MAX_PIXELS"] = str(max_pixels)
