"""Score a data set's mattes against its truth, picture by picture; a failure is a row."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import A2UError
from ..images.reading import read_grey
from ..images.writing import quantise
from ..units import UNKNOWN
from .layouts import Item, Set
from .metrics import ConnRule, Scores, score

Levels = npt.NDArray[np.uint8]

STATES = ("scored", "failed", "missing", "extra")
COLUMNS = ("sad", "mse", "grad", "conn", "whole_mad", "whole_mse")  # of a table, as in `Scores`
THOUSANDTHS = ("mse", "whole_mad", "whole_mse")  # printed x 1000, as in papers


@dataclass(frozen=True)
class Row:
    """A picture's outcome: `state` is one of STATES; `reason` says why there are no scores.

    `strays` is the share of the known pixels in which the prediction differs from the trimap.
    """

    item: Item
    state: str
    reason: str = ""
    scores: Scores | None = None
    strays: float | None = None


def evaluate(
    data_set: Set,
    *,
    conn_rule: ConnRule = "dim",
    workers: int = 1,
    report: Callable[[Row], None] = lambda _: None,
) -> list[Row]:
    """Score every item, in order; a failure is a row. `report` is told of each as it is done."""

    def score_one(item: Item) -> Row:
        return score_item(item, whole=not data_set.has_trimaps, conn_rule=conn_rule)

    rows = []
    with ThreadPoolExecutor(workers) as executor:
        for row in executor.map(score_one, data_set.items):
            rows.append(row)
            report(row)
    return rows


def score_item(item: Item, *, whole: bool = False, conn_rule: ConnRule = "dim") -> Row:
    """Score one item where its trimap is exactly 128, or over the whole picture."""
    if item.prediction is None:
        return Row(item, "missing", "there is no prediction")
    if item.truth is None:
        return Row(item, "extra", "there is no truth for it")
    if item.trimap is None and not whole:
        return Row(item, "failed", "there is no trimap for it, and others have one")
    try:
        prediction, truth = _levels(item.prediction), _levels(item.truth)
        trimap = np.full_like(truth, UNKNOWN) if item.trimap is None else _levels(item.trimap)
        scores = score(prediction, truth, trimap, conn_rule=conn_rule)
    except A2UError as error:
        return Row(item, "failed", str(error))
    known = (trimap == 0) | (trimap == 255)
    strays = float((prediction != trimap)[known].mean()) if known.any() else 0.0
    return Row(item, "scored", scores=scores, strays=None if whole else strays)


def _levels(path: Path) -> Levels:
    return np.asarray(quantise(read_grey(path), 8), np.uint8)


def means(rows: Iterable[Row]) -> dict[str, float]:
    """Average each score over the rows that have any; empty where none has."""
    scored = [row.scores for row in rows if row.scores]
    if not scored:
        return {}
    return {name: fmean(getattr(scores, name) for scores in scored) for name in COLUMNS}


def to_json(row: Row) -> dict[str, Any]:
    """Lay a row out for machines: name, state, reason, and the scores where there are any."""
    facts: dict[str, Any] = {"name": row.item.name, "state": row.state}
    if row.reason:
        facts["reason"] = row.reason
    if row.scores:
        facts |= vars(row.scores) | {"strays": row.strays}
    return facts
