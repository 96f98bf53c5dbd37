"""`a2u eval`: score mattes against truth, for people, for machines, for integration tests."""

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import A2UError

PREDICTIONS = Path("a2u_output/alpha")
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
        Path | None, typer.Option(help="The trimaps. [default: those beside the truth, if any]")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="The pictures, to show on the page.")] = None,
    protocol: Annotated[
        str, typer.Option(help="What Conn does with empty thresholds: dim, or a2u.")
    ] = "dim",
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Write a report for machines; - for stdout.")
    ] = None,
    as_csv: Annotated[Path | None, typer.Option("--csv", help="Write the rows as CSV.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to look at.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="Compare with another run's --json, picture by picture.")
    ] = None,
    fail_if: Annotated[
        list[str] | None, typer.Option(help='Exit with 5 if it holds: "sad>30", "sad>+1%".')
    ] = None,
) -> None:
    """Score mattes by SAD, MSE, Grad and Conn, exactly as the MATLAB evaluation code does.

    Example: a2u eval --gt alpha/ --html report.html
    """
    from ..scoring import comparison, report
    from ..scoring.evaluation import Row, means
    from ..scoring.evaluation import evaluate as score_all
    from ..scoring.layouts import find_items

    if protocol not in ("dim", "a2u"):
        raise A2UError(f"protocol {protocol!r} is unknown; expected dim or a2u")
    rule: Any = protocol
    other = comparison.read_other(against) if against else None
    found = find_items(predictions, gt, trimap, images)
    with _progress(len(found.items)) as advance:

        def tell(row: Row) -> None:
            advance()

        rows = score_all(found, conn_rule=rule, workers=os.cpu_count() or 1, report=tell)
    text = json.dumps(report.document(found, rows, rule), indent=1)
    to_stdout = as_json is not None and str(as_json) == "-"
    if as_json and not to_stdout:
        _write(as_json, text + "\n")
    if as_csv:
        _write(as_csv, report.to_csv(rows))
    if html:
        _write(html, report.page(found, rows, rule))
    if to_stdout:
        typer.echo(text)
    else:
        _show(rows, report.conventions(found, rule))
        if other is not None:
            _compare(comparison.compare(rows, other, "sad"))
    held = [condition for condition in fail_if or () if comparison.holds(condition, rows, other)]
    for condition in held:
        typer.echo(f"condition holds: {condition}", err=True)
    if held:
        raise typer.Exit(CONDITION_HELD)
    counts = report.counts(rows)
    if counts["failed"] or counts["missing"] or not means(rows):
        raise typer.Exit(SOME_FAILED)


def _write(path: Path, text: str) -> None:
    from ..images.writing import write_bytes

    write_bytes(path, text.encode())
    typer.echo(str(path), err=True)


def _show(rows: list[Any], conventions: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from ..scoring.comparison import COLUMNS
    from ..scoring.evaluation import means
    from ..scoring.report import TITLES, cells, counts, printed

    table = Table("picture", *(TITLES[name] for name in COLUMNS))
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        if row.scores:
            table.add_row(row.item.name, *cells(row))
    tally = counts(rows)
    table.add_section()
    average = means(rows)
    table.add_row(f"mean of {tally['scored']}", *(printed(n, v) for n, v in average.items()))
    console = Console(soft_wrap=True)
    console.print(table)
    for row in rows:
        if not row.scores:
            console.print(
                f"{row.state}: {row.item.name}: {row.reason}", highlight=False, markup=False
            )
    console.print(", ".join(f"{count} {state}" for state, count in tally.items()), highlight=False)
    for name, text in conventions.items():
        console.print(f"{name}: {text}", highlight=False, markup=False)


def _compare(changes: list[Any]) -> None:
    worse = [change for change in changes if change.ours > change.theirs]
    better = [change for change in changes if change.ours < change.theirs]
    ours, theirs = (sum(getattr(c, k) for c in changes) / len(changes) for k in ("ours", "theirs"))
    share = f" ({ours / theirs - 1:+.2%})" if theirs else ""
    typer.echo(
        f"against: SAD {ours:.2f} here, {theirs:.2f} there{share} over {len(changes)} pictures "
        f"that both scored; {len(worse)} worse, {len(better)} better"
    )
    for change in (*worse[:5], *better[-5:]):
        typer.echo(f"  {change.name}: {change.theirs:.2f} -> {change.ours:.2f}")


@contextmanager
def _progress(total: int) -> Any:
    """Show a bar on stderr where it is a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("scoring", total=total)
        yield lambda: bar.advance(task)
