"""`a2u batch`: matte a folder, overnight if need be, and say in the morning what became of each."""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import A2UError, Interrupted
from ..weights import registry
from .manifest import Masks, Out, Trimaps, choose_source, read, take_all
from .options import (
    BAND,
    Background,
    Band,
    Choke,
    Colours,
    Crop,
    Depth,
    Dtype,
    Feather,
    Fit,
    For,
    Force,
    Invert,
    Levels,
    Linear,
    MaxMemory,
    NoLock,
    Provenance,
    Quality,
    Report,
    RuntimeName,
    Strict,
    Weights,
    checking,
    choose_target,
    load_runtime,
    path,
    refuse_idle,
)
from .plan import show_plan
from .progress import Rest, progress, say_sources
from .results import choose_finishing, choose_results
from .terminal import say, show_json

if TYPE_CHECKING:
    from ..jobs.journal import Outcome
    from ..jobs.manifest import Manifest
    from ..jobs.options import Options
    from ..jobs.spreading import Team
    from ..matting.runtime import Runtime
    from ..pairing import Pair


@dataclass(frozen=True)
class _Work:
    """Where a run writes, which part of the whole it does, and what it may do there."""

    out: Path
    part: int
    parts: int
    force: bool
    no_lock: bool

    @property
    def journal(self) -> str:
        from ..jobs.journal import JOURNAL

        return JOURNAL if self.parts == 1 else f"journal-{self.part}-of-{self.parts}.jsonl"

    @property
    def beside(self) -> str | None:
        """Name the journals of those that may work in the folder beside this run."""
        return None if self.parts == 1 else f"journal-*-of-{self.parts}.jsonl"


def batch(
    folder: Annotated[
        Path | None, typer.Argument(help="The pictures, also in folders below.", parser=path)
    ] = None,
    *,
    manifest: Annotated[
        Path | None,
        typer.Option(help="A CSV, JSONL or Parquet file of pictures, in place of a folder."),
    ] = None,
    output: Out = None,
    trimaps: Trimaps = None,
    masks: Masks = None,
    band: Band = None,
    invert: Invert = False,
    save: Annotated[
        str, typer.Option(help="What to write, of alpha,cutout,foreground,composite.")
    ] = "alpha",
    background: Background = None,
    fit: Fit = None,
    linear: Linear = False,
    levels: Levels = None,
    choke: Choke = None,
    feather: Feather = None,
    crop: Crop = None,
    colours: Colours = None,
    depth: Depth = None,
    target: For = None,
    weights: Weights = registry.DEFAULT,
    runtime: RuntimeName = None,
    device: Annotated[
        str,
        typer.Option(
            envvar="A2U_DEVICE",
            help="auto, cpu, cuda, cuda:N or mps, or several, as cuda:0,cuda:1; never another.",
        ),
    ] = "auto",
    dtype: Dtype = "auto",
    max_memory: MaxMemory = None,
    quality: Quality = None,
    workers: Annotated[
        str,
        typer.Option(
            help="Processes: a number, or auto: one a thread where many pictures are small.",
            callback=checking(lambda text: _read_workers(text)),
        ),
    ] = "auto",
    on: Annotated[
        str | None,
        typer.Option(
            help="Worker processes by Ray: ray, on this machine; ray://HOST:PORT, or ray://auto "
            "from one of its nodes, on a cluster that shares the folders.",
            callback=checking(lambda text: _read_on(text)),
        ),
    ] = None,
    strict: Strict = False,
    shard: Annotated[
        str | None, typer.Option(help="Do part I of N, as 2/8; all parts share the output folder.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and write nothing.")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first failure.")
    ] = False,
    provenance: Provenance = True,
    force: Force = False,
    no_lock: NoLock = False,
    report: Report = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each picture, or the plan.")
    ] = False,
) -> None:
    """Matte every picture below a folder that has a trimap or a mask; run again to go on.

    Example: a2u batch photos/ -o mattes/ --save alpha,cutout
    """
    from ..images.listing import OUTPUT_FOLDER
    from ..jobs.checking import check_rest
    from ..jobs.connection import require_extra
    from ..jobs.findings import Findings, require_report, write_report
    from ..jobs.spreading import run_team
    from ..scoring.contact_sheet import Entry

    options = choose_results(
        save, background=background, fit=fit, linear=linear, colours=colours, max_memory=max_memory
    )
    options = choose_finishing(options, crop, levels=levels, choke=choke, feather=feather)
    options = options.suiting(choose_target(target), depth)
    given = {"strict": strict, "band": band or BAND, "invert": invert}
    options = replace(options, **given, provenance=provenance)  # type: ignore[arg-type]
    if dry_run:
        refuse_idle("--dry-run mattes nothing that could fail", fail_fast=fail_fast)
        refuse_idle("--dry-run mattes nothing to report", report=report)
        refuse_idle("--dry-run plans for this machine without Ray", on=on)
    if "alpha" not in options.save:
        refuse_idle("it is about mattes; let --save have alpha, too", report=report)
    if on:
        require_extra()
        refuse_idle("--on shares the work out by itself", shard=shard)
        refuse_idle("Ray hands out devices by itself", device="," in device and device)
    source = choose_source(folder, manifest, trimaps=trimaps, masks=masks)
    out = output or (source.parent if manifest else source) / OUTPUT_FOLDER
    part, parts = _read_shard(shard)
    work = _Work(out, part, parts, force=force, no_lock=no_lock)
    found = read(source, options.save) if manifest else take_all(source, trimaps, masks, out)
    inputs = found.inputs(options.background)
    pairs = _take(found, work, options, inputs)
    if band is not None and not any(pair.is_mask for pair in pairs):
        say("warning: --band does nothing here: no picture has a mask")
    if invert and not any(pair.is_mask for pair in pairs):
        say("warning: --invert does nothing here: no picture has a mask")
    if report:
        require_report(report, len(pairs), inputs, force=force)
    number = _read_workers(workers)
    devices = _read_devices(device, number)
    matter = load_runtime(
        weights,
        device=devices[0],
        dtype=dtype,
        depth=options.depth,
        quality=quality,
        max_memory=max_memory,
        runtime=runtime,
    )
    say(f"device: {matter}")
    options = options.by(matter)
    if quality is None and _began_fast(pairs, matter, options, out):
        say("what is there was made with --quality fast: going on so, unless --quality is given")
        matter.quality = "fast"
        options = replace(options, quality="fast")
    rest = _rest(found, part)
    findings = Findings() if report else None
    if on:
        spread = _on_ray(on, number, lock=not no_lock)
    else:
        team = _share_out(pairs, matter, options, out, number, devices)
        spread = partial(run_team, team=team, findings=findings)
    if dry_run:
        rest.say()
        show_plan(pairs, out, matter, options, team, {"not_matted": rest.facts}, as_json=as_json)
        return
    if fail_fast and rest.failed:
        pairs = ()
    tally, failures = _run(
        pairs, inputs, matter, options, work, spread, fail_fast=fail_fast, as_json=as_json
    )
    if report and findings is not None:
        for outcome in (*rest.failed, *failures):
            findings.add(Entry.unchecked(outcome.name, outcome.reason, kind="failed"))
        check_rest(pairs, findings, out, matter, options)
        for page in write_report(report, findings):
            say(page)
    _report(tally, failures, rest, as_json=as_json)


def _began_fast(pairs: Sequence["Pair"], matter: "Runtime", options: "Options", out: Path) -> bool:
    """Tell whether a run began with one pass, which was the default before weights said theirs."""
    from ..jobs.journal import Journal
    from ..jobs.outlook import was_made_by

    if matter.quality == "fast" or not out.is_dir():
        return False
    return was_made_by(replace(options, quality="fast"), pairs, out, matter.matte, Journal(out))


def _read_shard(text: str | None) -> tuple[int, int]:
    try:
        part, parts = (int(number) for number in (text or "1/1").split("/"))
    except ValueError:
        raise A2UError(f"shard {text!r} cannot be read; expected I/N, such as 2/8") from None
    return part, parts


def _read_workers(text: str) -> int | None:
    """Read a number of processes; None leaves it to the work that there is."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise A2UError(f"workers {text!r} were asked for, expected auto or a number from 1 on")
    return int(text)


def _read_on(text: str) -> str:
    """Read where a run goes by Ray, which says nothing of its own; raises A2UError."""
    from ..jobs.connection import read_address
    from .process import quiet_ray

    quiet_ray()
    return read_address(text)


def _on_ray(
    on: str, workers: int | None, *, lock: bool
) -> Callable[..., "Generator[Outcome, None, None]"]:
    """Give what does a run by Ray."""
    from ..jobs.cluster import run_on_ray

    return partial(run_on_ray, address=_read_on(on), workers=workers, tell=say, lock=lock)


def _read_devices(text: str, workers: int | None) -> tuple[str, ...]:
    """Read one device, or several that get a worker each; raises A2UError where one is not there.

    What was asked for is never replaced, so all of them are looked for before any work.
    """
    from ..matting.devices import pick_device

    names = tuple(name.strip() for name in text.split(","))
    if len(names) > 1:
        refuse_idle("each --device of several has one", workers=workers)
    return tuple(str(pick_device(name)) for name in names) if len(names) > 1 else names


def _share_out(
    pairs: Sequence["Pair"],
    matter: "Runtime",
    options: "Options",
    out: Path,
    workers: int | None,
    devices: tuple[str, ...],
) -> "Team":
    """Decide what goes to worker processes, and say so."""
    from ..jobs.spreading import share_out

    several = devices if len(devices) > 1 else ()
    team = share_out(pairs, out, matter, options, workers=workers, devices=several)
    if team.places:
        rest = len(pairs) - len(team.pairs)
        say(f"workers: {team}" + (f", then one process for {rest}" if rest else ""))
    return team


def _take(
    found: "Manifest", work: _Work, options: "Options", inputs: Iterable[Path]
) -> Sequence["Pair"]:
    """Take a part's pictures, and say what there is to do; one part counts what there is not.

    Raises ImageError where the output of one is an input.
    """
    from ..jobs.folder import outputs, shard
    from ..jobs.places import require_no_input

    pairs = shard(found.found, work.part, work.parts)
    require_no_input(  # nor of the other parts': all are refused, or none
        (path for pair in found.found for path in outputs(pair, work.out, options).values()), inputs
    )
    say(
        f"{len(pairs)} pictures to matte into {work.out}, {_rest(found, work.part).counts}, "
        f"{sum(pair.is_mask for pair in pairs)} trimaps to make from masks"
    )
    say_sources(pairs)
    if found.failed:
        say(f"warning: {len(found.failed)} rows cannot be followed; they are named at the end")
    return pairs


def _rest(found: "Manifest", part: int) -> Rest:
    """Give what is not matted; one part of a whole tells it for all."""
    return Rest(found.unpaired, found.left_out, found.failed) if part == 1 else Rest()


def _run(
    pairs: Sequence["Pair"],
    inputs: Iterable[Path],
    matter: "Runtime",
    options: "Options",
    work: _Work,
    spread: Callable[..., "Generator[Outcome, None, None]"],
    *,
    fail_fast: bool,
    as_json: bool,
) -> "tuple[Counter[str], list[Outcome]]":
    """Matte the pictures and report each; count what became of them, and keep the failures."""
    from ..images.files import locked
    from ..jobs.journal import Journal
    from .process import prepare_process

    tally: Counter[str] = Counter()
    failures = []
    hints = {
        p.name: {"mask" if p.is_mask else "trimap": str(p.hint)} for p in (pairs if as_json else ())
    }
    try:
        lock = locked(work.out, work.journal, beside=work.beside, lock=not work.no_lock)
        with lock, progress(len(pairs)) as advance:
            journal = Journal(work.out, work.journal)
            outcomes = spread(
                pairs,
                work.out,
                matter,
                options,
                prepare=prepare_process,
                journal=journal,
                inputs=inputs,
                force=work.force,
                fail_fast=fail_fast,
            )
            with closing(outcomes):  # at once, also where this loop is interrupted
                for outcome in outcomes:
                    tally[outcome.state] += 1
                    advance(outcome.name, outcome.state)
                    if as_json:
                        show_json(vars(outcome) | hints[outcome.name])
                    if outcome.state == "failed":
                        failures.append(outcome)
            journal.close()
    except Interrupted as stop:
        raise Interrupted(
            f"interrupted after {sum(tally.values())} of {len(pairs)} pictures; "
            "the same command goes on from there",
            stop.exit_code,
        ) from None
    return tally, failures


def _report(tally: "Counter[str]", failures: "list[Outcome]", rest: Rest, *, as_json: bool) -> None:
    """Say what failed and count the rest; exits with 1 where anything is not done."""
    for outcome in failures:
        say(f"failed: {outcome.name}: {outcome.reason}")
    rest.say()
    tally["failed"] += len(rest.failed)
    for facts in rest.facts if as_json else ():
        show_json(facts)
    states = ", ".join(f"{tally[state]} {state}" for state in ("done", "skipped", "failed"))
    say(f"{states}, {rest.counts}")
    if tally["failed"] or rest.unpaired or rest.left_out:
        raise typer.Exit(1)
