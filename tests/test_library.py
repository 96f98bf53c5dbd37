"""Which compiled library is taken: one that was built from these very sources, and no other."""

import shutil
import subprocess
from pathlib import Path

import pytest

from a2u_cli.operators.fused import library, resampling

FUSED = Path(library.__file__).parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if not shutil.which("cc"):
        pytest.skip("no C compiler cc on this machine")
    for name in ("arguments.h", "library.c"):
        shutil.copy(FUSED / name, tmp_path)
    return tmp_path


def build(folder: Path) -> None:
    """Compile the part that tells what the library is."""
    files = [str(folder / "library.c"), "-o", str(folder / "_compiled.so")]
    subprocess.run(["cc", "-shared", "-fPIC", *files], check=True)


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, after), encoding="utf-8")


def test_a_library_of_these_sources_is_loaded(folder: Path) -> None:
    build(folder)
    assert not isinstance(library.load(folder), str)


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("arguments.h", "ABI = 4", "ABI = 5"),
        ("arguments.h", "start, stop; /*", "start, stop, step; /*"),
        ("arguments.h", "image, row, pixel;", "image, row;"),
        ("arguments.h", "double slope;", "double slope, limit;"),
        ("arguments.h", "size, count, next;", "size, count, next, last;"),
        ("library.c", "sizeof(Team)}", "sizeof(Team), 8}"),
        ("library.c", "a2u_abi", "a2u_version"),
    ],
)
def test_a_library_of_other_sources_is_refused(
    folder: Path, file: str, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(folder / file, before, after)
    build(folder)
    refused = library.load(folder)
    assert isinstance(refused, str)
    assert refused.startswith("_compiled.so does not fit this version (")
    monkeypatch.setattr(library, "_loaded", lambda: refused)
    assert not resampling.available()
    assert f"plain torch on the CPU: {refused}" in resampling.describe()


def test_a_damaged_library_is_passed_over(folder: Path) -> None:
    build(folder)
    (folder / "_compiled.cpython-299.so").write_bytes(b"no library")
    (folder / "_compiled.txt").write_text("no library either")
    assert not isinstance(library.load(folder), str)
    (folder / "_compiled.so").unlink()
    refused = library.load(folder)
    assert isinstance(refused, str)
    assert refused.startswith("_compiled.cpython-299.so does not load (")


def test_without_a_library_the_doctor_says_so(tmp_path: Path) -> None:
    assert library.load(tmp_path) == "not built"
