"""A journal's lines: read one by one, and what each names; torn and strange ones are told apart."""

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..errors import A2UError
from ..images.files import words
from ..images.stores import is_there

BEGINNING = b'{"name": "'  # of a line: it is that of a picture's outcome
CHUNK = 1 << 20

TEXT = rb"[ !#-\[\]-~]"  # what JSON writes as it is
NUMBER = rb"\d{1,15}(?:\.\d{1,20})?(?:e-\d{1,3})?"
OUTPUT = (
    rb'"%b+": \{"size": (?:0|[1-9]\d{0,17}), "sha256": "%b*"(?:, "tag": "%b*")?, "recipe": "%b*"\}'
    % (
        TEXT,
        TEXT,
        TEXT,
        TEXT,
    )
)
USUAL = re.compile(  # a line as we write it: nine of ten, and four times as fast as JSON
    rb'\{"name": "(%b*)", "state": "%b*", "reason": "%b*", "seconds": %b'
    rb'(?:, "(?!name"|state"|outputs")[a-z_]+": "%b*")*, "outputs": \{((?:%b(?:, %b)*)?)\}\}\n'
    % (TEXT, TEXT, TEXT, NUMBER, TEXT, OUTPUT, OUTPUT)
)
PLACE = re.compile(rb'"(%b+)": \{' % TEXT)


class JournalError(A2UError):
    """The journal cannot be kept: without it no work is taken account of, so the run ends."""


class Named(NamedTuple):
    """What a line is of: a picture's name and the places of its outputs, in bytes."""

    name: bytes
    places: list[bytes]


def read_lines(path: Path, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Read a journal's lines, if it is there, with where they begin and their ends; no empty ones.

    Raises JournalError where it is no file, or cannot be read.
    """
    if not _is_there(path):
        return
    try:
        with path.open("rb", buffering=CHUNK) as file:
            file.seek(start)
            for line in file:
                pieces = line.splitlines(keepends=True) if b"\r" in line else (line,)
                for piece in pieces:
                    if piece.strip():
                        yield start, piece
                    start += len(piece)
    except OSError as error:
        raise _unreadable(path, error) from error


def read_entries(path: Path, offsets: list[int]) -> list[dict[str, Any]]:
    """Read the lines that begin at these places, but what is none of ours; raises JournalError."""
    found = []
    if not offsets:
        return []
    try:
        with path.open("rb") as file:
            for offset in offsets:
                file.seek(offset)
                pieces = file.readline().splitlines(keepends=True)
                found.append(read_entry(pieces[0]) if pieces else None)
    except OSError as error:
        raise _unreadable(path, error) from error
    return [entry for entry in found if entry is not None]


def _is_there(path: Path) -> bool:
    if not is_there(path):
        return False
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe"}
        raise JournalError(
            f"{path} is {kinds.get(stat.S_IFMT(status.st_mode), 'a device')}, expected a file, the "
            "journal of a run; move it away, or choose another output folder"
        )
    return True


def _unreadable(path: Path, error: OSError) -> JournalError:
    return JournalError(
        f"{path} cannot be read ({words(error)}), expected the journal of a run; "
        "mend that, or choose another output folder"
    )


def name_line(line: bytes) -> Named | None:
    """Tell what a line names; None for one that is torn by a kill, or not written by us."""
    usual = USUAL.fullmatch(line)
    if usual and b".." not in usual[2] and b'"/' not in usual[2]:
        return Named(usual[1], PLACE.findall(usual[2]))
    entry = read_entry(line)
    if entry is None:
        return None
    return Named(as_bytes(entry["name"]), [*map(as_bytes, entry.get("outputs", ()))])


def as_bytes(name: str) -> bytes:
    """Give a name in bytes, also one of a file whose name is no text."""
    return name.encode("utf-8", "surrogatepass")


def as_text(name: bytes) -> str:
    """Give a name that `as_bytes` wrote."""
    return name.decode("utf-8", "surrogatepass")


def read_entry(line: bytes) -> dict[str, Any] | None:
    """Read a line; None for one that is torn by a kill, or not written by us."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if _is_sound(entry) else None


def is_torn(line: bytes) -> bool:
    """Tell whether a line can be the beginning of one of ours, or what a power cut leaves of it."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        line = line.strip(b"\0\n")
        return line[: len(BEGINNING)] == BEGINNING[: len(line)]
    return False


def _is_sound(entry: Any) -> bool:
    """Tell whether a line is one of ours: what it names can be relied on to be of its type."""
    if not isinstance(entry, dict):
        return False
    if not all(isinstance(entry.get(fact), str) for fact in ("name", "state")):
        return False
    outputs = entry.get("outputs", [])
    if not isinstance(outputs, (list, dict)) or not all(map(_is_place, outputs)):
        return False
    if isinstance(outputs, list):
        return True
    kinds = {"size": int, "sha256": str, "recipe": str}
    return all(
        isinstance(made, dict) and all(isinstance(made.get(k), kinds[k]) for k in kinds)
        for made in outputs.values()
    )


def _is_place(place: Any) -> bool:
    """Tell whether an output is named as one in the journal's folder."""
    return isinstance(place, str) and not {"/", ".."} & {*PurePosixPath(place).parts}
