"""`a2u check`: without truth, which of a folder's mattes somebody should look at, and why."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ImageError
from ..weights import registry
from .manifest import take_all
from .options import (
    BAND,
    AsJson,
    Band,
    Device,
    Force,
    Invert,
    MaxMemory,
    Report,
    Weights,
    load_runtime,
    refuse_idle,
)
from .progress import Rest, progress, say_left_out, say_sources
from .terminal import say, show, show_json

if TYPE_CHECKING:
    from ..jobs.findings import Findings

CONDITION_HELD, SOME_FAILED = 5, 1


def check(
    out: Annotated[Path, typer.Argument(help="The output folder of a2u batch.")] = Path(
        "a2u_output"
    ),
    *,
    images: Annotated[
        Path | None,
        typer.Option(help="The pictures. [default: the folder that an a2u_output lies in]"),
    ] = None,
    trimaps: Annotated[
        Path | None, typer.Option(help="Trimaps, by the pictures' names. [default: found by name]")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Masks, where there is no trimap. [default: found by name]")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="The manifest of the run, in place of their folder.")
    ] = None,
    band: Band = None,
    invert: Invert = False,
    report: Report = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="Print the worst so many. [default: all]")
    ] = None,
    fail_above: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Exit with 5 if the error to expect is higher: 0.08."),
    ] = None,
    weights: Weights = registry.DEFAULT,
    device: Device = "auto",
    max_memory: MaxMemory = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Tell which mattes of a run need a human: the worst first, with the reasons.

    Each is compared with other views of its picture, which take two passes over a small one.

    Example: a2u check photos/a2u_output --report report.html
    """
    from ..jobs.checking import Mattes, check_files, list_others
    from ..jobs.findings import Findings, require_report, write_report
    from ..jobs.manifest import read_manifest
    from ..jobs.options import Options

    if manifest:
        refuse_idle("a manifest names them itself", images=images, trimaps=trimaps, masks=masks)
    mattes = Mattes(out)
    source = manifest or images or _folder_of(out)
    found = read_manifest(source) if manifest else take_all(source, trimaps, masks, out)
    others = list_others(found, mattes, source)
    options = Options(band=band or BAND, invert=invert)
    if report:
        inputs = (*found.inputs(options.background), *mattes.paths)
        require_report(report, len(found.found) + len(others), inputs, force=force)
    say(f"{len(found.found)} pictures to check in {out}, {Rest(found.unpaired).counts}")
    say_sources(found.found)
    matter = load_runtime(weights, device=device, max_memory=max_memory)
    findings = Findings()
    for entry in others:
        findings.add(entry)
    with progress(len(found.found), lines=False) as advance:
        for pair in found.found:
            findings.add(check_files(pair, mattes, matter, options, drawn=report is not None))
            advance(pair.name, "checked")
    if report:
        for page in write_report(report, findings):
            say(page)
    say_left_out(found.left_out)
    _show(findings, top, as_json=as_json)
    _judge(findings, fail_above, some_left_out=bool(found.left_out))


def _folder_of(out: Path) -> Path:
    """Give the folder whose pictures a run into its a2u_output has matted; raises ImageError."""
    from ..images.listing import OUTPUT_FOLDER
    from ..pairing import folder_above

    if out.absolute().name == OUTPUT_FOLDER:
        return folder_above(out)
    raise ImageError(
        f"{out} does not say which pictures its mattes are of, expected their folder; give "
        "--images DIR"
    )


def _show(findings: "Findings", top: int | None, *, as_json: bool) -> None:
    """Print what was found, the worst first: a line a picture."""
    for number, entry in enumerate(findings, 1):
        if top and number > top:
            say(f"... and {len(findings) - top} more")
            return
        if as_json:
            show_json(entry.facts)
            continue
        score = "     -" if entry.score is None else f"{entry.score:6.3f}"
        words = "; ".join(f"{reason.kind}: {reason.text}" for reason in entry.reasons)
        show(f"{score}  {entry.name}  {words or 'nothing stands out'}")


def _judge(findings: "Findings", fail_above: float | None, *, some_left_out: bool) -> None:
    """Count what was found, and exit with 5 or 1 where that is asked for."""
    count, unchecked, worst = findings.summary
    say(f"{count - unchecked} checked, {unchecked} not checked")
    if fail_above is not None and worst > fail_above:
        say(f"condition holds: an error of {worst:.3f} is to be expected, above {fail_above:g}")
        raise typer.Exit(CONDITION_HELD)
    if unchecked or some_left_out:
        raise typer.Exit(SOME_FAILED)
