"""Words, not traces, in every corner: names, encodings, control characters, typos, stdin."""

import csv
import io
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from conftest import RunA2U
from words import assert_words, pair

from a2u_cli import cli
from a2u_cli.commands import terminal
from a2u_cli.errors import ImageError, in_words, is_memory, listed
from a2u_cli.images import read_image, write_image
from a2u_cli.scoring import report
from a2u_cli.scoring.evaluation import Row
from a2u_cli.scoring.layouts import Item

pytestmark = pytest.mark.usefixtures("environment")


# Errors


@pytest.mark.parametrize(
    ("error", "code", "part"),
    [
        (ImageError("x.png is empty"), 2, "x.png is empty"),
        (MemoryError("std::bad_alloc"), 4, "out of memory"),
        (RuntimeError("std::bad_alloc"), 4, "out of memory"),
        (RuntimeError("could not create a memory object"), 4, "out of memory"),  # oneDNN
        (ImportError("libx.so: failed to map segment from shared object"), 4, "out of memory"),
        (RuntimeError("can't start new thread"), 4, "out of memory"),
        (
            RuntimeError("OpenCV(4.1) alloc.cpp:73: error: (-4:Insufficient memory) Failed to"),
            *(4, "out of memory"),
        ),
        (PermissionError(13, "Permission denied", "/a/b"), 2, "/a/b cannot be used (Permission"),
        (OSError(36, "File name too long", "x" * 300), 2, "xx cannot be used (File name too long)"),
        (OSError(40, "Too many levels of symbolic links", "loop"), 2, "loop cannot be used (Too"),
        (OSError(28, "No space left on device"), 2, "(No space left on device)"),
        (RuntimeError("Symlink loop from '/a'"), 2, "Symlink loop from '/a'"),
        (ZeroDivisionError("oh\nno"), None, "unexpected ZeroDivisionError: oh no"),
    ],
)
def test_every_failure_has_one_line_and_its_code(
    error: Exception, code: int | None, part: str
) -> None:
    text, found = in_words(error)
    assert part in text
    assert "\n" not in text
    assert found == code
    assert is_memory(error) == (code == 4)


def test_a_name_in_an_error_keeps_its_spaces_and_ends_of_lines(
    run_a2u: RunA2U, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (("cutout",), ("trimap", "check"), ("matte", "-t", "t.png")):
        assert_words(run_a2u(*command, "two  spaces\nand\ta.png"), r"two  spaces\nand\ta.png ")


def test_a_line_is_never_longer_than_anybody_reads() -> None:
    assert listed(range(10)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert listed(range(5000)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 4990 more"
    text, code = in_words(ImageError(f"x.png has {'x' * 10**6}, expected less; make it smaller"))
    assert len(text) < 5000
    assert text.startswith("x.png has xxx")
    assert text.endswith("xxx, expected less; make it smaller")
    assert code == 2


@pytest.mark.parametrize(
    "command",
    [
        ("matte", "{}", "-t", "t.png"),
        ("matte", "t.png", "-t", "{}"),
        ("matte", "t.png", "-t", "t.png", "-o", "{}.png"),
        ("batch", "{}"),
        ("cutout", "{}"),
        ("composite", "t.png", "-a", "{}"),
        ("composite", "t.png", "-b", "{}"),
        ("trimap", "make", "{}"),
        ("trimap", "check", "{}"),
        ("eval", "{}", "--gt", "{}"),
        ("explain", "{}", "-t", "t.png"),
        ("weights", "info", "{}"),
        ("weights", "import", "{}"),
        ("train", "{}", "--steps", "1"),
        ("render", "{}", "--count", "1"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("kind", ["long", "loop"])
def test_names_too_long_and_links_in_circles_are_told_in_words(
    run_a2u: RunA2U,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Sequence[str],
    kind: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "t.png", np.full((8, 8), 128, np.uint8))
    (tmp_path / "loop").symlink_to("loop")
    name = {"long": "x" * 300, "loop": "loop/x"}[kind]
    run = run_a2u(*(word.format(name) for word in command))
    assert run.code in (2, 3), run.stderr
    assert_words(run, code=run.code)


def test_a_palette_png_without_its_palette_is_told_in_words(
    run_a2u: RunA2U, tmp_path: Path
) -> None:
    _, trimap = pair(tmp_path, size=(8, 8))
    header = struct.pack(">IIBBBBB", 8, 8, 8, 3, 0, 0, 0)
    rows = zlib.compress(bytes(9 * 8))
    parts = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    data = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    (tmp_path / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    run = run_a2u("matte", tmp_path / "p.png", "-t", trimap)
    assert_words(run, "p.png is truncated or damaged", "palette")


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root, to be somebody else")
def test_a_folder_that_may_not_be_entered_is_told_in_words(run_a2u: RunA2U, tmp_path: Path) -> None:
    image, trimap = pair(tmp_path / "shut")
    (tmp_path / "shut").chmod(0o700)
    commands = (
        ("matte", image, "-t", trimap),
        ("batch", image.parent),
        ("cutout", image),
        ("trimap", trimap),
        ("trimap", "check", trimap),
        ("explain", image, "-t", trimap),
        ("eval", image.parent, "--gt", tmp_path / "shut" / "gt"),
        ("weights", "info", tmp_path / "shut" / "w.safetensors"),
    )
    for words in commands:
        run_a2u(*words[:1], "--help")
        run_a2u(*(str(word).replace("shut", "missing") for word in words))  # imports, as root
        os.seteuid(65534)
        try:
            run = run_a2u(*words)
        finally:
            os.seteuid(0)
        assert_words(run, "Permission denied", code=3 if "weights" in words else 2)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_results_that_nobody_takes_end_in_words() -> None:
    for script, code, said in (
        (
            'exec "$0" "$@" --version > /dev/full',
            2,
            "error: what is read or written cannot be used",
        ),
        ('"$0" "$@" --version | true', 0, ""),  # a reader that goes away is nobody's fault
        ('exec "$0" "$@" --version >&-', 0, ""),
    ):
        command = ["sh", "-c", script, sys.executable, "-m", "a2u_cli"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert done.stderr.startswith(said)
        assert done.stderr.count("\n") == bool(said), done.stderr


# Names and encodings


@pytest.mark.parametrize("encoding", ["latin-1", "cp1251", "utf-8"])
def test_a_name_outside_the_terminals_encoding_is_escaped(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding, write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    terminal.show("фото 猫")
    terminal.show_table(["picture", "SAD"], [["фото 猫", "1"]], ["mean of 1", "1"])
    terminal.show_json({"name": "фото 猫\x7f\x9b"})
    first, *table, facts = stream.buffer.getvalue().decode(encoding).splitlines()
    shown = "фото 猫".encode(encoding, "backslashreplace").decode(encoding)
    assert first == shown
    assert any(shown in line for line in table)
    assert json.loads(facts) == {"name": "фото 猫\x7f\x9b"}
    assert facts.isprintable()


@pytest.mark.parametrize("screen", [False, True])
def test_a_long_name_in_a_table_is_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, screen: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: screen)
    name = "ab" * 100
    terminal.show_table(["picture", "SAD"], [[name, "1"]], ["mean of 1", "1"])
    shown = capsys.readouterr().out
    assert shown.count("a") == 101  # that of "mean"
    assert (name in shown) != screen


def test_a_name_that_is_not_utf_8_is_matted_scored_and_reported(
    run_a2u: RunA2U, tmp_path: Path, weights: Path
) -> None:
    name = os.fsdecode(b"\xff\xfe")
    _, trimap = pair(tmp_path / "in", name)
    (tmp_path / "bg").mkdir()
    write_image(tmp_path / "bg" / "1.png", np.full((9, 9, 3), 0.5, np.float32))
    options = ("--save", "alpha,composite", "-b", tmp_path / "bg", "-o", tmp_path / "out")
    run = run_a2u("batch", tmp_path / "in", *options, "--weights", weights, "--device", "cpu")
    assert run.code == 0, run.stderr
    assert (tmp_path / "out" / "composite" / f"{name}.png").is_file()
    truth = tmp_path / "truth" / "gt"
    write_image(truth / f"{name}.png", read_image(trimap).image[..., 0])
    reports = [f(tmp_path / f"r.{k}") for k in ("json", "csv", "html") for f in (lambda p: p,)]
    words = zip(("--json", "--csv", "--html"), reports, strict=True)
    run = run_a2u("eval", tmp_path / "out" / "alpha", "--gt", truth, *sum(words, ()))
    assert run.code == 0, run.stdout.decode()
    assert "\\udcff\\udcfe" in run.stdout.decode()
    assert all(path.stat().st_size for path in reports)


def test_a_cell_that_begins_like_a_formula_is_quoted() -> None:
    names = ["=1+2", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "plain", "a=b", 'q"uote, comma']
    rows = [Row(Item(name, None, None), "missing", "=cmd|' /C calc'!A0") for name in names]
    found = list(csv.DictReader(io.StringIO(report.to_csv(rows), newline="")))
    assert len({len(row) for row in found}) == 1 and not any(None in row for row in found)
    assert [row["name"] for row in found] == [
        *("'=1+2", "'+1", "'-1", "'@SUM(A1)", "'\tx", "'\rx", "plain", "a=b", 'q"uote, comma')
    ]
    assert {row["reason"] for row in found} == {"'=cmd|' /C calc'!A0"}


# Values and their completion


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("cutout", "in", "--depth", "12"), "depth 12 was asked for, expected 8, 16 or 32"),
        (("cutout", "in", "--colours", "best"), "colours 'best' is unknown; expected multilevel"),
        (("composite", "in", "-b", "wihte"), "'wihte' is neither a file nor a colour"),
        (("composite", "in", "-b", "empty"), "empty has no pictures"),
        (("composite", "in", "-b", "in", "--fit", "fill"), "fit 'fill' is unknown"),
        (("trimap", "in", "--band", "wide"), "band 'wide' is no width"),
        (("trimap", "in", "--inside", "1.5 %%"), "is no width"),
        (("batch", "in", "--depth", "12"), "depth 12 was asked for"),
        (("batch", "in", "--max-memory", "lots"), "'lots' is no amount of memory"),
        (("cutout", "in", "--max-memory", "2 GiBs"), "is no amount of memory"),
        (("composite", "in", "--max-memory", "-1GB"), "is no amount of memory"),
        (("trimap", "in", "--max-memory", "GB"), "is no amount of memory"),
        (("eval", "in", "--gt", "in", "--max-memory", "1e9"), "is no amount of memory"),
        (("batch", "in", "--quality", "bset"), "quality 'bset' is unknown; expected auto, fast,"),
        (("matte", "in/p.png", "-t", "in/p.png", "--band", "wide"), "band 'wide' is no width"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_typo_is_refused_once_before_a_single_picture_is_read(
    run_a2u: RunA2U,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: Sequence[str],
    part: str,
) -> None:
    pair(tmp_path / "in", "p")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("a2u_cli.images.read_image", lambda *_, **__: pytest.fail("it read"))
    before = sorted(tmp_path.rglob("*"))
    run = run_a2u(*words)
    assert_words(run, part)
    assert len(run.stderr.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("batch", "", "-o", "out"), "what follows batch is empty"),
        (("batch", "in", "--shard", ""), "what follows --shard is empty"),
        (("batch", "in", "--shard="), "what follows --shard is empty"),
        (("", "in"), "what follows a2u is empty"),
    ],
)
def test_a_variable_of_the_shell_that_is_not_set_is_refused(
    run_a2u: RunA2U, words: Sequence[str], part: str
) -> None:
    assert_words(run_a2u(*words), part)


@pytest.mark.parametrize(
    ("command", "option", "begun", "found"),
    [
        ("matte", "quality", "b", ["best"]),
        ("batch", "quality", "", ["auto", "fast", "refined", "best"]),
        ("batch", "fit", "c", ["cover", "contain"]),
        ("composite", "fit", "ti", ["tile"]),
        ("composite", "background", "ch", ["checker"]),
        ("cutout", "depth", "1", ["16"]),
        ("matte", "weights", "a2u-off", ["a2u-official", "a2u-official-unshare"]),
        ("explain", "weights", "a2u-op", ["a2u-open"]),
    ],
)
def test_values_are_completed_everywhere_alike(
    command: str, option: str, begun: str, found: list[str]
) -> None:
    group: Any = typer.main.get_command(cli.app)
    context = group.make_context("a2u", [command], resilient_parsing=True)
    chosen = group.commands[command]
    (parameter,) = (p for p in chosen.params if p.name == option)
    assert [item.value for item in parameter.shell_complete(context, begun)] == found


# stdin and stdout


def test_a_dash_is_stdin_and_stdout_for_every_picture(run_a2u: RunA2U, tmp_path: Path) -> None:
    image, trimap = pair(tmp_path)
    matte = tmp_path / "m.png"
    write_image(matte, np.full((24, 32), 0.5, np.float32))
    for words, given in (
        (("cutout", "-", "-a", matte), image),
        (("cutout", image, "-a", "-", "-o", "-"), matte),
        (("composite", "-", "-a", matte, "-b", "red"), image),
        (("composite", image, "-a", "-", "-o", "-"), matte),
        (("trimap", "make", "-"), trimap),
    ):
        words = (*words[:2], "--no-provenance", *words[2:])  # the note names what was read
        run = run_a2u(*words, stdin=given.read_bytes())
        assert run.code == 0, run.stderr
        assert read_image(run.stdout).size == (24, 32)
        named = [word if word != "-" else given for word in words]
        named = named[:-2] if "-o" in named else named
        assert run_a2u(*named, "-o", tmp_path / "f.png", "--force").code == 0
        assert (tmp_path / "f.png").read_bytes() == run.stdout
    assert_words(run_a2u("cutout", "-", "-a", "-", stdin=b""), "more than one input is -")
    assert_words(run_a2u("cutout", "-", stdin=image.read_bytes()), "stdin has no transparency")
    assert not list(tmp_path.glob("-*"))


def test_a_mask_comes_from_stdin(run_a2u: RunA2U, tmp_path: Path, weights: Path) -> None:
    image, trimap = pair(tmp_path)
    words = ("--weights", weights, "--device", "cpu", "-o", "-")
    run = run_a2u("matte", image, "--mask", "-", *words, stdin=trimap.read_bytes())
    assert run.code == 0, run.stderr
    assert read_image(run.stdout).size == (24, 32)


def test_many_names_are_a_count_and_ten_of_them(run_a2u: RunA2U, tmp_path: Path) -> None:
    for number in range(40):
        write_image(tmp_path / "in" / f"{number:02}.png", np.zeros((2, 2, 3), np.float32))
    write_image(tmp_path / "m" / "00.png", np.full((2, 2), 0.5, np.float32))
    run = run_a2u("cutout", tmp_path / "in", "-a", tmp_path / "m", "-o", tmp_path / "out")
    assert run.code == 1
    assert run.stderr.count("no matte") == 10
    assert "... and 29 more" in run.stderr
    assert "1 done, 39 failed" in run.stderr
