"""Scores that gates and machines go by: nothing passes that is no number."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import RunA2U
from words import assert_words

from a2u_cli.images import read_image, write_image
from a2u_cli.scoring import report
from a2u_cli.scoring.layouts import Item, Set

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a truth and a matte of it, and go there."""
    truth = np.random.default_rng(3).random((20, 30), np.float32)
    write_image(tmp_path / "gt" / "a.png", truth)
    write_image(tmp_path / "mattes" / "a.png", np.clip(truth + 0.1, 0, 1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


EVAL = ("eval", "mattes", "--gt", "gt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, None, "1", True, "missing"])
def test_another_run_with_a_score_that_is_no_number_never_passes_the_gate(
    run_a2u: RunA2U, scored: Path, value: object
) -> None:
    assert run_a2u(*EVAL, "--json", "before.json").code == 0
    document = json.loads(Path("before.json").read_text())
    if value == "missing":
        del document["rows"][0]["sad"]
    else:
        document["rows"][0]["sad"] = value
    Path("before.json").write_text(json.dumps(document))
    run = run_a2u(*EVAL, "--against", "before.json", "--fail-if", "sad>+1%")
    assert_words(run, "before.json: the sad of a is", "expected a number")


def test_a_condition_that_cannot_be_read_is_refused_before_anything_is_scored(
    run_a2u: RunA2U, scored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("a2u_cli.scoring.evaluation.score", lambda *_, **__: pytest.fail("scored"))
    assert_words(run_a2u(*EVAL, "--fail-if", "sda>30"), "'sda>30' cannot be read")
    assert_words(run_a2u(*EVAL, "--fail-if", "sad>+1%"), "give the other: --against")


def test_json_says_the_units_of_the_numbers_that_it_holds(run_a2u: RunA2U, scored: Path) -> None:
    document = json.loads(run_a2u(*EVAL, "--json", "-").stdout)
    truth, matte = (read_image(Path(f, "a.png")).image[..., 0] for f in ("gt", "mattes"))
    error = np.rint(255 * matte) / 255 - np.rint(255 * truth) / 255
    assert document["means"]["mse"] == pytest.approx(float((error**2).mean()), rel=1e-4)
    assert "x 1000" not in document["conventions"]["MSE"] + document["conventions"]["whole"]
    table = run_a2u(*EVAL).stdout.decode()
    assert f"{1000 * document['means']['mse']:.2f}" in table
    assert "over the region, x 1000" in table


def test_csv_and_json_go_to_stdout_one_at_a_time(run_a2u: RunA2U, scored: Path) -> None:
    run = run_a2u(*EVAL, "--csv", "-", "--json", "r.json")
    (row,) = csv.DictReader(io.StringIO(run.stdout.decode()))
    assert float(row["sad"]) == json.loads(Path("r.json").read_text())["rows"][0]["sad"]
    assert_words(run_a2u(*EVAL, "--csv", "-", "--json", "-"), "would mix on stdout")
    assert not Path("-").exists()


def test_a_page_shows_pictures_of_720_to_1(tmp_path: Path) -> None:
    for folder, value in (("gt", 0.4), ("mattes", 0.5)):
        write_image(tmp_path / folder / "a.png", np.full((1, 720), value, np.float32))
    item = Item("a", tmp_path / "mattes" / "a.png", tmp_path / "gt" / "a.png")
    from a2u_cli.scoring.evaluation import score_item

    row = score_item(item, whole=True)
    page = report.page(Set("folders", False, (item,), {}), [row], "dim")
    assert page.count("data:image/png;base64,") == 3
