"""Many small pictures in worker processes: what is on disk is what one process leaves."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import RunA2U

from a2u_cli.images import write_image
from a2u_cli.jobs import spreading
from a2u_cli.jobs.crew import Crew, WorkerDied
from a2u_cli.jobs.folder import Job, Taken
from a2u_cli.jobs.journal import JOURNAL, Journal
from a2u_cli.jobs.options import Options
from a2u_cli.jobs.places import Places
from a2u_cli.jobs.spreading import share_out
from a2u_cli.matting.planning import PROCESS
from a2u_cli.pairing import Pair, find_pairs

ROOT = Path(__file__).parent.parent


def put(folder: Path, name: str, seed: int, size: tuple[int, int] = (24, 40)) -> None:
    rng = np.random.default_rng(seed)
    write_image(folder / f"{name}.png", rng.random((*size, 3), np.float32))
    trimap = np.full(size, 128, np.uint8)
    trimap[:, :8], trimap[:, -8:] = 0, 255
    write_image(folder / f"{name}_trimap.png", trimap)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(4):
        put(tmp_path / "in" / ("" if number else "deep"), f"p{number}", number)
    (tmp_path / "in/p1.png").write_bytes(b"")
    hidden = np.random.default_rng(1).random((24, 40, 4), np.float32)
    hidden[:, :20, 3] = 0
    write_image(tmp_path / "in/p2.png", hidden[..., :3], alpha=hidden[..., 3])
    return tmp_path / "in"


def lines(out: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in (out / JOURNAL).read_text().splitlines()]
    return sorted((row | {"seconds": 0} for row in rows), key=lambda row: str(row["name"]))


def contents(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*.png")}


def test_workers_leave_the_bytes_the_journal_and_the_words_of_one_process(
    a2u: RunA2U, photos: Path, tmp_path: Path
) -> None:
    words = ("batch", photos, "--save", "alpha,cutout", "--json", "--dtype", "float32", "-o")
    one = a2u(*words, tmp_path / "one", "--workers", "1")
    two = a2u(*words, tmp_path / "two", "--device", "cpu,cpu")
    few = a2u(*words, tmp_path / "few")  # their starts would not pay
    for told, out in ((two, "two"), (few, "few")):
        assert told.code == one.code == 1
        assert (
            contents(tmp_path / out) == contents(tmp_path / "one")
            and len(contents(tmp_path / out)) == 6
        )
        assert lines(tmp_path / out) == lines(tmp_path / "one")
        rows = [
            sorted(json.loads(line)["state"] for line in r.stdout.splitlines()) for r in (told, one)
        ]
        assert rows[0] == rows[1] == ["done", "done", "done", "failed"]
        for kind in ("warning: ", "failed: "):
            said = [[line for line in r.stderr.splitlines() if kind in line] for r in (told, one)]
            assert said[0] == said[1] != []
    assert "workers: 2 for 3 pictures, 1 thread(s) each, then one process for 1" in two.stderr
    assert "workers:" not in one.stderr and "workers:" not in few.stderr


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def is_soon_gone(process: int) -> bool:
    """Tell whether a process ends, or of a group's -process all: another has to bury them."""
    deadline = time.monotonic() + 60
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(process)


def test_a_worker_that_dies_is_replaced_and_the_others_go_on() -> None:
    died = []

    def one(number: int) -> int:
        try:
            return crew.call(signal.raise_signal, signal.SIGKILL) if number == 3 else told()
        except WorkerDied as error:
            died.append(str(error))
            return told()

    def told() -> int:
        with pytest.raises(FileNotFoundError, match="nowhere"):
            crew.call(os.listdir, "nowhere")  # what a function raises is no death
        return crew.call(os.getpid)

    crew = Crew([None, None])
    workers = set(crew.each(one, range(12)))
    assert len(died) == 1 and "was ended from outside (signal 9)" in died[0]
    assert 2 <= len(workers) <= 3 and os.getpid() not in workers
    assert not any(map(is_alive, workers))


def test_left_early_a_crew_leaves_no_process() -> None:
    def one(number: int) -> int:
        worker = crew.call(os.getpid)
        if number:
            crew.call(time.sleep, 600)
        return worker

    crew = Crew([None, None])
    results = crew.each(one, range(99))
    worker = next(results)
    assert is_alive(worker)
    results.close()
    assert not is_alive(worker)


class Dying:
    """Stand in for a crew whose worker is ended `times` times."""

    def __init__(self, times: int, made: object = None) -> None:
        self.times, self.made = times, made

    def call(self, function: object, *_: object) -> object:
        self.times -= 1
        if self.times >= 0:
            raise WorkerDied("a worker process was ended from outside")
        return self.made


@pytest.mark.parametrize(("times", "state"), [(1, "done"), (2, "failed")])
def test_a_picture_whose_worker_is_ended_is_tried_once_more(
    photos: Path, tmp_path: Path, times: int, state: str
) -> None:
    pair = next(pair for pair in find_pairs(photos).found if pair.name == "p3")
    (tmp_path / "out").mkdir()
    journal = Journal(tmp_path / "out")
    job = Job(tmp_path / "out", None, Options(), Places(journal), lambda _: 0, None)
    made = spreading._Made((("alpha", b"a file"),), told=((logging.WARNING, "strange"),))
    outcome = spreading._make(pair, job, Dying(times, made))
    assert outcome is not None and outcome.state == state
    assert (tmp_path / "out/alpha/p3.png").exists() == (state == "done")
    assert [line["state"] for line in lines(tmp_path / "out")] == [state]
    short = spreading._Made(failure="too large", is_short=True)
    assert spreading._make(pair, job, Dying(0, short)) is None or state == "done"


@pytest.mark.parametrize("fail_fast", [False, True])
def test_what_workers_lack_memory_for_is_made_after_them_and_a_failure_ends_a_run_that_fails_fast(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_fast: bool
) -> None:
    class Fake:
        def __init__(self, setups: object) -> None:
            self.each = map

        def call(self, function: object, taken: Taken, options: object) -> spreading._Made:
            name = taken.pair.name
            if name == "p1":
                return spreading._Made(failure="too small")
            return spreading._Made((("alpha", b"a file"),), is_short=name == "deep/p0")

    monkeypatch.setattr(spreading, "Crew", Fake)
    monkeypatch.setattr(spreading, "setups", lambda *_: [])
    matter = SimpleNamespace(max_memory=None, matte=lambda image, trimap: image[..., 0])
    pairs, out = find_pairs(photos).found, tmp_path / "out"
    assert [pair.name for pair in pairs] == ["p1", "p2", "p3", "deep/p0"]
    pairs = (pairs[3], *pairs[:3])
    out.mkdir()
    team = spreading.Team((("cpu", None),) * 2, 1, frozenset(pairs))
    found = spreading.run_team(
        pairs,
        out,
        matter,
        Options(),
        team=team,
        prepare=int,
        journal=Journal(out),
        fail_fast=fail_fast,
    )
    states = [(outcome.name, outcome.state) for outcome in found]
    rest = [("p2", "done"), ("p3", "done"), ("deep/p0", "done")]
    assert states == [("p1", "failed"), *([] if fail_fast else rest)]
    assert (out / "alpha/p2.png").exists() != fail_fast


def matter_like(threads: int = 4, device: str = "cpu", budget: int = 8 << 30) -> SimpleNamespace:
    """Stand in for a matter that takes 2000 bytes a pixel, or what there is."""

    def plan(size: tuple[int, int], max_memory: int | None = None) -> SimpleNamespace:
        needed = (600 << 20) + 2000 * size[0] * size[1]
        return SimpleNamespace(memory=min(needed, max_memory or budget))

    return SimpleNamespace(
        threads=threads,
        device=SimpleNamespace(type=device.partition(":")[0], __str__=lambda: device),
        max_memory=None,
        budget=lambda: budget,
        plan=plan,
    )


@pytest.mark.parametrize(
    ("small", "large", "threads", "gigabytes", "asked", "expected"),
    [
        (200, 0, 4, 32, None, (4, 1, 200)),  # a worker a thread
        (200, 5, 4, 32, None, (4, 1, 200)),  # the large ones go to all threads
        (200, 0, 4, 4, None, (3, 1, 200)),  # as many as memory is there for
        (200, 0, 1, 32, None, (0, 1, 0)),  # nothing to gain
        (30, 0, 4, 32, None, (2, 2, 30)),  # no more than pay their start
        (4, 0, 4, 32, None, (0, 1, 0)),
        (4, 1, 4, 32, 2, (2, 2, 5)),  # as asked for
        (4, 1, 4, 5, 2, (2, 2, 4)),  # but never where memory is too little for the same bytes
        (4, 1, 4, 32, 1, (0, 1, 0)),
    ],
)
def test_small_pictures_go_to_as_many_workers_as_pay(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small: int,
    large: int,
    threads: int,
    gigabytes: int,
    asked: int | None,
    expected: tuple[int, int, int],
) -> None:
    sizes = {f"s{n}": (512, 512) for n in range(small)} | {
        f"l{n}": (1400, 1400) for n in range(large)
    }
    monkeypatch.setattr(spreading, "size_in_head", lambda path: sizes[path.name])
    pairs = [Pair(name, Path(name), Path(name)) for name in sizes]
    matter = matter_like(threads, budget=gigabytes << 30)
    team = share_out(pairs, tmp_path, matter, Options(), workers=asked)
    assert (len(team.places), team.threads, len(team.pairs)) == expected
    if team.places:
        bounds = [bound for _, bound in team.places if bound is not None]
        assert sum(bounds) <= (gigabytes << 30) - PROCESS


def test_what_is_done_once_a_picture_counts_as_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreading, "size_in_head", lambda path: (96, 96))
    pairs = [Pair(str(n), Path(str(n)), Path(str(n))) for n in range(300)]
    teams = [share_out(pairs[:n], tmp_path, matter_like(), Options()) for n in (60, 300)]
    assert [len(team.places) for team in teams] == [0, 2]


def test_each_of_several_devices_has_a_worker_with_its_own_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreading, "size_in_head", lambda path: (3000, 3000))
    pairs = [Pair(str(n), Path(str(n)), Path(str(n))) for n in range(3)]
    devices = ("cuda:0", "cuda:1")
    team = share_out(pairs, tmp_path, matter_like(device="cuda:0"), Options(), devices=devices)
    assert team.places == (("cuda:0", None), ("cuda:1", None)) and len(team.pairs) == 3
    assert str(team) == "2 for 3 pictures on cuda:0, cuda:1"


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (("--workers", "0"), "workers '0' were asked for, expected auto or a number from 1 on"),
        (("--workers", "many"), "workers 'many' were asked for"),
        (("--device", "cpu,cuda:7"), "device cuda:7 is not there"),
        (("--device", "cpu,cpu", "--workers", "3"), "--workers would do nothing: each --device"),
    ],
)
def test_misuse_of_workers_is_one_line(
    a2u: RunA2U, photos: Path, more: tuple[str, ...], text: str
) -> None:
    told = a2u("batch", photos, *more)
    assert told.code == 2 and text in told.stderr.splitlines()[-1]


def test_no_worker_outlives_a_parent_that_is_killed() -> None:
    code = (
        "import os, time\nfrom a2u_cli.jobs.crew import Crew\ncrew = Crew([None])\n"
        "def one(_):\n"
        "    print(crew.call(os.getpid), flush=True)\n    crew.call(time.sleep, 600)\n"
        "list(crew.each(one, [1]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    process.kill()
    process.communicate(timeout=60)  # ends when no worker holds stdout
    assert is_soon_gone(worker)


def test_ctrl_c_ends_workers_too_and_leaves_nothing_half_written(
    tmp_path: Path, weights: Path
) -> None:
    for each in range(60):
        put(tmp_path / "in", f"p{each}", each)
    words = ["batch", str(tmp_path / "in"), "--workers", "2", "--weights", str(weights)]
    process = subprocess.Popen(
        [sys.executable, "-m", "a2u_cli", *words, "--device", "cpu"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that the signal goes to all, as from a terminal
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert process.stderr is not None
    next(line for line in process.stderr if line.startswith("3/"))
    os.killpg(process.pid, signal.SIGINT)
    rest = process.communicate(timeout=120)[1].splitlines()  # ends when no worker holds stderr
    assert process.returncode == 130
    assert rest[-1].startswith("interrupted after ") and "Traceback" not in "".join(rest)
    assert is_soon_gone(-process.pid)
    out = tmp_path / "in/a2u_output"
    assert not list(out.rglob("*.part"))
    assert {f"alpha/{row['name']}.png" for row in lines(out)} == contents(out).keys()
