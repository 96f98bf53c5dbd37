"""`a2u train`: a run from the command line, continued, and its weights used."""

import json
from pathlib import Path

import numpy as np
import pytest

from a2u_cli import cli, images
from a2u_cli.images import files
from a2u_cli.training import trainer as training


@pytest.fixture(autouse=True)
def small_runs(monkeypatch) -> None:
    monkeypatch.setattr(training, "VALIDATION_CROPS", 8)
    monkeypatch.setattr(training, "VALIDATION_SIZE", 32)


def a2u(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["a2u", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_a_run_is_started_continued_and_used(tmp_path: Path, monkeypatch, capsys) -> None:
    run = tmp_path / "run"
    common = ("--batch", 2, "--size", 32, "--device", "cpu")
    assert a2u(monkeypatch, "train", run, "--steps", 1, *common, "--licence", "CC0-1.0") == 0
    assert a2u(monkeypatch, "train", run, "--steps", 2, *common) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == str(run / "weights.safetensors")
    assert "from step 1 to 2" in err
    assert len((run / "curve.jsonl").read_text().splitlines()) == 2
    images.write_image(tmp_path / "p.png", np.full((20, 20, 3), 0.5, np.float32))
    trimap = np.zeros((20, 20), np.uint8)
    trimap[:, 8:], trimap[:, 14:] = 128, 255
    images.write_image(tmp_path / "t.png", trimap)
    weights = ("--weights", run / "weights.safetensors")
    arguments = ("matte", tmp_path / "p.png", "-t", tmp_path / "t.png", "--json", *weights)
    assert a2u(monkeypatch, *arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert Path(report["outputs"][0]).exists()


def test_a_size_off_the_stride_is_one_line(tmp_path: Path, monkeypatch, capsys) -> None:
    assert a2u(monkeypatch, "train", tmp_path, "--size", 50) == 2
    assert "multiples of 16" in capsys.readouterr().err


def test_a_missing_folder_of_backgrounds_is_one_line(tmp_path: Path, monkeypatch, capsys) -> None:
    missing = tmp_path / "nowhere"
    assert a2u(monkeypatch, "train", tmp_path / "run", "--backgrounds", missing) == 2
    assert "no pictures found" in capsys.readouterr().err


def test_a_run_with_other_options_than_its_checkpoints_is_one_line(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    common = ("train", tmp_path, "--size", 32, "--device", "cpu", "--steps")
    assert a2u(monkeypatch, *common, 1, "--batch", 2) == 0
    capsys.readouterr()
    assert a2u(monkeypatch, *common, 2, "--batch", 3) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "error" in line)
    assert "trained with batch 2, but asked for is batch 3; go on with the former, or" in line


def test_two_runs_do_not_train_in_one_folder(tmp_path: Path, monkeypatch, capsys) -> None:
    with files.locked(tmp_path, training.CURVE):
        assert a2u(monkeypatch, "train", tmp_path, "--steps", 1, "--size", 32, "--batch", 2) != 0
    assert "another run is at work" in capsys.readouterr().err
    assert not (tmp_path / "checkpoint.pt").exists()
