"""`a2u weights ...`: results on stdout, one clear line on stderr, the documented exit codes."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from a2u_cli import cli, weights
from a2u_cli.commands.weights import app
from a2u_cli.network.model import MattingNetwork
from a2u_cli.weights import registry
from a2u_cli.weights.cache import sha256_of

Run = Callable[..., tuple[int, str, str]]
OFFICIAL = "https://drive.google.com/uc?id=1hGe86w611FKl8YaTD3YWXlHDC0XIATyh"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    weights.save_weights(MattingNetwork(), path, licence="CC0", source="test", dtype=torch.float16)
    return path


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("A2U_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("A2U_WEIGHTS", raising=False)
    monkeypatch.setattr(registry, "SHIPPED_FOLDERS", ())
    return tmp_path / "cache"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `a2u weights ...` and give the exit code, stdout and stderr."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["a2u", "weights", *map(str, arguments)])
        monkeypatch.setattr("signal.signal", lambda *_: None)
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return int(caught.value.code or 0), *capsys.readouterr()

    return call


def assert_refused(result: tuple[int, str, str], *parts: str) -> None:
    code, out, err = result
    assert (code, out) == (3, ""), err
    assert err.splitlines()[-1].startswith("error: ")
    for part in parts:
        assert part in err.splitlines()[-1]


def test_list_tells_every_name_its_licence_and_place(run: Run, file: Path, cache: Path) -> None:
    run("import", file, "--name", "mine")
    code, out, _ = run("list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert list(rows) == ["a2u-open", "a2u-official", "a2u-official-unshare", "mine"]
    assert rows["mine"] == {
        "name": "mine",
        "licence": "CC0",
        "path": str(cache / "mine.safetensors"),
    }
    assert rows["a2u-official"]["path"] is None
    (cache / "mine.safetensors").write_bytes(b"")
    assert "damaged" in run("list")[1]
    assert "not here; run: a2u weights get a2u-official\n" in run("list")[1]


def test_info_describes_a_file(run: Run, file: Path) -> None:
    code, out, _ = run("info", file, "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["sha256"] == sha256_of(file)
    assert (facts["licence"], facts["variant"], facts["dtype"]) == ("CC0", "share", "F16")
    assert "licence:   CC0\n" in run("info", file)[1]


def test_info_says_that_official_weights_are_not_pinned(run: Run) -> None:
    code, out, _ = run("info", "a2u-official")
    assert code == 0
    assert "non-commercial" in out
    assert "not pinned" in out
    assert OFFICIAL in out


def test_the_environment_chooses_the_weights(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A2U_WEIGHTS", str(file))
    assert run("path") == (0, f"{file}\n", "")


def test_verify_checks_the_pinned_checksum(
    run: Run, file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pin(digest: str) -> None:
        entry = replace(registry.REGISTRY["a2u-open"], sha256=digest)
        monkeypatch.setitem(registry.REGISTRY, "a2u-open", entry)

    pin(sha256_of(file))
    assert run("import", file, "--name", "a2u-open")[0] == 0
    code, out, _ = run("verify", "--json")
    facts = json.loads(out)
    assert (code, facts["ok"], facts["pin"]) == (0, True, "matches")
    assert "a2u-open: good (share" in run("verify")[1]
    pin("0" * 64)
    assert_refused(run("verify"), "is not the known a2u-open")


def test_verify_refuses_damaged_weights(run: Run, file: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(file.read_bytes()[:-5])
    assert_refused(run("verify", tmp_path / "cut.safetensors"), "is damaged: it has")


def test_unknown_weights_are_refused(run: Run, tmp_path: Path) -> None:
    assert_refused(run("info", "nonsense"), "neither a file nor a name")
    assert_refused(run("get", "nonsense"), "nothing to download", "a2u-official")
    assert_refused(run("rm", "nonsense"), "nothing removed")
    assert_refused(run("import", tmp_path / "missing.pth"), "cannot read", "No such file")
    assert_refused(run("import", tmp_path), "cannot read", "directory")


def test_a_malicious_pickle_is_refused(run: Run, tmp_path: Path, cache: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (tmp_path / "owned",)

    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"state_dict": Malicious()}))
    assert_refused(run("import", tmp_path / "evil.pth"), "nothing in it was run")
    assert not (tmp_path / "owned").exists()
    assert not list(cache.glob("*"))


def test_removed_weights_are_gone(run: Run, file: Path, cache: Path) -> None:
    run("import", file)
    assert run("path", "small") == (0, f"{cache / 'small.safetensors'}\n", "")
    assert run("rm", "small")[0] == 0
    assert not list(cache.glob("*"))


def test_the_licence_must_be_accepted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    result = run("get", "a2u-official")
    assert_refused(result, "must be accepted", "--accept-license")
    assert "non-commercial use only" in result[2]


@pytest.mark.parametrize(("answer", "outcome"), [("y", "gdown"), ("n", "must be accepted")])
def test_the_licence_is_asked_for_on_a_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch, answer: str, outcome: str
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("typer.confirm", lambda *_, **__: answer == "y")
    monkeypatch.setitem(sys.modules, "gdown", None)
    assert_refused(run("get", "a2u-official"), outcome)


def test_without_gdown_the_way_by_hand_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setitem(sys.modules, "gdown", None)
    command = "a2u weights import FILE --name a2u-official"
    result = run("get", "a2u-official", "--accept-license")
    assert_refused(result, "pip install 'a2u-cli[gdrive]'", OFFICIAL, command, str(cache))


def test_gdown_fetches_and_the_import_finishes(
    run: Run, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    def download(*, id: str, output: str) -> str:
        assert id == "1hGe86w611FKl8YaTD3YWXlHDC0XIATyh"
        facts = {"licence": "non-commercial", "source": "a.pth", "source_sha256": "1" * 64}
        weights.save_weights(MattingNetwork(), Path(output), **facts)  # made of the authors'
        return output

    monkeypatch.setitem(sys.modules, "gdown", SimpleNamespace(download=download))
    place = cache / "a2u-official.safetensors"
    code, out, _ = run("get", "a2u-official", "--accept-license")
    assert (code, out) == (0, f"{place}\n")
    assert place.is_file()
    assert "matches" in run("info", "a2u-official")[1]


def test_a_failing_gdown_tells_the_way_by_hand(
    run: Run, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    def quota(**_: str) -> str:
        raise RuntimeError("Too many users have\nviewed this file")

    for download, reason in ((quota, "Too many users"), (lambda **_: None, "gave no file")):
        monkeypatch.setitem(sys.modules, "gdown", SimpleNamespace(download=download))
        assert_refused(run("get", "a2u-official", "--accept-license"), reason, OFFICIAL)
    assert not list(cache.glob("*"))


def test_an_unwritable_cache_is_refused(
    run: Run, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "occupied").write_text("a file where a folder is needed")
    monkeypatch.setenv("A2U_CACHE", str(tmp_path / "occupied"))
    assert_refused(run("import", file), "cannot write", "occupied")


def test_every_help_has_an_example() -> None:
    for command in ("list", "get", "import", "info", "verify", "path", "rm"):
        shown = CliRunner().invoke(app, [command, "--help"])
        assert f"Example: a2u weights {command}" in shown.output


def test_listing_and_describing_do_not_import_torch(file: Path) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from a2u_cli.commands.weights import app;"
        "runs = [CliRunner().invoke(app, a) for a in (['list'], ['info', sys.argv[1]])];"
        "assert [r.exit_code for r in runs] == [0, 0], runs; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, file], check=True)
