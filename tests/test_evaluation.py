"""A data set's files find each other whatever the layout, and every picture is a row."""

from pathlib import Path

import numpy as np
import pytest

from a2u_cli.errors import A2UError
from a2u_cli.images import write_image
from a2u_cli.scoring.evaluation import evaluate, means
from a2u_cli.scoring.layouts import find_items
from a2u_cli.scoring.metrics import score

Levels = np.ndarray


def matte(seed: int) -> Levels:
    return np.random.default_rng(seed).integers(0, 256, (12, 16), dtype=np.uint8)


def trimap() -> Levels:
    levels = np.full((12, 16), 128, np.uint8)
    levels[:3], levels[-3:] = 0, 255
    return levels


def put(folder: Path, **pictures: Levels) -> None:
    for name, levels in pictures.items():
        write_image(folder / f"{name}.png", levels)


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    return tmp_path / "predictions"


def states(root: Path, predictions: Path) -> dict[str, str]:
    return {row.item.name: row.state for row in evaluate(find_items(predictions, root))}


@pytest.mark.parametrize(
    ("truth", "trimaps", "name"),
    [
        ("alpha_copy", "trimaps", "Composition-1k, truth copied to every composite"),
        (
            "Test_set/alpha_copy",
            "Test_set/trimaps",
            "Composition-1k, truth copied to every composite",
        ),
        ("gt_lowres", "trimap_lowres/Trimap1", "alphamatting.com"),
        ("validation/mask", "validation/trimap", "AM-2k, P3M or AIM-500"),
        ("mask", "trimap", "AM-2k, P3M or AIM-500"),
    ],
)
def test_known_layouts_are_recognised(
    tmp_path: Path, predictions: Path, truth: str, trimaps: str, name: str
) -> None:
    root = tmp_path / "set"
    put(predictions, a=matte(1), b=matte(2))
    put(root / truth, a=matte(3), b=matte(4))
    put(root / trimaps, a=trimap(), b=trimap())
    for given in (root, root / truth):
        found = find_items(predictions, given)
        assert found.layout == name
        assert [row.state for row in evaluate(found)] == ["scored", "scored"]


@pytest.mark.parametrize("base", ["Test_set/", "Test_set/Adobe-licensed images/"])
def test_composites_share_their_truth(tmp_path: Path, predictions: Path, base: str) -> None:
    root = tmp_path / "set"
    put(predictions, cat_0=matte(1), cat_1=matte(2), dog_0=matte(3))
    put(root / base / "alpha", cat=matte(4), dog=matte(5))
    put(root / base / "trimaps", cat_0=trimap(), cat_1=trimap(), dog_0=trimap(), dog_1=trimap())
    rows = {row.item.name: row for row in evaluate(find_items(predictions, root))}
    assert {name: row.state for name, row in rows.items()} == {
        "cat_0": "scored",
        "cat_1": "scored",
        "dog_0": "scored",
        "dog_1": "missing",
    }
    assert rows["cat_1"].scores == score(matte(2), matte(4), trimap())


def test_missing_extra_and_failed_pictures_are_rows(tmp_path: Path, predictions: Path) -> None:
    put(predictions, good=matte(1), extra=matte(2), small=matte(3)[:5], dull=matte(4), un=matte(5))
    (predictions / "broken.png").write_bytes(b"no picture")
    truth, trimaps = tmp_path / "alpha", tmp_path / "trimaps"
    put(truth, **{n: matte(9) for n in ("good", "small", "dull", "gone", "broken", "un")})
    put(trimaps, **{n: trimap() for n in ("good", "small", "gone", "broken")})
    put(trimaps, dull=np.where(trimap() == 128, 127, trimap()).astype(np.uint8))
    rows = {row.item.name: row for row in evaluate(find_items(predictions, truth))}
    assert {name: row.state for name, row in rows.items()} == {
        "good": "scored",
        "small": "failed",
        "dull": "failed",
        "broken": "failed",
        "un": "failed",
        "gone": "missing",
        "extra": "extra",
    }
    assert "nothing to score" in rows["dull"].reason
    assert "no trimap" in rows["un"].reason
    assert "broken.png is not a picture" in rows["broken"].reason
    assert means(rows.values())["sad"] == rows["good"].scores.sad  # type: ignore[union-attr]


def test_without_trimaps_the_whole_picture_counts(tmp_path: Path, predictions: Path) -> None:
    put(predictions, a=matte(1))
    put(tmp_path / "alpha", a=matte(2))
    found = find_items(predictions, tmp_path / "alpha")
    (row,) = evaluate(found)
    assert not found.has_trimaps
    assert row.scores is not None and row.scores.pixels == 12 * 16
    assert row.strays is None


def test_departures_from_the_known_are_counted(tmp_path: Path, predictions: Path) -> None:
    levels = np.where(trimap() == 128, matte(1), trimap()).astype(np.uint8)
    levels[0, :4] = 9
    put(predictions, a=levels)
    put(tmp_path / "gt", a=matte(2))
    put(tmp_path / "t", a_trimap=trimap())
    (row,) = evaluate(find_items(predictions, tmp_path / "gt", tmp_path / "t"))
    assert row.strays == pytest.approx(4 / (6 * 16))


def test_names_of_our_own_outputs_match_the_truth(tmp_path: Path, predictions: Path) -> None:
    put(predictions, a_alpha=matte(1))
    put(tmp_path / "gt", a=matte(2))
    assert states(tmp_path / "gt", predictions) == {"a": "scored"}


def test_folders_that_cannot_be_meant_are_refused(tmp_path: Path, predictions: Path) -> None:
    put(predictions, a=matte(1))
    with pytest.raises(A2UError, match="is both predictions and truth"):
        find_items(predictions, predictions)
    with pytest.raises(A2UError, match="is no folder, expected the truth"):
        find_items(predictions, tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(A2UError, match="has no pictures, expected the true alphas"):
        find_items(predictions, tmp_path / "empty")
    with pytest.raises(A2UError, match="has no pictures, expected mattes"):
        find_items(tmp_path / "empty", predictions)
    write_image(predictions / "a.tif", matte(3))
    put(tmp_path / "gt", a=matte(2))
    with pytest.raises(A2UError, match=r"a has more than one matte .*keep one"):
        find_items(predictions, tmp_path / "gt")


def test_workers_change_nothing(tmp_path: Path, predictions: Path) -> None:
    put(predictions, **{f"p{n}": matte(n) for n in range(8)})
    put(tmp_path / "gt", **{f"p{n}": matte(n + 50) for n in range(8)})
    found = find_items(predictions, tmp_path / "gt")
    seen: list[str] = []
    rows = evaluate(found, workers=3, report=lambda row: seen.append(row.item.name))
    assert rows == evaluate(found)
    assert seen == [row.item.name for row in rows]
