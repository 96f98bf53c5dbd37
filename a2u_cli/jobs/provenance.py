"""What a result was made of, told in its file: tool, weights, options, and what was read.

A note names files as they are called, without their folders: it tells nothing of a machine, no time
either, so that the same inputs give the same bytes wherever they lie. What they hold is told by
their sha256, by which `replaying` finds them again.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from .. import __version__
from ..backgrounds import choose_background
from ..errors import A2UError
from ..images.files import require_regular, words
from ..images.formats import FORMATS
from ..images.provenance import MOST, find_note, sidecar
from ..images.reading import read_bytes
from ..matting.finishing import AS_IT_IS
from ..pairing import Pair
from ..weights.registry import REGISTRY
from .journal import hash_content
from .options import Options

COMMANDS = ("matte", "composite", "cutout", "trimap", "sequence")
PICTURE = "picture"  # a background that is one, and lies among the inputs
SHA256 = 64  # letters
ALWAYS = ("depth", "dtype", "quality")  # of the options, also where they are the usual ones


class NoteError(A2UError):
    """A note cannot be read, or asks for what is not done."""


@dataclass(frozen=True)
class Input:
    """A file that was read: what as, its name without folders, and the sha256 of its bytes."""

    role: str
    name: str
    sha256: str


@dataclass(frozen=True)
class Used:
    """The weights that a matte was made with; a name only where they ship with the tool."""

    sha256: str
    licence: str
    name: str = ""


@dataclass(frozen=True)
class Note:
    """What a result was made of; `output` is its kind, as "alpha" or "composite".

    The command stands for others that give the same bytes: "matte" for `batch` and `serve`, too.
    """

    command: str
    output: str
    options: Mapping[str, Any]
    inputs: tuple[Input, ...]
    weights: Used | None = None
    version: str = __version__

    @property
    def text(self) -> str:
        """The note as it lies in a file: JSON, in ASCII."""
        facts: dict[str, Any] = {"a2u": self.version, "command": self.command}
        facts |= {"output": self.output, "options": dict(self.options)}
        if self.weights:
            facts["weights"] = {name: fact for name, fact in vars(self.weights).items() if fact}
        facts["inputs"] = [vars(one) for one in self.inputs]
        return json.dumps(facts, separators=(",", ":"))


Tell = Callable[[Note], str | None]  # what a file carries of its note


def in_full(note: Note) -> str | None:
    """Let a file carry its note."""
    return note.text


def not_at_all(_: Note) -> str | None:
    """Let it carry none."""
    return None


def telling(provenance: bool) -> Tell:
    """Choose by the option."""
    return in_full if provenance else not_at_all


def untold(provenance: bool) -> tuple[str, ...]:
    """Give what a recipe has for it: nothing, unless files are to carry no note.

    So what was made before there were notes is still done, and no note stays where none is wanted.
    """
    return () if provenance else ("no provenance",)


@dataclass(frozen=True)
class Origin:
    """What a picture's results are made of, by which command, and what shapes them beside Options.

    `shaping` goes before the options of the same names.
    """

    inputs: tuple[Input, ...]
    command: str = "matte"
    shaping: Mapping[str, Any] = field(default_factory=dict)


def take_input(role: str, path: Path, data: bytes) -> Input:
    """Tell of a file that was read."""
    return Input(role, path.name, sha256(data).hexdigest())


def origin_of(pair: Pair, data: tuple[bytes, bytes]) -> Origin:
    """Tell of a pair's files, from their bytes."""
    picture, hint = data
    role = "mask" if pair.is_mask else "trimap"
    return Origin((take_input("picture", pair.image, picture), take_input(role, pair.hint, hint)))


def take_background(what: str) -> Input | None:
    """Tell of a background that is a picture's file; what is none is told by the options.

    What has no extension was sent to a server, which has no other name for it. Raises ImageError.
    """
    path = Path(what)
    if not path.is_file():
        return None
    name = path.name if path.suffix else "background"
    return Input("background", name, sha256(read_bytes(path, what)).hexdigest())


def note_of(kind: str, options: Options, origin: Origin, name: str = "") -> Note:
    """Write what an output of a kind is made of; `name` is the picture's, for its background.

    Raises ImageError where the background cannot be read.
    """
    is_mask = any(one.role == "mask" for one in origin.inputs)
    shaping, inputs = options.of_output(kind, is_mask=is_mask), origin.inputs
    facts = _facts(shaping, is_mask=is_mask) | dict(origin.shaping)
    if kind == "composite":
        facts["background"] = chosen = choose_background(options.background, name)
        if behind := take_background(chosen):
            inputs, facts["background"] = (*inputs, behind), PICTURE
        else:
            facts.pop("fit", None)
    return Note(origin.command, kind, facts, inputs, used_by(options))


def used_by(options: Options) -> Used:
    """Tell of the weights."""
    ships = (name for name, entry in REGISTRY.items() if entry.sha256 == options.weights)
    return Used(options.weights, options.licence, next(ships, ""))


def _facts(options: Options, *, is_mask: bool) -> dict[str, Any]:
    """Give the options that were given, and those that shape everything."""
    facts = {}
    for name, value in asdict(replace(options, save=Options.save)).items():
        if name in ("save", "weights", "licence", "provenance", "finish"):
            continue
        if name in ALWAYS or value != getattr(Options, name) or (name == "band" and is_mask):
            facts[name] = value
    finish = options.finish
    if finish.levels != AS_IT_IS:
        facts["levels"] = list(finish.levels)
    facts |= {name: getattr(finish, name) for name in ("choke", "feather") if getattr(finish, name)}
    return facts


def read_note(path: Path) -> tuple[Note, bytes]:
    """Read the note in a file, and give its bytes; or that beside it, and nothing.

    Raises NoteError where there is none or it cannot be read, ImageError where the file cannot be.
    """
    data, text = b"", None
    if path.suffix.lower() in FORMATS or not sidecar(path).is_file():
        data = read_bytes(path, str(path))
        text = find_note(data, str(path))
    else:
        text = _read_sidecar(path)
    if text is None:
        raise NoteError(
            f"{path} carries no note of a2u, expected a result that was made without "
            "--no-provenance, and not saved again by another program"
        )
    return parse_note(text, str(path)), data


def _read_sidecar(of: Path) -> str:
    """Take the note of a file from the one beside it; raises NoteError."""
    path = sidecar(of)
    try:
        require_regular(path)
        with path.open("rb") as file:
            text = file.read(MOST + 1)
        if len(text) > MOST:
            raise NoteError(f"{path} is longer than {MOST} bytes, expected a note of a2u")
        facts = json.loads(text)
        if facts["file"] != hash_content(of).sha256:
            raise NoteError(f"{path} is the note of another file than the one beside it")
        return json.dumps(facts["note"])
    except OSError as error:
        raise NoteError(f"{path} cannot be read ({words(error)}); check it") from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise NoteError(f"{path} is no note of a2u ({words(error)})") from error


def sidecar_text(note: Note, sha256: str) -> bytes:
    """Give what lies beside a file of this sha256 that has no room for its note."""
    return json.dumps({"file": sha256, "note": json.loads(note.text)}, indent=2).encode() + b"\n"


def parse_note(text: str, name: str) -> Note:
    """Read a note, of which nothing is believed: raises NoteError where it is none of ours."""
    try:
        facts = json.loads(text)
        inputs = tuple(Input(**one) for one in facts["inputs"])
        weights = Used(**facts["weights"]) if "weights" in facts else None
        note = Note(
            *(facts["command"], facts["output"], facts["options"]), inputs, weights, facts["a2u"]
        )
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise NoteError(f"{name} carries a note that cannot be read ({words(error)})") from error
    if why := _fault(note):
        raise NoteError(f"{name} carries a note that is none of a2u's: {why}")
    return note


def _fault(note: Note) -> str:
    """Say what a note has that none of ours has, or nothing."""
    texts = [note.command, note.output, note.version]
    texts += [text for one in note.inputs for text in vars(one).values()]
    texts += [*vars(note.weights).values()] if note.weights else []
    if not all(isinstance(text, str) for text in texts) or not isinstance(note.options, dict):
        return "it has numbers where words belong"
    if note.command not in COMMANDS:
        return f"no command {note.command!r} writes pictures"
    if len({one.role for one in note.inputs}) < len(note.inputs):
        return "it has two inputs of one role"
    for one in note.inputs:
        if one.name in ("", ".", "..") or {*one.name} & {*"/\\\0"}:
            return f"{one.name!r} is no name of a file alone"
    sums = [one.sha256 for one in note.inputs] + ([note.weights.sha256] if note.weights else [])
    if any(len(it) != SHA256 or {*it} - {*"0123456789abcdef"} for it in sums):
        return "it has what is no sha256"
    return ""
