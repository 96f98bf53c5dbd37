"""A server of S3 on 127.0.0.1: faults in between, kills, shards, and what is asked of it."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import RunA2U
from s3_server import ENVIRONMENT, SECRET, Server, serving
from small_folders import held, photo, put

pytestmark = pytest.mark.requires_s3

NAMES = tuple(f"p{number:02}" for number in range(12))
SAVE = ("--save", "alpha,cutout")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def files(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give a bucket named `bucket`, empty, by s3fs."""
    import s3fs

    for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": server.url}).items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    server.heal()
    files = s3fs.S3FileSystem(use_listings_cache=False)
    files.mkdir("bucket")
    yield files
    server.heal()
    files.rm("bucket", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def begin(files: Any, weights: Path, environment: Path) -> Callable[..., subprocess.Popen[str]]:
    """Begin `a2u` in a process of its own."""

    def call(*arguments: str | Path) -> subprocess.Popen[str]:
        settings = {"A2U_WEIGHTS": str(weights), "A2U_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "a2u_cli", *map(str, arguments)],
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return call


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    put(folder / "in", *NAMES)
    return folder


@pytest.fixture
def local(plain: Path, a2u: RunA2U) -> dict[str, bytes]:
    """Give what `a2u batch` makes of the pictures on a disk, once."""
    if not (plain / "out").exists():
        assert a2u("batch", plain / "in", "-o", plain / "out", *SAVE).code == 0
    return held(plain / "out")


def upload(files: Any, folder: Path) -> None:
    files.put(f"{folder}/", "bucket/in/", recursive=True)


def stored(files: Any, folder: str = "bucket/out") -> dict[str, bytes]:
    names = files.find(folder)
    return {n[len(folder) + 1 :]: files.cat_file(n) for n in names if n.endswith(".png")}


def done(files: Any, folder: str = "bucket/out") -> list[str]:
    """Name the pictures that the journal says were done, each time it says so."""
    import json

    lines = [
        json.loads(line)
        for name in files.find(folder)
        if name.endswith(".jsonl")
        for line in files.cat_file(name).splitlines()
    ]
    return sorted(line["name"] for line in lines if line["state"] == "done")


def test_a_bucket_holds_what_a_disk_would_and_the_done_is_not_read_again(
    server: Server, files: Any, a2u: RunA2U, plain: Path, local: dict[str, bytes]
) -> None:
    upload(files, plain / "in")
    server.heal()
    assert a2u("batch", "s3://bucket/in", "-o", "s3://bucket/out", *SAVE).code == 0
    assert server.count("GET", "/bucket/in") == 2 * len(NAMES)  # each object once
    assert stored(files) == local
    assert done(files) == [*NAMES]
    leftovers = {n for n in files.find("bucket/out") if not n.endswith(".png")}
    assert len(leftovers) == 1  # the journal, and no lease
    server.heal()
    again = a2u("batch", "s3://bucket/in", "-o", "s3://bucket/out", *SAVE)
    assert again.code == 0 and "0 done, 12 skipped" in again.stderr
    assert server.count("GET", "/bucket/in") == server.count("HEAD", "/bucket/in/p") == 0
    assert (
        server.count("GET", "/bucket/out/alpha") == server.count("GET", "/bucket/out/cutout") == 0
    )
    assert server.count("PUT", "/bucket/out") == 1  # the lease


def test_workers_leave_what_one_process_does(
    server: Server, files: Any, a2u: RunA2U, plain: Path, local: dict[str, bytes]
) -> None:
    upload(files, plain / "in")
    server.heal()
    found = a2u("batch", "s3://bucket/in", "-o", "s3://bucket/out", *SAVE, "--workers", "2")
    assert found.code == 0 and "workers: 2 for 12 pictures" in found.stderr
    assert server.count("GET", "/bucket/in") == 3 * len(NAMES)  # and the head of each
    assert stored(files) == local and done(files) == [*NAMES]


def test_a_changed_input_and_other_options_are_made_again_and_nothing_else(
    server: Server, files: Any, a2u: RunA2U, plain: Path, tmp_path: Path
) -> None:
    upload(files, plain / "in")
    command = "batch", "s3://bucket/in", "-o", "s3://bucket/out"
    assert a2u(*command).code == 0
    photo(tmp_path / "p03.png", 99)
    files.put_file(str(tmp_path / "p03.png"), "bucket/in/p03.png")
    changed = a2u(*command)
    assert "1 done, 11 skipped" in changed.stderr
    more = a2u(*command, *SAVE)
    assert "12 done, 0 skipped" in more.stderr
    put(tmp_path / "in", *NAMES)
    photo(tmp_path / "in" / "p03.png", 99)
    assert a2u("batch", tmp_path / "in", "-o", tmp_path / "out", *SAVE).code == 0
    assert stored(files) == held(tmp_path / "out")


def test_a_killed_run_goes_on(
    server: Server,
    files: Any,
    a2u: RunA2U,
    begin: Callable[..., subprocess.Popen[str]],
    plain: Path,
    local: dict[str, bytes],
) -> None:
    upload(files, plain / "in")
    command = "batch", "s3://bucket/in", "-o", "s3://bucket/out", *SAVE
    with begin(*command) as process:
        while server.count("PUT", "/bucket/out/alpha") < 5 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    before = stored(files)
    whole = {name: data for name, data in before.items() if local[name] == data}
    assert before and before == whole  # nothing is half-written
    server.heal()
    assert a2u(*command).code == 0
    assert stored(files) == local
    both = [name for name in NAMES if {f"alpha/{name}.png", f"cutout/{name}.png"} <= {*before}]
    assert both
    for name in both:
        assert server.count("GET", f"/bucket/in/{name}") == 0
        assert server.count("PUT", f"/bucket/out/alpha/{name}") == 0
    assert {*done(files)} == {*NAMES}


@pytest.mark.requires_ray
def test_a_run_on_ray_whose_worker_and_whose_driver_are_killed_fills_the_bucket(
    server: Server,
    files: Any,
    begin: Callable[..., subprocess.Popen[str]],
    plain: Path,
    local: dict[str, bytes],
) -> None:
    upload(files, plain / "in")
    slow = threading.Event()

    def fault(method: str, path: str) -> None:
        if method == "PUT" and path.endswith(".png") and not slow.is_set():
            time.sleep(0.5)  # else all is done before anybody is killed

    server.fault = fault
    command = "batch", "s3://bucket/in", "-o", "s3://bucket/out", *SAVE
    command += "--on", "ray", "--workers", "2"
    with begin(*command) as process:
        wait_for(lambda: server.count("PUT", "/bucket/out/alpha") >= 1, process)
        os.kill(actors()[0], signal.SIGKILL)
        wait_for(lambda: server.count("PUT", "/bucket/out/alpha") >= 5, process)
        process.send_signal(signal.SIGKILL)
    before = stored(files)
    assert before == {name: local[name] for name in before}  # nothing is half-written
    assert 0 < len(before) < len(local)
    slow.set()
    with begin(*command) as process:
        told = process.communicate(timeout=300)[1]
    assert process.returncode == 0, told
    assert stored(files) == local
    names = done(files)
    assert {*names} == {*NAMES} and len(names) <= len(NAMES) + 4  # what each was just writing
    assert files.exists("bucket/out/outcomes.parquet")


def wait_for(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not holds():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def actors() -> list[int]:
    """List the processes of a run's actors."""
    text = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True).stdout
    rows = [line.split(maxsplit=1) for line in text.splitlines()]
    return [int(pid) for pid, args in rows if args.startswith("ray::") and "MapWo" in args]


def test_faults_that_pass_are_not_noticed(
    server: Server, files: Any, a2u: RunA2U, plain: Path, local: dict[str, bytes]
) -> None:
    upload(files, plain / "in")
    kinds = {"GET": ("500", "cut"), "PUT": ("500", "lost"), "LIST": ("500",)}
    seen: dict[tuple[str, str], int] = {}

    def fault(method: str, path: str) -> str | None:
        ways = kinds.get(method, ())
        ways = ways if re.search("p0[24]|jsonl$|bucket$", path) else ()
        at = seen[method, path] = seen.get((method, path), -1) + 1
        return ways[at] if at < len(ways) else None

    server.fault = fault
    found = a2u("batch", "s3://bucket/in", "-o", "s3://bucket/out", *SAVE)
    server.heal()
    assert found.code == 0, found.stderr
    assert stored(files) == local and {*done(files)} == {*NAMES}


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_an_object_that_stays_out_of_reach_is_one_failed_row(
    method: str, server: Server, files: Any, a2u: RunA2U, plain: Path, local: dict[str, bytes]
) -> None:
    upload(files, plain / "in")
    where = {"GET": "/bucket/in/p07.png", "PUT": "/bucket/out/alpha/p07.png"}[method]
    server.fault = lambda how, path: "500" if (how, path) == (method, where) else None
    command = "batch", "s3://bucket/in", "-o", "s3://bucket/out", *SAVE
    found = a2u(*command)
    assert found.code == 1
    assert found.stderr.splitlines()[-1] == "11 done, 0 skipped, 1 failed, 0 without a trimap"
    (row,) = [line for line in found.stderr.splitlines() if line.startswith("failed: ")]
    assert row.startswith("failed: p07: s3://bucket/") and "internal error" in row
    server.heal()
    assert a2u(*command).code == 0
    assert stored(files) == local


def test_a_journal_that_cannot_be_put_ends_the_run_and_nothing_is_without_its_line(
    server: Server, files: Any, a2u: RunA2U, plain: Path, local: dict[str, bytes]
) -> None:
    upload(files, plain / "in")
    put_by_then = 0

    def fault(method: str, path: str) -> str | None:
        nonlocal put_by_then
        put_by_then += method == "PUT" and path.endswith("jsonl")
        return "500" if method == "PUT" and path.endswith("jsonl") and put_by_then > 5 else None

    server.fault = fault
    command = "batch", "s3://bucket/in", "-o", "s3://bucket/out", *SAVE
    found = a2u(*command)
    assert found.code == 2 and "journal.jsonl cannot be written" in found.stderr.splitlines()[-1]
    server.heal()
    made = {name.split("/")[1].removesuffix(".png") for name in stored(files)}
    assert made and made <= {*done(files)}
    assert a2u(*command).code == 0
    assert stored(files) == local


def test_an_interrupt_leaves_nothing_half_written_and_no_lease(
    server: Server, files: Any, begin: Callable[..., subprocess.Popen[str]], plain: Path
) -> None:
    upload(files, plain / "in")
    with begin("batch", "s3://bucket/in", "-o", "s3://bucket/out") as process:
        while server.count("PUT", "/bucket/out/alpha") < 3 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on from there" in err
    assert not [name for name in files.find("bucket/out") if name.endswith(".lock")]
    assert {n.split("/")[1].removesuffix(".png") for n in stored(files)} <= {*done(files)}


def test_two_machines_share_a_folder_by_shards(
    server: Server,
    files: Any,
    a2u: RunA2U,
    begin: Callable[..., subprocess.Popen[str]],
    plain: Path,
    local: dict[str, bytes],
) -> None:
    upload(files, plain / "in")
    command = "batch", "s3://bucket/in", "-o", "s3://bucket/out", *SAVE
    both = [begin(*command, "--shard", f"{part}/2") for part in (1, 2)]
    for process in both:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert stored(files) == local and done(files) == [*NAMES]
    again = a2u(*command)
    assert again.code == 0 and "0 done, 12 skipped" in again.stderr


def test_what_somebody_else_put_there_meanwhile_stays(
    server: Server, files: Any, a2u: RunA2U, plain: Path
) -> None:
    upload(files, plain / "in")

    def fault(method: str, path: str) -> None:
        if (method, path) == ("GET", "/bucket/in/p05.png"):
            server.put("bucket", "out/alpha/p05.png", b"somebody's")

    server.fault = fault
    found = a2u("batch", "s3://bucket/in", "-o", "s3://bucket/out")
    assert found.code == 1 and "p05.png was put there by somebody else" in found.stderr
    assert files.cat_file("bucket/out/alpha/p05.png") == b"somebody's"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("s3://nowhere/in",), "the bucket does not exist"),
        (("s3://bucket/in", "-o", "s3://nowhere/out"), "the bucket does not exist"),
        (("s3://bucket/nothing",), "s3://bucket/nothing is no folder"),
    ],
)
def test_what_is_not_there_is_one_line(
    arguments: tuple[str, ...], text: str, files: Any, a2u: RunA2U, plain: Path
) -> None:
    upload(files, plain / "in")
    found = a2u("batch", *arguments)
    assert found.code == 2 and text in found.stderr and len(found.stderr.splitlines()) == 1


def test_no_credentials_and_no_server_are_one_line(
    files: Any, a2u: RunA2U, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    found = a2u("batch", "s3://bucket/in")
    assert found.code == 2 and "Could not connect" in found.stderr
    assert len(found.stderr.splitlines()) == 1
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    s3fs.S3FileSystem.clear_instance_cache()
    found = a2u("batch", "s3://bucket/in")
    assert found.code == 2 and "no credentials were found" in found.stderr
    assert SECRET not in found.stderr
