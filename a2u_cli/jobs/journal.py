"""What became of each picture of a folder: JSON lines that survive a kill.

A line holds the size and hash of each output, and the recipe it was made by: a digest of what was
read and of the options. It is written before the files take their names, so a file that agrees with
no line was never ours, or was changed since; and an output is done where a line of its recipe
agrees with the file that is there, whoever wrote what in between.
"""

import hashlib
import json
import os
import re
import stat
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import A2UError
from ..images.files import words
from ..images.formats import HOLDS, extension
from ..images.listing import list_files
from ..images.stores import in_store, is_there
from .parts import Parts

JOURNAL = "journal.jsonl"
# Of a run, of shards of one; and what lies of either in a store.
JOURNALS = re.compile(r"journal(-\d+-of-\d+)?(\.[0-9a-f]{8}-\d+)?\.jsonl")
BEGINNING = b'{"name": "'  # of a line: it is that of a picture's outcome
CHUNK = 1 << 20


class JournalError(A2UError):
    """The journal cannot be kept: without it no work is taken account of, so the run ends."""


@dataclass(frozen=True)
class Outcome:
    """What became of a picture: `state` is done, skipped or failed."""

    name: str
    state: str
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Content:
    """What a file holds: its size in bytes, and their hash.

    What its MD5 is does not make it another: that is what stores tell without being read.
    """

    size: int
    sha256: str
    md5: str = field(default="", compare=False)

    @property
    def facts(self) -> dict[str, int | str]:
        """Give what a line holds of it."""
        return {name: value for name, value in vars(self).items() if value != ""}

    @classmethod
    def of(cls, data: bytes, *, stored: bool = False) -> "Content":
        """Tell what the bytes of a file are, or of an object in a store."""
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest() if stored else ""
        return cls(len(data), hashlib.sha256(data).hexdigest(), md5)


class Journal:
    """The journals of an output folder; new lines go to one of them.

    Raises JournalError where one cannot be read, or is no file.
    """

    def __init__(self, folder: Path, name: str = JOURNAL) -> None:
        self.folder, self.path = folder, folder / name
        self._lock, stored = threading.Lock(), in_store(self.path)
        self._parts = Parts(stored) if stored else None
        self._made: dict[str, dict[Content, set[str]]] = {}
        self._old: dict[str, dict[str, Any]] = {}
        self.outcomes: dict[str, tuple[str, str]] = {}  # the last states and reasons, by names
        self._torn = self._damaged = False
        naming: Counter[str] = Counter()
        for path in sorted({*_journals(folder), self.path}):
            last: dict[str, dict[str, Any]] = {}
            lines = read_lines(path)
            entries = [*map(_read_entry, lines)]
            if path == self.path:
                self._is_own = any(entries) or all(map(_is_torn, lines))
                self._torn = not all(line.endswith(b"\n") for line in lines[-1:])
            for entry in entries:
                if entry is None:
                    self._damaged = True
                    continue
                last[entry["name"]] = entry
                self.outcomes[entry["name"]] = entry["state"], str(entry.get("reason", ""))
                self._take(entry)
            naming.update(last.keys())
            self._old |= {name: entry for name, entry in last.items() if _is_old(entry)}
        self._old = {name: entry for name, entry in self._old.items() if naming[name] == 1}

    def require_own(self) -> None:
        """Refuse to go on with a file that is no journal of ours; raises JournalError."""
        if self._is_own:
            return
        raise JournalError(
            f"{self.path} is no journal of a2u, expected none or that of a run; move it away, or "
            "choose another output folder"
        )

    def _take(self, entry: dict[str, Any]) -> None:
        outputs = entry.get("outputs")
        for place, made in outputs.items() if isinstance(outputs, dict) else ():
            known = made.get("md5") if self._parts else None  # a store tells that of an object
            content = Content(made["size"], str(known or made["sha256"]))
            self._made.setdefault(place, {}).setdefault(content, set()).add(made["recipe"])

    def state(self, path: Path, recipe: str) -> str:
        """Tell what lies at an output's place.

        It is "free", "done" (by this recipe), "ours" (by another, or emptied since), "foreign" (not
        known, or changed since it was written), or "unsure": not known to a journal that is torn.
        """
        if not is_there(path):
            return "free"
        made = self._made.get(self._place(path), {})
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                return "foreign"
            if not made and self._damaged:
                return "unsure"
            if made and not status.st_size:
                return "ours"  # as a power cut leaves it: there is nothing to lose
            if all(content.size != status.st_size for content in made):
                return "foreign"
            known = next((content for content in contents(path) if content in made), None)
        except OSError:
            return "foreign"
        if known is None:
            return "foreign"
        return "done" if recipe in made[known] else "ours"

    def held(self, name: str, inputs: str, options: set[str]) -> bool:
        """Tell whether a version that kept no hashes did a picture, by one of these options.

        Its line counts where no other journal names the picture, and its files are not empty.
        """
        entry = self._old.get(name, {})
        return (
            entry.get("inputs") == inputs
            and entry.get("options") in options
            and all(_is_filled(self.folder / place) for place in entry["outputs"])
        )

    def add(
        self,
        outcome: Outcome,
        outputs: Mapping[Path, tuple[Content, str]] | None = None,
        **facts: str,
    ) -> None:
        """Write a line that survives the end of the process; outputs are given with their recipes.

        Raises JournalError where it cannot be written.
        """
        entry = vars(outcome) | facts
        entry["outputs"] = {
            self._place(path): {**content.facts, "recipe": recipe}
            for path, (content, recipe) in (outputs or {}).items()
        }
        if self._parts:
            self._add_part(entry)
            return
        with self._lock:
            self._take(entry)
            try:
                with self.path.open("ab") as file:
                    file.write(b"\n" * self._torn + json.dumps(entry).encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                self._torn = True  # a part of the line may be there
                raise JournalError(
                    f"{self.path} cannot be written ({words(error)}); what is done is kept: "
                    "mend that and run the same command again"
                ) from error
            self._torn = False

    def _add_part(self, entry: dict[str, Any]) -> None:
        """Write a line to a store, together with those of other threads."""
        assert self._parts
        with self._lock:
            self._take(entry)
        try:
            self._parts.append(json.dumps(entry).encode() + b"\n")
        except OSError as error:
            raise JournalError(
                f"{self.path} cannot be written ({words(error)}); what is done is kept: "
                "mend that and run the same command again"
            ) from error

    def close(self) -> None:
        """Put a journal's parts in a store together; on a disk there is nothing to do.

        Raises JournalError where that cannot be done: then they stay as they are, and hold.
        """
        try:
            if self._parts:
                self._parts.merge()
        except OSError as error:
            raise JournalError(
                f"{self.path} stays in parts ({words(error)}), which hold"
            ) from error

    def _place(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def find_results(folder: Path, *, own: bool = True) -> frozenset[Path]:
    """List what journals below a folder name as outputs, without links: they are no pictures.

    Unless `own`, the results of a run into the folder itself are: somebody goes on with them.
    """
    found = set[Path]()
    for path in list_files(folder).files:
        if JOURNALS.fullmatch(path.name) and (own or path.parent != folder):
            for _, places in _read_outputs(path):
                found.update(*(_real(path.parent / place) for place in places))
    return frozenset(found)


def find_own(folder: Path, kinds: Collection[str] = ()) -> frozenset[Path]:
    """List what runs into this folder have put where a run of these kinds of outputs would.

    They are as `find_results` gives them. What such a run has made is nothing that it begins with.
    """
    found = set[Path]()
    for path in _journals(folder):
        for name, places in _read_outputs(path):
            stems = [f"{kind}/{name}" for kind in kinds] or [name]
            own = {f"{stem}{extension(kind)}" for stem in stems for kind in HOLDS}
            found.update(*(_real(folder / place) for place in own & {*places}))
    return frozenset(found)


def find_painted(folder: Path) -> dict[str, Path]:
    """Find the trimaps that were painted for pictures and saved in this output folder, by name."""
    found = {}
    for path in _journals(folder):
        for name, places in _read_outputs(path):
            place = f"trimap/{name}.png"
            if place in places and (folder / place).is_file():
                found[name] = folder / place
    return found


def _journals(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.jsonl") if JOURNALS.fullmatch(path.name)]


def _read_outputs(path: Path) -> Iterator[tuple[str, Iterable[str]]]:
    """Give the pictures that a journal names, and the places of their outputs."""
    with suppress(JournalError):  # else its results are named as what has no trimap
        for entry in filter(None, map(_read_entry, read_lines(path))):
            yield entry["name"], entry.get("outputs", ())


def _real(path: Path) -> set[Path]:
    """Give a file as it is without links to its folder, and as what it leads to."""
    return {path.parent.resolve() / path.name, path.resolve()}


def read_lines(path: Path) -> list[bytes]:
    """Read a journal's lines, if it is there, with their ends; but no empty ones.

    Raises JournalError where it is no file, or cannot be read.
    """
    if not is_there(path):
        return []
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe"}
        raise JournalError(
            f"{path} is {kinds.get(stat.S_IFMT(status.st_mode), 'a device')}, expected a file, the "
            "journal of a run; move it away, or choose another output folder"
        )
    try:
        lines = path.read_bytes().splitlines(keepends=True)
        return [line for line in lines if line.strip()]
    except OSError as error:
        raise JournalError(
            f"{path} cannot be read ({words(error)}), expected the journal of a run; "
            "mend that, or choose another output folder"
        ) from error


def _read_entry(line: bytes) -> dict[str, Any] | None:
    """Read a line; None for one that is torn by a kill, or not written by us."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if _is_sound(entry) else None


def _is_torn(line: bytes) -> bool:
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


def _is_old(entry: dict[str, Any]) -> bool:
    outputs = entry.get("outputs")
    return entry.get("state") == "done" and isinstance(outputs, list) and outputs != []


def _is_filled(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def contents(path: Path) -> Iterator[Content]:
    """Tell what a file holds, in each way that a journal may know it; raises OSError.

    An object in a store is read only by who asks for more than its list tells.
    """
    if not (stored := in_store(path)):
        yield hash_content(path)
        return
    if (found := stored.find()) and found.md5:
        yield Content(found.size, found.md5)
    content = Content.of(stored.read_bytes(), stored=True)
    yield from (Content(content.size, content.md5), content)


def hash_content(path: Path) -> Content:
    """Tell what a file holds; raises OSError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return Content(size, digest.hexdigest())
