"""Pictures in an object store: `memory://` here, a server of S3 in test_s3.py."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from conftest import RunA2U
from small_folders import held, put

MEMORY = "memory://bucket"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def upload(folder: Path, to: str) -> None:
    fsspec.filesystem("memory").put(f"{folder}/", f"{to}/", recursive=True)


def stored(files, folder: str) -> dict[str, bytes]:
    names = files.find(folder)
    start = len(folder.removeprefix("memory:/").rstrip("/")) + 1
    return {n[start - 0 :]: files.cat_file(n) for n in names if n.endswith(".png")}


def test_first(a2u: RunA2U, bucket, tmp_path: Path) -> None:
    put(tmp_path / "in", "a", "b", "c/d")
    upload(tmp_path / "in", f"{MEMORY}/in")
    run = a2u("batch", tmp_path / "in", "-o", tmp_path / "out", "--save", "alpha,cutout")
    assert run.code == 0, run.stderr
    run = a2u("batch", f"{MEMORY}/in", "-o", f"{MEMORY}/out", "--save", "alpha,cutout")
    print(run.stderr)
    assert run.code == 0, run.stderr
    print(bucket.find(MEMORY))
    assert stored(bucket, f"{MEMORY}/out") == held(tmp_path / "out")
    run = a2u("batch", f"{MEMORY}/in", "-o", f"{MEMORY}/out", "--save", "alpha,cutout")
    print(run.stderr)
    print(bucket.find(MEMORY))
    print([bucket.cat_file(n) for n in bucket.find(MEMORY) if n.endswith("jsonl")])
