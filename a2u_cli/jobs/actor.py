"""What runs on a cluster's nodes: an actor that mattes part after part of a table of pictures.

It reads, mattes and writes by itself, into a folder that all nodes share or one in a store, and
keeps a journal of its own there, so nothing depends on whoever asked for it. What goes wrong is a
row, too.
"""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import __version__
from ..backgrounds import list_backgrounds
from ..errors import A2UError, in_words
from ..images.stores import in_store, place
from ..pairing import Pair
from .crew import WorkerDied
from .folder import Job, failed, room_beside, run
from .journal import JOURNALS, Journal, Outcome
from .options import Options
from .places import Places
from .spreading import hired, tell_again

if TYPE_CHECKING:
    import pyarrow as pa
    from filelock import BaseFileLock

STOPPED = "stopped"  # the state of a row that ends the run
MORE = [fact.name for fact in fields(Pair)][3:]  # what a pair has beside its name and paths
MOST_DEATHS = 2  # of an actor, at one picture
TWICE = (
    "its worker process was ended from outside, twice, as systems do that lack memory; run the "
    "same command with fewer workers, what is done is kept"
)


@dataclass(frozen=True)
class Kit:
    """All that an actor needs to know beside its pictures.

    `hire` takes the path of the weights, whose bytes are `sent` where the actor is far. `sizes` are
    those of the journals when the run began; `sign` is a file that lies in the folder.
    """

    folder: Path
    options: Options
    count: int  # of the actors
    hire: Callable[[str], object]
    weights: str
    sent: Any  # a reference to them, or nothing
    sizes: dict[str, int]
    sign: str
    here: str  # the folder that relative paths begin in
    force: bool
    lock: bool
    version: str = __version__


class Row(NamedTuple):
    """What is told of a picture: its outcome, and with it what was said since the row before."""

    name: str
    state: str
    reason: str = ""
    seconds: float = 0.0
    code: int = 0  # the exit code of a run that is stopped
    told: tuple[tuple[int, str], ...] = ()


class Actor:
    """Matte the pictures of a table's rows; called by Ray Data with one part after another."""

    def __init__(self, kit: Kit) -> None:
        self.kit, self.stop = kit, None
        try:
            self._begin()
        except Exception as error:  # none leaves an actor: Ray would begin it again for ever
            self.stop = _stopped(error)

    def _begin(self) -> None:
        kit = self.kit
        if kit.version != __version__:
            raise A2UError(
                f"a2u {__version__} is installed on {_node()}, expected {kit.version}, as here; "
                "install that on every node"
            )
        with suppress(OSError):  # else it is told of what does not lie there
            os.chdir(kit.here)
        if not in_store(kit.folder) and not (kit.folder / kit.sign).is_file():
            raise A2UError(
                f"{kit.folder} on {_node()} is another folder than here; choose an output folder "
                "that all nodes share"
            )
        import ray

        self._hire()
        name, self.lock = _claim(kit)
        self.journal = Journal(kit.folder, name)
        self.inputs = tuple(list_backgrounds(kit.options.background))
        context = ray.get_runtime_context()
        token = context.get_actor_id()[:16]  # the same after its death
        self.under_way = UnderWay(kit.folder / f".a2u-0-{token}.part")
        has_died = context.was_current_actor_reconstructed
        self.before = set(_done_since(kit) if has_died else ())

    def _hire(self) -> None:
        """Load the weights that lie where they do for whoever asked, or else those that came."""
        import ray

        kit = self.kit
        if kit.sent is None:
            kit.hire(kit.weights)
            return
        with tempfile.TemporaryDirectory() as folder:
            sent = Path(folder, Path(kit.weights).name)
            sent.write_bytes(ray.get(kit.sent))
            kit.hire(str(sent))

    def __call__(self, table: "pa.Table") -> "pa.Table":
        """Matte a part's pictures; gives a row for each, in order."""
        rows = []
        for row in self._rows(to_pairs(table)):
            rows.append(row._replace(told=tell_again()))
            if row.state == STOPPED:
                break
        return to_table(rows)

    def _rows(self, pairs: list[Pair]) -> Iterator[Row]:
        if self.stop:
            yield self.stop
            return
        try:
            for outcome in self._outcomes(pairs):
                if outcome.state == "skipped" and outcome.name in self.before:
                    outcome = Outcome(outcome.name, "done")  # by this actor, before its death
                yield Row(**vars(outcome))
            self.under_way.clear([pair.name for pair in pairs])
        except Exception as error:  # the journal cannot be written
            yield _stopped(error)

    def _outcomes(self, pairs: list[Pair]) -> Iterator[Outcome]:
        """Matte pictures; those that were under way at a death one by one."""
        deaths = self.under_way.deaths
        if not any(deaths[pair.name] for pair in pairs):
            self.under_way.write([pair.name for pair in pairs])
            yield from self._run(pairs)
            return
        for pair in pairs:
            if deaths[pair.name] >= MOST_DEATHS:
                yield failed(pair, WorkerDied(TWICE), self._job)
            else:
                self.under_way.write([pair.name])
                yield from self._run([pair])

    def _run(self, pairs: list[Pair]) -> Iterator[Outcome]:
        kit, matter = self.kit, hired()
        own = (path for pair in pairs for path in (pair.image, pair.hint))
        return run(
            pairs,
            kit.folder,
            matter.matte,
            kit.options,
            journal=self.journal,
            inputs=(*self.inputs, *own),
            force=kit.force,
            room=room_beside(matter),
            max_memory=matter.max_memory,
        )

    @property
    def _job(self) -> Job:
        matter, places = hired(), Places(self.journal)
        return Job(self.kit.folder, matter.matte, self.kit.options, places, lambda _: 0, None)


class UnderWay:
    """A file that names the pictures an actor is at, for itself after its death.

    Any of a part may have ended it, so after that they are done one by one, to know which it is.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.deaths = path, Counter[str]()
        with suppress(OSError, ValueError):  # none, or torn: nobody is suspected
            facts = json.loads(path.read_bytes())
            self.deaths.update(facts["deaths"])
            self.deaths.update(facts["names"])

    def write(self, names: list[str]) -> None:
        """Say what is under way now; a process that is ended takes nothing of it along."""
        self.path.write_bytes(json.dumps({"names": names, "deaths": self.deaths}).encode())

    def clear(self, names: list[str]) -> None:
        """Say that a part is through; others may still have to come again."""
        for name in names:
            self.deaths.pop(name, None)
        if self.deaths:
            self.write([])
        else:
            self.path.unlink(missing_ok=True)


def _claim(kit: Kit) -> "tuple[str, BaseFileLock | None]":
    """Take the first journal that no other actor has; its lock says that somebody is at work."""
    import ray
    from filelock import FileLock, Timeout

    if not kit.lock or in_store(kit.folder):  # no locks there: a number that nobody else has
        number = int(ray.get_runtime_context().get_actor_id()[:12], 16)
        return f"journal-{number}-of-{kit.count}.jsonl", None
    for number in count(1):
        name = f"journal-{number}-of-{kit.count}.jsonl"
        lock = FileLock(kit.folder / f".{name}.lock", timeout=0)
        with suppress(Timeout):
            lock.acquire()
            return name, lock
    raise AssertionError


def _done_since(kit: Kit) -> Iterator[str]:
    """Name the pictures that the journals call done since the run began."""
    for path in kit.folder.glob("*.jsonl"):
        if JOURNALS.fullmatch(path.name):
            with path.open("rb") as file:
                file.seek(kit.sizes.get(path.name, 0))
                for line in file:
                    with suppress(ValueError, KeyError, TypeError):
                        entry = json.loads(line)
                        if entry["state"] == "done":
                            yield entry["name"]


def _stopped(error: Exception) -> Row:
    text, code = in_words(error)
    return Row("", STOPPED, text, code=code or 1)


def _node() -> str:
    return os.uname().nodename


# Tables: names and paths are bytes there, as a disk may hold what is no text.


def to_rows(pairs: Iterable[Pair]) -> "pa.Table":
    """Give pairs as a table of names and paths."""
    import pyarrow as pa

    pairs = tuple(pairs)
    more = [[getattr(pair, name) for name in MORE] for pair in pairs]
    return pa.table(
        {
            "name": pa.array([_packed(pair.name) for pair in pairs], pa.binary()),
            "image": pa.array([_packed(str(pair.image)) for pair in pairs], pa.binary()),
            "hint": pa.array([_packed(str(pair.hint)) for pair in pairs], pa.binary()),
            "more": pa.array(map(json.dumps, more), pa.string()),
        }
    )


def to_pairs(table: "pa.Table") -> list[Pair]:
    """Give a table's pairs; the opposite of `to_rows`."""
    return [
        Pair(
            _unpacked(row["name"]),
            place(_unpacked(row["image"])),
            place(_unpacked(row["hint"])),
            *_frozen(json.loads(row["more"])),
        )
        for row in table.to_pylist()
    ]


def _frozen(value: Any) -> Any:
    """Give what JSON made lists of as the tuples that they were."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def to_table(rows: list[Row]) -> "pa.Table":
    """Give rows as a table."""
    import pyarrow as pa

    return pa.table(
        {
            "name": pa.array([_packed(row.name) for row in rows], pa.binary()),
            "state": pa.array([row.state for row in rows], pa.string()),
            "reason": pa.array([_packed(row.reason) for row in rows], pa.binary()),
            "seconds": pa.array([row.seconds for row in rows], pa.float64()),
            "code": pa.array([row.code for row in rows], pa.int64()),
            "told": pa.array([json.dumps(row.told) for row in rows], pa.string()),
        }
    )


def from_table(table: "pa.Table") -> Iterator[Row]:
    """Give a table's rows; the opposite of `to_table`."""
    for row in table.to_pylist():
        told = tuple((level, text) for level, text in json.loads(row["told"]))
        name, reason = _unpacked(row["name"]), _unpacked(row["reason"])
        yield Row(name, row["state"], reason, row["seconds"], row["code"], told)


def _packed(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _unpacked(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
