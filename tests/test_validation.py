"""The validation set: made of what nothing trains on, gone on with, scored by group."""

import csv
import runpy
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from a2u_cli import images
from a2u_cli.errors import A2UError, ImageError
from a2u_cli.rendering import held_out, raster, sets
from a2u_cli.training.data.building import build_engine
from benchmarks import eval_dev, validation

ROOT = Path(__file__).parent.parent
KEPT, TRAINED = (
    next(name for n in count() if held_out.is_held_out_photograph(name := f"{n}.png") == kept)
    for kept in (True, False)
)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for name in (KEPT, TRAINED):
        images.write_image(tmp_path / "photographs" / name, np.full((40, 60, 3), 0.3, np.float32))
    return tmp_path / "photographs"


def test_seeds_and_photographs_are_those_that_nothing_trains_on(photographs: Path) -> None:
    orders = validation.list_orders(photographs)
    assert len({order.name for order in orders}) == len(orders) == 96
    assert all(held_out.is_held_out_render(f"{order.name}.webp") for order in orders)
    assert {order.backgrounds for order in orders} == {str(photographs / KEPT)}
    (photographs / KEPT).unlink()
    with pytest.raises(A2UError, match="no photograph that training leaves out"):
        validation.list_orders(photographs)


@pytest.mark.parametrize(
    ("name", "kept"),
    [("hair_899999.webp", False), ("hair_900000.webp", True), ("IMG_20240101.png", False)],
)
def test_renders_are_held_out_by_kind_and_seed(name: str, kept: bool) -> None:
    assert held_out.is_held_out_render(name) == kept


def test_training_refuses_what_is_held_out(tmp_path: Path) -> None:
    images.write_image(tmp_path / "hair_900000.png", np.full((8, 8, 4), 0.5, np.float32))
    options = {"foregrounds": tmp_path, "picture_share": 1.0, "scenes": 1}
    with pytest.raises(ImageError, match=r"hair_900000\.png is rendered from a seed"):
        build_engine(**options)
    assert build_engine(**options, measures=True)


def test_the_selection_for_training_leaves_photographs_out() -> None:
    select = runpy.run_path(str(ROOT / "weights" / "select_data.py"))["select"]
    rows = [{"file": f"bg/{name}", "licence": "CC0", "kind": ""} for name in (KEPT, TRAINED)]
    assert [row["file"] for row in select(rows)] == [f"bg/{TRAINED}"]


def test_a_small_set_is_made_gone_on_with_and_scored(
    tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        raster.library()
    except A2UError as error:
        pytest.skip(str(error))
    orders = validation.list_orders(photographs, each=1, size=48, detail=0.05)
    folder = tmp_path / "set"
    validation.render(folder, orders)
    assert capsys.readouterr().err.count("rendered") == len(validation.GROUPS)
    validation.render(folder, orders)
    assert not capsys.readouterr().err
    cases = list(validation.read_cases(folder, each=1))
    assert [case.width for case in cases] == list(validation.GROUPS)
    methods = {"truth": lambda case: case.truth / np.float32(255)}
    methods["fill"] = eval_dev.BASELINES["fill"]
    results, _ = eval_dev.evaluate(methods, cases)
    table = validation.report(results)
    assert table.count("| truth | 0.00 |") == table.count("| fill |") == len(validation.SHOWN)
    eval_dev.write_rows(results, tmp_path / "rows.csv", at="group")
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["group"] for row in rows} == set(validation.GROUPS) and len(rows) == 16


def test_the_sheet_shows_the_worst_first() -> None:
    scores = {("hair", f"hair_{n}"): sad for n, sad in enumerate((1.0, 3.0))}
    found = {at: eval_dev.Scores(*(sad, *[0.0] * 6)) for at, sad in scores.items()}
    strips = [np.full((400, 1600, 3), level, np.uint8) for level in (50, 200)]
    sheet = validation.lay_out({"mine": found}, strips)
    assert sheet.shape == (400, 800, 3)
    assert sheet[100, 700, 0] == 200 and sheet[300, 700, 0] == 50


def test_a_trimap_reaches_as_far_as_its_order_says() -> None:
    alpha = np.zeros((96, 96), np.float32)
    alpha[30:66, 30:66] = 1
    shares = []
    for bands in ((1.0, 1.0), (60.0, 60.0)):
        order = sets.Order("hard", 1, 96, backgrounds="white", bands=bands)
        files = sets._composite(order, np.full((96, 96, 3), 0.5, np.float32), alpha)
        trimap = images.read_grey(files["trimaps/hard_000001.png"])
        shares.append(float(((trimap > 0) & (trimap < 1)).mean()))
    assert shares[0] < 0.05 and shares[1] > 0.15
