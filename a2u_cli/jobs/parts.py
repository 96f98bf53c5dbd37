"""A journal's lines in a store, where nothing can be added to an object: it is put anew as a whole.

A run has objects of its own, which no other writes. The last one is put again with each line, until
it is full; when there are many, they become one. Threads that write at once share a put: each waits
until its line is in the store. So a line is there whole before the outputs that it names. What is
read of journals is read in copies on a disk.
"""

import secrets
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from ..images.stores import StorePath, in_store

FULL = 128  # lines: they are put again with each that comes
MANY = 64  # objects of so many lines, that become one


class Parts:
    """Where a run's lines go: objects beside a journal's path, `journal.TOKEN-NUMBER.jsonl`.

    `kept` is the file on a disk that has them, too. Tokens are in the order of the runs.
    """

    def __init__(self, path: StorePath) -> None:
        self.path, self.token = path, f"{int(time.time()):08x}{secrets.token_hex(4)}"
        self.kept = path.store.disk / f"{self.token}.jsonl"
        self._lines: list[bytes] = []  # of the last object, put or not
        self._full: list[tuple[StorePath, bytes]] = []
        self._come = self._put = self._number = 0
        self._counting, self._putting = threading.Lock(), threading.Lock()

    def append(self, line: bytes) -> None:
        """Put a line, and be sure of it; raises OSError where that cannot be done."""
        with self._counting:
            self._lines.append(line)
            self._come += 1
            mine = self._come
        with self._putting:
            if self._put >= mine:  # another thread took it along
                return
            with self._counting:
                lines, come = [*self._lines], self._come
            path, data = self._name(self._number), b"".join(lines)
            path.write_bytes(data)
            self._put = come
            if len(lines) < FULL:
                return
            self._full.append((path, data))
            self._number += 1
            with self._counting:
                del self._lines[: len(lines)]
            if len(self._full) >= MANY:
                self._join()

    def merge(self) -> None:
        """Make one object of what is not yet; raises OSError."""
        with self._putting:
            if self._lines:
                self._full.append((self._name(self._number), b"".join(self._lines)))
                self._lines = []
                self._number += 1
            if len(self._full) > 1:
                self._join()

    def _join(self) -> None:
        """Put what the objects hold as one, and then remove them: in between both are there."""
        self._name(self._number).write_bytes(b"".join(data for _, data in self._full))
        self._number += 1
        for path, _ in self._full:
            path.unlink(missing_ok=True)
        self._full = []

    def _name(self, number: int) -> StorePath:
        return self.path.with_name(f"{self.path.stem}.{self.token}-{number}.jsonl")


def near(paths: Iterable[Path]) -> list[Path]:
    """Give files on a disk: what lies in a store as a copy, made once while it stays as it is.

    Raises OSError.
    """
    paths = list(paths)
    for stored in filter(None, map(in_store, paths)):
        if not stored.copy.exists():
            stored.fetch()
    return [_near(path) for path in paths]


def _near(path: Path) -> Path:
    if not (stored := in_store(path)):
        return path
    if not stored.copy.exists():
        stored.copy.write_bytes(stored.read_bytes())
    return stored.copy
