"""Journals of many pictures: what they take, and the index that saves reading them again."""

import gc
import hashlib
import json
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from a2u_cli.jobs import table, volume
from a2u_cli.jobs.journal import (
    JOURNAL,
    Content,
    Journal,
    Outcome,
    find_own,
    find_painted,
    find_results,
)
from a2u_cli.jobs.lines import USUAL, name_line, read_lines
from a2u_cli.jobs.table import Table, hash_names

INDEX = f".{JOURNAL}.index"
NAMES = [f"trip/{number:05}" for number in range(300)] + ["Юля/я", 'a "b"', "é" * 600, "x\udcff"]


def line(name: str, recipe: str = "r", state: str = "done", outputs: object = None) -> bytes:
    """Write a line as a run does."""
    made = {f"alpha/{name}.png": {"size": 4, "sha256": hashlib.sha256(b"made").hexdigest()}}
    facts = {place: {**content, "recipe": recipe} for place, content in made.items()}
    entry = {"name": name, "state": state, "reason": "", "seconds": 0.25, "weights": "w"}
    return json.dumps({**entry, "outputs": facts if outputs is None else outputs}).encode() + b"\n"


def write(folder: Path, lines: Iterable[bytes], name: str = JOURNAL) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"".join(lines))
    return folder / name


def made(folder: Path, name: str, data: bytes = b"made") -> Path:
    """Put an output where a run would."""
    path = folder / "alpha" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep an index also of few lines."""
    monkeypatch.setattr(volume, "WORTH", 0)


def asked(folder: Path) -> list[object]:
    """Ask a journal all that can be asked of it."""
    journal = Journal(folder)
    places = [folder / "alpha" / f"{name}.png" for name in (*NAMES, "none")]
    answers: list[object] = [journal.state(place, "r") for place in places[200:]]
    answers += [journal.outcome(name) for name in (*NAMES, "none")]
    answers += journal.names(str(place.relative_to(folder)) for place in places).tolist()
    return [*answers, journal.held("old", "i", {"o"}), journal.held("trip/00000", "i", {"o"})]


def test_a_picture_takes_less_than_a_hundred_bytes(tmp_path: Path) -> None:
    count = 20_000
    write(tmp_path, map(line, map(str, range(count))))
    Journal(tmp_path)  # leaves an index
    for index in (True, False):
        (tmp_path / INDEX).unlink() if not index else None
        gc.collect()
        tracemalloc.start()
        journal = Journal(tmp_path)
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert journal.outcome("777") == ("done", "")
        assert held < 40 * count + 500_000, f"{held / count:.0f} bytes"
        assert peak < 100 * count + 5_000_000, f"{peak / count:.0f} bytes"


def test_what_a_run_adds_takes_less_than_a_hundred_bytes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr(table, "FRESH", 100)
    journal = Journal(write(tmp_path, []).parent)
    content = Content(4, hashlib.sha256(b"made").hexdigest())
    for number in range(101):  # what is imported for the first of them is no part of it
        journal.add(
            Outcome(f"early/{number}", "done"), {tmp_path / f"e/{number}.png": (content, "r")}
        )
    gc.collect()
    tracemalloc.start()
    for number in range(2000):
        outputs = {tmp_path / f"alpha/{number}.png": (content, "r")}
        journal.add(Outcome(str(number), "done"), outputs)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2000 * 100, f"{held / 2000:.0f} bytes"
    assert {journal.state(made(tmp_path, str(n)), "r") for n in (0, 777, 1999)} == {"done"}
    assert journal.names(f"alpha/{n}.png" for n in range(1990, 2010)).sum() == 10


def test_an_index_changes_no_answer(tmp_path: Path, quick: None) -> None:
    old = line("old", outputs=["alpha/old.png"]).replace(b'"seconds"', b'"inputs": "i", "options"')
    old = old.replace(b'"options": 0.25', b'"options": "o"')
    again = line("trip/00007", "other", "failed")
    path = write(tmp_path, [*map(line, NAMES), old, b"a line of nobody\n", again])
    for name in (*NAMES[200:301], "old"):
        made(tmp_path, name)
    made(tmp_path, NAMES[-1], b"mended")
    without = asked(tmp_path)
    assert (tmp_path / INDEX).is_file()
    assert asked(tmp_path) == without
    with path.open("ab") as file:  # another version of the program goes on
        file.write(line("none") + line("trip/00001", "r", "failed") + b'{"name": "to')
    longer = asked(tmp_path)
    assert longer != without
    (tmp_path / INDEX).unlink()
    assert asked(tmp_path) == longer


@pytest.mark.parametrize("what", ["shorter", "another", "index", "torn index", "version", "none"])
def test_an_index_that_does_not_agree_with_its_journal_is_made_anew(
    tmp_path: Path, quick: None, what: str
) -> None:
    path = write(tmp_path, map(line, NAMES))
    asked(tmp_path)
    index, names = tmp_path / INDEX, NAMES[5:] if what == "shorter" else NAMES
    before = index.read_bytes()
    if what == "another":
        names = [name.replace("trip", "tour") for name in NAMES[::-1]]
    damaged = {
        "index": before[:-1] + b"\7",
        "torn index": before[: len(before) // 2],
        "version": before.replace(b'"version": 1', b'"version": 0'),
        "none": b"\xff{",
    }
    write(tmp_path, map(line, names))
    index.write_bytes(damaged.get(what, before))
    journal = Journal(tmp_path)
    assert [journal.outcome(name)[0] for name in names] == ["done"] * len(names)
    assert (journal.outcome("trip/00001")[0] == "done") == ("trip/00001" in names)
    assert index.read_bytes() != damaged.get(what, before if names != NAMES else b"")
    assert path.read_bytes() == b"".join(map(line, names))


def test_parts_have_an_index_each_and_are_one_journal(tmp_path: Path, quick: None) -> None:
    for part in (1, 2, 3):
        write(tmp_path, map(line, NAMES[part - 1 :: 3]), f"journal-{part}-of-3.jsonl")
    for _ in range(2):
        journal = Journal(tmp_path, "journal-2-of-3.jsonl")
        assert journal.names(f"alpha/{name}.png" for name in NAMES).all()
        assert {journal.outcome(name)[0] for name in NAMES} == {"done"}
    assert len([*tmp_path.glob(".journal-*.index")]) == 3


def test_a_folder_that_cannot_be_written_is_read_all_the_same(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(volume, "replacing", refuse)
    write(tmp_path, map(line, NAMES))
    assert Journal(tmp_path).outcome("trip/00001") == ("done", "")


def test_results_are_listed_without_reading_json_again(tmp_path: Path) -> None:
    lines = [*map(line, NAMES), line("y", outputs=["alpha/y.png"]), b'{"name": "trip/0']
    write(tmp_path, lines)
    places = {tmp_path / "alpha" / f"{name}.png" for name in (*NAMES, "y")}
    assert find_results(tmp_path) == places == find_own(tmp_path, ("alpha",))
    assert find_own(tmp_path, ("cutout",)) == frozenset() == find_own(tmp_path)
    assert find_painted(tmp_path) == {}


def test_a_line_is_read_as_json_is(tmp_path: Path) -> None:
    """Whatever the fast way takes, the slow one takes for the same."""
    plain = line("x")
    cases = [plain, line("x", outputs={}), line("x", outputs={"a/b": {}}), plain[:-2], plain[:40]]
    cases += [plain.replace(b"alpha/", wrong) for wrong in (b"/", b"../", b"a/../", b"a..b/", b"")]
    cases += [
        plain.replace(b"4,", number) for number in (b"04,", b"4.0,", b"-4,", b"9" * 30 + b",")
    ]
    cases += [plain.replace(b'"weights"', fact) for fact in (b'"name"', b'"state"', b'"outputs"')]
    cases += [plain.replace(b"0.25", number) for number in (b"1e5", b"1e-05", b".5", b"7", b"x")]
    cases += [plain.replace(b'"r"', b'"\\u00e9"'), plain.replace(b'"r"', "é".encode()), line("é")]
    cases += [plain.replace(b'"x"', b'"x\x01"'), plain.replace(b'"r"', b'"\xff"'), b"\0" * 9]
    assert USUAL.fullmatch(plain) and USUAL.fullmatch(line("x", outputs={}))
    for case in cases:
        slow = name_line(b" " + case)  # which the fast way does not know
        assert name_line(case) == slow, case


def test_lines_end_as_they_always_did(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    data = b"a\n\n  \nb\r\nc\rd\n\r\ne"
    path.write_bytes(data)
    expected = [piece for piece in data.splitlines(keepends=True) if piece.strip()]
    assert [piece for _, piece in read_lines(path)] == expected
    assert all(data[offset:].startswith(piece) for offset, piece in read_lines(path))


def test_names_that_share_a_hash_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "hash_names", lambda names: np.zeros(len(names), "<u8"))
    write(tmp_path, [line("x"), line("y", state="failed"), line("x", "again")])
    journal = Journal(tmp_path)
    assert [journal.outcome(name)[0] for name in "xyz"] == ["done", "failed", ""]
    assert journal.state(made(tmp_path, "x"), "again") == "done"
    assert journal.state(made(tmp_path, "z"), "r") == "foreign"


def test_a_hash_is_of_the_name_alone() -> None:
    names = [b"", b"a", b"ab", b"ba", b"a" * 8, b"a" * 9, b"b" * 600, b"b" * 601]
    together = hash_names(names)
    assert len({*map(int, together)}) == len(names)
    assert [int(hash_names([name])[0]) for name in names] == [*map(int, together)]
    many = hash_names([b"set%d/%d.png" % (n % 7, n) for n in range(100_000)])
    assert np.unique(many).size == many.size


def test_a_table_gives_lines_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "FRESH", 3)
    lines = Table()
    for number, name in enumerate(b"abcabdaaec"):
        lines.add([bytes([name])], number)
    assert lines.find(b"a") == [0, 3, 6, 7] and lines.find(b"c") == [2, 9]
    assert lines.find(b"z") == []
    there = lines.holds(hash_names([b"a", b"c", b"e", b"z"]))
    assert there.tolist() == [True, True, True, False]
