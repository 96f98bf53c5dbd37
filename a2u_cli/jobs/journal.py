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
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images.files import words
from ..images.formats import HOLDS, extension
from ..images.listing import list_files
from ..images.stores import in_store, is_there
from .lines import JournalError as JournalError
from .lines import Named, as_bytes, as_text, name_line, read_lines
from .parts import Parts, near
from .table import in_parts
from .volume import Volume

JOURNAL = "journal.jsonl"
# Of a run, and of shards of one; and what lies of either in a store.
JOURNALS = re.compile(r"journal(-\d+-of-\d+)?(\.[0-9a-f]{16}-\d+)?\.jsonl")
CHUNK = 1 << 20


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

    `tag` is by what else the list of a store tells that: mostly their MD5.
    """

    size: int
    sha256: str
    tag: str = field(default="", compare=False)

    @classmethod
    def of(cls, data: bytes, *, stored: bool = False) -> "Content":
        """Tell what the bytes of a file are, or of an object in a store."""
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest() if stored else ""
        return cls(len(data), hashlib.sha256(data).hexdigest(), md5)

    @property
    def by_tag(self) -> "Content":
        """Give it as a store tells it, without a hash of its own."""
        return Content(self.size, self.tag)

    @property
    def facts(self) -> dict[str, int | str]:
        """Give what a line holds of it."""
        return {name: fact for name, fact in vars(self).items() if fact != ""}


class Journal:
    """The journals of an output folder; new lines go to one of them.

    A million lines take 32 MB: tables tell which lines name what, and these are read when asked
    for. Raises JournalError where a journal cannot be read, or is no file.
    """

    def __init__(self, folder: Path, name: str = JOURNAL) -> None:
        self.folder, self.path = folder, folder / name
        self._lock = threading.Lock()
        self._parts = Parts(stored) if (stored := in_store(self.path)) else None
        own = self._parts.kept if self._parts else self.path
        paths = sorted({*_journals(folder), own})
        self._volumes = [Volume(path, keep=not self._parts) for path in paths]
        self._own = self._volumes[paths.index(own)]

    def require_own(self) -> None:
        """Refuse to go on with a file that is no journal of ours; raises JournalError."""
        if self._own.is_own:
            return
        raise JournalError(
            f"{self.path} is no journal of a2u, expected none or that of a run; move it away, or "
            "choose another output folder"
        )

    def outcome(self, name: str) -> tuple[str, str]:
        """Tell the last state of a picture, and the reason; empty words where no line names it.

        Raises JournalError.
        """
        for volume in self._volumes[::-1]:
            if entry := volume.of_picture(name):
                return entry["state"], str(entry.get("reason", ""))
        return "", ""

    def names(self, places: Iterable[str]) -> NDArray[np.bool_]:
        """Tell of many outputs which of them lines name, (N,): a first look, at all of a run's.

        They are given by their places below the folder. What is named need not be there, or done:
        `state` tells. What is not never was ours.
        """
        found = [
            np.logical_or.reduce([volume.places.holds(keys) for volume in self._volumes])
            for keys in in_parts(map(as_bytes, places))
        ]
        return np.concatenate([np.empty(0, bool), *found])

    def _made(self, place: str) -> dict[Content, set[str]]:
        """Give what lines say an output holds, and by which recipes that was made."""
        found: dict[Content, set[str]] = {}
        for volume in self._volumes:
            for entry in volume.of_output(place):
                if isinstance(entry["outputs"], dict):  # in lists there were no hashes
                    made = entry["outputs"][place]
                    content = Content(made["size"], made["sha256"], str(made.get("tag", "")))
                    for known in (content, content.by_tag) if content.tag else (content,):
                        found.setdefault(known, set()).add(made["recipe"])
        return found

    def state(self, path: Path, recipe: str) -> str:
        """Tell what lies at an output's place.

        It is "free", "done" (by this recipe), "ours" (by another, or emptied since), "foreign" (not
        known, or changed since it was written), or "unsure": not known to a journal that is torn.
        """
        if not is_there(path):
            return "free"
        made = self._made(self._place(path))
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                return "foreign"
            if not made and any(volume.is_damaged for volume in self._volumes):
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
        entries = [entry for volume in self._volumes if (entry := volume.of_picture(name))]
        if len(entries) != 1 or not _is_old(entries[0]):
            return False
        (entry,) = entries
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
        line = json.dumps(entry).encode() + b"\n"
        named = Named(as_bytes(outcome.name), [*map(as_bytes, entry["outputs"])])
        try:
            self._append(named, line)
            if self._parts:
                self._parts.append(line)
        except OSError as error:
            raise JournalError(
                f"{self.path} cannot be written ({words(error)}); what is done is kept: "
                "mend that and run the same command again"
            ) from error

    def _append(self, named: Named, line: bytes) -> None:
        with self._lock:
            torn, self._own.is_torn = self._own.is_torn, True  # until all of the line is there
            with self._own.path.open("ab") as file:
                begin = file.tell() + torn
                file.write(b"\n" * torn + line)
                file.flush()
                self._own.add(named, begin)
                os.fsync(file.fileno())
            self._own.is_torn = False

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
            found |= _real(path.parent, (p for _, places in _read_outputs(path) for p in places))
    return frozenset(found)


def find_own(folder: Path, kinds: Collection[str] = ()) -> frozenset[Path]:
    """List what runs into this folder have put where a run of these kinds of outputs would.

    They are as `find_results` gives them. What such a run has made is nothing that it begins with.
    """
    ends = [extension(kind) for kind in HOLDS]

    def own(path: Path) -> Iterator[str]:
        for name, places in _read_outputs(path):
            stems = [f"{kind}/{name}" for kind in kinds] or [name]
            yield from {f"{stem}{end}" for stem in stems for end in ends} & {*places}

    return frozenset().union(*(_real(folder, own(path)) for path in _journals(folder)))


def find_painted(folder: Path) -> dict[str, Path]:
    """Find the trimaps that were painted for pictures and saved in this output folder, by name."""
    found = {}
    for path in _journals(folder) if (folder / "trimap").is_dir() else ():
        for name, places in _read_outputs(path):
            place = f"trimap/{name}.png"
            if place in places and (folder / place).is_file():
                found[name] = folder / place
    return found


def _journals(folder: Path) -> list[Path]:
    return near(path for path in folder.glob("*.jsonl") if JOURNALS.fullmatch(path.name))


def _read_outputs(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Give the pictures that a journal names, and the places of their outputs."""
    (kept,) = near([path])
    with suppress(JournalError):  # else its results are named as what has no trimap
        for _, line in read_lines(kept):
            if named := name_line(line):
                yield as_text(named.name), [*map(as_text, named.places)]


def _real(folder: Path, places: Iterable[str]) -> set[Path]:
    """Give files as they are without links to their folders, and as what they lead to."""
    found, real = set[Path](), dict[Path, Path]()
    for path in (folder / place for place in places):
        if path.parent not in real:
            real[path.parent] = path.parent.resolve()
        found.add(real[path.parent] / path.name)
        if path.is_symlink():
            found.add(path.resolve())
    return found


def _is_old(entry: dict[str, Any]) -> bool:
    outputs = entry.get("outputs")
    return entry.get("state") == "done" and isinstance(outputs, list) and outputs != []


def _is_filled(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def contents(path: Path) -> Iterator[Content]:
    """Tell what a file holds, in each way that a journal may know it; raises OSError.

    An object in a store is read only by who asks for more than its list tells.
    """
    stored = in_store(path)
    if stored is None:
        yield hash_content(path)
        return
    if (found := stored.find()) and found.md5:
        yield Content(found.size, found.md5)
    content = Content.of(stored.read_bytes(), stored=True)
    yield from (content, content.by_tag)


def hash_content(path: Path) -> Content:
    """Tell what a file holds; raises OSError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return Content(size, digest.hexdigest())
