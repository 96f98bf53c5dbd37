"""Measure this program on this machine: what every benchmark shares.

A benchmark is a module with `run(results: Path) -> None`, listed in `__main__.py`: it prints its
table and writes its numbers to `results/<its name>.csv`.
"""

import csv
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any, Self, TypeVar, get_type_hints

from rich.console import Console
from rich.table import Table

Record = TypeVar("Record")


@dataclass(frozen=True)
class Timing:
    """The spread of repeated measurements, in seconds."""

    median: float
    lowest: float
    highest: float
    runs: int

    @classmethod
    def of(cls, seconds: list[float]) -> Self:
        """Summarise at least one measurement."""
        return cls(median(seconds), min(seconds), max(seconds), len(seconds))


def interleave(measures: Mapping[str, Callable[[], float]], runs: int) -> dict[str, Timing]:
    """Take every measurement in turn, so that a disturbance meets all alike; after one warm-up."""
    for measure in measures.values():
        measure()
    rounds = [{name: measure() for name, measure in measures.items()} for _ in range(runs)]
    return {name: Timing.of([seconds[name] for seconds in rounds]) for name in measures}


def describe_machine() -> str:
    """Name the processor and count its cores."""
    from a2u_cli.export.certificate import processor

    return processor()


def report(title: str, timings: Mapping[str, Timing], path: Path) -> None:
    """Print timings in milliseconds as a table, and write them as CSV."""
    machine = describe_machine()
    header = ["what", "median (ms)", "lowest (ms)", "highest (ms)", "runs"]
    rows = [
        [name, *(f"{1000 * s:.1f}" for s in (t.median, t.lowest, t.highest)), str(t.runs)]
        for name, t in timings.items()
    ]
    table = Table(title=f"{title}\n{machine}, Python {platform.python_version()}")
    for column in header:
        table.add_column(column, justify="left" if column == header[0] else "right")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*header, "machine", "python"])
        writer.writerows([*row, machine, platform.python_version()] for row in rows)


def append(path: Path, header: list[str], rows: list[list[str]]) -> None:
    """Add rows to a CSV, which begins with its header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header] * is_new + rows)


def cells_of(record: Any) -> list[str]:
    """Give a dataclass's values as the cells of a row, floats to six digits."""
    return [f"{v:.6g}" if isinstance(v, float) else str(v) for v in astuple(record)]


def read_records(path: Path, kind: type[Record]) -> list[Record]:
    """Read dataclasses of strings and numbers from rows of `cells_of`; none where is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    kinds = get_type_hints(kind).values()
    return [kind(*(cast(cell) for cast, cell in zip(kinds, row, strict=True))) for row in rows]


def write_records(path: Path, kind: type[Any], records: Iterable[Any]) -> None:
    """Write dataclasses of a kind as a CSV that `read_records` reads, whole or not at all."""
    from a2u_cli.images.files import replacing

    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(kind))
        writer.writerows(map(cells_of, records))
