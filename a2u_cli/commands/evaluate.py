"""`a2u eval`: score mattes against truth, for people, for machines, for integration tests."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from ..errors import A2UError
from .options import Force, MaxMemory, bound_memory, choose, refuse_idle
from .progress import progress
from .terminal import say, show, show_json, show_list, show_table, show_text

if TYPE_CHECKING:
    from ..images.memory import Bound
    from ..scoring.comparison import Change
    from ..scoring.evaluation import Row
    from ..scoring.layouts import Set
    from ..scoring.metrics import ConnRule

PREDICTIONS = Path("a2u_output/alpha")
STDOUT = Path("-")
# Bytes for a pixel and beside the picture, by the process's size at 4 and 17 million pixels.
EVAL = {"a_pixel": 100, "process": 320 << 20}
CONDITION_HELD, SOME_FAILED = 5, 1


def evaluate(
    predictions: Annotated[
        Path, typer.Argument(help="The folder of mattes to score.")
    ] = PREDICTIONS,
    *,
    gt: Annotated[
        Path,
        typer.Option("--gt", help="The true alphas, or a data set's root.", show_default=False),
    ],
    trimap: Annotated[
        Path | None,
        typer.Option(
            help="The trimaps; all for each of a data set's. [default: those beside the truth]"
        ),
    ] = None,
    region: Annotated[
        str,
        typer.Option(help="unknown (of the trimaps), whole, or auto: unknown if there are any."),
    ] = "auto",
    images: Annotated[
        Path | None, typer.Option(help="The pictures, to show on the page of --html.")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="What Conn does with empty thresholds: dim, or a2u.")
    ] = "dim",
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Write a report for machines; - for stdout.")
    ] = None,
    as_csv: Annotated[
        Path | None, typer.Option("--csv", help="Write the rows as CSV; - for stdout.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to look at.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="Compare with another run's --json, picture by picture.")
    ] = None,
    max_memory: MaxMemory = None,
    force: Force = False,
    fail_if: Annotated[
        list[str] | None, typer.Option(help='Exit with 5 if it holds: "sad>30", "sad>+1%".')
    ] = None,
) -> None:
    """Score mattes by SAD, MSE, Grad and Conn, exactly as the MATLAB evaluation code does.

    Example: a2u eval --gt alpha/ --html report.html
    """
    from ..jobs.journal import find_own, find_results
    from ..jobs.options import OUTPUTS
    from ..scoring import comparison, report
    from ..scoring.evaluation import LEFT_OUT, means
    from ..scoring.evaluation import evaluate as score_all
    from ..scoring.layouts import find_items
    from ..scoring.metrics import ConnRule

    rule = choose("protocol", protocol, get_args(ConnRule))
    where = choose("region", region, ("auto", "unknown", "whole"))
    if where == "whole":
        refuse_idle("--region whole scores without trimaps", trimap=trimap)
    bound = bound_memory(max_memory, **EVAL)
    _refuse_files(images, as_json, as_csv, html)
    for condition in fail_if or ():
        comparison.read_condition(condition, compared=against is not None)
    other = comparison.read_other(against) if against else None
    data_set = find_items(
        predictions,
        gt,
        trimap,
        images,
        whole=where == "whole",
        results=lambda: find_results(gt, own=False) | find_own(gt, OUTPUTS),
    )
    if where == "unknown" and not data_set.has_trimaps:
        raise A2UError("--region unknown needs trimaps, and none were found; give --trimap DIR")
    _require_places([as_json, as_csv, html], [against, *data_set.files], force=force)
    with progress(len(data_set.items), lines=False) as advance:
        rows = score_all(
            data_set,
            conn_rule=rule,
            workers=1 if max_memory else os.cpu_count() or 1,
            max_memory=bound,
            report=lambda row: advance(row.item.name, row.state),
        )
    _write_reports(data_set, rows, rule, as_json=as_json, as_csv=as_csv, html=html, bound=bound)
    taken = STDOUT in (as_json, as_csv)
    if not taken:
        _show(rows, report.conventions(data_set, rule))
    if other is not None:
        changes = comparison.compare(rows, other, "sad")
        _compare(changes, say if taken else show)
    held = [condition for condition in fail_if or () if comparison.holds(condition, rows, other)]
    for condition in held:
        say(f"condition holds: {condition}")
    if held:
        raise typer.Exit(CONDITION_HELD)
    counts = report.counts(rows)
    if any(counts.get(state) for state in ("failed", "missing", LEFT_OUT)) or not means(rows):
        raise typer.Exit(SOME_FAILED)


def _refuse_files(
    images: Path | None, as_json: Path | None, as_csv: Path | None, html: Path | None
) -> None:
    """Refuse pictures that no page shows, a page on stdout, and two reports there."""
    if html is None:
        refuse_idle("pictures are shown on the page of --html", images=images)
    if html == STDOUT:
        raise A2UError("--html - is no file, and a page does not go to stdout; name a file")
    if as_json == as_csv == STDOUT:
        raise A2UError("--json - and --csv - would mix on stdout; name a file for one of them")


def _require_places(reports: list[Path | None], inputs: list[Path | None], *, force: bool) -> None:
    """Refuse reports that cannot be written, or would replace what is read, before any work."""
    from ..images import require_free

    taken = [path for path in inputs if path]
    for path in reports:
        if path and path != STDOUT:
            require_free(path, taken, force=force)
            taken.append(path)


def _write_reports(
    data_set: "Set",
    rows: "list[Row]",
    rule: "ConnRule",
    *,
    as_json: Path | None,
    as_csv: Path | None,
    html: Path | None,
    bound: "Bound",
) -> None:
    from ..scoring import report

    if as_json == STDOUT:
        show_json(report.document(data_set, rows, rule), indent=1)
    elif as_json:
        _write(as_json, json.dumps(report.document(data_set, rows, rule), indent=1) + "\n")
    if as_csv == STDOUT:
        show_text(report.to_csv(rows))
    elif as_csv:
        _write(as_csv, report.to_csv(rows))
    if html:
        _write(html, report.page(data_set, rows, rule, max_memory=bound))


def _write(path: Path, text: str) -> None:
    from ..images.writing import write_bytes

    write_bytes(path, text.encode(errors="backslashreplace"))  # names that are not UTF-8
    say(path)


def _show(rows: "list[Row]", conventions: dict[str, str]) -> None:
    from ..scoring.evaluation import COLUMNS, means
    from ..scoring.report import TITLES, cells, counts, notes, parts, printed

    tally = counts(rows)
    average = [printed(name, value) for name, value in means(rows).items()]
    show_table(
        ["picture", *(TITLES[name] for name in COLUMNS)],
        [[row.item.name, *cells(row)] for row in rows if row.scores],
        [f"mean of {tally['scored']}", *average],
    )
    for part, own in parts(rows).items():
        figures = (f"{TITLES[name]} {printed(name, value)}" for name, value in means(own).items())
        show(f"mean of {part}: {', '.join(figures)}")
    for note in notes(rows):
        show(f"note: {note}")
    for state in tally:
        show_list(
            [
                f"{state}: {row.item.name}: {row.reason}"
                for row in rows
                if not row.scores and row.state == state
            ]
        )
    show(", ".join(f"{count} {state}" for state, count in tally.items()))
    for name, text in conventions.items():
        show(f"{name}: {text}")


def _compare(changes: "list[Change]", print_line: Callable[[str], None]) -> None:
    worse = [change for change in changes if change.ours > change.theirs]
    better = [change for change in changes if change.ours < change.theirs]
    ours = sum(change.ours for change in changes) / len(changes)
    theirs = sum(change.theirs for change in changes) / len(changes)
    share = f" ({ours / theirs - 1:+.2%})" if theirs else ""
    print_line(
        f"against: SAD {ours:.2f} here, {theirs:.2f} there{share} over {len(changes)} pictures "
        f"that both scored; {len(worse)} worse, {len(better)} better"
    )
    for change in (*worse[:5], *better[-5:]):
        print_line(f"  {change.name}: {change.theirs:.2f} -> {change.ours:.2f}")
