"""Score a data set's mattes against its truth, picture by picture; a failure is a row."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import A2UError, TrimapError
from ..images.meaning import Looks, read_matte
from ..images.memory import Bound
from ..images.writing import quantise
from ..units import FOREGROUND, UNKNOWN
from .layouts import Item, Set
from .metrics import ConnRule, Scores, score

Levels = npt.NDArray[np.uint8]
Planes = tuple[Levels, Levels, Levels]  # prediction, truth, trimap

LEFT_OUT = "left out"  # of a file that could be a matte
STATES = ("scored", "failed", "missing", "extra", LEFT_OUT)
COLUMNS = ("sad", "mse", "grad", "conn", "whole_mad", "whole_mse")  # of a table, as in `Scores`
OVER_TIME = ("dtssd", "messddt")  # of a table of clips, as in `sequences.MovingScores`
THOUSANDTHS = ("mse", "whole_mad", "whole_mse")  # printed x 1000, as in papers


@dataclass(frozen=True)
class Row:
    """A picture's outcome: `state` is one of STATES; `reason` says why there are no scores.

    `strays` is the share of the known pixels in which the prediction differs from the trimap;
    `notes` say what was taken of a file that is more than greys, and which pixels do not count.
    A clip's row has those of its `frames`.
    """

    item: Item
    state: str
    reason: str = ""
    scores: Scores | None = None
    strays: float | None = None
    notes: tuple[str, ...] = ()
    frames: tuple["Row", ...] = ()


def evaluate(
    data_set: Set,
    *,
    conn_rule: ConnRule = "dim",
    workers: int = 1,
    max_memory: int | Bound | None = None,
    report: Callable[[Row], None] = lambda _: None,
) -> list[Row]:
    """Score every item, in order, and `report` each as it is done; a failure is a row.

    A picture that takes more than `max_memory` is a failure. At last comes what is left out, by its
    path.
    """

    def score_one(item: Item) -> Row:
        whole = not data_set.has_trimaps
        return score_item(item, whole=whole, conn_rule=conn_rule, max_memory=max_memory)

    rows = []
    with ThreadPoolExecutor(workers) as executor:
        for row in executor.map(score_one, data_set.items):
            rows.append(row)
            report(row)
    return [*rows, *left_out(data_set)]


def left_out(data_set: Set) -> list[Row]:
    """Give a row to each file that is left out, by its path."""
    return [Row(Item(str(path), None, None), LEFT_OUT, why) for path, why in data_set.left_out]


def score_item(
    item: Item,
    *,
    whole: bool = False,
    conn_rule: ConnRule = "dim",
    max_memory: int | Bound | None = None,
    extend: Callable[[Scores, Planes], Scores] = lambda scores, _: scores,
    of_clip: Looks | None = None,
) -> Row:
    """Score one item where its trimap is exactly 128, or over the whole picture.

    `extend` adds to its scores, from its planes; where that raises A2UError the item has failed.
    Frames of a clip, whose trimaps look together like `of_clip`, may be nearly empty: how dark
    their mattes are says nothing (`read_matte`), and where nothing is unknown, no error is.
    """
    if item.prediction is None:
        return Row(item, "missing", "there is no prediction")
    if item.truth is None:
        return Row(item, "extra", "there is no truth for it")
    if item.trimap is None and not whole:
        return Row(item, "failed", "there is no trimap for it, and others have one")
    notes: list[str] = []
    guess = of_clip is None
    try:
        prediction = read_levels(item.prediction, "prediction", notes, max_memory, guess=guess)
        truth = read_levels(item.truth, "truth", notes, max_memory, guess=guess)
        trimap = np.full_like(truth, UNKNOWN)
        if item.trimap is not None:
            alike = of_clip or True
            trimap = read_levels(item.trimap, "trimap", notes, max_memory, guess=alike)
            _mind_other_greys(trimap, item.trimap, notes)
        scores = score(prediction, truth, trimap, conn_rule=conn_rule, may_be_known=not guess)
        if not scores.pixels:
            notes.append("trimap: nothing is unknown, so errors over it count as 0")
        scores = extend(scores, (prediction, truth, trimap))
    except A2UError as error:
        return Row(item, "failed", str(error), notes=tuple(notes))
    known = (trimap == 0) | (trimap == FOREGROUND)
    strays = float((prediction != trimap)[known].mean()) if known.any() else 0.0
    strays_of = None if item.trimap is None else strays
    return Row(item, "scored", scores=scores, strays=strays_of, notes=tuple(notes))


def read_levels(
    path: Path,
    role: str,
    notes: list[str],
    max_memory: int | Bound | None = None,
    *,
    guess: bool | Looks = True,
) -> Levels:
    """Read a matte or a trimap as `read_matte` does, uint8 (H, W); notes what it took of a file."""
    matte = read_matte(path, drawn=role == "trimap", max_memory=max_memory, guess=guess)
    if note := matte.note(role):
        notes.append(note)
    return np.asarray(quantise(matte.values, 8), np.uint8)


def _mind_other_greys(trimap: Levels, path: Path, notes: list[str]) -> None:
    """Note how many pixels are no trimap's: they are not scored, and so the errors look smaller.

    Raises TrimapError where no pixel is 128, though some are grey.
    """
    others = int(np.count_nonzero(~np.isin(trimap, (0, UNKNOWN, FOREGROUND))))
    if not others:
        return
    if not (trimap == UNKNOWN).any():
        raise TrimapError(
            f"{path} has no pixel of exactly 128, so nothing to score, but {others} of other "
            "greys; save its unknown as 128, or score the whole picture: --region whole"
        )
    notes.append(f"trimap: {others} pixels are neither 0, 128 nor 255 and were left out")


def means(rows: Iterable[Row]) -> dict[str, float]:
    """Average each score over the rows that have it; empty where none has."""
    rows = tuple(rows)
    return {
        name: fmean(values)
        for name in columns(rows)
        if (values := [value for row in rows if (value := value_of(row, name)) is not None])
    }


def value_of(row: Row, name: str) -> float | None:
    """Give a row's score by its name; None where there is none."""
    value: float | None = getattr(row.scores, name, None)
    return value


def columns(rows: Iterable[Row]) -> tuple[str, ...]:
    """Name the columns of a table of rows: those over time where any row has them."""
    rows = tuple(rows)
    return COLUMNS + tuple(
        name for name in OVER_TIME if any(value_of(row, name) is not None for row in rows)
    )


def pictures(rows: Iterable[Row]) -> list[Row]:
    """Give the rows of single pictures: the frames in place of their clips."""
    return [picture for row in rows for picture in (row.frames or (row,))]


def to_json(row: Row) -> dict[str, Any]:
    """Lay a row out for machines: name, state, reason, and the scores where there are any."""
    facts: dict[str, Any] = {"name": row.item.name, "state": row.state}
    if row.reason:
        facts["reason"] = row.reason
    if row.scores:
        facts |= vars(row.scores) | {"strays": row.strays}
    if row.item.trimap:
        facts["trimap"] = str(row.item.trimap)
    if row.notes:
        facts["notes"] = list(row.notes)
    if row.frames:
        facts["frames"] = [to_json(frame) for frame in row.frames]
    return facts
