"""The toy experiment at tiny size: its networks, its runs, its rows and its tables."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from a2u_cli.operators.comparison import OPERATORS
from benchmarks import reconstruction
from benchmarks.autoencoder import READINGS, Autoencoder, Reading, cost
from benchmarks.rebuilt import (
    Job,
    Row,
    add_row,
    differences,
    order_of_paper,
    read_rows,
    study_table,
    summary,
)

TINY = Reading((4, 8, 8), (8,), "convolution")
ROOT = Path(__file__).parent.parent
ROW = Row("tiny", "bilinear", 0, 2, 4, 20.0, 0.5, 10.0, 50.0, 0.1, 0.01, 14, "float32", "here")


@pytest.fixture
def data(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> reconstruction.Setting:
    for part, count in (("train", 30), ("test", 14)):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        np.savez(tmp_path / f"fashion_mnist_{part}.npz", images=images)
    monkeypatch.setitem(READINGS, "tiny", TINY)
    monkeypatch.setattr(reconstruction, "READING", "tiny")
    monkeypatch.setattr(reconstruction, "BATCH", 4)
    return reconstruction.Setting(tmp_path, tmp_path / "runs", "cpu", False, None)


def test_structural_similarity_is_that_of_its_paper(rng: np.random.Generator) -> None:
    x = rng.random((3, 1, 32, 32), np.float32)
    y = np.clip(x + rng.normal(0, 0.1, x.shape), 0, 1).astype(np.float32)
    judged = reconstruction.ssim(torch.from_numpy(x), torch.from_numpy(y))
    for number in range(3):
        expected = structural_similarity(
            *(x[number, 0].astype(np.float64), y[number, 0].astype(np.float64)),
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert judged[number].item() == pytest.approx(expected, abs=1e-4)


def test_the_reconstruction_ends_with_its_table(
    data: reconstruction.Setting, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["bilinear", "a2u-dynamic-shared"]
    options = {"steps": 5, "quick": True, "only": names, "folder": data.folder, "device": "cpu"}
    reconstruction.main(data.data, **options)
    text = capsys.readouterr().out
    assert "a2u-dynamic-shared is number" in text
    assert "over the last fifth of 5 steps" in text
    assert "ahead of " in text
    assert (data.folder / "grid.png").exists()
    assert [row.operator for row in read_rows(data.folder / "rows.csv")] == names
    reconstruction.main(data.data, **options)
    again = capsys.readouterr().out
    assert "ms a step" in text
    assert "ms a step" not in again  # nothing is made twice
    assert again in text


def test_a_stopped_run_goes_on_to_the_same_end(
    data: reconstruction.Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconstruction, "SAVED", 2)
    job = Job("tiny", "a2u-dynamic-shared", 1, 5)
    whole = reconstruction.make(job, replace(data, folder=data.folder / "whole"))
    learn = reconstruction.Trial.learn

    def until_three(trial: reconstruction.Trial, batch: torch.Tensor) -> None:
        if trial.step == 3:
            raise KeyboardInterrupt
        learn(trial, batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(reconstruction.Trial, "learn", until_three)
        reconstruction.make(job, data)
    assert reconstruction.Trial(job, data).step == 2
    made = reconstruction.make(job, data)
    assert (made.psnr, made.gain) == (whole.psnr, whole.gain)


def test_what_is_finished_is_not_lost_with_its_row(data: reconstruction.Setting) -> None:
    job = Job("tiny", "nearest", 0, 2)
    assert reconstruction.make(job, data).psnr == reconstruction.make(job, data).psnr


def test_the_rate_rises_for_a_tenth_falls_to_a_hundredth_and_is_held() -> None:
    rates = [reconstruction.rate(step, 1000) for step in range(1000)]
    assert rates.index(max(rates)) == pytest.approx(100, abs=1)
    assert max(rates) == pytest.approx(reconstruction.RATE, rel=0.01)
    assert rates[0] < rates[50] and rates[200] > rates[400] > rates[790]
    assert rates[800:] == pytest.approx([0.01 * reconstruction.RATE] * 200)


def test_the_six_that_decide_are_run_first_and_with_three_seeds() -> None:
    jobs = reconstruction.plan(9)
    assert len(jobs) == len(set(jobs)) == len(OPERATORS) + 12
    assert {job.operator for job in jobs[:6]} == set(reconstruction.DECIDING)
    assert [job.seed for job in jobs] == [0] * 6 + [1] * 6 + [2] * 6 + [0] * (len(OPERATORS) - 6)


def test_every_reading_takes_the_pictures_down_to_a_bottleneck_and_back() -> None:
    for reading in READINGS.values():
        network = Autoencoder(reading, "bilinear").eval()
        assert network(torch.rand(2, 1, 32, 32)).shape == (2, 1, 32, 32)
        assert len(network.pairs) == 3


def test_a_convolution_halves_only_where_an_operator_says_nothing_of_it() -> None:
    pooled = replace(TINY, halving="max-pooling")
    learned = sum(4 * width * width + width for width in TINY.widths)
    for name in ("bilinear", "carafe", "a2u-without-twin"):
        assert cost(TINY, name)[0] - cost(pooled, name)[0] == learned, name
    for name in ("unpooling", "indexnet", "a2u-dynamic-shared"):
        assert cost(TINY, name) == cost(pooled, name), name


def test_rows_come_back_as_they_were_added(tmp_path: Path) -> None:
    place = tmp_path / "results" / "rows.csv"
    assert read_rows(place) == []
    rows = [ROW, replace(ROW, operator="carafe", psnr=21.25)]
    for row in rows:
        add_row(row, place)
    assert read_rows(place) == rows


def test_the_papers_order_is_looked_for_in_what_was_run() -> None:
    ours = replace(ROW, operator="a2u-dynamic-shared", psnr=21.0)
    assert order_of_paper([ROW]) == "not run"
    assert order_of_paper([ROW, ours]) == "ahead of bilinear: a2u-dynamic-shared"
    best = replace(ROW, operator="indexnet", psnr=30.0)
    other = replace(ROW, operator="a2u-without-twin", psnr=19.0)
    assert order_of_paper([ROW, ours, best, other]) == (
        "IndexNet first: yes; ahead of bilinear: a2u-dynamic-shared; "
        "ahead of none: a2u-without-twin"
    )
    assert "number 2 of 3" in summary([ROW, ours, best])


def test_a_lead_over_seeds_has_students_interval() -> None:
    leads = {0: 1.0, 1: 1.2, 2: 1.4}  # mean 1.2, deviation 0.2; t(2) at 97.5 % is 4.303
    rows = [replace(ROW, seed=seed) for seed in leads]
    rows += [
        replace(ROW, operator="a2u-without-twin", seed=seed, psnr=ROW.psnr + lead)
        for seed, lead in leads.items()
    ]
    said = differences([*rows, replace(ROW, operator="carafe")])  # that one has one seed
    lines = said.splitlines()[2:]
    assert lines == ["| a2u-without-twin | bilinear | +1.20 | +0.70 to +1.70 | 3 | ahead |"]
    assert "behind" in differences([replace(row, psnr=-row.psnr) for row in rows])
    assert "undecided" in differences(rows[:2] + rows[3:5])
    assert differences(rows[:1]) == ""


def test_a_network_that_two_readings_share_is_run_once_and_shown_in_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for reading, halving in (("tiny", "convolution"), ("pooled", "max-pooling")):
        monkeypatch.setitem(READINGS, reading, replace(TINY, halving=halving))
    jobs = reconstruction.plan_study(3)
    assert len(jobs) == len(set(jobs))
    assert Job("tiny", "indexnet", 0, 3) in jobs
    assert Job("pooled", "indexnet", 0, 3) not in jobs
    ours = replace(ROW, operator="a2u-dynamic-shared", psnr=21.0)
    lines = study_table([ROW, replace(ROW, reading="pooled", psnr=22.0), ours]).splitlines()
    assert lines[2:4] == ["| bilinear | 20.00 | 22.00 |", "| a2u-dynamic-shared | 21.00 | 21.00 |"]
    assert lines[-2:] == [
        "- tiny: ahead of bilinear: a2u-dynamic-shared",
        "- pooled: ahead of none: a2u-dynamic-shared",
    ]


def test_the_pages_tables_are_made_of_the_committed_rows() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "reconstruction.py"))["page"]()
    written = (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
    assert written == page, "run: python -m docs.reconstruction"
