"""Read a manifest's rows: CSV, lines of JSON, or Parquet (an extra, `parquet`)."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import A2UError, listed
from ..images.files import require_regular, words

FILES = ("picture", "trimap", "mask", "name")
OWN = ("band", "invert", "strict", "background")  # options that a row may set for itself
COLUMNS = (*FILES, *OWN)
BATCH = 4096  # rows of a Parquet file in memory
Row = tuple[str, dict[str, Any] | str]  # where it stands, as "line 7", and it; or what is wrong


def read_rows(path: Path) -> Iterator[Row]:
    """Give a manifest's rows one by one; of one that cannot be read, why.

    Raises A2UError where the file cannot be read, or has a column that means nothing.
    """
    readers: dict[str, Callable[[Path], Iterator[Row]]] = {
        ".csv": _read_csv,
        ".jsonl": _read_json_lines,
        ".parquet": _read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise A2UError(f"{path} is no manifest, expected {listed([*readers])}; name it so")
    try:
        require_regular(path)
        yield from reader(path)
    except (OSError, csv.Error) as error:
        raise A2UError(
            f"{path} cannot be read ({words(error)}), expected a manifest; check the file"
        ) from error


def _read_csv(path: Path) -> Iterator[Row]:
    # As names of files are read: what is no UTF-8 stays what it was.
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.reader(file, strict=True)
        columns = next(reader, [])
        _require_columns(path, columns)
        begin = reader.line_num + 1
        for cells in reader:
            where, begin = f"line {begin}", reader.line_num + 1
            if len(cells) == len(columns):
                yield where, dict(zip(columns, cells, strict=True))
            elif cells:
                yield where, f"it has {len(cells)} cells, expected {len(columns)}"


def _read_json_lines(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line) if line.strip() else {}
            except (ValueError, RecursionError) as error:
                yield f"line {number}", f"it is no JSON ({words(error)})"
                continue
            if not isinstance(row, dict):
                yield f"line {number}", "it is no object of JSON"
            elif row:
                _require_columns(path, row, where=f"line {number} of ", whole=False)
                yield f"line {number}", row


def _read_parquet(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise A2UError(
            f"{path} is a Parquet file, which needs an extra; pip install 'a2u-cli[parquet]'"
        ) from error
    number = 0
    try:
        with ParquetFile(path) as file:
            _require_columns(path, file.schema_arrow.names)
            for batch in file.iter_batches(BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row
    except ArrowException as error:
        raise A2UError(
            f"{path} cannot be read ({words(error)}), expected a manifest; check the file"
        ) from error


def _require_columns(
    path: Path, columns: Iterable[str], *, where: str = "", whole: bool = True
) -> None:
    """Refuse a manifest with columns that mean nothing, or without pictures; raises A2UError."""
    columns = [*columns]
    if strange := [name for name in columns if name not in COLUMNS]:
        raise A2UError(
            f"{where}{path} has the column {strange[0]!r}, expected {listed(COLUMNS)}; "
            "take it out, or name it so"
        )
    if whole and "picture" not in columns:
        raise A2UError(f"{path} has no column 'picture', expected one; see a2u plan --help")
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise A2UError(f"{path} has the column {twice[0]!r} twice; keep one")
