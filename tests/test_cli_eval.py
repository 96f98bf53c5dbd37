"""`a2u eval` prints, writes and compares scores, and its exit code can be relied on."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import RunA2U
from typer.testing import CliRunner, Result

from a2u_cli.cli import app
from a2u_cli.images import write_image
from a2u_cli.scoring.report import error_map, histogram


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two mattes as `a2u batch .` leaves them, their truth and trimaps."""
    rng = np.random.default_rng(2)
    for name, error in (("Кот <b>", 20), ("dog", 60)):
        truth = rng.integers(0, 196, (20, 30), dtype=np.uint8)
        trimap = np.full((20, 30), 128, np.uint8)
        trimap[:4] = 0
        write_image(tmp_path / "alpha" / f"{name}.png", truth)
        write_image(tmp_path / "trimap" / f"{name}.png", trimap)
        write_image(tmp_path / "a2u_output" / "alpha" / f"{name}.png", truth + np.uint8(error))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["eval", "--gt", "alpha/", *arguments])


def test_the_owners_command_works_as_written(folder: Path) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    sads = [error / 255 * 16 * 30 / 1000 for error in (20, 60)]
    assert f"{sads[0]:.2f}" in result.stdout and f"{sum(sads) / 2:.2f}" in result.stdout
    assert "mean of 2" in result.stdout
    assert "region: the pixels whose trimap is exactly 128" in result.stdout
    assert "2 scored, 0 failed, 0 missing, 0 extra" in result.stdout


def test_the_owners_three_commands_work_in_one_folder(
    run_a2u: RunA2U, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rng = np.random.default_rng(4)
    alpha = np.repeat(np.linspace(0, 1, 48, dtype=np.float32)[None], 32, 0)
    trimap = np.where(alpha < 0.3, 0, np.where(alpha > 0.7, 255, 128)).astype(np.uint8)
    monkeypatch.chdir(tmp_path)
    for name in ("img", "other"):
        write_image(Path(f"{name}.png"), rng.random((32, 48, 3), np.float32))
        write_image(Path(f"{name}_trimap.png"), trimap)
        write_image(Path(f"alpha/{name}.png"), alpha)
    write_image(Path("t.png"), trimap)
    assert run_a2u("matte", "img.png", "--trimap", "t.png").code == 0
    batch = run_a2u("batch", ".")
    assert batch.stderr.splitlines()[-1] == "2 done, 0 skipped, 0 failed, 1 without a trimap"
    scored = run_a2u("eval", "--gt", "alpha/", "--json", "-")
    assert scored.code == 0
    report = json.loads(scored.stdout)
    assert report["counts"] == {"scored": 2, "failed": 0, "missing": 0, "extra": 0}
    assert report["conventions"]["region"] == "the pixels whose trimap is exactly 128"


def test_two_files_of_one_name_beside_the_truth_do_no_harm(folder: Path) -> None:
    for suffix in ("png", "jpg"):
        write_image(folder / f"dog.{suffix}", np.zeros((20, 30, 3), np.uint8))
    assert run().exit_code == 0


def test_two_trimaps_beside_one_picture_are_refused(folder: Path) -> None:
    (folder / "trimap").rename(folder / "elsewhere")
    for role in ("_trimap", "-trimap"):
        write_image(folder / f"dog{role}.png", np.full((20, 30), 128, np.uint8))
    result = run()
    assert result.exit_code != 0
    assert "has more than one trimap" in str(result.exception)


def test_reports_for_machines_hold_all(folder: Path) -> None:
    result = run("--json", "r.json", "--csv", "r.csv", "--html", "r.html")
    assert result.exit_code == 0, result.output
    report = json.loads(Path("r.json").read_text(encoding="utf-8"))
    assert report["counts"] == {"scored": 2, "failed": 0, "missing": 0, "extra": 0}
    assert {row["name"] for row in report["rows"]} == {"Кот <b>", "dog"}
    assert report["means"]["sad"] == pytest.approx(40 / 255 * 16 * 30 / 1000)
    assert "Deep Image Matting" in report["conventions"]["Conn"]
    with Path("r.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(r["sad"]) for r in rows] == [r["sad"] for r in report["rows"]]
    page = Path("r.html").read_text(encoding="utf-8")
    assert "Кот &lt;b&gt;" in page and "<b>" not in page
    assert page.count("data:image/png;base64,") == 2 * 4
    assert "http" not in page
    assert json.loads(run("--json", "-").stdout) == report
    a2u = json.loads(run("--json", "-", "--protocol", "a2u").stdout)
    assert "IndexNet" in a2u["conventions"]["Conn"]


def test_two_runs_are_compared(folder: Path) -> None:
    run("--json", "before.json")
    path = folder / "a2u_output" / "alpha" / "dog.png"
    write_image(path, np.zeros((20, 30), np.uint8))
    result = run("--against", "before.json", "--fail-if", "sad>+1%", "--fail-if", "mse<1")
    assert result.exit_code == 5, result.output
    assert "1 worse, 0 better" in result.stdout
    assert "condition holds: sad>+1%" in result.output
    assert "condition holds: mse<1" not in result.output
    assert run("--against", "before.json", "--fail-if", "sad>+1000%").exit_code == 0
    assert run("--fail-if", "sad>0.001").exit_code == 5
    assert run("--fail-if", "sad>1000").exit_code == 0


def test_missing_and_failed_pictures_count(folder: Path) -> None:
    (folder / "a2u_output" / "alpha" / "dog.png").unlink()
    write_image(folder / "a2u_output" / "alpha" / "more.png", np.zeros((2, 2), np.uint8))
    result = run("--html", "r.html")
    assert result.exit_code == 1
    assert "missing: dog: there is no prediction" in result.stdout
    assert "extra: more: there is no truth for it" in result.stdout
    assert "missing: there is no prediction" in Path("r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--fail-if", "sad is bad"], "cannot be read"),
        (["--fail-if", "sad>1%"], "cannot be read"),
        (["--fail-if", "sad>+1%"], "give the other: --against"),
        (["--against", "alpha/dog.png"], "is no report of a2u eval --json"),
        (["--protocol", "mine"], "expected dim or a2u"),
        (["missing/"], "expected the predictions"),
        (["alpha/"], "is both predictions and truth"),
    ],
)
def test_misuse_is_one_line(folder: Path, arguments: list[str], text: str) -> None:
    result = run(*arguments)
    assert text in str(result.exception)
    assert getattr(result.exception, "exit_code", None) == 2


def test_nothing_scored_still_has_a_page(folder: Path) -> None:
    for path in (folder / "trimap").iterdir():
        write_image(path, np.zeros((20, 30), np.uint8))
    result = run("--html", "r.html")
    assert result.exit_code == 1
    assert "nothing to score" in Path("r.html").read_text(encoding="utf-8")


def test_errors_are_coloured_by_sign() -> None:
    colours = error_map(np.array([[-255, 0, 255]], np.int16))[0]
    assert colours[0][2] > colours[0][0]
    assert (colours[1] == 255).all()
    assert colours[2][0] > colours[2][2]


def test_the_histogram_counts_all() -> None:
    assert sum(bar[2] for bar in histogram([0.0, 1.0, 1.0, 7.5])) == 4
    assert histogram([]) == []
    assert sum(bar[2] for bar in histogram([0.0])) == 1
