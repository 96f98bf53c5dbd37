"""Faults from outside: afterwards what is on disk is whole, and the next run finishes the job."""

import os
import resource
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from conftest import RunA2U, mount
from test_folder import contents, put, states, work

from a2u_cli.errors import A2UError, ImageError
from a2u_cli.images import encode_for, read_image, write_image
from a2u_cli.images.files import locked
from a2u_cli.jobs import folder as batch
from a2u_cli.jobs.folder import run
from a2u_cli.jobs.journal import JOURNAL, Journal
from a2u_cli.jobs.options import Options
from a2u_cli.pairing import find_pairs

PICTURES = 8


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number in range(PICTURES):
        put(folder, f"p{number}", number, size=(60, 80))
    return folder


@pytest.fixture
def expected(photos: Path, tmp_path: Path) -> dict[str, bytes]:
    work(photos, tmp_path / "undisturbed")
    return contents(tmp_path / "undisturbed")


def whole(folder: Path) -> bool:
    """Tell whether every picture there can be read, and nothing half-written lies about."""
    for path in folder.rglob("*.png"):
        read_image(path)
    return not [path for path in folder.rglob("*") if path.name.endswith(".part")]


def interrupted(photos: Path, out: Path, disturb: object, after: int = 2) -> list[batch.Outcome]:
    """Run as `work` does, and disturb once so many outcomes have come."""
    outcomes = []
    with locked(out, JOURNAL):
        pairs = find_pairs(photos, skip=out).found
        for outcome in run(pairs, out, mean, Options(), journal=Journal(out)):
            outcomes.append(outcome)
            if len(outcomes) == after:
                disturb()  # type: ignore[operator]
    return outcomes


def remove(folder: Path) -> None:
    """Take a folder away, though somebody writes into it."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


def mean(image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
    time.sleep(0.02)  # so that a disturbance comes between two pictures
    return np.where(trimap == 128, image.mean(2), trimap / np.float32(255)).astype(np.float32)


def test_a_full_disk_ends_in_words_and_the_next_run_finishes(
    photos: Path, small_disk: Path, expected: dict[str, bytes]
) -> None:
    out = small_disk / "out"
    filler = small_disk / "filler"
    filler.write_bytes(bytes(20 << 10))
    try:
        outcomes = work(photos, out)
        failed = [outcome for outcome in outcomes if outcome.state == "failed"]
        assert failed
        assert all("space" in outcome.reason for outcome in failed)
    except A2UError as error:
        assert "space" in str(error)
    assert whole(out)
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    assert states(work(photos, out))["failed"] == 0
    assert contents(out) == expected


def test_a_read_only_disk_is_one_line(
    photos: Path, tmp_path: Path, run_a2u: RunA2U, weights: Path, environment: None
) -> None:
    folder = tmp_path / "readonly"
    mount(folder, "-o", "ro")
    try:
        with pytest.raises(ImageError, match="Read-only file system"):
            work(photos, folder / "out")
        picture, trimap = photos / "p0.png", photos / "p0_trimap.png"
        place = ("-o", folder / "a.png", "--weights", weights, "--device", "cpu")
        done = run_a2u("matte", picture, "-t", trimap, *place)
        assert done.code == 2
        assert done.stderr.count("error:") == 1
        assert "Read-only file system" in done.stderr
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_folder_that_becomes_a_file_fails_pictures_one_by_one(
    photos: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    out = tmp_path / "out"

    def disturb() -> None:
        remove(out / "alpha")
        (out / "alpha").write_text("a file where a folder was")

    outcomes = interrupted(photos, out, disturb)
    assert len(outcomes) == PICTURES
    assert states(outcomes)["failed"] >= 1
    (out / "alpha").unlink()
    assert states(work(photos, out))["failed"] == 0
    assert contents(out) == expected


def test_an_output_folder_that_vanishes_is_made_again(
    photos: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    try:
        interrupted(photos, out, lambda: remove(out))
    except A2UError as error:
        assert "run the same command again" in str(error)
    assert states(work(photos, out))["failed"] == 0
    assert contents(out) == expected


def test_a_journal_that_cannot_be_written_stops_the_run_in_words(
    photos: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    out = tmp_path / "out"

    def disturb() -> None:
        journal = out / "journal.jsonl"
        while not journal.is_dir():
            journal.unlink(missing_ok=True)
            with suppress(FileExistsError):  # the writer was there first
                journal.mkdir()

    with pytest.raises(A2UError, match=r"journal\.jsonl cannot be written .*run the same command"):
        interrupted(photos, out, disturb)
    (out / "journal.jsonl").rmdir()
    assert states(work(photos, out))["failed"] >= 1  # what no journal knows is not replaced
    assert states(work(photos, out, force=True))["failed"] == 0
    assert contents(out) == expected


def test_a_failing_writer_fails_its_picture_alone(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: dict[str, bytes]
) -> None:
    out = tmp_path / "out"

    def fail(path: Path, *arguments: object, **options: object) -> bytes:
        if path.stem == "p3":
            raise RuntimeError("the writer broke")
        return encode_for(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(batch, "encode_for", fail)
    outcomes = work(photos, out)
    assert states(outcomes) == {"done": PICTURES - 1, "failed": 1}
    (failed,) = (outcome for outcome in outcomes if outcome.state == "failed")
    assert failed.reason == "unexpected RuntimeError: the writer broke"
    monkeypatch.undo()
    assert states(work(photos, out)) == {"skipped": PICTURES - 1, "done": 1}
    assert contents(out) == expected


def test_a_clock_that_jumps_changes_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    clock = iter(range(10**9, 0, -86_400))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))  # a day back at each look
    assert states(work(photos, out)) == {"done": PICTURES}
    for path in out.rglob("*.png"):
        os.utime(path, (0, 0))  # older than what it was made from
    assert states(work(photos, out)) == {"skipped": PICTURES}
    assert contents(out) == expected


def test_too_little_memory_is_one_line_and_code_4(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write_image(tmp_path / "p.png", rng.random((2000, 2000, 3), np.float32))
    trimap = np.full((2000, 2000), 128, np.uint8)
    write_image(tmp_path / "t.png", trimap)
    limit = 1_400_000_000  # bytes of addresses: enough to start

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    command = [sys.executable, "-m", "a2u_cli", "matte", "p.png", "-t", "t.png", "--device", "cpu"]
    command += ["--max-memory", "20GB"]  # so that the plan does not refuse it first
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=bound, timeout=120
    )
    assert done.returncode == 4, done.stderr
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "p_alpha.png").exists()


def test_training_goes_on_after_a_kill(tmp_path: Path) -> None:
    """The curve continues where the last checkpoint was."""
    command = [sys.executable, "-m", "a2u_cli", "train", "run", "--batch", "2", "--size", "32"]
    command += ["--steps", "2", "--save-every", "1", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait(60)
    left = tmp_path / "run" / ".a2u-0123456789abcdef.part"  # by a kill in the midst of writing
    left.touch()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "run" / "curve.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert (tmp_path / "run" / "weights.safetensors").exists()
    assert not left.exists()
