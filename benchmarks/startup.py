"""Time how soon the command line answers: fresh processes, beside Python that does nothing."""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from . import interleave, report

ROOT = Path(__file__).resolve().parent.parent
RUNS = 15
COMMANDS = {
    "python -c pass": ["-c", "pass"],  # the floor
    "a2u --version": ["-m", "a2u_cli", "--version"],
    "a2u --help": ["-m", "a2u_cli", "--help"],
}


def run(results: Path) -> None:
    """Print the table and write `startup.csv`."""
    measures = {name: partial(seconds_to_run, command) for name, command in COMMANDS.items()}
    report("Startup, fresh processes", interleave(measures, RUNS), results / "startup.csv")


def seconds_to_run(arguments: list[str]) -> float:
    """Start Python with these arguments and wait for its end, which must be a success."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
