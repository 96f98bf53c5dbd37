"""The ablations at tiny size, and their arithmetic."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from a2u_cli.errors import A2UError
from a2u_cli.images import write_image
from a2u_cli.network.model import MattingNetwork
from a2u_cli.rendering.sets import Order, render_set
from a2u_cli.training import memory
from a2u_cli.training import trainer as training
from a2u_cli.training.data.building import build_engine
from a2u_cli.training.data.engine import WHOLE, DataEngine, Recipe
from a2u_cli.training.trainer import Trainer
from a2u_cli.weights import load_model
from benchmarks import ablation, complexity, data_ablation, matting_ablation
from benchmarks.ablation import Budget, Judged, Variant, paired_change
from benchmarks.eval_dev import Case


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(training, "VALIDATION_CROPS", 8)
    monkeypatch.setattr(training, "VALIDATION_SIZE", 32)
    monkeypatch.setattr(ablation, "RENDERED", 2)
    monkeypatch.setattr(ablation, "RENDERED_SIZE", 48)
    monkeypatch.setenv("A2U_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ablation, "DEV", tmp_path / "nowhere")
    ablation.rendered_set.cache_clear()


def rows(variant: str, sads: list[list[float]]) -> list[Judged]:
    return [
        Judged(variant, seed, "rendered", str(picture), sad, 0.01, 1.0, 2.0, "budget", "machine")
        for seed, run in enumerate(sads)
        for picture, sad in enumerate(run)
    ]


def test_an_ablation_trains_judges_and_goes_on(small: None, tmp_path: Path) -> None:
    budget = Budget(crops=4, sizes=(32,), batch=2)

    def source(seed: int) -> DataEngine:
        return build_engine(seed=seed, drawn=4, scenes=2, drawn_side=64)

    variants = [
        Variant("plain", MattingNetwork, source),
        Variant("a2u static", partial(MattingNetwork, operator="a2u-static-shared"), source),
    ]
    said: list[str] = []
    table = tmp_path / "x.csv"
    cpu = torch.device("cpu")
    options = {"device": cpu, "say": said.append}
    other = rows("plain", [[1.0]])  # of another budget
    ablation.write_csv(other, table)
    judged = ablation.run(variants, range(1), budget, tmp_path, table, **options)
    assert [(row.variant, row.picture) for row in judged] == [
        *(("plain", "00"), ("plain", "01"), ("a2u static", "00"), ("a2u static", "01"))
    ]
    assert said
    said.clear()
    again = ablation.run(variants, range(1), budget, tmp_path / "elsewhere", table, **options)
    assert not said  # nothing was trained again
    assert [row.sad for row in again] == pytest.approx([row.sad for row in judged], rel=1e-5)
    assert ablation.read_csv(table) == other + again
    first = ablation.run(variants[:1], range(1), budget, tmp_path, table, **options)
    assert {row.variant for row in first} == {"plain"}  # what was not asked for is not given
    assert {row.budget for row in again} == {"4 crops of 32 px, 2 a step, float32"}
    assert "| a2u static |" in ablation.tables(judged)


def test_a_budget_of_growing_crops_takes_as_many_as_it_says() -> None:
    budget = Budget(crops=500, sizes=(32, 64, 96), batch=16)
    options = budget.options(3)
    taken = [options.request(step, step / options.steps) for step in range(options.steps)]
    assert 500 <= sum(len(request.numbers) for request in taken) < 500 + 16
    assert {request.size for request in taken} == {32, 64, 96}
    assert options.seed == 3
    assert str(budget) == "500 crops of 32, 64, 96 px, 16 a step, float32"


def test_an_ablation_that_was_killed_goes_on_and_keeps_its_averages(
    small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("fg", "bg"):
        write_image(tmp_path / name / "x.png", np.full((48, 48, 4), 0.5, np.float32))
    tiny = partial(build_engine, drawn=4, scenes=2, drawn_side=64, held=6)
    monkeypatch.setattr(matting_ablation, "build_engine", tiny)
    monkeypatch.setattr(matting_ablation, "costs", lambda *_: "")
    monkeypatch.setattr(memory, "keep_memory", lambda: None)  # would hold for all tests
    renders = tmp_path / "renders"
    order = Order("hard", 7, 64, detail=0.05)
    list(render_set(renders, [order]))
    cases = [Case("a", "hair", *tiny_case()), Case("b", "nets", *tiny_case())]
    monkeypatch.setattr(matting_ablation.validation, "list_missing", lambda _: ["nets_900000"])
    monkeypatch.setattr(matting_ablation.validation, "read_cases", lambda _: iter(cases))
    monkeypatch.setattr(
        matting_ablation, "photographs", lambda: iter([Case("c", "wide", *tiny_case())])
    )
    table, folder = tmp_path / "x.csv", tmp_path / "runs"
    options = {"rendered": [renders], "composites": tmp_path, "folder": folder, "results": table}
    options |= {"seeds": 1, "crops": 2, "size": [32], "batch": 2, "device": "cpu"}
    with pytest.raises(A2UError, match="lacks nets_900000"):
        matting_ablation.main(tmp_path, only=["bilinear"], **options)
    assert (folder / "bilinear-0" / "checkpoint.pt").exists() and not table.exists()
    (renders / "journal.jsonl").unlink()  # what the runs have is settled
    monkeypatch.setattr(matting_ablation.validation, "list_missing", lambda _: [])
    monkeypatch.setattr(Trainer, "_train_step", lambda *_: pytest.fail("trained again"))
    matting_ablation.main(tmp_path, only=["bilinear"], **options)
    assert "a2u-dynamic-shared: not run" in capsys.readouterr().out
    assert load_model(folder / "bilinear-0" / "weights.safetensors").operator == "bilinear"
    judged = ablation.read_csv(table)
    assert {row.budget.split(", ", 3)[3] for row in judged} == {
        "renders 1 (5bdc317a) in 30% to 50%"
    }
    sets = {row.set for row in judged}
    assert sets == {"rendered", "half wide", "composites, hair", "composites, nets"}
    matting_ablation.main(results=table)  # the tables alone
    out = capsys.readouterr().out
    assert "| composites, hair |" in out and "carafe: not run" in out


def tiny_case() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    trimap = np.full((33, 47), 128, np.uint8)
    trimap[:, :9], trimap[:, 20:] = 0, 255
    return np.full((33, 47, 3), 0.5, np.float32), trimap, trimap


def test_half_a_picture_knows_only_what_the_whole_does() -> None:
    image, trimap, truth = tiny_case()
    half = matting_ablation.halve(
        Case("a", "wide", image[:32, :46], trimap[:32, :46], truth[:32, :46])
    )
    assert (half.width, half.trimap.shape, half.image.shape) == ("half wide", (16, 23), (16, 23, 3))
    assert half.trimap[0].tolist() == [0] * 4 + [128] * 6 + [255] * 13  # 8 is known, 9 is not


def test_means_are_over_pictures_and_deviations_over_seeds() -> None:
    judged = rows("a", [[1.0, 3.0], [2.0, 4.0]])
    assert [seed["SAD"] for seed in ablation.means(judged, "rendered")["a"]] == [2.0, 3.0]
    assert "| a | 2.50 ± 0.71 | 10.00 ± 0.00 | 1.00 ± 0.00 | 2.00 ± 0.00 | 2 |" in (
        ablation.tables(judged)
    )


def test_the_paired_change_is_of_the_seeds_that_both_have() -> None:
    ours, theirs = rows("a", [[8.0, 4.0]]), rows("b", [[10.0, 5.0], [1.0, 1.0]])
    change, *_ = paired_change(ours + theirs, "a", "b", "rendered", draws=9)
    assert change == pytest.approx(-0.2)


def test_the_paired_change_knows_what_seeds_and_pictures_have_in_common() -> None:
    theirs = [[10.0, 1.0, 5.0], [20.0, 2.0, 10.0]]
    ours = [[0.8 * sad for sad in run] for run in theirs]
    change, low, high = paired_change(
        rows("a", ours) + rows("b", theirs), "a", "b", "rendered", draws=200
    )
    assert (change, low, high) == pytest.approx((-0.2, -0.2, -0.2))


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (-0.3, -0.1, "reproduced"),
        (-0.1, -0.05, "reproduced in sign, smaller"),
        (-0.1, 0.1, "not reproduced"),
        (-0.3, 0.1, "inconclusive"),
    ],
)
def test_the_word_follows_from_the_interval(low: float, high: float, word: str) -> None:
    assert matting_ablation.verdict(low, high) == word


def test_every_row_of_the_data_ablation_switches_one_thing_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = partial(build_engine, drawn=4, scenes=2, drawn_side=64)
    monkeypatch.setattr(data_ablation, "build_engine", few)
    for name in ("fg", "bg"):
        write_image(tmp_path / name / "x.png", np.full((8, 8, 4), 0.5, np.float32))
    named = {row.name: row.source(0) for row in data_ablation.variants(tmp_path)}
    assert len(named) >= 4
    assert named["everything"].recipe == WHOLE
    assert {source.name for source in named["drawn only"].foregrounds.sources} == {"drawings"}
    assert named["even bands"].recipe == Recipe(careless=None)


def test_costs_are_counted_for_every_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matting_ablation, "TIMED", 32)
    monkeypatch.setattr(matting_ablation, "RUNS", 1)
    table = matting_ablation.costs(["nearest", "a2u-dynamic-shared"], torch.device("cpu"))
    nearest, ours = (line.split("|") for line in table.splitlines()[2:])
    assert [nearest[2].strip(), ours[2].strip()] == ["0", "40,232"]
    assert ours[3].strip() == "0.50%"
    assert float(nearest[4]) < float(ours[4]) < 1.02 * float(nearest[4])


def test_the_larger_networks_have_the_sizes_that_their_papers_print() -> None:
    """GCA: 25.27 million parameters; IndexNet Matting: 8.15 million."""
    sizes = {name: row.parameters for name, row in complexity.networks().items()}
    assert sizes["GCA Matting"] == pytest.approx(25.27e6, rel=0.01)
    assert sizes["IndexNet Matting"] == pytest.approx(8.15e6, rel=0.01)
    assert sizes["A2U, channel-shared"] == 8_089_235
