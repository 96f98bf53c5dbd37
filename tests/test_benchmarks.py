"""The benchmarks' arithmetic on made-up numbers, and one rehearsal at tiny sizes."""

import csv
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from subprocess import CalledProcessError

import numpy as np
import pytest
import torch
from torch import nn

from a2u_cli.images import read_image
from a2u_cli.network.model import MattingNetwork
from a2u_cli.operators.affinity import KernelGenerator
from a2u_cli.scoring.metrics import Scores
from benchmarks import (
    Timing,
    checking,
    describe_machine,
    eval_dev,
    export,
    failures,
    half,
    interleave,
    quality,
    report,
    revisions,
    startup,
    training_speed,
    whole_pass,
)
from benchmarks.cases import Case, picture
from benchmarks.floor import convolution_calls
from benchmarks.goals import judge
from benchmarks.methods import Measured, measure
from benchmarks.painting import area_under_curve
from benchmarks.plan import QUICK, Plan
from benchmarks.reference import ReferencePair


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
    """From its start to its end: one that sleeps takes at least as long; a failure is no time."""
    assert startup.seconds_to_run(["-S", "-c", "import time; time.sleep(0.3)"]) >= 0.3
    with pytest.raises(CalledProcessError):
        startup.seconds_to_run(["-S", "-c", "raise SystemExit(3)"])


def test_a_pass_of_a_runtime_is_the_second_one_and_its_memory_more_than_before_it() -> None:
    class Growing:
        calls = 0

        def matte(self, image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
            self.calls += 1
            self.held = np.ones(self.calls * 20_000_000, np.uint8)
            return np.float32(trimap)

    made = Growing()
    measured = export.measure(lambda: made, (4, 6))
    assert made.calls == 2 and measured.seconds > 0
    assert measured.peak - measured.before < 1 << 30  # another test may have held more before


def test_an_environment_is_as_large_as_its_files_without_pip(tmp_path: Path) -> None:
    for name in ("lib/kept.so", "lib/pip/left.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(2_000_000))
    assert export.megabytes(tmp_path) == 2.0


def test_means_leave_the_easy_picture_out_and_say_their_count(results: eval_dev.Results) -> None:
    average, pictures = eval_dev.means(results, "mine", "narrow")
    assert (average["SAD"], average["Grad"], pictures) == (2.0, 1.0, 2)
    assert average["MSE x 1e3"] == pytest.approx(20.0)
    assert eval_dev.means(results, "mine")[1] == 3


def test_ratios_are_to_the_better_rival_of_each_metric(results: eval_dev.Results) -> None:
    shares = eval_dev.ratios(results, "mine")
    assert shares["SAD"] == pytest.approx(6.0 / 6.3)
    assert shares["Grad"] == 1.0
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


def test_every_pictures_scores_are_written_in_place_of_the_methods_former_ones(
    results: eval_dev.Results, tmp_path: Path
) -> None:
    path = tmp_path / "eval_dev.csv"
    eval_dev.write_rows(results, path)
    eval_dev.write_rows({"mine": {("wide", "GT1"): scores(7.0, mse=0.5)}}, path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["closed-form"] * 4 + ["knn"] * 4 + ["mine"]
    expected = {"picture": "GT1", "width": "wide", "method": "mine", "machine": describe_machine()}
    assert rows[-1] == expected | {"SAD": "7", "MSE x 1e3": "500", "Grad": "1", "Conn": "7"}


def test_the_committed_rows_are_what_the_model_card_says() -> None:
    with eval_dev.RESULTS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    card = (eval_dev.ROOT / "weights" / "README.md").read_text()
    ours = ("a2u-open", "a2u-open, auto", "a2u-open, best")
    columns = (*ours, "fill", "closed-form", "knn")
    for number, width in enumerate(eval_dev.TRIMAPS):
        table = card.split("| SAD | a2u-open")[number + 1]
        for name in {row["picture"] for row in rows if row["width"] == width}:
            (line,) = (line for line in table.splitlines() if line.startswith(f"| {name} |"))
            said = [float(cell) for cell in line.split("|")[2:-1]]
            scored = {
                row["method"]: float(row["SAD"])
                for row in rows
                if (row["picture"], row["width"]) == (name, width)
            }
            assert [scored[method] for method in columns] == pytest.approx(said, abs=0.02), name


def test_missing_photographs_are_said_and_are_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(eval_dev, "DEV", tmp_path / "dev")
    eval_dev.main()
    assert capsys.readouterr().out.splitlines() == [
        "nothing scored: the photographs lie in ../shared/data/dev, which is not here"
    ]


@pytest.mark.parametrize("shared", [True, False])
def test_the_reference_arithmetic_gives_our_matte(shared: bool) -> None:
    torch.manual_seed(5)
    network = MattingNetwork(shared=shared).eval()
    for module in network.modules():
        if isinstance(
            module, nn.BatchNorm2d
        ):  # untrained, values grow and their rounding with them
            nn.init.constant_(module.weight, 0.3)
    reference = MattingNetwork(pair=lambda c: ReferencePair(c, shared=shared)).eval()
    reference.load_state_dict(network.state_dict())
    image, trimap = torch.rand(2, 3, 48, 64), torch.randint(3, (2, 1, 48, 64)) / 2
    with torch.inference_mode():
        expected = network(image, trimap)
        error = (reference(image, trimap) - expected).abs().max() / expected.abs().max()
        assert error < 1e-6
        network.double(), reference.double()
        image, trimap = image.double(), trimap.double()
        torch.testing.assert_close(
            reference(image, trimap), network(image, trimap), rtol=1e-12, atol=1e-9
        )


def test_the_reference_arithmetic_gives_our_gradients() -> None:
    torch.manual_seed(5)
    pair, x = ReferencePair(64).double(), torch.rand(1, 64, 12, 12).double()
    ours = MattingNetwork().pair1.double()
    ours.load_state_dict(pair.state_dict())

    def gradients(module: nn.Module) -> list[torch.Tensor]:
        half, state = module.down(x)
        return list(torch.autograd.grad(module.up(half, state).sin().sum(), module.parameters()))

    for gradient, expected in zip(gradients(pair), gradients(ours), strict=True):
        torch.testing.assert_close(gradient, expected)


def test_the_floor_counts_every_convolution_but_the_generators_own() -> None:
    network = MattingNetwork()
    inside = {
        layer
        for module in network.modules()
        if isinstance(module, KernelGenerator)
        for layer in module.modules()
    }
    expected = [
        layer.weight.shape
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d) and layer not in inside
    ]
    calls = convolution_calls((320, 320))
    assert sorted(call.layer.weight.shape for call in calls) == sorted(expected)
    products = sum(
        call.layer.weight.numel()
        * (call.size[0] // call.layer.stride[0])
        * (call.size[1] // call.layer.stride[1])
        for call in calls
    )
    assert products == pytest.approx(20.71e9 - 0.17e9, rel=1e-3)  # the operators' own are 0.17e9


@pytest.mark.parametrize("region", ["compact", "bands"])
def test_a_tenth_of_the_picture_is_unknown_between_both_sides(region: str) -> None:
    image, trimap = picture(Case("ours", "float32", (320, 480), 0.1, region))
    assert (trimap == 128).mean() == pytest.approx(0.1, abs=0.01)
    assert (trimap == 0).mean() > 0.3
    assert (trimap == 255).mean() > 0.3
    assert image.dtype == np.float32
    assert 0 <= image.min() < image.max() <= 1


def test_goals_are_ratios_of_medians_and_say_what_was_missed() -> None:
    def took(seconds: float, peak: int = 2**30) -> tuple[Timing, int]:
        return Timing.of([seconds]), peak

    screen = Plan().screen
    measured = {
        Case("unfold", "float32", screen): took(70.0),
        Case("ours", "float32", screen): took(10.0, 3 * 2**30),
        Case("convolutions", "float32", screen): took(8.0),
        Case("convolutions in strips", "float32", screen): took(4.0),
        Case("ours", "float32", screen, 0.1, "compact"): took(5.0),
        Case("ours", "float32", screen, 0.1, "bands"): took(6.0),
        Case("closed-form", "float64", screen, 0.1, "compact"): "did not fit",
    }
    lines = list(judge(measured, Plan()))
    assert "1. unfold float32 / ours float32: 7.00 (at least 6)" in lines
    assert "1. ours float32 / convolutions float32: 2.50 (at most 2) MISSED" in lines
    assert "1. ours float32, peak in GiB: 3.00 (at most 2) MISSED" in lines
    assert "1. unfold float32 / ours bfloat16: not measured (at least 12)" in lines
    shares = [line for line in lines if line.startswith("3. ours float32, 10% unknown")]
    assert shares == [
        "3. ours float32, 10% unknown, compact / all unknown: 0.50 (at most 0.45) MISSED",
        "3. ours float32, 10% unknown, bands / all unknown: 0.60 (at most 0.65)",
    ]
    assert any(line.startswith("3. closed-form") and "not measured" in line for line in lines)


def test_the_whole_pass_is_rehearsed_without_its_optional_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = ("pymatting", "transformers", "matplotlib")
    monkeypatch.setattr(whole_pass, "find_spec", lambda name: None if name in absent else 1)
    monkeypatch.setattr(whole_pass, "in_fresh_process", measure)
    whole_pass.run(tmp_path, QUICK)
    printed = capsys.readouterr().out
    for line in ("pymatting is not installed", "transformers is not installed", "no plot:"):
        assert line in printed
    with (tmp_path / "whole_pass.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert row["median (s)"] or row["note"].startswith(("skipped", "not measured")), row
    assert all(row["median (s)"] for row in rows if row["dtype"] == "float32" and not row["note"])


def test_a_fresh_process_measures_itself_and_says_why_it_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    measured = whole_pass.in_fresh_process(Case("convolutions", "float32", (16, 32)))
    assert isinstance(measured, Measured)
    assert measured.peak > 2**20
    failed = whole_pass.in_fresh_process(Case("ours", "float32", (16, 0)))
    assert isinstance(failed, str)
    assert failed.startswith("failed: ")


def test_without_cuda_its_table_says_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for case in Plan().tables()["CUDA"]:
        assert whole_pass.missing(case) == "not measured: no CUDA device on this machine"


@pytest.mark.skipif(not find_spec("matplotlib"), reason="matplotlib is not installed")
def test_the_plot_is_drawn_of_what_was_measured(tmp_path: Path) -> None:
    from benchmarks.plot import draw

    plan = Plan()
    measured = {
        case: (Timing.of([1.0 + case.share]), 2**30)
        for cases in plan.tables().values()
        for case in cases
    }
    draw(measured, plan, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_half_precision_is_compared_picture_by_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    image, trimap = picture(Case("ours", "float32", (32, 48), 0.25, "compact"))
    truth = np.full(trimap.shape, 100, np.uint8)
    cases = [
        eval_dev.Case(name, "narrow", image, trimap, truth) for name in ("GT1", eval_dev.APART)
    ]
    monkeypatch.setattr(half, "DEV", tmp_path)
    monkeypatch.setattr(half, "read_cases", lambda: cases)
    half.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:4]] == ["GT1 (narrow)", "lemur (narrow)"]
    assert [line.partition(":")[0] for line in lines[4:]] == [
        "mean SAD changes by (%)",
        "unknown pixels beyond 4/255 (%)",
        "largest difference (1/255)",
    ]
    monkeypatch.setattr(half, "DEV", tmp_path / "missing")
    half.main()
    assert "nothing compared" in capsys.readouterr().out


def test_the_sheet_of_failures_has_a_row_a_picture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(failures, "SHOWN", (("leaves", 2), ("smoke", 2)))
    monkeypatch.setattr(failures, "SIDE", 64)
    failures.main(tmp_path / "sheet.png")
    assert read_image(tmp_path / "sheet.png").image.shape == (2 * 220, 5 * 220, 3)
    assert capsys.readouterr().out.count("fast") == 2


def test_revisions_are_timed_by_turns_after_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, int, int]] = []

    class Clock:
        """A revision whose first matte is slow, as with cold caches."""

        def __init__(self, name: str, seconds: float) -> None:
            self.name, self.answers = name, iter([99.0, seconds, seconds, seconds])

        def seconds(self, height: int, width: int, side: int) -> float:
            asked.append((self.name, height, width, side))
            return next(self.answers)

    monkeypatch.setattr(revisions, "SIZES", ((20, 40),))
    monkeypatch.setattr(revisions, "KINDS", ("compact 10 %",))
    (row,) = revisions.compare(Clock("here", 2.0), Clock("there", 4.0), 3)  # type: ignore[arg-type]
    assert row["ratio"] == "0.500"
    assert asked == [("here", 20, 40, 9), ("there", 20, 40, 9)] * 4


def test_training_steps_are_timed_by_turns_and_their_phases_shared_out() -> None:
    class Clock:
        """A revision whose first step of each kind is slow."""

        def __init__(self, seconds: float) -> None:
            self.seconds, self.asked = seconds, list[tuple[bool, bool]]()

        def ask(self, question: list[bool]) -> list[float]:
            half, frozen = question
            first = (half, frozen) not in self.asked
            self.asked.append((half, frozen))
            return [99.0 if first else self.seconds / 4] * 4

    ours, theirs = Clock(2.0), Clock(4.0)
    rows = training_speed.compare(ours, theirs, "before", 2)  # type: ignore[arg-type]
    assert [row["faster"] for row in rows] == ["1.00", "2.00", "2.00"] * 2
    assert rows[1]["crops a second"] == "4.00"
    assert rows[1]["backward (%)"] == "25.0"
    assert theirs.asked == [(True, False)] * 3 + [(False, False)] * 3


def test_a_revision_runs_its_own_code_in_a_process_of_its_own() -> None:
    revision = revisions.Revision(revisions.ROOT)
    try:
        assert revision.seconds(16, 16, 0) > 0
    finally:
        revision.process.kill()
        revision.process.communicate()


def test_the_qualities_are_timed_against_one_pass(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(quality, "DEV", tmp_path / "none")
    monkeypatch.setattr(quality, "large", lambda size, bound: [])
    quality.main(quick=True, results=tmp_path / "quality.csv")
    with (tmp_path / "quality.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} >= {*quality.QUALITIES, "refinement alone"}
    assert {row["of fast"] for row in rows if row["method"] == "fast"} == {"1.00"}


def test_the_large_picture_tells_time_and_peak() -> None:
    seconds, most = quality.peak("refined", (64, 96), 2.0)
    assert seconds > 0.0
    assert 0.05 < most < 16.0


def test_a_ranking_is_scored_by_how_often_the_wrong_rank_above_the_right() -> None:
    wrong = np.array([True, False, True, False])
    assert area_under_curve(np.array([4.0, 3.0, 2.0, 1.0]), wrong) == 0.75
    assert area_under_curve(np.ones(4), wrong) == 0.5


def test_ranks_are_correlated_as_spearman_does() -> None:
    assert checking.rank_correlation([1, 2, 3, 10], [0.1, 0.2, 5, 6]) == pytest.approx(1)
    assert checking.rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    # By hand: the ranks are 1.5, 1.5, 3 and 1, 2, 3.
    assert checking.rank_correlation([5, 5, 9], [1, 2, 3]) == pytest.approx(3**0.5 / 2)


def test_weights_are_fitted_without_negative_ones() -> None:
    rows = [
        {"true": str(2 * a), "border": str(a), "beyond": str(b)}
        for a, b in ((0.1, 0.3), (0.2, 0.1), (0.4, 0.2))
    ]
    fitted = checking.fit(rows, ("border", "beyond"))
    assert fitted["border"] == pytest.approx(2)
    assert fitted.get("beyond", 0) == pytest.approx(0, abs=1e-9)


def test_the_score_of_a_check_ranks_photographs_by_the_committed_rows() -> None:
    rows = [row for row in checking.read_rows(checking.RESULTS) if row["set"] == "dev"]
    right = [row for row in rows if row["trimap"] == "right"]
    assert len(right) == 19
    for some in (right, rows):
        scores = [checking.expected(row) for row in some]
        assert checking.rank_correlation(scores, [float(row["true"]) for row in some]) > 0.8
