"""Matte a folder by Ray Data: on this machine, or on a cluster whose nodes share the folder.

The driver hands out parts of a table of names and paths, and hears what became of each picture;
all else is done by the actors (`actor`). So a driver that dies loses nothing, and neither does an
actor: Ray begins it again, and what it was at is tried once more.
"""

import logging
import secrets
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import A2UError
from ..images.files import replacing, sweep_behind, words
from ..images.stores import in_store
from ..matting.planning import PROCESS
from ..pairing import Pair
from .actor import STOPPED, Actor, Kit, Row, from_table, to_rows
from .connection import HERE, connected
from .folder import room_beside, run, size_in_head
from .journal import JOURNALS, Journal, Outcome
from .options import Options
from .spreading import EACH, SMALL, Team, hire, need, share_out

if TYPE_CHECKING:
    from ..matting.runtime import Runtime

PATIENCE = 5.0  # seconds for actors to be gone
PART = 1_500_000  # pixels that are handed out at once: about a second's work
MOST = 32  # pictures that are
SHARES = 3  # of what is left to do, and for each actor, that are handed out at least
ROWS = 10_000  # of a table of outcomes that are written at once
SOON = 0.5  # seconds in which a client hears what was told
OUTCOMES = "outcomes.parquet"


def run_on_ray(
    pairs: Iterable[Pair],
    folder: Path,
    matter: "Runtime",
    options: Options,
    *,
    address: str,
    workers: int | None,
    prepare: Callable[[], object],
    journal: Journal,
    tell: Callable[[str], object],
    inputs: Iterable[Path] = (),
    force: bool = False,
    fail_fast: bool = False,
    lock: bool = True,
) -> Generator[Outcome, None, None]:
    """Do what `folder.run` does, by actors of Ray, and keep the outcomes in a table beside them.

    `address` is as `read_address` gives it, `workers` how many actors there are; `tell` is told of
    that. `lock` says that the folder is locked by the `journal`'s name. On this machine, a picture
    that an actor has too little memory for is matted by this process, when they are gone.

    Raises A2UError where the cluster cannot be reached, or its nodes do not share the folder.
    """
    pairs = tuple(pairs)
    here = _share_here(pairs, folder, matter, options, workers) if address == HERE else None
    with _swept(folder, journal, lock=lock) as sign, _table(folder) as write:
        cores = here.threads * len(here.places) if here else 0
        with connected(address, cores):
            team = here or _share_there(pairs, matter, workers)
            rest = [pair for pair in pairs if pair not in team.pairs]
            after = f", then one process for {len(rest)}" if rest else ""
            tell(f"workers: {team}, by Ray{after}")
            kit = _make_kit(folder, matter, options, team, prepare, sign, far=here is None)
            kit = replace(kit, force=force, lock=lock)
            theirs = [pair for pair in pairs if pair in team.pairs]
            with closing(_outcomes(theirs, kit, team)) as outcomes:
                for outcome in outcomes:
                    write(outcome)
                    yield outcome
                    if fail_fast and outcome.state == "failed":
                        return
        for outcome in run(
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
        ):
            write(outcome)
            yield outcome


def _share_here(
    pairs: tuple[Pair, ...],
    folder: Path,
    matter: "Runtime",
    options: Options,
    workers: int | None,
) -> Team:
    """Share out the work on this machine: as without Ray, but to one actor at least."""
    team = share_out(pairs, folder, matter, options, workers=workers)
    if team.places:
        return team
    return Team(((str(matter.device), matter.max_memory),), matter.threads, frozenset(pairs))


def _share_there(pairs: tuple[Pair, ...], matter: "Runtime", workers: int | None) -> Team:
    """Share out the work on a cluster: an actor a GPU; or one a thread, or a node for large ones.

    Each may take what the largest picture needs, as it is walked here: so its bytes do not depend
    on what else a node is at. Raises OutOfMemory where one does not fit.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    sizes = {size for pair in pairs if (size := size_in_head(pair.image))}
    kind = "cpu" if matter.device.type == "cpu" else "cuda"
    cores = [int(node.get("CPU", 0)) for node in nodes]
    smallest = max(1, min((count for count in cores if count), default=1))
    threads, memory = 1, matter.max_memory
    if kind == "cpu":
        memory = memory or max((need(matter, size) for size in sizes), default=PROCESS)
        if workers:
            threads = min(smallest, max(1, sum(cores) // workers))
        elif any(height * width > SMALL for height, width in sizes):
            threads = smallest
    there = sum(cores) // threads if kind == "cpu" else sum(int(n.get("GPU", 0)) for n in nodes)
    return Team(((kind, memory),) * (workers or max(1, there)), threads, frozenset(pairs))


@contextmanager
def _swept(folder: Path, journal: Journal, *, lock: bool) -> Iterator[str]:
    """Lay a sign into the folder, by which actors know it; at the end remove what is half-written.

    An actor that is ended removes nothing. In a store nothing is half-written, and no sign needed.
    """
    if in_store(folder):
        yield ""
        return
    sign = folder / f".a2u-0-{secrets.token_hex(8)}.part"
    sign.touch()
    try:
        yield sign.name
    finally:
        sign.unlink(missing_ok=True)
        if lock:
            sweep_behind(folder, journal.path.name, PATIENCE)


def _make_kit(
    folder: Path,
    matter: "Runtime",
    options: Options,
    team: Team,
    prepare: Callable[[], object],
    sign: str,
    *,
    far: bool,
) -> Kit:
    """Give what the actors of a team need to know."""
    import ray

    device, max_memory = team.places[0]
    journals = (path for path in folder.glob("*.jsonl") if JOURNALS.fullmatch(path.name))
    hiring = partial(
        hire,
        prepare,
        sha256=matter.sha256,
        dtype=matter.dtype_name,
        quality=matter.quality,
        threads=team.threads,
        device=device.partition(":")[0],  # which one, Ray decides
        max_memory=max_memory,
    )
    return Kit(
        folder,
        options,
        count=len(team.places),
        hire=hiring,
        weights=str(matter.path),
        sent=ray.put(matter.path.read_bytes()) if far else None,
        sizes={path.name: path.stat().st_size for path in journals},
        sign=sign,
        here=str(Path.cwd()),
        force=False,
        lock=True,
    )


def _outcomes(pairs: list[Pair], kit: Kit, team: Team) -> Generator[Outcome, None, None]:
    """Hand out pictures, and give what became of each, as it is heard; raises A2UError."""
    import ray
    from ray.exceptions import RayError

    is_client = ray.util.client.ray.is_connected()
    left = len(pairs)
    try:
        for row in _hear_afar(pairs, kit, team) if is_client else hand_out(pairs, kit, team):
            for level, text in row.told:
                logging.getLogger(__name__).log(level, text)
            if row.state == STOPPED:
                stop = A2UError(row.reason)
                stop.exit_code = row.code
                raise stop
            left -= 1
            yield Outcome(row.name, row.state, row.reason, row.seconds)
    except (RayError, ConnectionError) as error:
        raise A2UError(
            f"Ray ended the run ({words(error)}); what is done is kept: mend that and run the same "
            "command again"
        ) from error
    if left:
        raise A2UError(f"Ray told nothing of {left} pictures; run the same command again")


def hand_out(pairs: list[Pair], kit: Kit, team: Team) -> Iterator[Row]:
    """Let Ray Data's actors do what there is, and give what they tell; raises RayError."""
    import ray.data

    if not pairs:
        return
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    device, max_memory = team.places[0]
    memory = {"memory": max_memory} if kit.sent and max_memory else {}
    made = ray.data.from_arrow([to_rows(part) for part in _parts(pairs, kit.count)]).map_batches(
        Actor,
        fn_constructor_args=(kit,),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=kit.count),
        num_cpus=team.threads,
        num_gpus=int(device != "cpu"),
        **memory,
    )
    for table in made.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from from_table(table)


class Envoy:
    """Hand out pictures from within a cluster: what is only its client cannot."""

    def __init__(self, pairs: list[Pair], kit: Kit, team: Team) -> None:
        self.rows = hand_out(pairs, kit, team)

    def hear(self) -> list[Row]:
        """Give what was told by now, at least a row; none where all is told."""
        start, rows = time.monotonic(), list[Row]()
        for row in self.rows:
            rows.append(row)
            if time.monotonic() > start + SOON:
                break
        return rows


def _hear_afar(pairs: list[Pair], kit: Kit, team: Team) -> Iterator[Row]:
    """Do what `hand_out` does, by an envoy."""
    import ray

    envoy = ray.remote(num_cpus=0)(Envoy).remote(pairs, kit, team)
    while rows := ray.get(envoy.hear.remote()):
        yield from rows


def _parts(pairs: list[Pair], count: int) -> Iterator[list[Pair]]:
    """Divide pictures into parts that go to one of so many actors at once.

    Towards the end they get smaller, so that no actor has much to do when the others are idle.
    """
    sizes = (size_in_head(pair.image) or (0, 0) for pair in pairs)
    costs = [EACH + height * width for height, width in sizes]
    left, at = sum(costs), 0
    while at < len(pairs):
        end, todo = at + 1, costs[at]
        most = min(PART, left // (SHARES * count))
        while end < min(len(pairs), at + MOST) and todo + costs[end] <= most:
            todo += costs[end]
            end += 1
        yield pairs[at:end]
        at, left = end, left - todo


@contextmanager
def _table(folder: Path) -> Iterator[Callable[[Outcome], object]]:
    """Give what keeps outcomes in a table, which takes its name when all are there."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    kinds = {"name": pa.string(), "state": pa.string(), "reason": pa.string()}
    schema = pa.schema({**kinds, "seconds": pa.float64()})
    waiting: list[dict[str, object]] = []

    with _written(folder / OUTCOMES) as file, ParquetWriter(file, schema) as writer:

        def put() -> None:
            writer.write_table(pa.Table.from_pylist(waiting, schema))
            waiting.clear()

        def write(outcome: Outcome) -> None:
            facts = vars(outcome).items()
            waiting.append({key: _text(v) if isinstance(v, str) else v for key, v in facts})
            if len(waiting) == ROWS:
                put()

        yield write
        put()


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """Give a file that becomes `path` when all went well; in a store, once it is closed."""
    if not in_store(path):
        with replacing(path, root=path.parent) as file:
            yield file
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, path.name)
        yield file
        path.write_bytes(file.read_bytes())


def _text(text: str) -> str:
    """Write what is no text, as names on a disk may hold, as its escape."""
    return text.encode("utf-8", "backslashreplace").decode()
