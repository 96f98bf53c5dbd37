"""Trimaps from a box around an object, as a function and as a command."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import RunA2U

from a2u_cli.errors import ImageError, TrimapError
from a2u_cli.images import write_image
from a2u_cli.matting import box as module
from a2u_cli.matting.box import Box, box_trimap, find_object, parse_box
from a2u_cli.trimap import read_trimap
from a2u_cli.units import FloatArray

OBJECT = (slice(12, 36), slice(20, 44))
BOX = (14, 8, 36, 34)


def photo(scale: int = 1) -> FloatArray:
    """Draw a red square on a mottled green."""
    image = np.random.default_rng(5).random((48, 64, 3), np.float32) * np.float32(0.2)
    image[..., 1] += 0.5
    image[OBJECT] = image[OBJECT][..., [1, 0, 2]]
    return np.kron(image, np.ones((scale, scale, 1), np.float32))


def test_the_object_in_a_box_is_found_with_a_band_around_it() -> None:
    expected = np.zeros((48, 64), np.float32)
    expected[OBJECT] = 1
    assert np.array_equal(find_object(photo(), BOX), expected)
    trimap = box_trimap(photo(), BOX, "3px")
    assert (trimap[15:33, 23:41] == 255).all() and trimap[14, 30] == 128
    assert trimap[9, 30] == 128 and (trimap[:9] == 0).all() and (trimap[:, 47:] == 0).all()
    wide = box_trimap(photo(), BOX, "0", outside="6px")
    assert (wide[OBJECT] == 255).all() and wide[6, 30] == 128


def test_a_box_is_cut_off_at_the_picture_and_a_large_picture_is_looked_at_in_coarse_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beyond = find_object(photo()[:, 20:], (-30, 8, 60, 90))
    assert (beyond[12:36, :24] == 1).all() and beyond.sum() == 24 * 24
    monkeypatch.setattr(module, "MOST", 1000)
    exact = np.zeros((192, 256), np.float32)
    exact[48:144, 80:176] = 1
    found = find_object(photo(4), (56, 32, 144, 136))
    assert 0 < found[47, 120] < 1  # soft, so unknown whatever the band
    assert (
        np.abs(found - exact).max(where=np.abs(cv2.blur(exact, (17, 17)) - 0.5) > 0.49, initial=0)
        == 0
    )


def test_the_same_box_gives_the_same_trimap_whatever_opencv_drew_before_and_what_it_draws_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """GrabCut draws from its thread's generator: it neither sees nor moves the caller's."""

    def drawn() -> list[float]:
        return cv2.randu(np.zeros(4), np.zeros(1), np.ones(1)).ravel().tolist()

    firsts: list[list[float]] = []
    grab: Callable[..., object] = cv2.grabCut

    def noting(*words: object) -> object:
        firsts.append(drawn())
        return grab(*words)

    monkeypatch.setattr(cv2, "grabCut", noting)
    found = []
    for seed in (1, 2):
        cv2.setRNGSeed(seed)
        found.append(box_trimap(photo(), BOX, "2px"))
        after = drawn()
        cv2.setRNGSeed(seed)
        assert after == drawn()
    assert firsts[0] == firsts[1] and np.array_equal(found[0], found[1])


REFUSED = [
    ((5, 5, 0, 9), "box 5,5,0,9 is empty; expected x,y,width,height in whole pixels"),
    ((5, 5, 9, -1), "box 5,5,9,-1 is empty"),
    ((64, 0, 9, 9), "box 64,0,9,9 lies beside the picture, which is 64x48"),
    ((-9, -9, 9, 9), "lies beside the picture"),
    ((-1, 0, 99, 48), "holds all of the picture, which is 64x48; leave some background"),
    ((0, 0, 1, 1), "nothing in the box 0,0,1,1 stands out from what is around it; draw the box"),
]


@pytest.mark.parametrize(("box", "words"), REFUSED, ids=str)
def test_a_box_without_an_object_is_refused(box: Box, words: str) -> None:
    with pytest.raises(TrimapError, match=words):
        box_trimap(photo(), box, "3px")


@pytest.mark.parametrize("size", [(1, 9), (9, 1), (2, 2), (48, 64)])
def test_one_colour_holds_no_object_at_any_size(size: tuple[int, int]) -> None:
    for grey in (0.0, 0.4, 1.0):
        with pytest.raises(TrimapError, match="nothing in the box 0,0,1,1 stands out"):
            box_trimap(np.full((*size, 3), grey, np.float32), (0, 0, 1, 1), "3px")


def test_what_is_no_picture_of_an_object_is_refused() -> None:
    with pytest.raises(TrimapError, match="holds all of the picture, which is 1x1"):
        box_trimap(np.zeros((1, 1, 3), np.float32), (0, 0, 1, 1), "3px")
    with pytest.raises(TrimapError, match="black and white, as a mask is"):
        box_trimap(np.rint(photo()[..., [1, 1, 1]]), BOX, "3px")
    with pytest.raises(ImageError, match="image"):
        box_trimap(photo()[..., 0], BOX, "3px")


def test_a_box_is_read_from_four_whole_numbers() -> None:
    assert parse_box(" -4, 5,60 ,7") == (-4, 5, 60, 7)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_image(tmp_path / "p.png", photo())
    return tmp_path


def test_the_command_makes_a_trimap_of_a_photo_and_a_box(run_a2u: RunA2U, place: Path) -> None:
    words = ("trimap", place / "p.png", "--box", "14,8,36,34", "--band", "3", "--no-provenance")
    run = run_a2u(*words)
    assert run.code == 0 and run.stdout.decode().strip() == str(place / "p_trimap.png")
    assert "trimap: background" in run.stderr
    made = read_trimap(place / "p_trimap.png", strict=True)
    assert (made[15:33, 23:41] == 255).all() and (made[:9] == 0).all()
    again = run_a2u(*words)
    assert again.code == 2 and "--force" in again.stderr
    piped = run_a2u("trimap", "-", *words[2:], stdin=(place / "p.png").read_bytes())
    assert piped.stdout == (place / "p_trimap.png").read_bytes()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--box", "1,2,3"], "box '1,2,3' is none; expected x,y,width,height in whole pixels"),
        (["--box", "1,2,3,4.5"], "box '1,2,3,4.5' is none"),
        (["--box", "1,2,0,4"], "box 1,2,0,4 is empty"),
        (["--box", "99,2,3,4"], "box 99,2,3,4 lies beside the picture, which is 64x48"),
        (["--box", "14,8,36,34", "--invert"], "--invert would do nothing: the object is found"),
        (["--box", "14,8,36,34", "--band", "x"], "band 'x' is no width"),
        (["--box", "14,8,36,34", "-o", "x.jpg"], "would blur the trimap"),
    ],
)
def test_the_command_refuses_in_a_line_and_writes_nothing(
    run_a2u: RunA2U, place: Path, words: list[str], told: str
) -> None:
    run = run_a2u("trimap", place / "p.png", *words)
    assert run.code == 2 and told in run.stderr and len(run.stderr.splitlines()) == 1
    assert [path.name for path in place.iterdir()] == ["p.png"]


def test_a_box_is_of_one_photo_and_no_mask(run_a2u: RunA2U, place: Path) -> None:
    run = run_a2u("trimap", place, "--box", "14,8,36,34")
    assert run.code == 2 and "--box would do nothing: a folder's objects" in run.stderr
    mask = np.zeros((48, 64), np.float32)
    mask[OBJECT] = 1
    write_image(place / "m.png", mask)
    run = run_a2u("trimap", place / "m.png", "--box", "14,8,36,34")
    assert run.code == 2 and "black and white, as a mask is" in run.stderr
