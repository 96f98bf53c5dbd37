"""Lay out an evaluation for people and machines: cells of a table, JSON, CSV and a page."""

import base64
import contextlib
import csv
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import A2UError, listed
from ..images.memory import Bound
from ..images.reading import read_image
from ..images.writing import encode_image, quantise
from .evaluation import (
    COLUMNS,
    LEFT_OUT,
    STATES,
    THOUSANDTHS,
    Row,
    columns,
    means,
    pictures,
    read_levels,
    to_json,
    value_of,
)
from .layouts import Set
from .metrics import ConnRule
from .temporal import CHANGES, Protocol

TITLES = {
    "sad": "SAD",
    "mse": "MSE x 1e3",
    "grad": "Grad",
    "conn": "Conn",
    "whole_mad": "MAD x 1e3, whole",
    "whole_mse": "MSE x 1e3, whole",
    "dtssd": "dtSSD",
    "messddt": "MESSDdt",
}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # first characters of a spreadsheet's formulas
LISTED = 10  # notes, and names in one
WORST, SIDE, BINS = 8, 360, 24  # pictures on the page, pixels of their longer side, bars


def conventions(
    data_set: Set,
    conn_rule: ConnRule,
    protocol: Protocol | None = None,
    *,
    for_machines: bool = False,
) -> dict[str, str]:
    """Say how the numbers were made: they mean nothing without; clips have a protocol.

    Tables and pages print thousandths of what a report `for_machines` holds.
    """
    thousandths = "" if for_machines else ", x 1000"
    region = (
        "the pixels whose trimap is exactly 128" if data_set.has_trimaps else "the whole picture"
    )
    empty = {
        "dim": "a threshold that no pixel reaches in both mattes ends all connections "
        "(Deep Image Matting, GCA)",
        "a2u": "a threshold that no pixel reaches in both mattes is skipped (IndexNet, A2U)",
    }
    of = "frames of a clip, then over the clips" if protocol else "pictures alone"
    changes = dict(CHANGES[protocol]) if protocol else {}
    if "flow" not in data_set.sources:
        changes.pop("MESSDdt", None)
    return {
        "layout": data_set.layout,
        **data_set.sources,
        "region": region,
        "SAD": "sum of |p - t| / 255 over the region, / 1000",
        "MSE": f"mean of ((p - t) / 255)^2 over the region{thousandths}",
        "Grad": "sum over the region of (|grad p| - |grad t|)^2, / 1000; each matte stretched to "
        "[0, 1] first; Gaussian derivative, sigma 1.4, 9x9, unit norm",
        "Conn": f"4-connectivity, steps of 0.1, / 1000; {empty[conn_rule]}",
        "whole": f"MAD and MSE over the whole picture{thousandths}",
        **changes,
        "mean": f"over the scored {of}; their count stands beside it",
    }


def document(
    data_set: Set, rows: list[Row], conn_rule: ConnRule, protocol: Protocol | None = None
) -> dict[str, Any]:
    """Lay out everything for machines: conventions, counts, means in their own units, rows."""
    return {
        "conventions": conventions(data_set, conn_rule, protocol, for_machines=True),
        "counts": counts(rows),
        "means": means(rows),
        "parts": {part: means(own) for part, own in parts(rows).items()},
        "rows": [to_json(row) for row in rows],
    }


def parts(rows: list[Row]) -> dict[str, list[Row]]:
    """Sort the rows by their folder of trimaps; empty where there is but one."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.item.part:
            found.setdefault(row.item.part, []).append(row)
    return found


def notes(rows: list[Row]) -> list[str]:
    """Gather what the rows note, the same of many as one line with their count."""
    names: dict[str, list[str]] = {}
    for row in (*rows, *(frame for clip in rows for frame in clip.frames)):
        for note in row.notes:
            names.setdefault(note, []).append(row.item.name)
    lines = [f"{note} ({listed(found)})" for note, found in names.items()]
    most = LISTED if len(lines) > LISTED else len(lines)
    rest = [f"and {len(lines) - most} notes more; --json has them all"] if len(lines) > most else []
    return lines[:most] + rest


def counts(rows: list[Row]) -> dict[str, int]:
    """Count the pictures of each state; what is left out where there is any."""
    tally = Counter(row.state for row in pictures(rows))
    return {state: tally[state] for state in STATES if state != LEFT_OUT or tally[state]}


def printed(name: str, value: float) -> str:
    """Print a score at the scale that papers use."""
    return f"{value * (1000 if name in THOUSANDTHS else 1):.2f}"


def cells(row: Row, names: Sequence[str] = COLUMNS) -> list[str]:
    """Print a row's scores; blanks where there are none."""
    values = [(name, value_of(row, name)) for name in names]
    return ["" if value is None else printed(name, value) for name, value in values]


def to_csv(rows: list[Row]) -> str:
    """Lay rows out as CSV at full precision, in the units of `metrics.Scores`.

    A text that a spreadsheet would take for a formula is quoted with an apostrophe.
    """
    text = io.StringIO()
    writer = csv.DictWriter(
        text,
        ["name", "state", "reason", *columns(rows), "pixels", "strays", "trimap", "notes"],
        extrasaction="ignore",  # a clip's frames, and what no row of this table has
        lineterminator="\n",
        quoting=csv.QUOTE_NONNUMERIC,  # else a carriage return in a name would end its row
    )
    writer.writeheader()
    for row in rows:
        cells_of = to_json(row) | {"notes": "; ".join(row.notes)}
        writer.writerow({key: _no_formula(value) for key, value in cells_of.items()})
    return text.getvalue()


def _no_formula(value: Any) -> Any:
    """Quote a text that begins like a formula, as OWASP's "CSV injection" advises."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def page(
    data_set: Set,
    rows: list[Row],
    conn_rule: ConnRule,
    *,
    max_memory: int | Bound | None = None,
) -> str:
    """Lay everything out as one page that needs nothing else."""
    import jinja2

    template = jinja2.Environment(
        loader=jinja2.PackageLoader("a2u_cli.scoring", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    ).get_template("report.html.j2")
    scored = sorted((r for r in rows if r.scores), key=lambda r: -r.scores.sad if r.scores else 0)
    return template.render(
        conventions=conventions(data_set, conn_rule),
        counts=counts(rows),
        titles=[TITLES[name] for name in COLUMNS],
        means=[printed(name, value) for name, value in means(rows).items()],
        rows=[(row, cells(row)) for row in rows],
        worst=[(row, cells(row)[0], picture_strip(row, max_memory)) for row in scored[:WORST]],
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


def picture_strip(row: Row, max_memory: int | Bound | None = None) -> list[tuple[str, str]]:
    """Show image, trimap, truth, prediction and error side by side: a title and a data address."""
    item = row.item
    shown: list[tuple[str, npt.NDArray[Any]]] = []
    if item.image:
        with contextlib.suppress(A2UError):  # the page is about mattes: it does without
            image = read_image(item.image, max_memory=max_memory).image
            shown.append(("image", quantise(image, 8)))
    for title, path in (
        ("trimap", item.trimap),
        ("truth", item.truth),
        ("prediction", item.prediction),
    ):
        if path:
            shown.append((title, read_levels(path, title, [], max_memory)))
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
        height, width = (max(1, round(scale * length)) for length in array.shape[:2])
        array = cv2.resize(array, (width, height), interpolation=cv2.INTER_AREA)
    data = base64.b64encode(encode_image(array, "png")).decode()
    return f"data:image/png;base64,{data}"
