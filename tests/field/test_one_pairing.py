"""What `eval` scores is found as `batch` finds it, wherever the folders lie."""

from pathlib import Path

import numpy as np
import pytest
from conftest import RunA2U
from small_folders import mask, photo, put, trimap

from a2u_cli.errors import A2UError
from a2u_cli.jobs.folder import run
from a2u_cli.jobs.journal import Journal
from a2u_cli.jobs.options import Options
from a2u_cli.pairing import find_pairs
from a2u_cli.scoring.layouts import find_items

TRUTH_TOO = ("truth", "mattes", "alphas", "mask", "masks")


def half(_image: np.ndarray, known: np.ndarray) -> np.ndarray:
    return (known / 255).astype(np.float32)


def names(*found: tuple[object, ...]) -> list[str]:
    return [str(item.name) for each in found for item in each]  # type: ignore[attr-defined]


def test_each_pictures_trimap_is_looked_for_where_a_batch_does(tmp_path: Path) -> None:
    """Below, beside, in a folder beside, and of `eval` alone right above."""
    trimaps = {"below": "gt/trimap/below", "beside": "gt/beside_trimap"}
    trimaps |= {"sibling": "trimap/sibling", "above": "above_trimap"}
    for name, place in trimaps.items():
        mask(tmp_path / "m" / f"{name}.png"), mask(tmp_path / "gt" / f"{name}.png")
        trimap(tmp_path / f"{place}.png")
    trimap(tmp_path / "trimap" / "beside.png")  # the one beside comes first
    found = find_items(tmp_path / "m", tmp_path / "gt")
    assert {item.name: item.trimap for item in found.items} == {
        name: tmp_path / f"{place}.png" for name, place in trimaps.items()
    }
    hints = {pair.name: pair.hint for pair in find_pairs(tmp_path / "gt").found}
    assert hints == {name: tmp_path / f"{trimaps[name]}.png" for name in hints}
    assert [*hints] == ["below", "beside", "sibling"]


@pytest.mark.parametrize("inner", ["", "sub"])
def test_the_folder_beside_is_found_from_within(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inner: str
) -> None:
    photo(tmp_path / "photos" / "x.png"), mask(tmp_path / "m" / "x.png")
    mask(tmp_path / "gt" / "x.png"), trimap(tmp_path / "trimap" / "x.png")
    for folder in ("photos", "gt"):
        (tmp_path / folder / "sub").mkdir()
        monkeypatch.chdir(tmp_path / folder / inner)
        above = Path("..") if inner else Path()
        if folder == "photos":
            assert [pair.name for pair in find_pairs(above).found] == ["x"]
        else:
            assert find_items(above / ".." / "m", above).has_trimaps


@pytest.mark.parametrize("out", ["photos", "photos/results"])
def test_results_among_the_truth_are_no_truth(run_a2u: RunA2U, tmp_path: Path, out: str) -> None:
    photos, folder = tmp_path / "photos", tmp_path / out
    put(photos, "x")
    mask(photos / "x_alpha.png")
    folder.mkdir(exist_ok=True)
    options = Options(save=("alpha", "cutout"))
    pairs = find_pairs(photos).found
    assert len([*run(pairs, folder, half, options, journal=Journal(folder))]) == 1
    found = run_a2u("eval", folder / "alpha", "--gt", photos)
    assert found.code == 0, found.stdout
    assert "1 scored, 0 failed, 0 missing, 0 extra" in found.stdout.decode()
    assert f"trimaps: {photos}" in found.stdout.decode()


def test_of_folders_in_one_another_each_holds_its_own_alone(tmp_path: Path) -> None:
    for name in ("m/x", "m/gt/x", "g/x", "g/m/x", "g/old/x"):
        mask(tmp_path / f"{name}.png")
    trimap(tmp_path / "g" / "old" / "x.png")
    assert names(find_items(tmp_path / "m", tmp_path / "m" / "gt").items) == ["x"]
    found = find_items(tmp_path / "g" / "m", tmp_path / "g", tmp_path / "g" / "old")
    assert (names(found.items), found.has_trimaps) == (["x"], True)


def test_trimaps_that_are_named_and_fit_nothing_are_refused(tmp_path: Path) -> None:
    """Else the whole picture would count without a word."""
    mask(tmp_path / "m" / "x.png"), mask(tmp_path / "gt" / "x.png")
    trimap(tmp_path / "t" / "Trimap1" / "x.png")
    with pytest.raises(A2UError, match=r"t has no trimap of these pictures, expected some; check"):
        find_items(tmp_path / "m", tmp_path / "gt", tmp_path / "t")


def test_the_whole_picture_needs_no_trimaps_and_names_none(run_a2u: RunA2U, tmp_path: Path) -> None:
    mask(tmp_path / "m" / "x.png"), mask(tmp_path / "gt" / "x.png")
    for suffix in ("_trimap", "-trimap"):
        trimap(tmp_path / "gt" / f"x{suffix}.png")
    arguments = ("eval", tmp_path / "m", "--gt", tmp_path / "gt")
    assert run_a2u(*arguments).code == 2  # two could be meant
    found = run_a2u(*arguments, "--region", "whole")
    assert (found.code, "trimaps: none are used" in found.stdout.decode()) == (0, True)


@pytest.mark.parametrize("truth", TRUTH_TOO)
def test_a_data_set_that_is_matted_is_scored_by_its_root(tmp_path: Path, truth: str) -> None:
    photo(tmp_path / "set" / "images" / "x.png"), mask(tmp_path / "set" / truth / "x.png")
    mask(tmp_path / "m" / "x.png")
    if "mask" not in truth:
        trimap(tmp_path / "set" / "trimaps" / "x.png")
    pairs = find_pairs(tmp_path / "set")
    assert (names(pairs.found), pairs.unpaired, pairs.left_out) == (["x"], (), ())
    (item,) = find_items(tmp_path / "m", tmp_path / "set").items
    assert (item.truth, item.image) == tuple(
        tmp_path / "set" / folder / "x.png" for folder in (truth, "images")
    )
