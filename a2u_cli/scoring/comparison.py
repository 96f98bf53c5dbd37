"""Compare an evaluation with another run's, and with conditions."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from ..errors import A2UError
from ..images.files import require_regular, words
from .evaluation import COLUMNS, OVER_TIME, THOUSANDTHS, Row, means, value_of

CONDITION = re.compile(r" *(\w+) *([<>]) *([+-]?)(\d+(?:\.\d+)?) *(%?) *")


@dataclass(frozen=True)
class Change:
    """A picture's scores in this run and in the other, of one metric."""

    name: str
    ours: float
    theirs: float


def read_other(path: Path, columns: Sequence[str] = COLUMNS) -> dict[str, dict[str, Any]]:
    """Read another run's JSON: its scored rows by name, each with all these scores.

    Raises A2UError where it is no such file, or a scored row lacks a score: beside NaN or null
    every condition would pass.
    """
    try:
        require_regular(path)
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        other = {str(row["name"]): dict(row) for row in rows if row["state"] == "scored"}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise A2UError(
            f"{path} is no report of a2u eval --json ({words(error)}); write one with --json {path}"
        ) from error
    for name, row in other.items():
        for metric in columns:
            value = row.get(metric)
            known = isinstance(value, int | float) and not isinstance(value, bool)
            if not (known and abs(value or 0) <= sys.float_info.max):  # nor NaN
                raise A2UError(
                    f"{path}: the {metric} of {name} is {json.dumps(value)}, expected a number; "
                    "write the report anew with a2u eval --json"
                )
    return other


def compare(rows: list[Row], other: dict[str, dict[str, Any]], name: str) -> list[Change]:
    """Pair the pictures that both runs have scored, by one metric, the most worsened first.

    Raises A2UError where there is none.
    """
    changes = [
        Change(row.item.name, value, float(other[row.item.name][name]))
        for row in rows
        if (value := value_of(row, name)) is not None and row.item.name in other
    ]
    if not changes:
        raise A2UError("the two runs have no scored picture in common; compare like with like")
    return sorted(changes, key=lambda change: change.theirs - change.ours)


def read_condition(
    condition: str, *, compared: bool, columns: Sequence[str] = (*COLUMNS, *OVER_TIME)
) -> re.Match[str]:
    """Take a condition on these scores apart; `compared` tells if another run is there.

    Raises A2UError where it cannot be read, or needs another run.
    """
    parts = CONDITION.fullmatch(condition)
    if not parts or parts[1] not in columns or (parts[5] and not parts[3]):
        raise A2UError(
            f"condition {condition!r} cannot be read; expected a metric ({', '.join(columns)}), > "
            'or <, and a value: "sad>30", or with --against "sad>+1%"'
        )
    if parts[3] and not compared:
        raise A2UError(f"condition {condition!r} compares two runs; give the other: --against")
    return parts


def holds(condition: str, rows: list[Row], other: dict[str, dict[str, Any]] | None) -> bool:
    """Tell whether a condition holds: "sad>30", or against another run "sad>+1%" or "mse>+0.2".

    Values are means, at the scale that is printed; a sign compares with the other run's mean over
    the pictures that both have scored.

    Raises A2UError as `read_condition` does, or where nothing was scored.
    """
    parts = read_condition(condition, compared=other is not None)
    name, sign, operator = parts[1], parts[3], parts[2]
    limit = float(f"{sign}{parts[4]}")
    scale = 1000 if name in THOUSANDTHS else 1
    if not sign:
        average = means(rows).get(name)
        if average is None:
            raise A2UError(f"condition {condition!r}: nothing that was scored has it")
        value = scale * average
    else:
        changes = compare(rows, other or {}, name)
        ours, theirs = (fmean(getattr(c, k) for c in changes) for k in ("ours", "theirs"))
        value = scale * (ours - theirs)
        if parts[5]:
            value = (
                100 * (ours - theirs) / theirs if theirs else (0.0 if ours == theirs else np.inf)
            )
    return bool(value > limit if operator == ">" else value < limit)
