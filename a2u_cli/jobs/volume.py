"""One journal's file: which of its lines name what. Read once; then an index beside it is enough.

The index, a hidden file, holds the tables of a journal's first lines. It is taken only where the
journal still has them, by their length and their end, and made anew in silence where not. What is
true of a picture is read in the journal itself, at the place that a table gives.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..images.files import replacing
from .lines import Named, as_bytes, is_torn, name_line, read_entries, read_lines
from .table import Filling, Table

VERSION = 1  # of the index: another is made anew
WORTH = 1 << 20  # bytes of a journal that are found in an index sooner than read
END = 4096  # bytes of the lines that an index is of, by which they are known


class Volume:
    """The lines of a journal's file, by the names of pictures and by the places of outputs.

    `is_damaged`: a line cannot be read; `is_torn`: the last one has no end. With `keep` an index is
    written where that saves time. Raises JournalError where it is no file, or cannot be read.
    """

    def __init__(self, path: Path, *, keep: bool = False) -> None:
        self.path = path
        self.names, self.places = Table(), Table()
        self.is_damaged = self.is_torn = False
        self._is_sound, self._is_strange = False, False  # a line of ours; one that never was
        self._end = 0  # of the lines in the tables
        self._open_index()
        begin = self._end
        last = self._read()
        if keep and self._end - begin > WORTH:
            self._keep_index()
        for offset, line in last:
            if named := self._take(line):
                self.add(named, offset)
            self.is_torn = True

    @property
    def is_own(self) -> bool:
        """Tell whether it is a journal of ours, or nothing but what a kill left of its start."""
        return self._is_sound or not self._is_strange

    def add(self, named: Named, line: int) -> None:
        """Take one more line, that begins there."""
        self.names.add([named.name], line)
        self.places.add(named.places, line)

    def of_picture(self, name: str) -> dict[str, Any] | None:
        """Read the last line of a picture; raises JournalError."""
        entries = read_entries(self.path, self.names.find(as_bytes(name))[::-1])
        return next((entry for entry in entries if entry["name"] == name), None)

    def of_output(self, place: str) -> list[dict[str, Any]]:
        """Read the lines that name an output; raises JournalError."""
        entries = read_entries(self.path, self.places.find(as_bytes(place)))
        return [entry for entry in entries if place in entry.get("outputs", ())]

    def _read(self) -> list[tuple[int, bytes]]:
        """Read all lines from the index's on; give those after the last end of a line."""
        names, places = Filling(), Filling()
        waiting: list[tuple[int, bytes]] = []
        for offset, line in read_lines(self.path, self._end):
            waiting.append((offset, line))
            if line.endswith(b"\n"):
                for begin, piece in waiting:
                    if named := self._take(piece):
                        names.add([named.name], begin)
                        places.add(named.places, begin)
                waiting.clear()
                self._end = offset + len(line)
        names.pour(self.names)
        places.pour(self.places)
        return waiting

    def _take(self, line: bytes) -> Named | None:
        """Read a line, and keep in mind what it says of the file."""
        named = name_line(line)
        if named:
            self._is_sound = True
        else:
            self.is_damaged = True
            self._is_strange = self._is_strange or not is_torn(line)
        return named

    @property
    def _index(self) -> Path:
        return self.path.with_name(f".{self.path.name}.index")

    def _keep_index(self) -> None:
        """Write the index; where that cannot be, the lines are read again."""
        tables = self.names, self.places
        arrays = [array for table in tables for array in (table.keys, table.lines)]
        facts = {
            "version": VERSION,
            "end": self._end,
            "last": self._hash_last(self._end),
            "counts": [table.keys.size for table in tables],
            "sum": _sum(arrays),
            "damaged": self.is_damaged,
            "sound": self._is_sound,
            "strange": self._is_strange,
        }
        root = self.path.parent
        with (
            suppress(OSError),
            replacing(self._index, root=root) as place,
            place.open("wb") as file,
        ):
            file.write(json.dumps(facts).encode() + b"\n")
            for array in arrays:
                array.tofile(file)

    def _open_index(self) -> None:
        """Take what the index holds, if it is of this journal and whole."""
        with suppress(OSError, ValueError, KeyError, TypeError), self._index.open("rb") as file:
            facts = json.loads(file.readline())
            counts = [count for count in facts["counts"] for _ in range(2)]
            arrays = [np.fromfile(file, "<u8", count) for count in counts]
            known = facts["version"], facts["last"], facts["sum"], [array.size for array in arrays]
            if known == (VERSION, self._hash_last(facts["end"]), _sum(arrays), counts):
                self.names, self.places = Table(*arrays[:2]), Table(*arrays[2:])
                self.is_damaged, self._end = facts["damaged"], facts["end"]
                self._is_sound, self._is_strange = facts["sound"], facts["strange"]

    def _hash_last(self, end: int) -> str:
        """Hash the last bytes before the end of some lines, and that end."""
        if not self.path.is_file() or self.path.is_symlink() or self.path.stat().st_size < end:
            raise ValueError("the journal has become shorter")
        with self.path.open("rb") as file:
            file.seek(max(0, end - END))
            return hashlib.sha256(b"%d " % end + file.read(min(end, END))).hexdigest()


def _sum(arrays: Iterable[np.ndarray[Any, Any]]) -> int:
    total = 0
    for array in arrays:
        total = zlib.crc32(array.data, total)
    return total
