"""`a2u sequence`: matte numbered frames or a film, from the trimaps of a few of its frames."""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import A2UError, Interrupted
from ..weights import registry
from .options import (
    BAND,
    Background,
    Band,
    Choke,
    Colours,
    Depth,
    Device,
    Dtype,
    Feather,
    Fit,
    Force,
    ForLight,
    Invert,
    Levels,
    Linear,
    MaxMemory,
    NoLock,
    Provenance,
    Quality,
    Strict,
    Weights,
    choose_target,
    load_runtime,
    refuse_idle,
)
from .progress import progress
from .results import choose_finishing, choose_results
from .terminal import say, say_list, show_json, show_path

if TYPE_CHECKING:
    from ..images.formats import Target
    from ..images.frames import FileFrames, Frames
    from ..images.meaning import Looks
    from ..jobs.options import Options
    from ..jobs.sequence import Making
    from ..matting.runtime import Runtime
    from ..units import Trimap

RATE = "24"
LIGHT = "nuke"  # what frames of light are made for, unless told


@dataclass(frozen=True)
class _Keys:
    """The frames that have a trimap, or a mask to make one from."""

    files: "FileFrames"
    are_masks: bool
    options: "Options"
    looks: "Looks"  # of all of them, which mean the same

    def read(self, number: int) -> "Trimap":
        from ..images import read_bytes
        from ..jobs.folder import read_hint
        from ..pairing import Pair

        path = self.files.file(number)
        pair = Pair(path.stem, path, path, is_mask=self.are_masks)
        return read_hint(pair, read_bytes(path, str(path)), self.options, guess=self.looks)


def sequence(
    frames: Annotated[
        Path,
        typer.Argument(
            help="The frames: plate.####.png, plate.%04d.exr, a folder with one sequence, or a "
            "film (by ffmpeg)."
        ),
    ],
    *,
    trimaps: Annotated[
        Path | None, typer.Option(help="Trimaps of some frames, or of all, by their numbers.")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Masks in place of trimaps, by their numbers.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the results.")],
    band: Band = None,
    invert: Invert = False,
    save: Annotated[
        str, typer.Option(help="What to write, of alpha,cutout,foreground,composite.")
    ] = "alpha",
    save_trimaps: Annotated[
        bool,
        typer.Option("--save-trimaps", help="Also write the trimaps made for frames without one."),
    ] = False,
    film: Annotated[
        Path | None, typer.Option(help="Also write the cut-outs as ProRes 4444 (.mov), by ffmpeg.")
    ] = None,
    rate: Annotated[
        str | None, typer.Option(help="Its frames a second. [default: the input's, or 24]")
    ] = None,
    steady: Annotated[
        bool,
        typer.Option(
            "--steady/--no-steady", help="Average each matte with its neighbours, moved to it."
        ),
    ] = True,
    background: Background = None,
    fit: Fit = None,
    linear: Linear = False,
    levels: Levels = None,
    choke: Choke = None,
    feather: Feather = None,
    colours: Colours = None,
    depth: Depth = None,
    target: ForLight = None,
    weights: Weights = registry.DEFAULT,
    device: Device = "auto",
    dtype: Dtype = "auto",
    max_memory: MaxMemory = None,
    quality: Quality = None,
    strict: Strict = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first failure.")
    ] = False,
    provenance: Provenance = True,
    force: Force = False,
    no_lock: NoLock = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each frame.")
    ] = False,
) -> None:
    """Matte a sequence from the trimaps of a few frames; run again to go on.

    Between key frames trimaps are carried along by motion, never across a cut.

    Example: a2u sequence plate.####.png --trimaps keys/ -o out/
    """
    from ..images.files import locked
    from ..images.frames import find_frames, gaps
    from ..jobs.journal import JOURNAL, Journal
    from ..jobs.places import Places
    from ..jobs.sequence import Making

    options = choose_results(
        save, background=background, fit=fit, linear=linear, colours=colours, max_memory=max_memory
    )
    options = choose_finishing(options, None, levels=levels, choke=choke, feather=feather)
    found = find_frames(frames)
    options = options.suiting(_choose_target(target, found, depth), depth)
    given = {"strict": strict, "band": band or BAND, "invert": invert}
    options = replace(options, **given, provenance=provenance)  # type: ignore[arg-type]
    _check_film(film, rate, options, force=force)
    keys = _find_keys(found, trimaps, masks, options, band=band, invert=invert, strict=strict)
    say_list([f"no frame {gap}: the numbers leave it out" for gap in gaps(found.numbers)])
    matter = load_runtime(
        weights,
        device=device,
        dtype=dtype,
        depth=options.depth,
        quality=quality,
        max_memory=max_memory,
    )
    say(f"device: {matter}")
    options = options.by(matter)
    with locked(output, JOURNAL, lock=not no_lock):
        inputs = (*found.files, *keys.files.files)
        places = Places(Journal(output), inputs, force=force)
        making = Making(
            *(found, output, matter.matte, options, places),
            steadied=steady,
            saves_trimaps=save_trimaps,
            max_memory=matter.max_memory,
        )
        failures = _run(making, keys, matter, fail_fast=fail_fast, as_json=as_json)
        if film and not failures:
            _write_film(film, making, rate)
    if failures:
        if film:
            say(f"{film} is not written: {failures} frames are missing")
        raise typer.Exit(1)


def _choose_target(word: str | None, frames: "Frames", depth: int | None) -> "Target | None":
    """Find what --for means; light stays light unless it says otherwise.

    Raises A2UError where that cannot be written.
    """
    if word is None and frames.in_light:
        if depth == 8:
            raise A2UError(
                "depth 8 was asked for, but frames of light become OpenEXR, expected 16 or 32; "
                "--for after-effects or web clips light beyond white"
            )
        word = LIGHT
    return choose_target(word)


def _find_keys(
    frames: "Frames",
    trimaps: Path | None,
    masks: Path | None,
    options: "Options",
    *,
    band: str | None,
    invert: bool,
    strict: bool,
) -> _Keys:
    """Find the key frames, and say how many there are; raises A2UError where none is of a frame."""
    from ..images.frames import find_keys
    from ..images.meaning import look_at_all

    source = trimaps or masks
    if source is None or (trimaps and masks):
        raise A2UError("give what is known of some frames: either --trimaps, or --masks")
    if masks:
        refuse_idle("it is about the greys of drawn --trimaps; --masks may have any", strict=strict)
    else:
        refuse_idle("drawn trimaps are taken as they are", band=band, invert=invert)
    files = find_keys(source)
    numbers = set(frames.numbers)
    strange = [path for number, path in files.by_number.items() if number not in numbers]
    own = type(files)({n: p for n, p in files.by_number.items() if n in numbers})
    if not own.by_number:
        first, last = frames.numbers[0], frames.numbers[-1]
        raise A2UError(
            f"{source} has no frame of the sequence, expected numbers from {first} to {last}; "
            "name each trimap by its frame"
        )
    say_list([f"no frame of this number: {path}" for path in strange])
    keys = _Keys(own, masks is not None, options, look_at_all(own.files, drawn=masks is None))
    count, kind = len(own.by_number), "masks" if masks else "trimaps"
    say(f"{len(numbers)} frames, {numbers and min(numbers)} to {max(numbers)}, {count} {kind}")
    return keys


def _run(
    making: "Making", keys: _Keys, matter: "Runtime", *, fail_fast: bool, as_json: bool
) -> int:
    """Matte the frames and report each; gives how many failed."""
    from ..jobs.scouting import Scout
    from ..jobs.sequence import run_sequence

    tally: Counter[str] = Counter()
    failures = []
    numbers = frozenset(keys.files.numbers)
    scout = Scout(making.frames, numbers, keys.read, memory=matter.budget())
    total = len(making.frames.numbers)
    try:
        scouted = scout.walk(looks=making.steadied or len(numbers) < total)
        with progress(total) as advance, closing(scouted):
            outcomes = run_sequence(scouted, making, fail_fast=fail_fast)
            with closing(outcomes):
                for outcome in outcomes:
                    tally[outcome.state] += 1
                    advance(outcome.name, outcome.state)
                    if as_json:
                        show_json(vars(outcome))
                    if outcome.state == "failed":
                        failures.append(outcome)
    except Interrupted as stop:
        raise Interrupted(
            f"interrupted after {sum(tally.values())} of {total} frames; the same command goes on "
            "from there",
            stop.exit_code,
        ) from None
    for outcome in failures:
        say(f"failed: {outcome.name}: {outcome.reason}")
    say(", ".join(f"{tally[state]} {state}" for state in ("done", "skipped", "failed")))
    return len(failures)


def _check_film(film: Path | None, rate: str | None, options: "Options", *, force: bool) -> None:
    """Refuse a film that could not be written, before any work; raises A2UError."""
    from fractions import Fraction

    from ..images import require_free
    from ..images.film import require_ffmpeg
    from ..images.formats import holds_light
    from ..images.provenance import sidecar

    if film is None:
        refuse_idle("it is a film's; give its name by --film", rate=rate)
        return
    try:
        if rate is not None and Fraction(rate) <= 0:
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise A2UError(
            f"rate {rate!r} cannot be read, expected frames a second, as 24 or 24000/1001"
        ) from None
    if "cutout" not in options.save:
        raise A2UError("--film is made of the cut-outs, which are not saved; add cutout to --save")
    if holds_light(options.format, options.depth):
        raise A2UError(
            "--film is made of the cut-outs, which would be light in an OpenEXR, expected sRGB "
            "values; leave --film out, or take --for after-effects"
        )
    if film.suffix.lower() != ".mov":
        raise A2UError(f"{film} is not named .mov, which ProRes lies in; rename it")
    require_free(film, [], force=force)
    if options.provenance:
        require_free(sidecar(film), [], force=force)
    require_ffmpeg()


def _write_film(film: Path, making: "Making", rate: str | None) -> None:
    """Write the film of all cut-outs, and beside it what it was made of."""
    from ..images import write_bytes
    from ..images.film import write_film
    from ..images.frames import FilmFrames
    from ..images.provenance import sidecar
    from ..jobs.sequence import cutouts, tell_of_film

    like = making.frames.film if isinstance(making.frames, FilmFrames) else None
    write_film(film, cutouts(making), rate=rate or (like.rate if like else RATE), like=like)
    if making.options.provenance:
        write_bytes(sidecar(film), tell_of_film(film, making))
    show_path(film)
