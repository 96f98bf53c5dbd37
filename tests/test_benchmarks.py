"""The benchmarks' arithmetic, on made-up numbers: nothing is timed or scored here."""

import csv
from itertools import count
from pathlib import Path

import pytest

from a2u_cli.metrics import Scores
from benchmarks import Timing, describe_machine, eval_dev, interleave, report, startup


def scores(sad: float, mse: float = 0.01, grad: float = 1.0) -> Scores:
    return Scores(sad, mse, grad, conn=sad, pixels=1, whole_mad=0.0, whole_mse=0.0)


@pytest.fixture
def results() -> eval_dev.Results:
    def both(narrow: tuple[Scores, Scores], wide: Scores) -> dict[tuple[str, str], Scores]:
        named = {("narrow", "GT1"): narrow[0], ("narrow", "GT2"): narrow[1], ("wide", "GT1"): wide}
        return named | {("narrow", eval_dev.APART): scores(1000.0)}

    return {
        "mine": both((scores(1.0), scores(3.0, mse=0.03)), scores(2.0)),
        "closed-form": both((scores(2.0), scores(4.0)), scores(0.3)),
        "knn": both((scores(4.0), scores(4.0)), scores(9.0, grad=4.0)),
    }


def test_median_and_spread_are_of_all_runs() -> None:
    assert Timing.of([3.0, 1.0, 2.0, 10.0]) == Timing(2.5, 1.0, 10.0, 4)


def test_measurements_take_turns_after_one_warm_up_each() -> None:
    order: list[str] = []
    clock = count()

    def measure(name: str) -> float:
        order.append(name)
        return float(next(clock))

    timings = interleave({"a": lambda: measure("a"), "b": lambda: measure("b")}, runs=2)
    assert order == ["a", "b"] * 3
    assert timings == {"a": Timing(3.0, 2.0, 4.0, 2), "b": Timing(4.0, 3.0, 5.0, 2)}


def test_report_writes_milliseconds_and_names_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "new" / "startup.csv"
    report("Startup", {"a2u --help": Timing(0.25, 0.2, 0.3, 5)}, path)
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["median (ms)"], row["lowest (ms)"], row["highest (ms)"]) == (
        "250.0",
        "200.0",
        "300.0",
    )
    assert row["machine"] == describe_machine()


def test_startup_takes_the_time_of_a_whole_process() -> None:
    assert startup.seconds_to_run(["-S", "-c", "pass"]) > 0


def test_means_leave_the_easy_picture_out_and_say_their_count(results: eval_dev.Results) -> None:
    average, pictures = eval_dev.means(results, "mine", "narrow")
    assert (average["SAD"], average["Grad"], pictures) == (2.0, 1.0, 2)
    assert average["MSE x 1e3"] == pytest.approx(20.0)
    assert eval_dev.means(results, "mine")[1] == 3


def test_ratios_are_to_the_better_rival_of_each_metric(results: eval_dev.Results) -> None:
    found = eval_dev.ratios(results, "mine")
    assert found["SAD"] == pytest.approx(6.0 / 6.3)
    assert found["Grad"] == 1.0
    assert eval_dev.ratios(results, "mine", "wide")["SAD"] == pytest.approx(2.0 / 0.3)


def test_worst_picture_may_be_half_a_unit_worse_where_closed_form_is_good(
    results: eval_dev.Results,
) -> None:
    assert eval_dev.worst(results, "mine") == ("GT1 (wide)", 2.0, 0.8)
    assert eval_dev.worst(results, "mine", "narrow") == ("GT2 (narrow)", 3.0, 6.0)


def test_report_shows_means_lost_pictures_and_the_bar(results: eval_dev.Results) -> None:
    text = eval_dev.report(results)
    assert "| mean of 2 | 2.00 | 3.00 | 4.00 |\n| lemur | 1000.00 | 1000.00 | 1000.00 |" in text
    assert "| mine / better of closed-form and knn | 0.95 |" in text
    assert "mine: worst against closed-form is GT1 (wide), SAD 2.00, limit 0.80" in text
    assert "bar: missed (SAD <= 0.8, MSE x 1e3 <= 0.8, every picture within its limit)" in text


def test_missing_photographs_are_said_and_are_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(eval_dev, "DEV", tmp_path / "dev")
    eval_dev.main()
    assert capsys.readouterr().out.splitlines() == [
        "nothing scored: the photographs lie in ../shared/data/dev, which is not here"
    ]
