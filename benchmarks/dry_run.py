"""Compare what `a2u batch --dry-run` estimates with what the run then takes, on two folders.

    python -m benchmarks.dry_run [--small 100] [--large 5]

The folders hold small pictures of several sizes, and large ones.
"""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from . import append, describe_machine
from .small_pictures import batch, make_pictures, seconds_of_batch

RESULTS = Path(__file__).resolve().parent / "results"
SMALL_SIDES = (256, 512, 800)
LARGE_SIDES = (2000, 3000, 4000)
MOST_OFF = 0.3
HEADER = ["folder", "pictures", "estimate (s)", "actual (s)", "off", "workers", "machine"]


def run(
    results: Annotated[Path, typer.Option(help="The CSV's folder.")] = RESULTS,
    small: Annotated[int, typer.Option(help="How many small pictures.")] = 100,
    large: Annotated[int, typer.Option(help="How many large pictures.")] = 5,
) -> None:
    """Print how far the estimates are off; append a row a folder to the CSV."""
    rows = []
    for kind, count, sides in (("small", small, SMALL_SIDES), ("large", large, LARGE_SIDES)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for number, side in enumerate(sides):
                some = len(range(number, count, len(sides)))
                make_pictures(folder / "in", some, side, name=f"s{side}-")
            out = str(folder / "out")
            plan = json.loads(batch(folder / "in", "-o", out, "--dry-run", "--json"))
            actual = seconds_of_batch(folder / "in", "-o", out)
        off = plan["seconds"] / actual - 1
        missed = "" if abs(off) <= MOST_OFF else " MISSED"
        typer.echo(
            f"{count} {kind}: estimated {plan['seconds']:.0f} s, took {actual:.0f} s, "
            f"{off:+.0%} (at most {MOST_OFF:.0%} off){missed}"
        )
        times = f"{plan['seconds']:.1f}", f"{actual:.1f}", f"{off:+.3f}"
        rows.append([kind, str(count), *times, str(plan["workers"]), describe_machine()])
    append(results / "dry_run.csv", HEADER, rows)


if __name__ == "__main__":
    typer.run(run)
