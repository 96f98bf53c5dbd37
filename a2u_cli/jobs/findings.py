"""Keep what a check has found of each picture, and report it, the worst first.

It lies in a database on disk, so a million pictures take no more memory than a few.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import A2UError, ImageError
from ..images.files import replacing, words
from ..images.writing import require_free
from ..scoring.contact_sheet import PER_PAGE, Entry, Page, is_sheet, page_paths, write_page
from ..scoring.suspicion import Reason
from .places import require_no_input


class Findings:
    """What was found of each picture, the last of each name; several threads may add to it.

    It lies in a temporary file, which goes with it. Raises A2UError where that cannot be written.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Without a name it is a file that sqlite removes, without transactions nothing is doubled.
        self._base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._ask("PRAGMA journal_mode = OFF")
        self._ask("CREATE TABLE found (name BLOB PRIMARY KEY, score REAL, entry TEXT)")
        self._ask("CREATE INDEX worst ON found (score IS NOT NULL, score DESC, name)")

    def _ask(self, question: str, *values: object) -> list[Any]:
        with self._lock, _telling():
            return self._base.execute(question, values).fetchall()

    def add(self, entry: Entry) -> None:
        """Keep what was found of a picture."""
        row = os.fsencode(entry.name), entry.score, json.dumps(asdict(entry))
        self._ask("INSERT OR REPLACE INTO found VALUES (?, ?, ?)", *row)

    def __contains__(self, name: str) -> bool:
        return bool(self._ask("SELECT 1 FROM found WHERE name = ?", os.fsencode(name)))

    def __len__(self) -> int:
        return self.summary[0]

    @property
    def summary(self) -> tuple[int, int, float]:
        """Count all, and those that could not be checked; give the highest score, 0 for none."""
        count, checked, worst = self._ask("SELECT count(*), count(score), max(score) FROM found")[0]
        return count, count - checked, worst or 0.0

    def __iter__(self) -> Iterator[Entry]:
        """Give all: first what could not be checked, then the worst."""
        order = "SELECT entry FROM found ORDER BY score IS NOT NULL, score DESC, name"
        with _telling():
            for (text,) in self._base.execute(order):
                facts = json.loads(text)
                facts["reasons"] = tuple(Reason(**reason) for reason in facts["reasons"])
                yield Entry(**facts | {key: tuple(facts[key]) for key in ("files", "pictures")})


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise A2UError(
            f"what was found cannot be kept in a temporary file ({words(error)}); make room, or "
            "name a folder with room as SQLITE_TMPDIR"
        ) from error


def require_report(path: Path, count: int, inputs: Iterable[Path], *, force: bool) -> None:
    """Refuse a report on so many pictures where something else lies, before any work.

    A report of ours is replaced. Raises ImageError.
    """
    pages = page_paths(path, count)
    require_no_input(pages, inputs)
    for page in pages:
        require_free(page, [], force=force or (page.is_file() and is_sheet(page)))


def write_report(path: Path, findings: Findings) -> list[Path]:
    """Write what was found as pages of at most `PER_PAGE` pictures, each whole or not at all.

    Gives their paths. Raises ImageError where one cannot be written.
    """
    total, entries = len(findings), iter(findings)
    paths = page_paths(path, total)
    for number, place in enumerate(paths):
        page = Page(place, paths, 1 + number * PER_PAGE, total)
        try:
            with replacing(place) as temporary, temporary.open("wb") as file:
                write_page(file, page, islice(entries, PER_PAGE))
        except OSError as error:
            raise ImageError(
                f"{place} cannot be written ({words(error)}), expected a folder with room and "
                "permission to write; choose another file for the report"
            ) from error
    return paths
