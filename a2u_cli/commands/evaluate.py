"""`a2u eval`: score mattes against truth, for people, for machines, for integration tests."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, get_args

import typer

from ..errors import A2UError
from .options import Force, MaxMemory, bound_memory, choose, path, refuse_idle
from .progress import progress
from .terminal import say, show, show_json, show_list, show_table, show_text

if TYPE_CHECKING:
    from ..images.memory import Bound
    from ..scoring.comparison import Change
    from ..scoring.evaluation import Row
    from ..scoring.layouts import Set
    from ..scoring.metrics import ConnRule
    from ..scoring.temporal import Protocol

PREDICTIONS = Path("a2u_output/alpha")
STDOUT = Path("-")
# Bytes for a pixel and beside the picture, by the process's size at 4 and 17 million pixels.
EVAL = {"a_pixel": 100, "process": 320 << 20}
CONDITION_HELD, SOME_FAILED = 5, 1


class _Folders(NamedTuple):
    """Where the mattes, their truth and their trimaps are."""

    predictions: Path
    truth: Path
    trimap: Path | None

    def results(self) -> frozenset[Path]:
        """List what runs have made among the truth: it is none."""
        from ..jobs.journal import find_own, find_results
        from ..jobs.options import OUTPUTS

        return find_results(self.truth, own=False) | find_own(self.truth, OUTPUTS)


@dataclass(frozen=True)
class _Work:
    """What there is to score, the files of it, how it is done and by which rules."""

    data_set: "Set"
    files: tuple[Path, ...]
    score: "Callable[[int, Bound, Callable[[Row], None]], list[Row]]"
    conn_rule: "ConnRule"
    protocol: "Protocol | None" = None

    def conventions(self) -> dict[str, str]:
        """Say how the numbers of a table were made."""
        from ..scoring.report import conventions

        return conventions(self.data_set, self.conn_rule, self.protocol)


def evaluate(
    predictions: Annotated[
        Path, typer.Argument(help="The folder of mattes to score.", parser=path)
    ] = PREDICTIONS,
    *,
    gt: Annotated[
        Path,
        typer.Option(
            "--gt",
            help="The true alphas, or a data set's root.",
            show_default=False,
            parser=path,
        ),
    ],
    trimap: Annotated[
        Path | None,
        typer.Option(
            "--trimap",
            "--trimaps",
            help="The trimaps; all for each of a data set's. [default: those beside the truth]",
            parser=path,
        ),
    ] = None,
    region: Annotated[
        str,
        typer.Option(help="unknown (of the trimaps), whole, or auto: unknown if there are any."),
    ] = "auto",
    images: Annotated[
        Path | None,
        typer.Option(help="The pictures, to show on the page of --html.", parser=path),
    ] = None,
    sequence: Annotated[
        bool, typer.Option("--sequence", help="Score clips: numbered frames, or folders of them.")
    ] = False,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="What Conn does with empty thresholds: dim, or a2u; of clips whose dtSSD: rvm, "
            "tcvom or dvm. [default: the first]"
        ),
    ] = None,
    flow: Annotated[
        Path | None,
        typer.Option(help="The motion from each frame to the next, for tcvom's MESSDdt."),
    ] = None,
    per_frame: Annotated[
        bool,
        typer.Option("--per-frame", help="Rows of frames in the table and in --csv, not of clips."),
    ] = False,
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

    With --sequence clips are scored frame by frame, and by how they change over time.

    Example: a2u eval --gt alpha/ --html report.html
    """
    from ..scoring import comparison
    from ..scoring.evaluation import COLUMNS, LEFT_OUT, means, pictures
    from ..scoring.report import counts

    where = choose("region", region, ("auto", "unknown", "whole"))
    if where == "whole":
        refuse_idle("--region whole scores without trimaps", trimap=trimap)
    bound = bound_memory(max_memory, **EVAL)
    _refuse_files(images, as_json, as_csv, html)
    metrics = (*COLUMNS, *(["dtssd"] if sequence else []), *(["messddt"] if flow else []))
    for condition in fail_if or ():
        comparison.read_condition(condition, compared=against is not None, columns=metrics)
    other = comparison.read_other(against, metrics) if against else None
    folders = _Folders(predictions, gt, trimap)
    if sequence:
        refuse_idle("a page shows single pictures, and --sequence scores clips", html=html)
        work = _find_clips(folders, flow, protocol, whole=where == "whole")
    else:
        refuse_idle("only --sequence scores clips", flow=flow, per_frame=per_frame)
        work = _find_pictures(folders, images, protocol, whole=where == "whole")
    if where == "unknown" and not work.data_set.has_trimaps:
        raise A2UError("--region unknown needs trimaps, and none were found; give --trimap DIR")
    _require_places([as_json, as_csv, html], [against, *work.files], force=force)
    workers = 1 if max_memory else os.cpu_count() or 1
    with progress(len(work.data_set.items), lines=False) as advance:
        rows = work.score(workers, bound, lambda row: advance(row.item.name, row.state))
    shown = pictures(rows) if per_frame else rows
    _write_reports(work, rows, shown, as_json=as_json, as_csv=as_csv, html=html, bound=bound)
    taken = STDOUT in (as_json, as_csv)
    if not taken:
        _show(work, rows, shown)
    if other is not None:
        changes = comparison.compare(rows, other, "sad")
        _compare(changes, say if taken else show, "clips" if sequence else "pictures")
    held = [condition for condition in fail_if or () if comparison.holds(condition, rows, other)]
    for condition in held:
        say(f"condition holds: {condition}")
    if held:
        raise typer.Exit(CONDITION_HELD)
    tally = counts(rows)
    if any(tally.get(state) for state in ("failed", "missing", LEFT_OUT)) or not means(rows):
        raise typer.Exit(SOME_FAILED)


def _find_pictures(
    folders: _Folders, images: Path | None, protocol: str | None, *, whole: bool
) -> _Work:
    from ..scoring.evaluation import evaluate as score_all
    from ..scoring.layouts import find_items
    from ..scoring.metrics import ConnRule

    rule = choose("protocol", protocol, get_args(ConnRule))
    data_set = find_items(*folders, images, whole=whole, results=folders.results)

    def score(workers: int, bound: "Bound", report: Callable[["Row"], None]) -> "list[Row]":
        return score_all(data_set, conn_rule=rule, workers=workers, max_memory=bound, report=report)

    return _Work(data_set, data_set.files, score, rule)


def _find_clips(
    folders: _Folders, flow: Path | None, protocol: str | None, *, whole: bool
) -> _Work:
    from ..scoring.clips import find_clips
    from ..scoring.sequences import score_clips
    from ..scoring.temporal import Protocol

    chosen = choose("protocol", protocol, get_args(Protocol))
    if chosen != "tcvom":
        refuse_idle("MESSDdt is of --protocol tcvom", flow=flow)
    clips = find_clips(*folders, flow, whole=whole, results=folders.results)
    if chosen == "tcvom" and not clips.data_set.has_trimaps:
        raise A2UError("--protocol tcvom needs trimaps, and none are used; give --trimap DIR")

    def score(workers: int, bound: "Bound", report: Callable[["Row"], None]) -> "list[Row]":
        return score_clips(clips, chosen, workers=workers, max_memory=bound, report=report)

    return _Work(clips.data_set, clips.files, score, "dim", chosen)


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

    taken = [*filter(None, inputs)]
    for report in reports:
        if report and report != STDOUT:
            require_free(report, taken, force=force)
            taken.append(report)


def _write_reports(
    work: _Work,
    rows: "list[Row]",
    shown: "list[Row]",
    *,
    as_json: Path | None,
    as_csv: Path | None,
    html: Path | None,
    bound: "Bound",
) -> None:
    from ..scoring import report

    document = report.document(work.data_set, rows, work.conn_rule, work.protocol)
    if as_json == STDOUT:
        show_json(document, indent=1)
    elif as_json:
        _write(as_json, json.dumps(document, indent=1) + "\n")
    if as_csv == STDOUT:
        show_text(report.to_csv(shown))
    elif as_csv:
        _write(as_csv, report.to_csv(shown))
    if html:
        _write(html, report.page(work.data_set, rows, work.conn_rule, max_memory=bound))


def _write(file: Path, text: str) -> None:
    from ..images.writing import write_bytes

    write_bytes(file, text.encode(errors="backslashreplace"))  # names that are not UTF-8
    say(file)


def _show(work: _Work, rows: "list[Row]", shown: "list[Row]") -> None:
    """Show a table of these rows with the means of all, and whatever else there is to say."""
    from ..scoring.evaluation import columns, means, pictures
    from ..scoring.report import TITLES, cells, counts, notes, parts, printed

    names = columns(rows)
    average = means(rows)
    scored = sum(row.scores is not None for row in rows)
    of = f"{scored} clips" if work.protocol else str(scored)
    what = ("clip" if shown is rows else "frame") if work.protocol else "picture"
    show_table(
        [what, *(TITLES[name] for name in names)],
        [[row.item.name, *cells(row, names)] for row in shown if row.scores],
        [f"mean of {of}", *(printed(name, average[name]) for name in names if average)],
    )
    of_parts = {row.item.name: [row] for row in rows if row.frames} if shown is not rows else {}
    for part, own in (parts(rows) | of_parts).items():
        figures = (f"{TITLES[name]} {printed(name, value)}" for name, value in means(own).items())
        show(f"mean of {part}: {', '.join(figures)}")
    for note in notes(rows):
        show(f"note: {note}")
    tally = counts(rows)
    for state in tally:
        show_list(
            [
                f"{state}: {row.item.name}: {row.reason}"
                for row in pictures(rows)
                if not row.scores and row.state == state
            ]
        )
    show(", ".join(f"{count} {state}" for state, count in tally.items()))
    for name, text in work.conventions().items():
        show(f"{name}: {text}")


def _compare(changes: "list[Change]", print_line: Callable[[str], None], what: str) -> None:
    worse = [change for change in changes if change.ours > change.theirs]
    better = [change for change in changes if change.ours < change.theirs]
    ours = sum(change.ours for change in changes) / len(changes)
    theirs = sum(change.theirs for change in changes) / len(changes)
    share = f" ({ours / theirs - 1:+.2%})" if theirs else ""
    print_line(
        f"against: SAD {ours:.2f} here, {theirs:.2f} there{share} over {len(changes)} {what} "
        f"that both scored; {len(worse)} worse, {len(better)} better"
    )
    for change in (*worse[:5], *better[-5:]):
        print_line(f"  {change.name}: {change.theirs:.2f} -> {change.ours:.2f}")
