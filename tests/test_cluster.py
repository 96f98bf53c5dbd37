"""A folder on Ray: what is on disk is what one process leaves, whoever was killed on the way."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import RunA2U

from a2u_cli.errors import A2UError
from a2u_cli.images import write_image
from a2u_cli.images.files import locked, sweep_behind
from a2u_cli.jobs import actor, cluster, connection
from a2u_cli.jobs.actor import STOPPED, Actor, Kit, Row, UnderWay
from a2u_cli.jobs.journal import JOURNAL, Journal, Outcome
from a2u_cli.jobs.options import Options
from a2u_cli.pairing import Pair

ROOT = Path(__file__).parent.parent


def put(folder: Path, name: str, seed: int, size: tuple[int, int] = (24, 40)) -> None:
    rng = np.random.default_rng(seed)
    write_image(folder / f"{name}.png", rng.random((*size, 3), np.float32))
    trimap = np.full(size, 128, np.uint8)
    trimap[:, :8], trimap[:, -8:] = 0, 255
    write_image(folder / f"{name}_trimap.png", trimap)


def contents(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*.png")}


def lines(out: Path) -> list[dict[str, object]]:
    rows = [line for path in out.glob("journal*.jsonl") for line in path.read_bytes().splitlines()]
    return [json.loads(row) for row in rows if row]


@pytest.fixture
def extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the extra seem to be there: what is tested comes before Ray."""
    monkeypatch.setattr(connection, "find_spec", lambda _: True)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ray", "local"),
        ("ray://auto", "auto"),
        ("ray://10.0.0.5", "ray://10.0.0.5:10001"),
        ("ray://head:7000", "ray://head:7000"),
        ("ray://[fd00::5]", "ray://[fd00::5]:10001"),
    ],
)
def test_where_a_run_goes_is_read(extra: None, text: str, address: str) -> None:
    assert connection.read_address(text) == address


@pytest.mark.parametrize("text", ["", "Ray", "ray:", "ray://", "http://head", "ray://h:x", "dask"])
def test_another_place_is_refused(extra: None, text: str) -> None:
    with pytest.raises(A2UError, match=r"expected ray, ray://auto or ray://HOST:PORT"):
        connection.read_address(text)


def test_a_missing_extra_is_one_line(
    a2u: RunA2U, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "find_spec", lambda _: None)
    told = a2u("batch", tmp_path, "--on", "ray")
    assert told.code == 2 and not told.stdout
    assert told.stderr == (
        "error: --on needs the packages of its extra; run: pip install 'a2u-cli[ray]'\n"
    )


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (("--shard", "1/2"), "--shard would do nothing: --on shares the work out by itself"),
        (("--dry-run",), "--on would do nothing: --dry-run plans for this machine without Ray"),
        (("--device", "cpu,cpu"), "--device would do nothing: Ray hands out devices by itself"),
    ],
)
def test_what_does_nothing_on_ray_is_refused(
    a2u: RunA2U, tmp_path: Path, extra: None, more: tuple[str, ...], text: str
) -> None:
    put(tmp_path, "p", 0)
    told = a2u("batch", tmp_path, "--on", "ray", *more)
    assert told.code == 2 and told.stderr.splitlines()[-1] == f"error: {text}"
    assert not (tmp_path / "a2u_output").exists()


def test_parts_hold_all_pictures_in_order_and_get_smaller_towards_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "size_in_head", lambda path: (96, 96))
    pairs = [Pair(str(n), Path(str(n)), Path(str(n))) for n in range(500)]
    parts = list(cluster._parts(pairs, 2))
    assert [pair for part in parts for pair in part] == pairs
    sizes = [len(part) for part in parts]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == cluster.MOST and sizes[-1] == 1
    monkeypatch.setattr(cluster, "size_in_head", lambda path: (2000, 2000))
    assert {len(part) for part in cluster._parts(pairs, 2)} == {1}  # each is work enough
    monkeypatch.setattr(cluster, "size_in_head", lambda path: None)  # its reader will tell why
    assert sum(map(len, cluster._parts(pairs, 2))) == 500


def test_tables_hold_names_that_are_no_text() -> None:
    pytest.importorskip("pyarrow")
    odd = os.fsdecode(b"odd-\xff")
    pairs = [
        Pair(odd, Path(f"{odd}.png"), Path("кот.png"), True, odd),
        Pair("b", Path("b"), Path("c")),
    ]
    assert actor.to_pairs(actor.to_rows(pairs)) == pairs
    rows = [Row(odd, "failed", odd, 0.5, 1, ((30, odd), (30, "two\nlines"))), Row("b", "done")]
    assert list(actor.from_table(actor.to_table(rows))) == rows


class Killed(BaseException):
    """Stand in for the end of a process."""


def life(folder: Path, poison: set[str], done: list[str]) -> Actor:
    """Begin an actor without Ray, as after a death, with pictures that kill it."""
    one = Actor.__new__(Actor)
    one.stop, one.before = None, set(done)
    one.journal, one.under_way = Journal(folder), UnderWay(folder / ".a2u-0-00.part")
    one.kit = SimpleNamespace(folder=folder, options=Options())

    def run(pairs: list[Pair]) -> Iterator[Outcome]:
        for pair in pairs:
            if pair.name in poison:
                raise Killed
            yield Outcome(pair.name, "skipped" if pair.name in done else "done")
            done.append(pair.name)

    one._run = run
    return one


@pytest.mark.parametrize(("poison", "lives"), [({"c"}, 3), ({"a", "c", "f"}, 5), (set(), 1)])
def test_a_picture_that_kills_its_worker_twice_fails_and_the_others_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, poison: set[str], lives: int
) -> None:
    monkeypatch.setattr(actor, "hired", lambda: SimpleNamespace(matte=None))
    pairs = [Pair(name, Path(name), Path(name)) for name in "abcdef"]
    done: list[str] = []
    for _ in range(lives - 1):
        with pytest.raises(Killed):
            list(life(tmp_path, poison, done)._rows(pairs))
    rows = list(life(tmp_path, poison, done)._rows(pairs))
    assert [row.name for row in rows] == list("abcdef")
    assert {row.name for row in rows if row.state == "failed"} == poison
    assert all(row.state == "done" for row in rows if row.name not in poison)
    assert all("was ended from outside, twice" in r.reason for r in rows if r.state == "failed")
    assert not list(tmp_path.glob("*.part"))


def test_a_part_that_comes_between_does_not_hide_who_killed_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor, "hired", lambda: SimpleNamespace(matte=None))
    (bad, good), done = ([Pair(n, Path(n), Path(n))] for n in ("bad", "good")), list[str]()
    for _ in range(2):
        with pytest.raises(Killed):
            list(life(tmp_path, {"bad"}, done)._rows(bad))
    last = life(tmp_path, {"bad"}, done)
    assert [row.state for row in (*last._rows(good), *last._rows(bad))] == ["done", "failed"]
    assert not list(tmp_path.glob("*.part"))


def test_what_goes_wrong_in_an_actor_is_a_row_that_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # as it does itself; here it ends with the test

    def begin(sign: str, version: str) -> Row:
        facts = (tmp_path, Options(), 2, lambda _: None, "weights", None, {}, sign, str(tmp_path))
        stop = Actor(Kit(*facts, force=False, lock=True, version=version)).stop
        assert stop and stop.state == STOPPED and stop.code == 2
        return stop

    assert "is another folder than here" in begin("sign", actor.__version__).reason
    assert "expected 99, as here" in begin("sign", "99").reason


def test_what_gone_workers_left_is_swept_once_their_locks_are_free(tmp_path: Path) -> None:
    part = tmp_path / ".a2u-0-0123456789abcdef.part"
    with locked(tmp_path, JOURNAL):
        part.touch()
        from filelock import FileLock

        with FileLock(tmp_path / ".journal-1-of-2.jsonl.lock"):
            sweep_behind(tmp_path, JOURNAL, 0.0)
            assert part.exists()
        sweep_behind(tmp_path, JOURNAL, 0.0)
        assert not part.exists()


# With Ray


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(60):
        put(folder / ("" if number % 2 else "deep"), f"p{number:02}", number)
    (folder / "p01.png").write_bytes(b"")
    hidden = np.random.default_rng(1).random((24, 40, 4), np.float32)
    hidden[:, :20, 3] = 0
    write_image(folder / "p03.png", hidden[..., :3], alpha=hidden[..., 3])
    return folder


@pytest.fixture
def start(photos: Path, weights: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start `a2u batch` in a process group of its own, which is gone at the end."""
    started: list[subprocess.Popen[str]] = []

    def call(out: Path, *words: str, folder: Path = photos) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "a2u_cli", "batch", str(folder), "-o", str(out)]
        facts = ["--weights", str(weights), "--device", "cpu", "--save", "alpha,cutout", "--json"]
        process = subprocess.Popen(
            [*command, *facts, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        return process

    yield call
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def wait_for(process: "subprocess.Popen[str]", beginning: str) -> None:
    assert process.stderr is not None
    next(line for line in process.stderr if line.startswith(beginning))


def workers(parent: int) -> list[int]:
    """List the processes of a run's actors."""
    text = subprocess.run(["ps", "-eo", "pid=,sess=,args="], capture_output=True, text=True).stdout
    rows = [line.split(maxsplit=2) for line in text.splitlines()]
    return [int(pid) for pid, session, args in rows if int(session) == parent and "MapWo" in args]


@pytest.mark.requires_ray
def test_a_run_whose_worker_and_whose_driver_are_killed_ends_as_one_that_nobody_disturbed(
    start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    plain = start(tmp_path / "plain", "--workers", "1").communicate(timeout=300)
    out, words = tmp_path / "out", ("--on", "ray", "--workers", "2")
    first = start(out, *words)
    wait_for(first, "3/60 ")
    os.kill(workers(first.pid)[0], signal.SIGKILL)
    wait_for(first, "30/60 ")
    first.kill()
    first.communicate(timeout=60)
    time.sleep(3)  # its actors notice
    second = start(out, *words)
    told = second.communicate(timeout=300)
    assert second.returncode == 1  # one picture is damaged
    assert contents(out) == contents(tmp_path / "plain") and len(contents(out)) == 118
    states = [json.loads(line)["state"] for line in told[0].splitlines()]
    assert len(states) == 60 and states.count("failed") == 1 and states.count("skipped") >= 29
    done = [row["name"] for row in lines(out) if row["state"] == "done"]
    assert len({*done}) == 59 and len(done) <= 59 + 2 * 2  # at most what each was just writing
    assert not list(out.rglob("*.part"))
    failures = [[line for line in t[1].splitlines() if "failed: " in line] for t in (told, plain)]
    assert failures[0] == failures[1] != []
    import pyarrow.parquet as pq

    rows = pq.read_table(out / "outcomes.parquet").to_pylist()
    assert sorted(row["state"] for row in rows) == sorted(states)


@pytest.mark.requires_ray
def test_ctrl_c_ends_the_actors_too_and_leaves_nothing_half_written(
    start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    process = start(tmp_path, "--on", "ray", "--workers", "2")
    wait_for(process, "3/60 ")
    os.killpg(process.pid, signal.SIGINT)
    rest = process.communicate(timeout=120)[1].splitlines()
    assert process.returncode == 130 and not workers(process.pid)
    assert rest[-1].startswith("interrupted after ")
    assert rest[-1].endswith("; the same command goes on from there")
    assert "Traceback" not in "".join(rest) and "ray" not in "".join(rest).lower()
    assert not list(tmp_path.rglob("*.part")) and not (tmp_path / "outcomes.parquet").exists()
    named = {place for row in lines(tmp_path) for place in row["outputs"]}
    assert contents(tmp_path).keys() <= named


@pytest.mark.requires_ray
def test_a_picture_that_kills_its_worker_again_and_again_is_one_that_failed(
    start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    for number in range(8):
        put(tmp_path / "in", f"p{number}", number)
    put(tmp_path / "in", "p4", 4, (1000, 1200))  # takes so long that it can be killed at
    hidden = np.random.default_rng(1).random((24, 40, 4), np.float32)
    hidden[:, :20, 3] = 0
    write_image(tmp_path / "in/p6.png", hidden[..., :3], alpha=hidden[..., 3])
    words, out = ("--on", "ray", "--workers", "1"), tmp_path / "out"
    process = start(out, *words, folder=tmp_path / "in")
    stop, met = threading.Event(), set[bytes]()

    def kill() -> None:
        while not stop.is_set():
            for path in out.glob(".a2u-0-*.part"):
                with suppress(OSError, ValueError):
                    under_way = path.read_bytes()
                    if under_way not in met and "p4" in json.loads(under_way)["names"]:
                        for worker in workers(process.pid):
                            os.kill(worker, signal.SIGKILL)
                            met.add(under_way)
            time.sleep(0.002)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        stdout, stderr = process.communicate(timeout=200)
    finally:
        stop.set()
        killer.join()
    rows = {row["name"]: row for row in map(json.loads, stdout.splitlines())}
    assert len(met) == 2 and process.returncode == 1
    assert {name for name, row in rows.items() if row["state"] != "done"} == {"p4"}
    assert rows["p4"]["state"] == "failed" and "from outside, twice" in rows["p4"]["reason"]
    assert any("warning: " in line and "p6.png" in line for line in stderr.splitlines())


@pytest.mark.requires_ray
def test_a_cluster_that_does_not_answer_is_one_line(
    start: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    process = start(tmp_path, "--on", "ray://127.0.0.1:9")
    told = process.communicate(timeout=120)
    assert process.returncode == 2 and not told[0] and not contents(tmp_path)
    last = told[1].splitlines()[-1]
    assert last.startswith("error: no Ray answers at ray://127.0.0.1:9 (Connection refused); ")
    assert not list(tmp_path.glob("*.part"))


def test_without_the_extra_ray_is_never_imported() -> None:
    code = "import sys, a2u_cli.jobs.cluster; assert not {'ray', 'pyarrow'} & {*sys.modules}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert find_spec("a2u_cli.jobs.actor")
