"""Every picture of a folder finds its own trimap, or is named."""

from pathlib import Path

import numpy as np
import pytest

from a2u_cli.errors import ImageError
from a2u_cli.images import write_image
from a2u_cli.pairing import find_pairs


def put(folder: Path, *names: str) -> None:
    for name in names:
        write_image(folder / name, np.zeros((2, 2), np.uint8))


def pairs(folder: Path, **options: Path) -> dict[str, tuple[str, str, bool]]:
    found = find_pairs(folder, **options)
    return {
        p.name: (p.image.name, p.hint.relative_to(folder.parent).as_posix(), p.is_mask)
        for p in found.found
    }


def test_a_suffix_beside_the_picture_pairs(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    put(
        folder,
        "a.jpg",
        "a_trimap.png",
        "b c.png",
        "b c-trimap.png",
        "sub/ж.png",
        "sub/ж.trimap.png",
    )
    put(folder, "e_rgb.png", "e_tri.png", "f.png", "f_mask.png", "alone.png", "a_alpha.png")
    assert pairs(folder) == {
        "a": ("a.jpg", "d/a_trimap.png", False),
        "b c": ("b c.png", "d/b c-trimap.png", False),
        "sub/ж": ("ж.png", "d/sub/ж.trimap.png", False),
        "e_rgb": ("e_rgb.png", "d/e_tri.png", False),
        "f": ("f.png", "d/f_mask.png", True),
    }
    assert [p.name for p in find_pairs(folder).unpaired] == ["alone.png"]


def test_a_folder_of_trimaps_pairs_by_path_and_stem(tmp_path: Path) -> None:
    photos, hints = tmp_path / "photos", tmp_path / "hints"
    put(photos, "a.jpg", "x/b_image.png", "x/c.png")
    put(hints, "a.png", "x/b.png", "x/c_trimap.png")
    assert {name: hint for name, (_, hint, _) in pairs(photos, trimaps=hints).items()} == {
        "a": "hints/a.png",
        "x/b_image": "hints/x/b.png",
        "x/c": "hints/x/c_trimap.png",
    }


@pytest.mark.parametrize(
    ("images", "trimaps"),
    [
        ("image", "trimap"),
        ("merged", "trimaps"),
        ("input_lowres", "trimap_lowres/Trimap1"),
        ("", "trimap"),
    ],
)
def test_folders_of_known_roles_are_recognised(tmp_path: Path, images: str, trimaps: str) -> None:
    folder = tmp_path / "d"
    put(folder / images, "a.png", "n/b.png")
    put(folder / trimaps, "a.png", "n/b.png")
    put(folder, "alpha/a.png", "alpha/n/b.png", "bg/other.png", "a2u_output/alpha/a.png")
    assert set(pairs(folder)) == {"a", "n/b"}
    assert not find_pairs(folder).unpaired


def test_results_of_earlier_runs_are_no_pictures(tmp_path: Path) -> None:
    put(tmp_path / "d", "a.png", "a_trimap.png", "out/alpha/a.png", "a_cutout.png", ".hidden.png")
    found = find_pairs(tmp_path / "d", skip=tmp_path / "d" / "out")
    assert [p.name for p in found.found] == ["a"]
    assert not found.unpaired


def test_what_could_be_meant_twice_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "one", "a.png", "a.jpg", "a_trimap.png")
    with pytest.raises(ImageError, match="would have one result; rename one"):
        find_pairs(tmp_path / "one")
    put(tmp_path / "two", "a.png", "a_trimap.png", "a_trimap.tif")
    with pytest.raises(ImageError, match="more than one trimap or mask"):
        find_pairs(tmp_path / "two")


def test_two_folders_with_one_stem_stay_apart(tmp_path: Path) -> None:
    put(tmp_path, "a/x.jpg", "a/x_trimap.png", "b/x.png", "b/x_trimap.png")
    assert set(pairs(tmp_path)) == {"a/x", "b/x"}


def test_folders_that_are_none_or_empty_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is no folder, expected one with pictures"):
        find_pairs(tmp_path / "missing")
    with pytest.raises(ImageError, match="has no pictures to matte"):
        find_pairs(tmp_path)
