"""Where the lines lie that hold a name: 16 bytes each, whatever its length.

Kept are a hash of the name, of 64 bits, and the line's place in its file. Two names may share a
hash; so who asks reads the line itself, and sees whether it is of that name.
"""

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

LONG = 512  # bytes of a name; of longer ones a digest is hashed
FRESH = 4096  # names that wait to be sorted in
PART = 1 << 16  # names that are hashed and looked for at once
MIX = 0x9E3779B97F4A7C15  # the golden ratio's, as in splitmix64
FACTORS = np.array([(0xBF58476D1CE4E5B9 * n + MIX) % 2**64 | 1 for n in range(LONG // 8)], "<u8")


class Table:
    """The places of lines by the names in them; several of one name in their order.

    Several threads may ask while one adds.
    """

    def __init__(self, keys: Keys | None = None, lines: Keys | None = None) -> None:
        self.keys: Keys = np.empty(0, "<u8") if keys is None else keys  # (N,), sorted
        self.lines: Keys = np.empty(0, "<u8") if lines is None else lines  # (N,)
        self._fresh: dict[int, list[int]] = {}
        self._lock = threading.Lock()

    def add(self, names: Sequence[bytes], line: int) -> None:
        """Take the names of one more line."""
        with self._lock:
            for key in map(int, hash_names(names)):
                self._fresh.setdefault(key, []).append(line)
            if len(self._fresh) >= FRESH:
                lines = [(key, line) for key in self._fresh for line in self._fresh[key]]
                self._fresh = {}
                self._take(*np.array(lines, "<u8").T)

    def take(self, keys: Keys, lines: Keys) -> None:
        """Take many lines at once, by the hashes of names in them."""
        with self._lock:
            self._take(keys, lines)

    def _take(self, keys: Keys, lines: Keys) -> None:
        order = np.argsort(keys, kind="stable")
        keys, lines = keys[order], lines[order]
        if self.keys.size:
            where = np.searchsorted(self.keys, keys, side="right")
            keys, lines = np.insert(self.keys, where, keys), np.insert(self.lines, where, lines)
        self.keys, self.lines = keys, lines

    def find(self, name: bytes) -> list[int]:
        """Give where the lines begin that may hold a name, in order."""
        (key,) = hash_names([name])
        with self._lock:
            first = int(np.searchsorted(self.keys, key))
            last = int(np.searchsorted(self.keys, key, "right"))
            return [*map(int, self.lines[first:last]), *self._fresh.get(int(key), ())]

    def holds(self, keys: Keys) -> NDArray[np.bool_]:
        """Tell of many names, by their hashes (N,), which are there (N,)."""
        order = np.argsort(keys)  # neighbours are looked for in memory that is at hand
        keys, there = keys[order], np.zeros(keys.shape, bool)
        with self._lock:
            places = np.searchsorted(self.keys, keys)
            inside = order[places < self.keys.size]
            there[inside] = self.keys[places[: inside.size]] == keys[: inside.size]
            if self._fresh:
                fresh = np.fromiter(self._fresh, "<u8", len(self._fresh))
                there[order] |= np.isin(keys, fresh)
            return there


class Filling:
    """Gathers the names of many lines for a table, sorted once at the end."""

    def __init__(self) -> None:
        self._names: list[bytes] = []
        self._lines: list[int] = []
        self._parts: list[tuple[Keys, Keys]] = []

    def add(self, names: Sequence[bytes], line: int) -> None:
        """Take the names of one more line."""
        self._names.extend(names)
        self._lines.extend([line] * len(names))
        if len(self._names) >= FRESH:
            self._close()

    def _close(self) -> None:
        self._parts.append((hash_names(self._names), np.array(self._lines, "<u8")))
        self._names, self._lines = [], []

    def pour(self, table: Table) -> None:
        """Give a table all of them."""
        self._close()
        keys, lines = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        self._parts = []
        table.take(keys, lines)


def hash_names(names: Sequence[bytes]) -> Keys:
    """Hash many names at once, to 64 bits: (N,). The same on every machine; no safe hash."""
    short = [n if len(n) <= LONG else hashlib.blake2b(n).digest() for n in names]
    width = -(-max(map(len, short), default=0) // 8) or 1
    columns = np.array(short, f"S{8 * width}").view("<u8").reshape(-1, width)  # (N, width)
    keys = np.zeros(len(short), "<u8")
    for factor, column in zip(FACTORS[:width], columns.T, strict=True):
        word = column * np.uint64(MIX)
        word ^= word >> np.uint64(32)
        keys += word * factor  # nothing where the name has ended, however wide the others are
    keys ^= keys >> np.uint64(29)
    keys *= np.uint64(MIX)
    keys ^= keys >> np.uint64(32)
    return keys


def in_parts(names: Iterable[bytes]) -> Iterator[Keys]:
    """Hash names as they come, many at once."""
    coming = iter(names)
    while part := list(islice(coming, PART)):
        yield hash_names(part)
