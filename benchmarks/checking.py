"""Fit and judge the score of `a2u check`: how well it ranks mattes by their true errors.

    python -m benchmarks.checking DIR

DIR is what `python -m benchmarks.validation DIR` renders. On these composites the weights are
fitted, on the photographs of `benchmarks.eval_dev`, which nothing is fitted to, they are judged.
Each picture comes with its trimap, and some with a wrong one: too tight, or moved. What was
measured goes to `results/checking.csv`, and what is there is not measured again.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from itertools import combinations
from math import hypot
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from a2u_cli.images.files import replacing
from a2u_cli.jobs.checking import look_again
from a2u_cli.matting.matter import Matter
from a2u_cli.scoring.suspicion import CALM, WEIGHTS, Measures, expect, list_reasons, measure
from a2u_cli.trimap import TrimapShares, describe, make_trimap
from a2u_cli.units import UNKNOWN, Trimap

from . import eval_dev, validation
from .eval_dev import ROOT, Case, to_u8

RESULTS = ROOT / "benchmarks" / "results" / "checking.csv"
EACH, PLANTED = 6, 2  # pictures of a group, and those of them that come with faults, too
FAULTS = ("tight", "moved")
REACH, MOVED = 2, 0.03  # pixels that a tight trimap leaves to each side; the diagonal's share
MEASURES = tuple(field.name for field in fields(Measures))
FACTS = ("set", "group", "picture", "trimap", "true", "unknown")
FITTED = ("disagreement", "undecided", "border", "beyond", "residual")
SLACK = 0.02  # errors are weighed relatively, those below this alike
Row = dict[str, str]


def list_cases(folder: Path) -> Iterator[tuple[str, Case, str]]:
    """Give every case with the set it is of and what is wrong with its trimap."""
    composites = validation.read_cases(folder, each=EACH)
    for name, cases in (("dev", eval_dev.read_cases()), ("validation", composites)):
        counts: dict[str, int] = {}
        for case in cases:
            counts[case.width] = counts.get(case.width, 0) + 1
            yield name, case, "right"
            if counts[case.width] <= PLANTED:
                for fault in FAULTS:
                    yield name, case, fault


def plant(case: Case, fault: str) -> Trimap:
    """Give a case's trimap, or one that is wrong."""
    if fault == "tight":
        solid = np.asarray(case.truth > 127, np.float32)
        return make_trimap(solid, inside=REACH, outside=REACH)
    shift = round(MOVED * hypot(*case.trimap.shape))
    return case.trimap if fault == "right" else np.roll(case.trimap, (shift, shift), (0, 1))


def measure_case(case: Case, trimap: Trimap, matter: Matter) -> Mapping[str, float]:
    """Matte a case and measure it; the true error is that of all pixels, for each unknown one."""
    alpha = np.divide(to_u8(matter.matte(case.image, trimap)), 255, dtype=np.float32)
    unknown = np.count_nonzero(trimap == UNKNOWN)
    true = np.abs(alpha - case.truth / np.float32(255)).sum() / unknown
    found = measure(case.image, trimap, alpha, look_again(matter, case.image, trimap))
    return {"true": float(true), "unknown": describe(trimap).unknown} | asdict(found)


def measure_all(folder: Path, rows: list[Row], path: Path) -> None:
    """Measure what is not among the rows, and write them as they come."""
    matter = Matter()
    there = {(row["set"], row["group"], row["picture"], row["trimap"]) for row in rows}
    for name, case, fault in list_cases(folder):
        key = name, case.width, case.picture, fault
        trimap = plant(case, fault)
        if key in there or not (trimap == UNKNOWN).any():
            continue
        numbers = measure_case(case, trimap, matter)
        facts = dict(zip(("set", "group", "picture", "trimap"), key, strict=True))
        rows.append(facts | {kind: f"{value:.6g}" for kind, value in numbers.items()})
        typer.echo(" ".join(key), err=True)
        write_rows(rows, path)


def fit(rows: list[Row], names: Iterable[str]) -> dict[str, float]:
    """Fit non-negative weights of these measures to the true errors, by relative least squares."""
    names, best, least = tuple(names), {}, np.inf
    true = _column(rows, "true")
    relative = 1 / (true + SLACK)
    for count in range(1, len(names) + 1):
        for chosen in combinations(names, count):
            columns = np.stack([_excess(rows, name) for name in chosen], axis=1)  # (N, count)
            weights = np.linalg.lstsq(columns * relative[:, None], true * relative)[0]
            left = float(np.square((columns @ weights - true) * relative).sum())
            if (weights >= 0).all() and left < least:
                best, least = dict(zip(chosen, weights.tolist(), strict=True)), left
    return best


def rank_correlation(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Give Spearman's: 1 where both have one order. Equal values share their ranks' mean."""
    ranks = [_ranks(np.asarray(values)) for values in (one, other)]
    if any(not np.ptp(values) for values in ranks):
        return 0.0  # all are equal
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def _column(rows: list[Row], name: str) -> npt.NDArray[np.float64]:
    return np.array([float(row[name]) for row in rows])


def _excess(rows: list[Row], name: str) -> npt.NDArray[np.float64]:
    """Give a measure as it counts: what is beyond the unknown of right trimaps, too, does not."""
    values = _column(rows, name)
    return np.maximum(0.0, values - CALM) if name == "beyond" else values


def expected(row: Row) -> float:
    """Give the score that a row's measures come to now."""
    return expect(Measures(**{name: float(row[name]) for name in MEASURES}))


def report(rows: list[Row]) -> str:
    """Tabulate rank correlations with the true error, of the score and of each measure alone."""
    lines = []
    for name in ("validation", "dev"):
        for kinds in (("right",), ("right", *FAULTS)):
            some = [row for row in rows if row["set"] == name and row["trimap"] in kinds]
            if len(some) < 3:
                continue
            true, scores = _column(some, "true"), [expected(row) for row in some]
            alone = {kind: rank_correlation(_column(some, kind), true) for kind in MEASURES}
            single = ", ".join(f"{kind} {value:.2f}" for kind, value in alone.items())
            lines.append(
                f"{name}, {' and '.join(kinds)}, {len(some)}: score "
                f"{rank_correlation(scores, true):.2f}, off by {_off(scores, true):.3f}; {single}"
            )
    return "\n".join(lines)


def _off(scores: list[float], true: npt.NDArray[np.float64]) -> float:
    """Give the median difference of the score to the true error."""
    return float(np.median(np.abs(np.array(scores) - true)))


def count_reasons(rows: list[Row]) -> str:
    """Tell in what share of the pictures each reason is given, by what is wrong with the trimap."""
    lines = []
    for fault in ("right", *FAULTS):
        some = [row for row in rows if row["trimap"] == fault]
        kinds = Counter(
            reason.kind
            for row in some
            for reason in list_reasons(
                Measures(**{name: float(row[name]) for name in MEASURES}),
                TrimapShares(1.0, float(row["unknown"]), 1.0),
            )
        )
        shares = ", ".join(f"{kind} {count / len(some):.0%}" for kind, count in kinds.most_common())
        lines.append(f"{fault}, {len(some)}: {shares}")
    return "\n".join(lines)


def read_rows(path: Path) -> list[Row]:
    """Read what was measured before."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(rows: list[Row], path: Path) -> None:
    """Write all rows, in the place of what was there."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, (*FACTS, *MEASURES), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main(
    folder: Annotated[Path | None, typer.Argument(help="The composites; none: judge rows.")] = None,
    *,
    rows: Annotated[Path, typer.Option(help="The CSV.")] = RESULTS,
) -> None:
    """Measure what is missing, fit weights on the composites, and print how well they rank."""
    known = read_rows(rows)
    if folder:
        measure_all(folder, known, rows)
    composites = [row for row in known if row["set"] == "validation"]
    typer.echo(f"fitted of all measures: {fit(composites, FITTED)}\nused: {WEIGHTS}")
    typer.echo(report(known))
    typer.echo(count_reasons(known))


if __name__ == "__main__":
    typer.run(main)
