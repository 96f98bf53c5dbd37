"""Where a run may write: never over an input, nor over what is not its own.

The rule of every command that fills a folder: a file that the folder's journal does not know, or
that was changed since it was written, stays, unless replacing was asked for; an input stays in any
case. What is there already, made in the same way, is not made again.
"""

import hashlib
import json
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from ..images.files import replacing, words
from ..images.reading import read_bytes
from ..images.stores import StorePath, in_store
from .journal import Content, Journal, Outcome, contents

Identity = tuple[int, int]  # of a file, by whatever name: its device, its number there
IN_STORE = -1  # for a device
Identities = dict[int, NDArray[np.uint64]]  # by devices, sorted: 8 bytes a file


class Places:
    """The places of a run's outputs, and the journal that knows them.

    Raises JournalError where the journal to be written is another program's.
    """

    def __init__(self, journal: Journal, inputs: Iterable[Path] = (), *, force: bool = False):
        journal.require_own()
        self.journal, self.force = journal, force
        self._inputs = _identities(inputs)

    def missing(self, recipes: Mapping[Path, str]) -> dict[Path, str]:
        """Give the outputs that are not there yet as their recipes say.

        Raises ImageError where something lies at the place of one that may not be replaced.
        """
        states = {path: self._require_free(path, recipe) for path, recipe in recipes.items()}
        return {path: recipe for path, recipe in recipes.items() if states[path] != "done"}

    def _require_free(self, path: Path, recipe: str, content: Content | None = None) -> str:
        """Refuse a place that may not be written; where that is unsure, its content decides."""
        _require_none(path, self._inputs)
        if (stored := in_store(path)) and content and stored.find():
            stored.refresh()  # it was listed when the run began
        state = self.journal.state(path, recipe)
        if state == "unsure" and content and content not in contents(path):
            state = "foreign"
        if path.is_dir():  # whatever is forced: it would fail when the others have their names
            raise ImageError(f"{path} is a folder where a file has to go; move it away")
        if state == "foreign" and not self.force:
            raise ImageError(
                f"{path} is there and is no result of a run in this folder, or was changed since; "
                "move it away, or --force to replace it"
            )
        return state

    def write(
        self, outcome: Outcome, files: Iterable[tuple[Path, str, bytes]], **facts: str
    ) -> None:
        """Write a picture's outputs (path, recipe, bytes) with their line: all or none.

        Raises ImageError where that may not or cannot be, JournalError where the run must end.
        """
        outputs, told = dict[Path, tuple[Content, str]](), dict[Path, str]()
        with ExitStack() as stack:
            for path, recipe, data in files:
                stored = in_store(path)
                content = Content.of(data, stored=bool(stored))
                state = self._require_free(path, recipe, content)  # it may have been taken by now
                if stored:
                    stack.enter_context(_put(stored, data, told, new=state == "free"))
                else:
                    stack.enter_context(_written(path, data, self.journal.folder))
                outputs[path] = content, recipe
            self.journal.add(outcome, outputs, **facts)
        strange = {path: tag for path, tag in told.items() if tag and tag != outputs[path][0].tag}
        if strange:  # as of what is encrypted: else it would be read to know it again
            renamed = {
                path: (replace(content, tag=strange[path]), recipe)
                for path, (content, recipe) in outputs.items()
                if path in strange
            }
            self.journal.add(outcome, renamed, **facts)


def require_no_input(paths: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse outputs that are inputs, by whatever name, before any work; raises ImageError."""
    identities = _identities(inputs)
    for path in paths:
        _require_none(path, identities)


def make_recipe(inputs: Iterable[str], options: object) -> str:
    """Name what an output is made of, from the hashes of what is read and the options."""
    return hashlib.sha256(json.dumps([*inputs, options]).encode()).hexdigest()[:32]


def tell_version(path: Path) -> bytes | None:
    """Name what an object in a store holds by what its list tells, 32 bytes; None: read it.

    Such a name stands for the hash of a file, so that nobody reads what is done.
    """
    stored = in_store(path)
    found = stored and stored.find()
    if not found or not found.version:
        return None
    return hashlib.sha256(f"{found.size} {found.version}".encode()).digest()


class Source:
    """A file that is read when that is needed; raises ImageError where it cannot be."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def data(self) -> bytes:
        """Read it."""
        return read_bytes(self.path, str(self.path))

    @property
    def digest(self) -> bytes:
        """Hash it, or name what it holds in a store."""
        return tell_version(self.path) or hashlib.sha256(self.data).digest()


def hash_file(path: Path) -> str:
    """Hash a file that is read as an input; raises ImageError where it cannot be."""
    return Source(path).digest.hex()


@contextmanager
def _put(path: StorePath, data: bytes, told: dict[Path, str], *, new: bool) -> Iterator[None]:
    """Put an object at the end, where there is none if it is to be `new`: whole or not at all.

    What its store calls the content is `told`.
    """
    yield
    try:
        told[path.path] = path.write_bytes(data, new=new)
    except FileExistsError as error:
        path.refresh()
        if Content.of(data) in contents(path.path):  # the answer to the first try was lost
            return
        raise ImageError(
            f"{path} was put there by somebody else meanwhile; see that no other run is at work, "
            "and run the same command again"
        ) from error
    except OSError as error:
        raise ImageError(
            f"{path} cannot be written ({words(error)}), expected a store that is reached and may "
            "be written; run the same command again"
        ) from error


@contextmanager
def _written(path: Path, data: bytes, root: Path) -> Iterator[None]:
    """Write a file that takes its name at the end; what goes wrong meanwhile is not its fault."""
    meanwhile: BaseException | None = None
    try:
        with replacing(path, root=root) as temporary:
            temporary.write_bytes(data)
            try:
                yield
            except BaseException as error:
                meanwhile = error
                raise
    except (OSError, ValueError) as error:
        if error is meanwhile:
            raise
        raise ImageError(
            f"{path} cannot be written ({words(error)}), expected a folder with room and "
            "permission to write; choose another output"
        ) from error


def _require_none(path: Path, inputs: Identities) -> None:
    device, number = _identify(path) or (None, 0)
    if device is None or device not in inputs:
        return
    numbers, key = inputs[device], np.uint64(number)
    place = int(np.searchsorted(numbers, key))
    if place < numbers.size and numbers[place] == key:
        raise ImageError(
            f"{path} is an input of this run and would be an output, too; choose another output "
            "folder"
        )


def _identities(paths: Iterable[Path]) -> Identities:
    found: dict[int, array[int]] = {}
    for path in paths:
        if identity := _identify(path):
            found.setdefault(identity[0], array("Q")).append(identity[1])
    return {device: np.unique(np.array(numbers, "u8")) for device, numbers in found.items()}


def _identify(path: Path) -> Identity | None:
    if in_store(path):  # an object is its name
        digest = hashlib.blake2b(os.fsencode(str(path)), digest_size=8).digest()
        return IN_STORE, int.from_bytes(digest)
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino % 2**64
