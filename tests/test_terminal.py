"""Text from outside is shown, never obeyed: names of files, headers of weights, words of others."""

import ast
import json
import os
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import RunA2U, sane_network
from rich.console import Console
from test_folder import put

from a2u_cli.commands import terminal
from a2u_cli.commands.progress import progress
from a2u_cli.images import write_image
from a2u_cli.weights import save_weights

PACKAGE = Path(__file__).parent.parent / "a2u_cli"
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.\r[red]"
pytestmark = pytest.mark.usefixtures("environment")


def assert_harmless(*texts: bytes | str) -> None:
    """No control but the end of a line, no turn of direction; what was there is still told."""
    shown = "".join(text.decode() if isinstance(text, bytes) else text for text in texts)
    controls = {char for char in shown if not char.isprintable() and char != "\n"}
    assert not controls, ascii(shown)
    assert "owned" in shown
    assert "[red]" in shown or "[red]" not in HOSTILE


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("фото № 1 猫 🐈.png", "фото № 1 猫 🐈.png"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("two\nlines\r\t", "two\\nlines\\r\\t"),
        ("photo\u202egnp.exe", "photo\\u202egnp.exe"),
        ("\u2066a\u2069\u2028", "\\u2066a\\u2069\\u2028"),
        ("\udcff", "\\udcff"),  # a byte of a file's name that is no text
        ("क\u200dष 👩\u200d🚀", "क\u200dष 👩\u200d🚀"),  # joiners belong to the writing
        ("a\u00a0b\u3000c", "a\u00a0b\u3000c"),
        (Path("x"), "x"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_its_escape(text: object, shown: str) -> None:
    assert terminal.plain(text) == shown


def test_no_command_prints_past_the_one_place() -> None:
    files = [*(PACKAGE / "commands").glob("*.py"), PACKAGE / "cli.py"]
    assert len(files) > 10
    for path in files:
        if path.name == "terminal.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                last = name.rpartition(".")[2]
                assert last not in ("print", "echo", "secho", "confirm", "prompt") or (
                    name == "confirm"  # terminal's own
                ), f"{path.name}:{node.lineno} calls {name}"
                assert "stderr" not in name, f"{path.name}:{node.lineno} calls {name}"


def test_the_header_of_weights_is_told_and_does_nothing(
    run_a2u: RunA2U, tmp_path: Path, environment: Path
) -> None:
    path = tmp_path / "evil.safetensors"
    facts = {"licence": HOSTILE, "source": HOSTILE, "training": {HOSTILE: HOSTILE}}
    save_weights(sane_network(), path, dtype=torch.float16, **facts)
    run = run_a2u("weights", "info", path)
    assert run.code == 0
    assert_harmless(run.stdout, run.stderr)
    assert json.loads(run_a2u("weights", "info", path, "--json").stdout)["licence"] == HOSTILE
    run = run_a2u("weights", "import", path, "--name", "evil")
    assert run.code == 0
    assert_harmless(run.stderr)
    (environment / f"{HOSTILE}.safetensors").write_bytes(b"")
    run = run_a2u("weights", "list")
    assert run.code == 0
    assert run.stdout.count(b"owned") >= 2  # a name and a licence
    assert_harmless(run.stdout)
    assert_harmless(run_a2u("weights", "info", "nonsense").stderr)  # it lists the names


def test_errors_tell_names_of_files_and_do_nothing(
    run_a2u: RunA2U, tmp_path: Path, weights: Path
) -> None:
    picture, trimap = tmp_path / f"{HOSTILE}.png", tmp_path / "t.png"
    write_image(trimap, np.full((9, 9), 128, np.uint8))
    for arguments in (
        ("matte", picture, "-t", trimap),
        ("matte", f"--{HOSTILE}"),
        (HOSTILE,),
        ("weights", "verify", picture),
        ("trimap", "check", picture),
        ("train", tmp_path / "run", "--backgrounds", picture),
    ):
        run = run_a2u(*arguments)
        assert run.code in (2, 3), arguments
        assert_harmless(run.stderr)


def test_a_folder_of_hostile_names_is_reported_and_scored(
    run_a2u: RunA2U, tmp_path: Path, weights: Path
) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    put(folder, HOSTILE, 1)
    put(folder, f"unpaired{HOSTILE}", 2)
    (folder / f"unpaired{HOSTILE}_trimap.png").unlink()
    put(folder, f"broken{HOSTILE}", 3)
    (folder / f"broken{HOSTILE}.png").write_bytes(b"")
    run = run_a2u("batch", folder, "-o", out, "--weights", weights, "--device", "cpu")
    assert run.code == 1
    assert_harmless(run.stderr)
    run = run_a2u("eval", out / "alpha", "--gt", folder, "--html", tmp_path / "page.html")
    assert_harmless(run.stdout, run.stderr)


def test_a_path_is_as_it_is_in_a_pipe_and_plain_on_a_terminal(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(os.fsdecode(b"\x1b[31m\xff.png"))
    terminal.show_path(path)
    assert capfdbinary.readouterr().out == b"\x1b[31m\xff.png\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    terminal.show_path(path)
    assert capfdbinary.readouterr().out == b"\\x1b[31m\\udcff.png\n"


def test_a_bar_shows_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    written = BytesIO()

    class Screen(Console):
        def __init__(self, **_: object) -> None:
            super().__init__(
                file=TextIOWrapper(written, "utf-8", write_through=True),
                force_terminal=True,
                color_system=None,
                width=200,
            )

    monkeypatch.setattr("rich.console.Console", Screen)
    with progress(1) as advance:
        advance(f"[bold]{HOSTILE}", "done")
    shown = written.getvalue().decode()
    assert "[bold]\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202egnp.\\r[red]" in shown
