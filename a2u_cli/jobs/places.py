"""Where a run may write: never over an input, nor over what is not its own.

The rule of every command that fills a folder: a file that the folder's journal does not know, or
that was changed since it was written, stays, unless replacing was asked for; an input stays in any
case. What is there already, made in the same way, is not made again.
"""

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from ..images.files import replacing, words
from ..images.reading import read_bytes
from .journal import Content, Journal, Outcome, hash_content

Identity = tuple[int, int]  # of a file, by whatever name: its device and its number there
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
        state = self.journal.state(path, recipe)
        if state == "unsure" and content and hash_content(path) != content:
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
        outputs = {}
        with ExitStack() as stack:
            for path, recipe, data in files:
                content = Content(len(data), hashlib.sha256(data).hexdigest())
                self._require_free(path, recipe, content)  # it may have been taken by now
                stack.enter_context(_written(path, data, self.journal.folder))
                outputs[path] = content, recipe
            self.journal.add(outcome, outputs, **facts)


def require_no_input(paths: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse outputs that are inputs, by whatever name, before any work; raises ImageError."""
    identities = _identities(inputs)
    for path in paths:
        _require_none(path, identities)


def make_recipe(inputs: Iterable[str], options: object) -> str:
    """Name what an output is made of, from the hashes of what is read and the options."""
    return hashlib.sha256(json.dumps([*inputs, options]).encode()).hexdigest()[:32]


def hash_file(path: Path) -> str:
    """Hash a file that is read as an input; raises ImageError where it cannot be."""
    return hashlib.sha256(read_bytes(path, str(path))).hexdigest()


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
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino % 2**64
