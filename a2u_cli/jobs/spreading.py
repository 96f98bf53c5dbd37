"""Matte a folder's small pictures in worker processes, the others as `folder.run` does.

A worker decodes, mattes and encodes; files are read and written, and the journal kept, by this
process alone. So whatever becomes of a worker, what is on disk is what one process would leave.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import compress, takewhile
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from ..errors import A2UError, OutOfMemory, WeightsError, in_words, is_memory
from ..images.stores import in_store
from ..pairing import Pair
from ..scoring.contact_sheet import Entry
from ..units import FloatArray, Size
from .checking import examine_made
from .crew import Closed, Crew, WorkerDied
from .findings import Findings
from .folder import (
    IN_FLIGHT,
    Job,
    Loaded,
    Taken,
    are_there,
    decode,
    encode,
    failed,
    is_done,
    keep,
    room_beside,
    run,
    size_in_head,
    take,
)
from .journal import Journal, JournalError, Outcome
from .options import Options
from .places import Places

if TYPE_CHECKING:
    from ..matting.runtime import Runtime

SMALL = 1_500_000  # pixels: a thread alone keeps busy with it; of larger pictures all do a part
WORTH = 3_000_000  # pixels to do for each worker: its start costs as much as half a million
ASKED = 32  # heads of pictures that are asked a store for at once
EACH = 16_000  # pixels that take as long as what is done once a picture


@dataclass(frozen=True)
class Team:
    """How the work is shared out: a place for each worker, if any, and what goes to them.

    A place is a device, `threads` of it, and at most so many bytes of its memory.
    """

    places: tuple[tuple[str, int | None], ...] = ()
    threads: int = 1
    pairs: frozenset[Pair] = frozenset()

    def __str__(self) -> str:
        devices = dict.fromkeys(device for device, _ in self.places)
        on = f" on {', '.join(devices)}" if len(devices) > 1 else f", {self.threads} thread(s) each"
        return f"{len(self.places)} for {len(self.pairs)} pictures{on}"


@dataclass(frozen=True)
class _Made:
    """What a worker has made of a picture, or why not; and what is told of it on the way."""

    files: tuple[tuple[str, bytes], ...] = ()
    seconds: float = 0.0
    failure: str = ""
    is_short: bool = False  # of memory: all of it may be enough
    entry: Entry | None = None  # what a check has found
    told: tuple[tuple[int, str], ...] = ()


def share_out(
    pairs: Iterable[Pair],
    folder: Path,
    matter: "Runtime",
    options: Options,
    *,
    workers: int | None = None,
    devices: tuple[str, ...] = (),
) -> Team:
    """Decide what goes to how many workers: the one rule.

    A small picture keeps one thread busy, and several threads wait for each other; of a large one
    all threads do their part, and it takes memory as large as theirs. So small ones go to a worker
    a thread, and large ones to one process with all threads; as many workers as memory is there
    for, and as there is work enough to pay their starts. A number that was asked for is taken, and
    so is a worker for each of several `devices`, whatever the size; but in no case does a picture
    go where too little memory would walk it in another way: its bytes are those of one process.
    """
    threads = matter.threads if matter.device.type == "cpu" else 1
    if (workers or threads) == 1 and not devices:
        return Team()
    sizes = {pair: size for pair, size in _heads(pairs, folder, options) if size}
    told = bool(workers or devices)
    if not told:
        sizes = {pair: size for pair, size in sizes.items() if _pixels(size) <= SMALL}
    todo = sum(
        EACH + _pixels(size) for pair, size in sizes.items() if not are_there(pair, folder, options)
    )
    kinds = {*sizes.values()}
    count = workers or min(threads, todo // WORTH, _most(matter, kinds))
    each = devices or (str(matter.device),) * count
    if len(each) < 2 and not devices:
        return Team()
    places = tuple((device, _share(matter, each.count(device))) for device in each)
    fits = {size for size in kinds if _fits(matter, size, places)}
    taken = frozenset(pair for pair, size in sizes.items() if size in fits)
    return Team(places, max(1, threads // len(each)), taken) if taken else Team()


def _heads(
    pairs: Iterable[Pair], folder: Path, options: Options
) -> Iterable[tuple[Pair, Size | None]]:
    """Tell the sizes of pictures; in a store that is a request each, so what is there is passed."""
    pairs = tuple(pairs)
    near = [pair for pair in pairs if not in_store(pair.image)]
    far = [p for p in pairs if in_store(p.image) and not are_there(p, folder, options)]
    yield from ((pair, size_in_head(pair.image)) for pair in near)
    with ThreadPoolExecutor(ASKED) as asking:
        yield from zip(far, asking.map(lambda pair: size_in_head(pair.image), far), strict=True)


def _most(matter: "Runtime", sizes: set[Size]) -> int:
    """Tell for how many workers there is memory."""
    from ..matting.planning import PROCESS

    try:
        most = max((need(matter, size) for size in sizes), default=1)
    except OutOfMemory:
        return 0
    return (matter.budget() - PROCESS) // most


def need(matter: "Runtime", size: Size) -> int:
    """Tell how many bytes a worker needs for a picture; raises OutOfMemory."""
    return matter.plan(size).memory + _waiting(size)


def _waiting(size: Size) -> int:
    """Give the bytes of what is read and written beside a picture that is matted."""
    return 2 * IN_FLIGHT * _pixels(size)


def _pixels(size: Size) -> int:
    return size[0] * size[1]


def _share(matter: "Runtime", count: int) -> int | None:
    """Give the bytes that each of so many workers on a device may take; None: as one process."""
    from ..matting.planning import PROCESS

    if count == 1 and matter.device.type != "cpu":
        return matter.max_memory
    return (matter.budget() - PROCESS) // count  # beside them there is this process


def _fits(matter: "Runtime", size: Size, places: tuple[tuple[str, int | None], ...]) -> bool:
    """Tell whether every worker would walk a picture as one process does."""
    try:
        whole = matter.plan(size)
        for bound in {bound for _, bound in places}:
            if bound is not None:
                plan = matter.plan(size, max_memory=bound - _waiting(size))
                if plan != whole:
                    return False
    except OutOfMemory:
        return False
    return True


def run_team(
    pairs: Iterable[Pair],
    folder: Path,
    matter: "Runtime",
    options: Options,
    *,
    team: Team,
    prepare: Callable[[], object],
    journal: Journal,
    inputs: Iterable[Path] = (),
    force: bool = False,
    fail_fast: bool = False,
    findings: Findings | None = None,
) -> Generator[Outcome, None, None]:
    """Do what `folder.run` does, with a team; `prepare` is what a worker's process does first.

    Where workers are, their pictures come first, in order; with `fail_fast` what is under way at a
    failure is finished. A picture that a worker is ended for is tried once more; one that it has
    too little memory for is matted by this process, when the workers are gone. What a check finds
    of every matte goes to `findings`, if there are any.
    """
    pairs = pairs if isinstance(pairs, Sequence) else tuple(pairs)
    late, stopped = set[Pair](), Event()
    places = Places(journal, inputs, force=force)
    job = Job(folder, matter.matte, options, places, room_beside(matter), matter.max_memory)
    todo = bytearray(not is_done(pair, job) for pair in pairs)
    for pair in (pair for pair, left in zip(pairs, todo, strict=True) if not left):
        yield Outcome(pair.name, "skipped", "done before")
    if team.places:
        crew = Crew(setups(matter, team, prepare))
        theirs = (pair for pair in compress(pairs, todo) if pair in team.pairs)
        coming = takewhile(lambda _: not stopped.is_set(), theirs)
        make = partial(_make, job=job, crew=crew, findings=findings)
        for pair, outcome in crew.each(lambda pair: (pair, make(pair)), coming):
            if outcome is None:
                late.add(pair)
                continue
            if fail_fast and outcome.state == "failed":
                stopped.set()
            yield outcome
    if stopped.is_set():
        return
    rest = (p for p in compress(pairs, todo) if p not in team.pairs or p in late)
    yield from run(
        rest,
        folder,
        matter.matte,
        options,
        journal=journal,
        inputs=inputs,
        force=force,
        fail_fast=fail_fast,
        room=room_beside(matter),
        max_memory=matter.max_memory,
        check=None if findings is None else partial(_check, matter, options, folder, findings),
    )


def _check(
    matter: "Runtime",
    options: Options,
    folder: Path,
    findings: Findings,
    loaded: Loaded,
    alpha: FloatArray,
) -> None:
    findings.add(examine_made(loaded, alpha, matter, options, folder))


def _make(pair: Pair, job: Job, crew: Crew, findings: Findings | None = None) -> Outcome | None:
    """Read a picture, let a worker make its files, and write them; None: all memory is needed."""
    try:
        taken = take(pair, job)
        if isinstance(taken, Outcome):
            return taken
        make = _make_here if findings is None else partial(_make_here, checked=job.folder)
        try:
            made = crew.call(make, taken, job.options)
        except WorkerDied:  # perhaps beside another that took much
            made = crew.call(make, taken, job.options)
        if made.is_short:
            return None
        for level, text in made.told:
            logging.getLogger(__name__).log(level, text)
        if made.failure:
            return failed(pair, A2UError(made.failure), job)
        if findings is not None and made.entry:
            findings.add(made.entry)
        return keep(taken, made.files, made.seconds, job)
    except (JournalError, Closed):
        raise
    except Exception as error:  # of one picture: the others go on
        return failed(pair, error, job)


# In a worker's process


class _Told(logging.Handler):
    """Keep what is told of a picture, for the process that speaks."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelno, record.getMessage()))


_hired: "Runtime | None" = None  # of this process, if it is a worker
_told = _Told()


def setups(
    matter: "Runtime", team: Team, prepare: Callable[[], object]
) -> list[Callable[[], object]]:
    """Give what makes workers of a team's processes; `prepare` is what each does first."""
    facts = str(matter.path), matter.sha256, matter.dtype_name, matter.quality
    return [partial(hire, prepare, *facts, team.threads, *place) for place in team.places]


def hired() -> "Runtime":
    """Give the matter of this process, which is a worker."""
    assert _hired
    return _hired


def tell_again() -> tuple[tuple[int, str], ...]:
    """Give what was told in this process, which is a worker, since the call before."""
    told = tuple(_told.lines)
    del _told.lines[: len(told)]
    return told


def hire(
    prepare: Callable[[], object],
    path: str,
    sha256: str,
    dtype: str,
    quality: str,
    threads: int,
    device: str,
    max_memory: int | None,
) -> None:
    """Make this process a worker."""
    global _hired
    from ..matting.opening import open_runtime

    prepare()
    matter = open_runtime(
        path,
        device=device,
        dtype=dtype,
        quality=quality,  # type: ignore[arg-type]
        max_memory=max_memory,
        threads=threads,
    )
    if matter.sha256 != sha256:
        raise WeightsError(f"{path} was changed while the run began; run the same command again")
    logging.getLogger("a2u_cli").handlers = [_told]
    _hired = matter


def _make_here(taken: Taken, options: Options, checked: Path | None = None) -> _Made:
    """Make what is missing of a picture's files; `checked` is the folder of one that is checked."""
    matter, told = hired(), _told.lines
    told.clear()
    try:
        loaded = decode(taken, options, matter.max_memory)
        start = time.perf_counter()
        alpha = matter.matte(loaded.picture.image, loaded.trimap)
        seconds = time.perf_counter() - start
        files = tuple(encode(loaded, alpha, options, matter.max_memory))
        entry = examine_made(loaded, alpha, matter, options, checked) if checked else None
        return _Made(files, seconds, told=tuple(told), entry=entry)
    except Exception as error:  # of one picture: the others go on
        text, code = in_words(error)
        short = is_memory(error) or code == OutOfMemory.exit_code
        return _Made(failure=text, is_short=short, told=tuple(told))
