"""Lay out an evaluation for people and machines: table, JSON, CSV and a page; compare two runs."""

import base64
import contextlib
import csv
import io
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .errors import A2UError, ImageError
from .evaluation import STATES, Row, Set, means, to_json
from .files import require_regular
from .images import encode_image, quantise, read_grey, read_image
from .metrics import ConnRule

COLUMNS = ("sad", "mse", "grad", "conn", "whole_mad", "whole_mse")
TITLES = {
    "sad": "SAD",
    "mse": "MSE x 1e3",
    "grad": "Grad",
    "conn": "Conn",
    "whole_mad": "MAD x 1e3, whole",
    "whole_mse": "MSE x 1e3, whole",
}
THOUSANDTHS = ("mse", "whole_mad", "whole_mse")  # printed x 1000, as in papers
WORST, SIDE, BINS = 8, 360, 24  # pictures on the page, pixels of their longer side, bars
CONDITION = re.compile(r" *(\w+) *([<>]) *([+-]?)(\d+(?:\.\d+)?) *(%?) *")


@dataclass(frozen=True)
class Change:
    """A picture's scores in this run and in the other, of one metric."""

    name: str
    ours: float
    theirs: float


def conventions(found: Set, conn_rule: ConnRule) -> dict[str, str]:
    """Say how the numbers were made: they mean nothing without."""
    region = "the pixels whose trimap is exactly 128" if found.has_trimaps else "the whole picture"
    empty = {
        "dim": "a threshold that no pixel reaches in both mattes ends all connections "
        "(Deep Image Matting, GCA)",
        "a2u": "a threshold that no pixel reaches in both mattes is skipped (IndexNet, A2U)",
    }
    return {
        "layout": found.layout,
        "region": region,
        "SAD": "sum of |p - t| / 255 over the region, / 1000",
        "MSE": "mean of ((p - t) / 255)^2 over the region, x 1000",
        "Grad": "sum over the region of (|grad p| - |grad t|)^2, / 1000; each matte stretched to "
        "[0, 1] first; Gaussian derivative, sigma 1.4, 9x9, unit norm",
        "Conn": f"4-connectivity, steps of 0.1, / 1000; {empty[conn_rule]}",
        "whole": "MAD and MSE over the whole picture, x 1000",
        "mean": "over the scored pictures alone; their count stands beside it",
    }


def document(found: Set, rows: list[Row], conn_rule: ConnRule) -> dict[str, Any]:
    """Lay out everything for machines: conventions, counts, means in their own units, rows."""
    return {
        "conventions": conventions(found, conn_rule),
        "counts": counts(rows),
        "means": means(rows),
        "rows": [to_json(row) for row in rows],
    }


def counts(rows: list[Row]) -> dict[str, int]:
    """Count the rows of each state, none left out."""
    tally = Counter(row.state for row in rows)
    return {state: tally[state] for state in STATES}


def printed(name: str, value: float) -> str:
    """Print a score at the scale that papers use."""
    return f"{value * (1000 if name in THOUSANDTHS else 1):.2f}"


def cells(row: Row) -> list[str]:
    """Print a row's scores; blanks where there are none."""
    scores = row.scores
    return [printed(name, getattr(scores, name)) if scores else "" for name in COLUMNS]


def to_csv(rows: list[Row]) -> str:
    """Lay rows out as CSV at full precision, in the units of `metrics.Scores`."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, ["name", "state", "reason", *COLUMNS, "pixels", "strays"], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(to_json(row) for row in rows)
    return text.getvalue()


def read_other(path: Path) -> dict[str, dict[str, Any]]:
    """Read another run's JSON: its scored rows by name.

    Raises A2UError where it is no such file.
    """
    try:
        require_regular(path)
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        return {str(row["name"]): dict(row) for row in rows if row["state"] == "scored"}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise A2UError(
            f"{path} is no report of a2u eval --json ({error}); write one with --json {path}"
        ) from error


def compare(rows: list[Row], other: dict[str, dict[str, Any]], name: str) -> list[Change]:
    """Pair the pictures that both runs have scored, by one metric, the most worsened first.

    Raises A2UError where there is none.
    """
    found = [
        Change(row.item.name, getattr(row.scores, name), float(other[row.item.name][name]))
        for row in rows
        if row.scores and row.item.name in other
    ]
    if not found:
        raise A2UError("the two runs have no scored picture in common; compare like with like")
    return sorted(found, key=lambda change: change.theirs - change.ours)


def holds(condition: str, rows: list[Row], other: dict[str, dict[str, Any]] | None) -> bool:
    """Tell whether a condition holds: "sad>30", or against another run "sad>+1%" or "mse>+0.2".

    Values are means, at the scale that is printed; a sign compares with the other run's mean over
    the pictures that both have scored.

    Raises A2UError where it cannot be read, or needs another run.
    """
    parts = CONDITION.fullmatch(condition)
    if not parts or parts[1] not in COLUMNS or (parts[5] and not parts[3]):
        raise A2UError(
            f"condition {condition!r} cannot be read; expected a metric ({', '.join(COLUMNS)}), > "
            'or <, and a value: "sad>30", or with --against "sad>+1%"'
        )
    name, sign, operator = parts[1], parts[3], parts[2]
    limit = float(f"{sign}{parts[4]}")
    scale = 1000 if name in THOUSANDTHS else 1
    if not sign:
        average = means(rows).get(name)
        if average is None:
            raise A2UError(f"condition {condition!r}: no picture was scored")
        value = scale * average
    else:
        if other is None:
            raise A2UError(f"condition {condition!r} compares two runs; give the other: --against")
        changes = compare(rows, other, name)
        ours, theirs = (fmean(getattr(c, k) for c in changes) for k in ("ours", "theirs"))
        value = scale * (ours - theirs)
        if parts[5]:
            value = (
                100 * (ours - theirs) / theirs if theirs else (0.0 if ours == theirs else np.inf)
            )
    return bool(value > limit if operator == ">" else value < limit)


def page(found: Set, rows: list[Row], conn_rule: ConnRule) -> str:
    """Lay everything out as one page that needs nothing else."""
    import jinja2

    template = jinja2.Environment(
        loader=jinja2.PackageLoader("a2u_cli", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    ).get_template("report.html.j2")
    scored = sorted((r for r in rows if r.scores), key=lambda r: -r.scores.sad if r.scores else 0)
    return template.render(
        conventions=conventions(found, conn_rule),
        counts=counts(rows),
        titles=[TITLES[name] for name in COLUMNS],
        means=[printed(name, value) for name, value in means(rows).items()],
        rows=[(row, cells(row)) for row in rows],
        worst=[(row, cells(row)[0], pictures(row)) for row in scored[:WORST]],
        bars=histogram([row.scores.sad for row in scored if row.scores]),
    )


def histogram(values: list[float]) -> list[tuple[float, float, int, str]]:
    """Count values in equal bins: left edge and height in percent, count, label."""
    if not values:
        return []
    numbers, edges = np.histogram(values, BINS, (0.0, max(values) or 1.0))
    return [
        (100 * i / BINS, 100 * n / max(numbers), int(n), f"{edges[i]:.2f} to {edges[i + 1]:.2f}")
        for i, n in enumerate(numbers)
    ]


def pictures(row: Row) -> list[tuple[str, str]]:
    """Show image, trimap, truth, prediction and error side by side: a title and a data address."""
    item = row.item
    shown: list[tuple[str, npt.NDArray[Any]]] = []
    if item.image:
        with contextlib.suppress(ImageError):  # the page is about mattes: it does without
            shown.append(("image", quantise(read_image(item.image).image, 8)))
    for title, path in (
        ("trimap", item.trimap),
        ("truth", item.truth),
        ("prediction", item.prediction),
    ):
        if path:
            shown.append((title, quantise(read_grey(path), 8)))
    truth, prediction = (
        next(a for t, a in shown if t == k).astype(np.int16) for k in ("truth", "prediction")
    )
    shown.append(("error: red too much, blue too little", error_map(prediction - truth)))
    return [(title, _data_address(array)) for title, array in shown]


def error_map(difference: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
    """Colour differences of alpha, -255 to 255 (H, W): red too much, blue too little."""
    strength = np.sqrt(np.abs(difference) / 255.0)[..., None]  # small errors show too
    colour = np.where(difference[..., None] > 0, (214, 39, 40), (31, 119, 180))
    return np.rint(255 + (colour - 255.0) * strength).astype(np.uint8)


def _data_address(array: npt.NDArray[Any]) -> str:
    scale = SIDE / max(array.shape[:2])
    if scale < 1:
        array = cv2.resize(array, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    data = base64.b64encode(encode_image(array, "png")).decode()
    return f"data:image/png;base64,{data}"
