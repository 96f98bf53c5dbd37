"""`a2u provenance` and `a2u replay`: what a result was made of, and whether it comes out again."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from .. import __version__
from ..errors import A2UError
from ..weights import registry
from .laying import Words, read_words
from .options import AsJson, Device, MaxMemory, Weights, bound_memory, choose, load_runtime
from .pictures import BoxHint, Hint
from .terminal import say, show, show_json
from .trimap import CHECK as TRIMAP
from .trimap import make_trimap

if TYPE_CHECKING:
    from ..jobs.provenance import Note, Tell

Result = Annotated[Path, typer.Argument(help="A result of a2u.", show_default=False)]


def provenance(result: Result, *, as_json: AsJson = False) -> None:
    """Print what a result was made of: tool, weights, options and inputs, as its file says.

    Example: a2u provenance photo_alpha.png
    """
    import json

    from ..jobs.provenance import read_note

    note, _ = read_note(result)
    if as_json:
        show_json(json.loads(note.text))
        return
    show(f"made by a2u {note.version}: {note.command}, {note.output}")
    if note.weights:
        name = f"{note.weights.name}, " if note.weights.name else ""
        show(f"weights: {name}licence {note.weights.licence}, sha256 {note.weights.sha256}")
    for name, value in sorted(note.options.items()):
        show(f"{name}: {value}")
    for one in note.inputs:
        show(f"{one.role}: {one.name}, sha256 {one.sha256}")


def replay(
    result: Result,
    *,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            "-i",
            metavar="NAME=FILE",
            help="Where an input is by now, by its name or what it is (picture=new.png); or a "
            "folder to look through. [default: beside the result, in its run's folders, and here]",
        ),
    ] = None,
    weights: Weights = registry.DEFAULT,
    device: Device = "auto",
    max_memory: MaxMemory = None,
    as_json: AsJson = False,
) -> None:
    """Make a result again, by the note in its file, and compare bit for bit; nothing is written.

    Example: a2u replay photo_alpha.png
    """
    from ..jobs.provenance import read_note
    from ..jobs.replaying import Changed, compare, find_inputs, find_weights

    note, old = read_note(result)
    if note.command == "sequence":
        raise A2UError(
            f"{result} is a {note.output} of a sequence, where each frame depends on its "
            "neighbours; make them again by: a2u sequence FRAMES --trimaps KEYS -o ANOTHER_FOLDER"
        )
    fresh: list[Note] = []

    def tell(note_of_now: "Note") -> str:
        fresh.append(note_of_now)
        return note.text

    facts: dict[str, Any] = {"device": device, "max_memory": max_memory}
    try:
        files = find_inputs(note, result, inputs or ())
        if note.weights:
            facts["weights"] = find_weights(note, weights)
        differences = compare(note, old, _make(note, files, result, tell, facts), fresh[-1])
    except Changed as change:
        differences = [str(change)]
    if as_json:
        show_json({"file": str(result), "same": not differences, "differences": differences})
    elif not differences:
        show(f"{result}: made again, the same in every bit")
    for difference in () if as_json else differences:
        show(f"{result}: {difference}")
    if differences:
        raise typer.Exit(1)
    if note.version != __version__:
        say(f"made by a2u {note.version}, and again by {__version__}")


def _make(
    note: "Note", files: dict[str, Path], result: Path, tell: "Tell", facts: dict[str, Any]
) -> bytes:
    """Make a result again, from its inputs by their roles; raises what making it does."""
    from ..jobs.provenance import NoteError
    from ..jobs.replaying import remake

    try:
        if note.command == "matte":
            how = {name: note.options[name] for name in ("dtype", "quality")}
            weights = str(facts.pop("weights"))
            return remake(note, files, lambda: load_runtime(weights, **how, **facts), tell)
        if note.command == "trimap":
            bound = bound_memory(facts["max_memory"], **TRIMAP)
            return make_trimap(_read_hint(note, files), Path(result.name), bound, tell)
        laying = read_words(note.command, _read_words(note, files), facts["max_memory"])
        return laying.make(files["picture"], files.get("matte"), Path(result.name), tell)
    except KeyError as error:
        raise NoteError(f"{result} carries a note without {error}, so nobody can follow it") from (
            error
        )


def _read_words(note: "Note", files: dict[str, Path]) -> Words:
    """Take the words of a composite or a cut-out; raises A2UError for what none of ours has."""
    from ..images.formats import TARGETS
    from ..jobs.replaying import background_of, require_option

    kinds = get_type_hints(Words)
    for name, value in note.options.items():
        require_option(name, value, kinds)
    words = Words(**note.options)
    if words.target:
        choose("for", words.target, tuple(TARGETS))
    return replace(words, background=background_of(note, files))


def _read_hint(note: "Note", files: dict[str, Path]) -> Hint:
    """Take what a trimap was made of; raises A2UError for what none of ours has."""
    from ..jobs.replaying import require_option

    kinds = {"inside": str, "outside": str, "invert": bool, "box": str}
    for name, value in note.options.items():
        require_option(name, value, kinds)
    if "box" in note.options:
        return BoxHint(str(files["picture"]), is_mask=True, **note.options)
    return Hint(str(files["mask"]), is_mask=True, **note.options)
