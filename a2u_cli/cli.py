"""The command `a2u`: its parts, and the one place where failures become words and exit codes."""

import contextlib
import ctypes
import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from . import __version__
from .commands import batch, composite, doctor, evaluate, explain, matte, train, trimap, weights
from .errors import A2UError, Interrupted, OutOfMemory, is_memory
from .weights import registry

# GNU OpenMP's threads that wait for one without a processor of its own keep it from working: beside
# a busy program a matte takes 11 s with its 300,000 and 4 s with this, alone this takes 3 % more.
SPINS = "30000"
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
app.command()(train.train)
app.command()(doctor.doctor)


def main() -> None:
    """Run the command line; every failure is one line on stderr and the documented exit code."""
    signal.signal(signal.SIGINT, _interrupt)
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    reuse_memory()
    try:
        app()
    except Interrupted as stop:
        typer.echo(f"\n{stop}", err=True)
        raise SystemExit(stop.exit_code) from None
    except A2UError as error:
        _fail(str(error), error.exit_code)
    except Exception as error:
        if os.environ.get("A2U_DEBUG"):
            raise
        if is_memory(error):
            text = "out of memory; close other programs or make the picture smaller"
            _fail(text, OutOfMemory.exit_code)
        text = f"unexpected {type(error).__name__}: {error}; set A2U_DEBUG=1 and report the trace"
        _fail(text, code=1)


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
    typer.echo(f"error: {' '.join(text.split())}", err=True)
    raise SystemExit(code) from None


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise Interrupted("interrupted; nothing half-written is left, run the command again to go on")


def _version(value: bool) -> None:
    if value:
        licence = registry.REGISTRY[registry.DEFAULT].licence
        typer.echo(f"a2u {__version__}, default weights {registry.DEFAULT} ({licence})")
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
