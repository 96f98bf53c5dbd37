"""What became of each picture of a folder: JSON lines that survive a kill."""

import json
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import A2UError
from .options import Options

JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class Outcome:
    """What became of a picture: `state` is done, skipped or failed."""

    name: str
    state: str
    reason: str = ""
    seconds: float = 0.0


class Journal:
    """The journals of an output folder; new lines go to one of them."""

    def __init__(self, folder: Path, name: str = JOURNAL) -> None:
        self.path = folder / name
        self._lock = threading.Lock()
        self._torn = self.path.is_file() and not self.path.read_bytes().endswith(b"\n")
        self.done: dict[str, dict[str, Any]] = {}
        for path in sorted(folder.glob("journal*.jsonl")):
            for line in path.read_bytes().splitlines():
                try:
                    entry = json.loads(line)
                    self.done[entry["name"]] = entry
                except (ValueError, KeyError, TypeError, RecursionError):
                    # torn by a kill, or not written by us: that picture is redone
                    continue

    def holds(self, name: str, inputs: str, *options: Options) -> bool:
        """Tell whether a picture is done for these inputs and one of these options."""
        entry = self.done.get(name, {})
        digests = [chosen.digest for chosen in options]
        return (
            entry.get("state") == "done"
            and entry.get("inputs") == inputs
            and entry.get("options") in digests
        )

    def add(
        self, outcome: Outcome, inputs: str, options: Options, written: Iterable[Path] = ()
    ) -> None:
        """Write a line that survives the end of the process; `written` are its files.

        Raises A2UError where it cannot be written: without a journal no work is kept account of.
        """
        entry = vars(outcome) | {
            "inputs": inputs,
            "options": options.digest,
            "weights": options.weights,
            "outputs": [path.relative_to(self.path.parent).as_posix() for path in written],
        }
        with self._lock:
            try:
                with self.path.open("ab") as file:
                    file.write(b"\n" * self._torn + json.dumps(entry).encode() + b"\n")
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                self._torn = True  # a part of the line may be there
                raise A2UError(
                    f"{self.path} cannot be written ({error.strerror}); what is done is kept: "
                    "mend that and run the same command again"
                ) from error
            self._torn = False
