"""A folder ends with every picture done or explained, whatever happens on the way."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import RunA2U, sane_network

from a2u_cli import Matter
from a2u_cli.errors import A2UError, OutOfMemory
from a2u_cli.images import quantise, read_grey, read_image, write_image
from a2u_cli.images.files import locked
from a2u_cli.images.memory import free_memory
from a2u_cli.jobs import folder as batch
from a2u_cli.jobs.folder import outputs, run, shard
from a2u_cli.jobs.journal import JOURNAL, Journal, Outcome
from a2u_cli.jobs.options import OUTPUTS, Options
from a2u_cli.pairing import Pair, find_pairs
from a2u_cli.trimap import read_trimap
from a2u_cli.weights import save_weights

Array = np.ndarray
NAMES = ("кот", "it's", 'say "hi"', "two words", "line\nbreak")


def mean_matte(image: Array, trimap: Array) -> Array:
    """Stand in for the network: the mean colour where it is unknown."""
    return np.where(trimap == 128, image.mean(2), trimap / np.float32(255)).astype(np.float32)


def put(folder: Path, name: str, seed: int, *, size: tuple[int, int] = (9, 12)) -> None:
    rng = np.random.default_rng(seed)
    write_image(folder / f"{name}.png", rng.random((*size, 3), np.float32))
    trimap = rng.choice(np.array([0, 128, 255], np.uint8), size)
    trimap[0, :3] = 0, 128, 255
    write_image(folder / f"{name}_trimap.png", trimap)


def states(outcomes: list[Outcome]) -> Counter[str]:
    return Counter(outcome.state for outcome in outcomes)


def work(
    folder: Path, out: Path, options: Options | None = None, *, force: bool = False
) -> list[Outcome]:
    pairs, options = find_pairs(folder, skip=out).found, options or Options()
    with locked(out, JOURNAL):
        return list(run(pairs, out, mean_matte, options, journal=Journal(out), force=force))


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for number in range(6):
        put(folder / ("" if number % 2 else "nested/deep"), f"p{number}", number)
    return folder


def test_three_hundred_pictures_are_done_or_named(tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    for number in range(290):
        put(folder / f"d{number % 7}" / f"e{number % 3}", f"p{number}", number)
    for number, name in enumerate(NAMES):
        put(folder / "odd names", name, 1000 + number)
    for name in ("corrupt", "empty", "size", "blocked/inner", "unpaired"):
        put(folder, name, 7)
    (folder / "corrupt.png").write_bytes((folder / "corrupt.png").read_bytes()[:60])
    (folder / "empty.png").write_bytes(b"")
    write_image(folder / "size_trimap.png", np.full((4, 4), 128, np.uint8))
    (folder / "unpaired_trimap.png").unlink()
    (out / "alpha").mkdir(parents=True)
    (out / "alpha" / "blocked").write_text("a file where a folder must be")

    pairs = find_pairs(folder)
    assert [path.name for path in pairs.unpaired] == ["unpaired.png"]
    found = work(folder, out)
    failed = {outcome.name: outcome.reason for outcome in found if outcome.state == "failed"}
    assert states(found) == {"done": 295, "failed": 4}
    assert "truncated or damaged" in failed["corrupt"]
    assert "0 bytes" in failed["empty"]
    assert "size_trimap.png is 4x4 but" in failed["size"]
    assert "cannot be written" in failed["blocked/inner"]
    for pair in pairs.found:
        path = outputs(pair, out, Options())["alpha"]
        assert path.is_file() == (pair.name not in failed)
    again = work(folder, out)
    assert states(again) == {"skipped": 295, "failed": 4}
    assert not list(out.rglob("*.part"))


def test_what_has_changed_is_done_again(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert states(work(photos, out)) == {"done": 6}
    assert states(work(photos, out)) == {"skipped": 6}
    put(photos, "p1", 99)
    assert states(work(photos, out)) == {"done": 1, "skipped": 5}
    (out / "alpha" / "p3.png").unlink()
    assert states(work(photos, out)) == {"done": 1, "skipped": 5}
    both = Options(save=("alpha", "cutout"))
    assert states(work(photos, out, both)) == {"done": 6}
    assert states(work(photos, out)) == {"skipped": 6}  # what else there is does no harm
    other = Options(save=("alpha", "cutout"), weights="others")
    assert states(work(photos, out, other)) == {"done": 6}


def masked(folder: Path) -> None:
    """Put two pictures there, one with a trimap and one with a mask."""
    put(folder, "drawn", 1, size=(100, 100))
    put(folder, "masked", 2, size=(100, 100))
    (folder / "masked_trimap.png").unlink()
    mask = np.zeros((100, 100), np.uint8)
    mask[20:80, 20:80] = 255
    write_image(folder / "masked_mask.png", mask)


def test_what_shapes_no_saved_output_redoes_nothing(tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    masked(folder)
    assert states(work(folder, out, Options(band="3"))) == {"done": 2}
    unseen = Options(band="3", background="red", fit="tile", linear=True, colours="blur-fusion")
    assert states(work(folder, out, unseen)) == {"skipped": 2}
    assert states(work(folder, out, Options(band="4"))) == {"done": 1, "skipped": 1}  # the mask's
    strict = Options(band="4", strict=True)
    assert states(work(folder, out, strict)) == {"done": 1, "skipped": 1}  # the trimap's
    both = Options(save=("cutout", "alpha"), band="4", strict=True)
    assert states(work(folder, out, both)) == {"done": 2}
    other_order = Options(save=("alpha", "cutout"), band="4", strict=True, background="red")
    assert states(work(folder, out, other_order)) == {"skipped": 2}
    rougher = Options(save=("alpha", "cutout"), band="4", strict=True, colours="blur-fusion")
    assert states(work(folder, out, rougher)) == {"done": 2}


@pytest.mark.parametrize(
    ("options", "digest"),  # of version 0.1.0, whose digest held every option
    [
        (Options(), "98aa9c726ea871ea"),
        (Options(weights="w", depth=16), "13f52d1c277b5bb0"),
        (Options(background="red", band="3", strict=True), "50e4151073aa71eb"),
        (Options(save=("cutout", "alpha"), fit="tile"), "fd9e6350bf5039e8"),
    ],
)
def test_journals_of_the_first_version_are_understood(
    tmp_path: Path, options: Options, digest: str
) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    masked(folder)
    work(folder, out, options)
    journal = out / JOURNAL
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    for entry in entries:
        pair = next(p for p in find_pairs(folder).found if p.name == entry["name"])
        files = [hashlib.sha256(p.read_bytes()).digest() for p in (pair.image, pair.hint)]
        entry["inputs"] = hashlib.sha256(b"".join(files)).hexdigest()
        entry |= {"options": digest, "outputs": list(entry["outputs"])}
    journal.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert states(work(folder, out, options)) == {"skipped": 2}


def test_all_outputs_keep_the_tree_and_the_size(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    work(photos, out, Options(save=OUTPUTS, depth=16, background="#ff0000"))
    for kind in OUTPUTS:
        for name in ("p1", "nested/deep/p0"):
            assert read_grey(out / kind / f"{name}.png").shape == (9, 12)


def test_inputs_are_never_touched(photos: Path) -> None:
    before = contents(photos)
    work(photos, photos / "a2u_output")
    after = contents(photos)
    assert {name: after[name] for name in before} == before
    assert states(work(photos, photos / "a2u_output")) == {"skipped": 6}


def test_the_first_failure_ends_a_run_that_fails_fast(photos: Path, tmp_path: Path) -> None:
    (photos / "nested/deep/p0.png").write_bytes(b"")
    out = tmp_path / "out"
    journal = Journal(out)
    with locked(out, JOURNAL):
        found = list(
            run(
                find_pairs(photos).found,
                out,
                mean_matte,
                Options(),
                journal=journal,
                fail_fast=True,
            )
        )
    assert [outcome.state for outcome in found] == ["done"] * 3 + ["failed"]  # of six


def test_an_unexpected_error_is_one_pictures(photos: Path, tmp_path: Path) -> None:
    calls = iter(range(99))

    def broken(image: Array, trimap: Array) -> Array:
        if next(calls) == 2:
            raise ZeroDivisionError("oh")
        return mean_matte(image, trimap)

    out = tmp_path / "out"
    out.mkdir()
    found = list(run(find_pairs(photos).found, out, broken, Options(), journal=Journal(out)))
    assert states(found) == {"done": 5, "failed": 1}
    assert "unexpected ZeroDivisionError: oh" in [o.reason for o in found]


def test_shards_together_are_one_run(photos: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    work(photos, whole)
    pairs = find_pairs(photos).found
    for part in (1, 2, 3):
        with locked(parts, f"journal-{part}-of-3.jsonl", beside="journal-*-of-3.jsonl"):
            journal = Journal(parts, f"journal-{part}-of-3.jsonl")
            own = shard(pairs, part, 3)
            assert states(list(run(own, parts, mean_matte, Options(), journal=journal))) == {
                "done": 2
            }
    assert contents(parts) == contents(whole)
    assert states(work(photos, parts)) == {"skipped": 6}  # one run reads all journals
    with pytest.raises(A2UError, match="expected 1/3 to 3/3"):
        shard(pairs, 4, 3)


def test_a_torn_journal_loses_one_picture(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    work(photos, out)
    journal = out / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])
    assert states(work(photos, out)) == {"done": 1, "skipped": 5}
    assert states(work(photos, out)) == {"skipped": 6}


def test_two_runs_do_not_share_an_output_folder(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "out", JOURNAL),
        pytest.raises(A2UError, match="another run is at work"),
        locked(tmp_path / "out", JOURNAL),
    ):
        pass


def test_masks_serve_where_there_is_no_trimap(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    write_image(folder / "a.png", np.random.default_rng(1).random((40, 40, 3), np.float32))
    mask = np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 255
    write_image(folder / "a_mask.png", mask)
    assert states(work(folder, tmp_path / "out", Options(band="3"))) == {"done": 1}
    alpha = read_grey(tmp_path / "out" / "alpha" / "a.png")
    assert alpha[20, 20] == 1 and alpha[2, 2] == 0 and 0 < alpha[10, 20] < 1


def test_strange_outputs_are_refused() -> None:
    with pytest.raises(A2UError, match="cannot save mask; expected alpha, cutout"):
        Options(save=("alpha", "mask"))


def test_memory_does_not_grow_with_the_folder(tmp_path: Path) -> None:
    """At most a few pictures are read before their turn."""
    read: list[str] = []
    pairs = []
    for number in range(30):
        put(tmp_path, f"p{number}", number)
        pairs.append(
            Pair(f"p{number}", tmp_path / f"p{number}.png", tmp_path / f"p{number}_trimap.png")
        )

    def lazily() -> "list[Pair]":
        for pair in pairs:
            read.append(pair.name)
            yield pair

    out = tmp_path / "out"
    out.mkdir()
    for number, _ in enumerate(run(lazily(), out, mean_matte, Options(), journal=Journal(out))):
        assert len(read) <= number + 2 * batch.AHEAD + 2


class Watch:
    """Count the pictures that are alive between reading and the end of writing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.alive = self.most = 0
        self.lock = threading.Lock()
        read = batch.read_image

        def reading(*arguments: object, **options: object) -> object:
            picture = read(*arguments, **options)  # type: ignore[arg-type]
            with self.lock:
                self.alive += 1
                self.most = max(self.most, self.alive)
            weakref.finalize(picture, self.freed)
            return picture

        monkeypatch.setattr(batch, "read_image", reading)

    def freed(self) -> None:
        with self.lock:
            self.alive -= 1


@pytest.mark.parametrize(("pictures", "most"), [(0, 1), (1, 2), (2, 3), (99, 7)])
def test_pictures_in_flight_fit_into_the_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: int, most: int
) -> None:
    """As many as there is room for beside the one at hand: 99 is what the queues hold at most."""
    folder, out = tmp_path / "photos", tmp_path / "out"
    out.mkdir()
    for number in range(12):
        put(folder, f"p{number}", number)
    watch = Watch(monkeypatch)
    room = pictures * batch.IN_FLIGHT * 9 * 12
    pairs = find_pairs(folder).found
    done = run(pairs, out, mean_matte, Options(), journal=Journal(out), room=lambda _: room)
    assert states(list(done)) == {"done": 12}
    assert 1 <= watch.most <= most


def test_a_large_picture_waits_until_the_others_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    out.mkdir()
    for number in range(6):
        put(folder, f"p{number}", number, size=(90, 120) if number == 3 else (9, 12))
    watch = Watch(monkeypatch)
    beside = []

    def matte(image: Array, trimap: Array) -> Array:
        if len(image) == 90:
            beside.append(watch.alive - 1)
        return mean_matte(image, trimap)

    def room(size: tuple[int, int]) -> int:
        return 0 if size[0] == 90 else 9 * batch.IN_FLIGHT * 9 * 12

    pairs = find_pairs(folder).found
    outcomes = list(run(pairs, out, matte, Options(), journal=Journal(out), room=room))
    assert [outcome.name for outcome in outcomes] == [f"p{number}" for number in range(6)]
    assert beside == [0]


def test_the_room_is_what_the_bound_leaves() -> None:
    matter = SimpleNamespace(max_memory=10**9, plan=lambda size: SimpleNamespace(memory=size[0]))
    assert batch.room_beside(matter)((7, 9)) == 10**9 - 7
    matter.max_memory = None
    assert 0 < batch.room_beside(matter)((7, 9)) <= free_memory()

    def refuse(size: tuple[int, int]) -> None:
        raise OutOfMemory("too large")

    matter = SimpleNamespace(max_memory=10**9, plan=refuse)
    assert batch.room_beside(matter)((7, 9)) == 0


@pytest.fixture
def arguments(photos: Path, tmp_path: Path, weights: Path) -> list[str]:
    return [
        *("batch", str(photos), "-o", str(tmp_path / "out"), "--weights", str(weights)),
        *("--device", "cpu", "--save", "alpha,cutout"),
    ]


@pytest.mark.usefixtures("environment")
def test_the_command_reports_each_picture(
    run_a2u: RunA2U, arguments: list[str], photos: Path, tmp_path: Path
) -> None:
    put(photos, "alone", 3)
    (photos / "alone_trimap.png").unlink()
    (photos / "p5.png").write_bytes(b"")
    plan = run_a2u(*arguments, "--dry-run")
    assert plan.code == 0
    assert "pictures:   6" in plan.stdout.decode() and "unknown:" in plan.stdout.decode()
    assert not (tmp_path / "out").exists()
    found = run_a2u(*arguments, "--json")
    assert found.code == 1
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert Counter(row["state"] for row in rows) == {"done": 5, "failed": 1, "unpaired": 1}
    lines = found.stderr.splitlines()
    assert lines.count(f"no trimap or mask: {photos / 'alone.png'}") == 1
    assert lines[-1] == "5 done, 0 skipped, 1 failed, 1 without a trimap"
    assert any(line.startswith("failed: p5: ") for line in lines)
    (photos / "alone.png").unlink()
    put(photos, "p5", 5)
    again = run_a2u(*arguments)
    assert again.code == 0
    assert again.stderr.splitlines()[-1] == "1 done, 5 skipped, 0 failed, 0 without a trimap"


@pytest.mark.usefixtures("environment")
def test_a_run_that_began_with_one_pass_goes_on_so_unless_told(
    run_a2u: RunA2U, arguments: list[str], photos: Path, tmp_path: Path
) -> None:
    refined = tmp_path / "refined.safetensors"
    facts = {"licence": "CC0", "source": "test", "quality": "refined"}
    save_weights(sane_network(), refined, **facts)
    arguments[arguments.index("--weights") + 1] = str(refined)
    arguments += ["--dtype", "float32"]
    assert run_a2u(*arguments, "--quality", "standard").code == 0  # as it was called
    put(photos, "p6", 6)
    again = run_a2u(*arguments)
    assert "what is there was made with --quality fast: going on so" in again.stderr
    assert again.stderr.splitlines()[-1].startswith("1 done, 6 skipped")
    one = read_image(photos / "p6.png").image, read_trimap(photos / "p6_trimap.png")
    expected = quantise(Matter(refined, device="cpu", quality="fast").matte(*one), 8)
    np.testing.assert_array_equal(read_grey(tmp_path / "out/alpha/p6.png") * 255, expected)
    told = run_a2u(*arguments, "--quality", "auto")
    assert told.stderr.splitlines()[-1].startswith("7 done, 0 skipped")
    assert run_a2u(*arguments).stderr.splitlines()[-1].startswith("0 done, 7 skipped")


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("extra", "text"),
    [
        (["--shard", "3"], "expected I/N"),
        (["--shard", "0/4"], "expected 1/4 to 4/4"),
        (["--save", "everything"], "expected alpha, cutout"),
        (["--max-memory", "much"], "expected as 2GB"),
    ],
)
def test_misuse_is_one_line(
    run_a2u: RunA2U, arguments: list[str], extra: list[str], text: str
) -> None:
    found = run_a2u(*arguments, *extra)
    assert found.code == 2
    assert text in found.stderr.splitlines()[-1]


def test_killed_at_any_moment_a_run_ends_as_if_undisturbed(
    photos: Path, tmp_path: Path, arguments: list[str]
) -> None:
    for number in range(6, 40):
        put(photos, f"p{number}", number)
    undisturbed, out = tmp_path / "whole", tmp_path / "out"
    command = [sys.executable, "-m", "a2u_cli", *arguments]
    subprocess.run([*command, "-o", str(undisturbed)], check=True, capture_output=True)
    rng = random.Random(4)
    for done in (1, 7, 15, 24, 33):
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        assert process.stderr is not None
        lines = iter(process.stderr.readline, b"")
        next(line for line in lines if line.startswith(b"%d/" % (done + 1)))
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert contents(out) == contents(undisturbed)
    assert not list(out.rglob("*.part"))


def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(photos: Path, arguments: list[str]) -> None:
    for number in range(6, 40):
        put(photos, f"p{number}", number)
    process = subprocess.Popen(
        [sys.executable, "-m", "a2u_cli", *arguments], stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    next(line for line in iter(process.stderr.readline, b"") if line.startswith(b"3/"))
    process.send_signal(signal.SIGINT)
    rest = process.communicate()[1].decode().splitlines()
    assert process.returncode == 130
    assert rest[-1].startswith("interrupted after ")
    assert rest[-1].endswith("the same command goes on from there")
    assert not list(photos.parent.rglob("*.part"))
