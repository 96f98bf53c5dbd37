"""Pictures in an object store: `memory://` here, a server of S3 in test_s3.py."""

import pickle
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import RunA2U
from small_folders import held, last, mask, photo, put

from a2u_cli.errors import A2UError
from a2u_cli.images import encode_image, leases, objects, write_image
from a2u_cli.images.files import locked
from a2u_cli.images.listing import list_files
from a2u_cli.images.stores import StorePath, in_store, place
from a2u_cli.jobs import parts
from a2u_cli.jobs.journal import Journal, Outcome
from a2u_cli.jobs.parts import Parts

fsspec = pytest.importorskip("fsspec")
NOW = datetime.now(UTC)
IN, OUT = "memory://bucket/in", "memory://bucket/out"


@pytest.fixture
def files() -> Iterator[Any]:
    """Give the memory's objects, none at first."""

    def clear() -> None:
        files.store.clear()
        files.pseudo_dirs[:] = [""]

    files = fsspec.filesystem("memory")
    clear()
    yield files
    clear()


def upload(files: Any, folder: Path, to: str = IN) -> None:
    files.put(f"{folder}/", f"{to}/", recursive=True)


def stored(files: Any, folder: str = OUT) -> dict[str, bytes]:
    start = len(f"{folder}/".removeprefix("memory:/"))
    names = files.find(folder)
    return {name[start:]: files.cat_file(name) for name in names if name.endswith(".png")}


def at(text: str) -> StorePath:
    found = in_store(place(text))
    assert found
    return found


def test_a_folder_in_a_store_is_matted_as_one_on_a_disk(
    a2u: RunA2U, files: Any, tmp_path: Path
) -> None:
    put(tmp_path / "in", "a", "b", "c/d", "Ж ы")
    photo(tmp_path / "in" / "e.png", 9)
    mask(tmp_path / "in" / "e_mask.png")
    upload(files, tmp_path / "in")
    files.pipe_file(f"{IN}/notes.txt", b"no picture")
    command = "--save", "alpha,cutout,composite", "--band", "2"
    on_disk = a2u("batch", tmp_path / "in", "-o", tmp_path / "out", *command)
    found = a2u("batch", IN, "-o", OUT, *command)
    assert found.code == on_disk.code == 0
    assert stored(files) == held(tmp_path / "out")
    assert last(found) == last(on_disk)
    again = a2u("batch", IN, "-o", OUT, *command)
    assert last(again) == "0 done, 5 skipped, 0 failed, 0 without a trimap"


def test_a_store_and_a_disk_go_together(a2u: RunA2U, files: Any, tmp_path: Path) -> None:
    put(tmp_path / "in", "a", "b")
    upload(files, tmp_path / "in")
    assert a2u("batch", tmp_path / "in", "-o", OUT).code == 0
    assert a2u("batch", IN, "-o", tmp_path / "out").code == 0
    assert stored(files) == held(tmp_path / "out")
    for folders in ((tmp_path / "in", "-o", OUT), (IN, "-o", tmp_path / "out")):
        assert "0 done, 2 skipped" in last(a2u("batch", *folders))


def test_outputs_go_below_the_pictures_unless_told_and_are_none(a2u: RunA2U, files: Any) -> None:
    for name in ("a", "b"):
        files.pipe_file(f"{IN}/{name}.png", _png("photo", name))
        files.pipe_file(f"{IN}/trimap/{name}.png", _png("trimap", name))
    for count in ("2 done, 0 skipped", "0 done, 2 skipped"):
        found = a2u("batch", IN)
        assert last(found) == f"{count}, 0 failed, 0 without a trimap"
    assert [*stored(files, f"{IN}/a2u_output")] == ["alpha/a.png", "alpha/b.png"]


def _png(kind: str, name: str) -> bytes:
    if kind == "trimap":
        return encode_image(np.repeat(np.uint8([[0, 128, 128, 255]]), 4, 0), "png")
    return encode_image(np.random.default_rng(ord(name)).random((4, 4, 3), np.float32), "png")


def test_a_foreign_or_a_changed_object_stays_unless_it_is_forced(
    a2u: RunA2U, files: Any, tmp_path: Path
) -> None:
    put(tmp_path / "in", "a", "b")
    upload(files, tmp_path / "in")
    files.pipe_file(f"{OUT}/alpha/a.png", b"somebody's")
    found = a2u("batch", IN, "-o", OUT)
    assert found.code == 1 and "is no result of a run in this folder" in found.stderr
    assert files.cat_file(f"{OUT}/alpha/a.png") == b"somebody's"
    whole = files.cat_file(f"{OUT}/alpha/b.png")
    files.pipe_file(f"{OUT}/alpha/b.png", whole[:-1] + b"!")  # of the same size
    found = a2u("batch", IN, "-o", OUT)
    assert "0 done, 0 skipped, 2 failed" in found.stderr
    assert "2 done" in last(a2u("batch", IN, "-o", OUT, "--force"))
    assert files.cat_file(f"{OUT}/alpha/b.png") == whole


def test_an_input_is_never_replaced(a2u: RunA2U, files: Any, tmp_path: Path) -> None:
    put(tmp_path / "in" / "alpha", "a")
    upload(files, tmp_path / "in")
    found = a2u("batch", f"{IN}/alpha", "-o", IN, "--force")
    assert found.code == 2 and "is an input of this run" in found.stderr


def test_one_picture_is_matted_from_a_store_into_it(
    a2u: RunA2U, files: Any, tmp_path: Path
) -> None:
    put(tmp_path, "a")
    upload(files, tmp_path)
    assert a2u("matte", f"{IN}/a.png", "-t", f"{IN}/a_trimap.png").code == 0
    assert a2u("matte", tmp_path / "a.png", "-t", tmp_path / "a_trimap.png").code == 0
    assert files.cat_file(f"{IN}/a_alpha.png") == (tmp_path / "a_alpha.png").read_bytes()
    again = a2u("matte", f"{IN}/a.png", "-t", f"{IN}/a_trimap.png")
    assert again.code == 2 and "exists; choose another output, or --force" in again.stderr


def test_mattes_in_a_store_are_scored(a2u: RunA2U, files: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        grey = np.random.default_rng(ord(name)).random((12, 16), np.float32)
        write_image(tmp_path / "mattes" / f"{name}.png", grey)
        mask(tmp_path / "gt" / f"{name}.png")
    upload(files, tmp_path)
    on_disk = a2u("eval", tmp_path / "mattes", "--gt", tmp_path / "gt", "--csv", "-")
    found = a2u("eval", f"{IN}/mattes", "--gt", f"{IN}/gt", "--csv", "-")
    assert found.code == on_disk.code == 0
    assert found.stdout == on_disk.stdout


def test_the_rows_of_a_manifest_may_lie_in_a_store(a2u: RunA2U, files: Any, tmp_path: Path) -> None:
    put(tmp_path / "in", "a", "b")
    upload(files, tmp_path / "in")
    rows = a2u("plan", IN).stdout.decode()
    assert f"{IN}/a.png,{IN}/a_trimap.png,,a" in rows.splitlines()
    manifest = tmp_path / "rows.csv"
    manifest.write_text(rows + f"{IN}/gone.png,{IN}/a_trimap.png,,gone\nftp://x/y.png,a.png,,z\n")
    found = a2u("batch", "--manifest", manifest, "-o", OUT)
    assert last(found).startswith("2 done, 0 skipped, 2 failed")
    assert "failed: gone: " in found.stderr and f"{IN}/gone.png cannot be read" in found.stderr
    assert "ftp:// is no store that a2u reads" in found.stderr
    assert a2u("batch", tmp_path / "in", "-o", tmp_path / "out").code == 0
    assert stored(files) == held(tmp_path / "out")
    assert "0 done, 2 skipped" in last(a2u("batch", IN, "-o", OUT))


def test_the_list_is_made_once(
    a2u: RunA2U, files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "in", *map(str, range(6)))
    upload(files, tmp_path / "in")
    listed, asked = list[str](), list[str]()
    find, info = type(files).find, type(files).info
    monkeypatch.setattr(
        type(files), "find", lambda self, path, **k: listed.append(path) or find(self, path, **k)
    )
    monkeypatch.setattr(
        type(files), "info", lambda self, path, **k: asked.append(path) or info(self, path, **k)
    )
    assert a2u("batch", IN, "-o", OUT).code == 0
    assert listed.count(IN) == listed.count(OUT) == 1
    assert not [path for path in asked if path.startswith(f"{IN}/")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ftp://host/in", "is no store that a2u reads, expected s3://, gs://, abfs:// or hf://"),
        ("s3://", "names no bucket"),
        ("s3://bucket//in", "empty parts"),
        ("s3://key:secret@bucket/in", "holds credentials"),
    ],
)
def test_what_names_no_folder_of_a_store_is_refused(text: str, words: str) -> None:
    with pytest.raises(A2UError, match=words) as caught:
        place(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("scheme", "package"), [("s3", "stores"), ("gs", "gcsfs")])
def test_a_missing_library_is_named(
    scheme: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "find_spec", lambda name: None)
    with pytest.raises(A2UError, match=f"pip install .*{package}"):
        place(f"{scheme}://bucket/in").is_dir()


def test_a_path_of_a_store_never_leads_to_a_disk() -> None:
    path = at("memory://bucket/in/a.png")
    with pytest.raises(TypeError, match="lies in a store"):
        Path("x").rename(path)  # as whatever takes it for a file
    assert str(path) == "memory://bucket/in/a.png" == str(pickle.loads(pickle.dumps(path)))
    assert path == at("memory://bucket/in/a.png") != at("memory://bucket/in/b.png")
    with pytest.raises(ValueError, match="does not lie below"):
        path.relative_to(Path("memory:/bucket/in"))


def test_what_no_path_can_name_is_told(files: Any) -> None:
    names = ("a.png", "x//b.png", "x/c.png", ".hidden/d.png", "a2u_output/e.png", "x/.f.png")
    for name in names:
        files.store[f"/bucket/in/{name}"] = SimpleNamespace(size=1, created=NOW)
    found = list_files(place(IN))
    assert [str(path) for path in found.files] == [f"{IN}/a.png", f"{IN}/x/c.png"]
    ((_, why),) = found.left_out
    assert why == "no path is called 'bucket/in/x//b.png', as the object is"


def test_tags_of_every_store_are_read() -> None:
    md5, told = "0cc175b9c0f1b6a831c399e269772661", "DMF1ucDxtqgxw5niaXcmYQ=="
    at_s3 = objects.read_info({"size": 1, "ETag": f'"{md5}"', "LastModified": 1})
    at_google = objects.read_info({"size": 1, "etag": "CJ", "md5Hash": told})
    content = {"content_md5": bytearray.fromhex(md5)}
    at_azure = objects.read_info({"size": 1, "etag": "0x8", "content_settings": content})
    assert at_s3.md5 == at_google.md5 == at_azure.md5 == md5
    pieces = objects.read_info({"size": 1, "ETag": f'"{md5}-2"'})
    assert (pieces.version, pieces.md5) == (f"{md5}-2", "")
    assert objects.read_info({"size": 1, "mtime": 7}).version == "7"


def test_what_a_store_calls_its_objects_is_enough_to_know_them_again(
    a2u: RunA2U, files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, pipe, find, cat = type(files), files.pipe_file, files.find, files.cat_file
    read = list[str]()

    def tag(name: str) -> dict[str, str]:
        return {"ETag": f'"{sha256(cat(name)).hexdigest()[:32]}"'}  # no MD5: it is encrypted

    def tell(self: Any, name: str, data: bytes, **options: Any) -> dict[str, str]:
        pipe(name, data, **options)
        return tag(name)

    def list_all(self: Any, name: str, **options: Any) -> dict[str, Any]:
        return {path: info | tag(path) for path, info in find(name, **options).items()}

    put(tmp_path / "in", "a", "b")
    upload(files, tmp_path / "in")
    monkeypatch.setattr(kind, "pipe_file", tell)
    monkeypatch.setattr(kind, "find", list_all)
    monkeypatch.setattr(kind, "cat_file", lambda _, n, **k: read.append(n) or cat(n, **k))
    assert "2 done" in last(a2u("batch", IN, "-o", OUT))
    read.clear()
    assert "0 done, 2 skipped" in last(a2u("batch", IN, "-o", OUT))
    assert not [name for name in read if name.endswith(".png")]


# The journal in parts


def lines(files: Any, folder: str = OUT) -> list[bytes]:
    names = [name for name in files.find(folder) if name.endswith(".jsonl")]
    return [line for name in names for line in files.cat_file(name).splitlines()]


def test_many_parts_become_one_and_no_line_is_lost(
    files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "FULL", 3)
    monkeypatch.setattr(parts, "MANY", 2)
    own, other = Parts(at(f"{OUT}/journal.jsonl")), Parts(at(f"{OUT}/journal.jsonl"))
    for number in range(20):
        own.append(b"own %d\n" % number)
        assert b"own %d" % number in lines(files)
        if number % 5 == 0:
            other.append(b"other %d\n" % number)
    own.merge()
    other.merge()
    assert sorted(lines(files)) == sorted(
        [*(b"own %d" % n for n in range(20)), *(b"other %d" % n for n in range(0, 20, 5))]
    )
    assert len(files.find(OUT)) <= 6


def test_lines_of_several_threads_share_a_put(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    puts = list[int]()
    write = StorePath.write_bytes

    def slow(self: StorePath, data: bytes, **options: Any) -> str:
        puts.append(len(data))
        time.sleep(0.02)
        return write(self, data, **options)

    monkeypatch.setattr(StorePath, "write_bytes", slow)
    own = Parts(at(f"{OUT}/journal.jsonl"))
    threads = [threading.Thread(target=own.append, args=(b"%d\n" % n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(files)) == 16 and len(puts) <= 4


def test_a_line_that_was_not_put_is_put_with_the_next(
    files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, pipe = Parts(at(f"{OUT}/journal.jsonl")), type(files).pipe_file
    monkeypatch.setattr(type(files), "pipe_file", lambda *_, **__: _raise(OSError(5, "no answer")))
    with pytest.raises(OSError, match="no answer"):
        own.append(b"1\n")
    monkeypatch.setattr(type(files), "pipe_file", pipe)
    own.append(b"2\n")
    assert lines(files) == [b"1", b"2"]


def _raise(error: Exception) -> None:
    raise error


def test_the_journals_of_runs_are_read_together(files: Any) -> None:
    for name in ("a", "b"):
        Journal(place(OUT)).add(Outcome(name, "done"))
    journal = Journal(place(OUT), "journal-1-of-2.jsonl")
    journal.add(Outcome("c", "failed", "no"))
    found = Journal(place(OUT))
    assert [found.outcome(name)[0] for name in "abc"] == ["done", "done", "failed"]


# The lease


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("BEAT", 0.02), ("PATIENCE", 0.3), ("SETTLED", 0.05)):
        monkeypatch.setattr(leases, name, seconds)


def names_in(files: Any) -> list[str]:
    return [name.rpartition("/")[2] for name in files.find(OUT)]


@pytest.mark.usefixtures("quick")
def test_a_lease_keeps_a_second_run_out_and_ends_with_the_first(files: Any) -> None:
    with locked(place(OUT), "journal.jsonl"):
        for name in ("journal.jsonl", "journal-1-of-2.jsonl"):
            with pytest.raises(A2UError, match="another run is at work"), locked(place(OUT), name):
                pass
        assert names_in(files) == [".journal.jsonl.lock"]
        with locked(place(OUT), "journal.jsonl", lock=False):
            pass
    assert names_in(files) == []
    with locked(place(OUT), "journal.jsonl"):
        pass


@pytest.mark.usefixtures("quick")
def test_parts_of_one_whole_work_side_by_side(files: Any) -> None:
    beside = "journal-*-of-2.jsonl"
    with (
        locked(place(OUT), "journal-1-of-2.jsonl", beside=beside),
        locked(place(OUT), "journal-2-of-2.jsonl", beside=beside),
        pytest.raises(A2UError, match="another run is at work"),
        locked(place(OUT), "journal-1-of-3.jsonl", beside="journal-*-of-3.jsonl"),
    ):
        pass


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("left", [b'{"token": "gone", "beats": 3}', b"no lease of ours", b"[]"])
def test_a_lease_without_a_sign_of_life_is_taken_over(left: bytes, files: Any) -> None:
    files.pipe_file(f"{OUT}/.journal.jsonl.lock", left)
    with locked(place(OUT), "journal.jsonl"):
        assert b"gone" not in files.cat_file(f"{OUT}/.journal.jsonl.lock")
    assert names_in(files) == []


@pytest.mark.usefixtures("quick")
def test_of_two_that_take_a_lease_over_one_has_it(files: Any) -> None:
    files.pipe_file(f"{OUT}/.journal.jsonl.lock", b'{"token": "gone"}')
    inside, refused = list[int](), list[A2UError]()

    def take() -> None:
        try:
            with locked(place(OUT), "journal.jsonl"):
                inside.append(1)
                time.sleep(0.6)
        except A2UError as error:
            refused.append(error)

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(inside) == len(refused) == 1


@pytest.mark.usefixtures("quick")
def test_what_a_run_did_since_the_list_was_made_is_listed(files: Any) -> None:
    folder = place(OUT)
    assert not folder.is_dir()
    Journal(place(OUT)).add(Outcome("a", "done"))
    with locked(folder, "journal.jsonl"):
        assert Journal(folder).outcome("a")[0] == "done"
