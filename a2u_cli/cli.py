"""The command `a2u`: its parts, and the one place where failures become words and exit codes."""

import contextlib
import ctypes
import io
import logging
import os
import re
import sys
import warnings
from itertools import pairwise
from typing import Annotated, Any, NoReturn

import typer

from . import __version__
from .commands import (
    batch,
    composite,
    doctor,
    evaluate,
    explain,
    matte,
    render,
    stopping,
    train,
    trimap,
    weights,
)
from .commands.terminal import Told, say, show
from .errors import A2UError, Interrupted, in_words
from .weights import registry

# GNU OpenMP's threads that wait for one without a processor of its own keep it from working: beside
# a busy program a matte takes 11 s with its 300,000 and 4 s with this, alone this takes 3 % more.
SPINS = "30000"
MISUSE = typer.BadParameter.__mro__[2]  # Typer gives it no public name
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # glibc's malloc.h

app = typer.Typer(
    help="A2U matting: image + trimap -> alpha matte, for hair, fur, glass and smoke.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help starts in half the time
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(matte.matte)
app.command()(batch.batch)
app.command()(composite.composite)
app.command()(composite.cutout)
app.add_typer(trimap.app, name="trimap")
app.command("eval")(evaluate.evaluate)
app.command()(explain.explain)
app.add_typer(weights.app, name="weights")
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


def prepare_process() -> None:
    """Set what holds for the whole process, which no library call touches: here alone."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # damage is told in our own words
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("a2u_cli").handlers = [Told()]
    reuse_memory()


def reuse_memory() -> None:
    """Let glibc hand out again the memory of tiles, instead of fresh pages that cost more to touch.

    Of what is freed, up to half a gigabyte then stays with the process. Elsewhere: nothing.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(M_TRIM_THRESHOLD, 512 << 20)
            mallopt(M_TOP_PAD, 64 << 20)
            mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the most that older versions take
            mallopt(M_MMAP_THRESHOLD, 256 << 20)


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
