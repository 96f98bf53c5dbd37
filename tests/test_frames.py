"""A sequence is found by its pattern, its folder or as a film, and its gaps are named."""

from pathlib import Path

import numpy as np
import pytest

from a2u_cli.errors import ImageError
from a2u_cli.images import write_image
from a2u_cli.images.frames import FileFrames, find_frames, find_keys, gaps

PIXEL = np.zeros((2, 3, 3), np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (8, 9, 10, 13):
        write_image(tmp_path / "shot" / f"plate_v2.{number:04}.png", PIXEL)
    (tmp_path / "shot" / "notes.txt").write_text("no frame")
    return tmp_path / "shot"


@pytest.mark.parametrize(
    "pattern", ["", "plate_v2.####.png", "plate_v2.%04d.png", "plate_v2.@@@@.png"]
)
def test_a_folder_and_a_pattern_give_the_same_frames(folder: Path, pattern: str) -> None:
    found = find_frames(folder / pattern)
    assert found.numbers == (8, 9, 10, 13)
    assert found.name(9) == "plate_v2.0009"
    assert found.files == tuple(folder / f"plate_v2.{n:04}.png" for n in found.numbers)


def test_numbers_need_no_zeros_and_come_in_order(tmp_path: Path) -> None:
    for number in (100, 9, 10):
        write_image(tmp_path / f"f{number}.png", PIXEL)
    assert find_frames(tmp_path).numbers == (9, 10, 100)
    assert find_frames(tmp_path / "f%d.png").numbers == (9, 10, 100)


def test_gaps_are_named() -> None:
    assert gaps((1, 2, 4, 9, 10)) == ["3", "5-8"]
    assert gaps((5,)) == []


def test_a_pattern_means_as_many_digits_as_it_has(folder: Path) -> None:
    with pytest.raises(ImageError, match="matches no file"):
        find_frames(folder / "plate_v2.###.png")


def test_what_is_no_sequence_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="empty has no numbered pictures, expected frames as"):
        find_frames(tmp_path / "empty")
    with pytest.raises(ImageError, match=r"is one picture.*plate_v2\.####\.png"):
        find_frames(folder / "plate_v2.0008.png")
    with pytest.raises(ImageError, match="does not exist, expected a folder of numbered"):
        find_frames(folder / "other")
    write_image(folder / "other.0001.png", PIXEL)
    with pytest.raises(
        ImageError, match=r"holds 2 sequences \(.*other\.####\.png.*give the pattern"
    ):
        find_frames(folder)


def test_one_file_is_a_key_by_its_number(folder: Path) -> None:
    assert find_keys(folder / "plate_v2.0013.png").by_number == {13: folder / "plate_v2.0013.png"}
    write_image(folder / "key.png", PIXEL)
    with pytest.raises(ImageError, match=r"key\.png has no frame number, expected one as"):
        find_keys(folder / "key.png")


def test_frames_are_read_in_any_order(folder: Path) -> None:
    write_image(folder / "plate_v2.0009.png", PIXEL + 1)
    found = find_frames(folder)
    assert isinstance(found, FileFrames)
    with found.reading() as reader:
        assert reader.read(9).image.min() == 1
        assert reader.read(8).image.max() == 0
    assert found.digest(8) == found.digest(10) != found.digest(9)
