"""`a2u train`: a run from the command line, continued, and its weights used."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from a2u_cli import cli, images
from a2u_cli.images import files
from a2u_cli.training import trainer as training
from a2u_cli.training.data import building
from a2u_cli.weights import load_model
from a2u_cli.weights.header import read_header


@pytest.fixture(autouse=True)
def small_runs(monkeypatch) -> None:
    monkeypatch.setattr(training, "VALIDATION_CROPS", 8)
    monkeypatch.setattr(training, "VALIDATION_SIZE", 32)
    few = partial(building.build_engine, drawn=8, scenes=4, drawn_side=64, held=12)
    monkeypatch.setattr(building, "build_engine", few)


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


def test_another_operator_is_trained_gone_on_with_and_used(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    run, more = tmp_path / "run", tmp_path / "more"
    common = ("--steps", 1, "--batch", 2, "--size", 32, "--device", "cpu")
    free = ("--licence", "CC0-1.0")
    assert a2u(monkeypatch, "train", run, "--operator", "bilinear", *common, *free) == 0
    assert a2u(monkeypatch, "train", run, *common) == 2
    assert "operator bilinear, but asked for is" in capsys.readouterr().err
    weights = str(run / "weights.safetensors")
    assert read_header(Path(weights)).variant == load_model(weights).operator == "bilinear"
    assert a2u(monkeypatch, "train", more, "--weights", weights, *common) == 0
    assert read_header(more / "weights.safetensors").variant == "bilinear"
    image, trimap = tmp_path / "p.png", tmp_path / "t.png"
    images.write_image(image, np.full((20, 20, 3), 0.5, np.float32))
    images.write_image(trimap, np.tile(np.repeat([0, 128, 255], [8, 6, 6]), (20, 1)).astype("u1"))
    for how in (("--quality", "best"), ("--dtype", "bfloat16")):
        arguments = ("matte", image, "-t", trimap, "--weights", weights, "--force", *how)
        assert a2u(monkeypatch, *arguments) == 0
    arguments = ("matte", image, "-t", trimap, "--weights", weights, "--max-memory", "100MB")
    assert a2u(monkeypatch, *arguments, "--force") == 4
    assert "is not computed in windows" in capsys.readouterr().err
    assert a2u(monkeypatch, "export", "torchscript", tmp_path / "x.pt", "--weights", weights) == 3
    assert a2u(monkeypatch, "weights", "publish", weights, "--folder", tmp_path / "hub") == 3
    assert capsys.readouterr().err.count("is of the operator bilinear") == 2
    assert a2u(monkeypatch, "weights", "info", weights) == 0
    assert "bilinear" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--operator", "cubic"), "operator 'cubic' is unknown, expected a2u or one of nearest, "),
        (("--form", "moving"), "operator 'a2u-moving-shared' is unknown"),
        (("--operator", "carafe", "--form", "static"), "carafe has none; leave one out"),
        (("--weights", "a2u-open", "--form", "static"), "--weights has its own operator"),
    ],
)
def test_an_operator_that_cannot_be_is_one_line(
    tmp_path: Path, monkeypatch, capsys, options: tuple[str, ...], words: str
) -> None:
    assert a2u(monkeypatch, "train", tmp_path / "run", *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "run").exists()


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
