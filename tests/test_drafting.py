"""Coarse mattes while a trimap is painted, and where they are in doubt."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from a2u_cli.errors import Interrupted, TrimapError
from a2u_cli.matting import doubt as doubts
from a2u_cli.matting import drafting
from a2u_cli.matting.doubt import doubt, next_place
from a2u_cli.matting.drafting import draft, draft_size
from a2u_cli.matting.inference import matte
from a2u_cli.matting.matter import Matter
from a2u_cli.trimap import shrink_trimap
from a2u_cli.units import FloatArray, Trimap


@pytest.fixture(scope="module")
def matter(weights: Path) -> Matter:
    return Matter(weights, device="cpu", quality="best")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draft at few pixels."""
    monkeypatch.setattr(drafting, "MOST", 1000)


def sample(height: int, width: int) -> tuple[FloatArray, Trimap]:
    trimap = np.full((height, width), 128, np.uint8)
    trimap[:, : width // 3], trimap[:, -(width // 3) :] = 0, 255
    return np.random.default_rng(1).random((height, width, 3), np.float32), trimap


@pytest.mark.parametrize(
    ("size", "expected"),
    [((500, 500), (500, 500)), ((1000, 1000), (500, 500)), ((3000, 4000), (433, 577))],
)
def test_a_draft_has_at_most_so_many_pixels(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert draft_size(size) == expected
    assert draft_size((1, 10**6))[0] == 1


def test_a_small_picture_is_drafted_by_one_pass_over_it(matter: Matter) -> None:
    image, trimap = sample(20, 30)
    expected = matte(matter.network, image, trimap, quality="fast")
    assert np.array_equal(draft(matter, image, trimap), expected)


def test_a_large_picture_is_drafted_small_and_what_is_known_all_over_stays(
    matter: Matter, few: None
) -> None:
    image, trimap = sample(64, 80)
    alpha = draft(matter, image, trimap)
    assert alpha.shape == (28, 35) and alpha.dtype == np.float32
    assert (alpha[:, :11] == 0).all() and (alpha[:, -11:] == 1).all()
    assert ((alpha > 0) & (alpha < 1)).any()


@pytest.mark.parametrize("size", [(4, 4), (3, 5), (7, 7)])
def test_known_is_in_a_smaller_trimap_what_is_known_all_over(size: tuple[int, int]) -> None:
    trimap = np.full((8, 8), 255, np.uint8)
    trimap[:, :4] = 0
    trimap[5, 1] = 128
    small = shrink_trimap(trimap, size)
    for (row, column), kind in np.ndenumerate(small):
        rows = slice(row * 8 // size[0], -(-(row + 1) * 8 // size[0]))
        columns = slice(column * 8 // size[1], -(-(column + 1) * 8 // size[1]))
        block = set(trimap[rows, columns].ravel().tolist())
        assert int(kind) == (block.pop() if len(block) == 1 else 128)


def test_doubt_is_where_the_mirrored_view_differs_and_costs_one_pass_beside_a_matte(
    matter: Matter, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, trimap = sample(30, 60)
    seen: list[FloatArray] = []

    def view(_: Matter, image: FloatArray, trimap: Trimap, *, watch: object) -> FloatArray:
        """See a spot at the left of whatever is shown."""
        seen.append(image)
        alpha = np.zeros(trimap.shape, np.float32)
        alpha[10:20, 20:28] = 1
        return alpha

    monkeypatch.setattr(doubts, "small_pass", view)
    found = doubt(matter, image, trimap)
    assert len(seen) == 2 and np.array_equal(seen[1], image[:, ::-1])
    assert (found[trimap != 128] == 0).all() and 0.5 < found.max() <= 1
    np.testing.assert_allclose(found, found[:, ::-1], atol=1e-6)
    assert found[15, 24] > 0.5 > 0.1 > found[1, 30]
    larger = np.full((60, 120), 0.5, np.float32)
    assert doubt(matter, image, trimap, larger).shape == (30, 60) and len(seen) == 3
    assert next_place(np.zeros_like(found), trimap) is None


def test_doubt_lies_in_0_to_1_at_the_size_of_a_draft(matter: Matter, few: None) -> None:
    image, trimap = sample(64, 80)
    found = doubt(matter, image, trimap)
    assert found.shape == (28, 35) and found.dtype == np.float32
    assert 0 <= found.min() < found.max() <= 1
    assert np.array_equal(found, doubt(matter, image, trimap, draft(matter, image, trimap)))


@pytest.mark.parametrize("passes", [1, 2])
def test_a_watcher_ends_each_pass_of_doubt_at_once(matter: Matter, few: None, passes: int) -> None:
    """With a matte at hand there is one pass, without there are two."""
    image, trimap = sample(64, 80)
    alpha = draft(matter, image, trimap) if passes == 1 else None
    told: list[float] = []
    doubt(matter, image, trimap, alpha, watch=lambda _, done: told.append(done))
    begun = [later < earlier for earlier, later in pairwise(told)]
    assert 1 + sum(begun) == passes and len(told) > 2 * passes
    last = len(told) - 1

    def stop(_: str, __: float) -> None:
        told.append(0.0)
        if len(told) > last:
            raise Interrupted("cancelled")

    told.clear()
    with pytest.raises(Interrupted):
        doubt(matter, image, trimap, alpha, watch=stop)
    assert len(told) == last + 1


def test_the_place_to_paint_next_is_in_the_middle_of_the_largest_doubt() -> None:
    trimap = np.full((150, 300), 128, np.uint8)
    found = np.zeros((50, 100), np.float32)
    found[5:8, 5:8] = 1  # strong, but small
    found[20:30, 60:70] = 0.6
    x, y = next_place(found, trimap) or (0, 0)
    assert abs(x - 195) <= 3 and abs(y - 75) <= 3
    trimap[:, 150:] = 255
    x, y = next_place(found, trimap) or (0, 0)
    assert abs(x - 19) <= 3 and abs(y - 19) <= 3
    trimap[18:21, 18:21] = 0
    x, y = next_place(found, trimap) or (0, 0)
    assert trimap[y, x] == 128
    with pytest.raises(TrimapError, match="expected uint8"):
        next_place(found, trimap + 1)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (17, 2), (50, 100)])
def test_a_place_is_an_unknown_pixel_at_every_size(size: tuple[int, int]) -> None:
    trimap = np.zeros((61, 113), np.uint8)
    trimap[60, 112] = 128
    if size == (50, 100):
        assert next_place(np.ones(size, np.float32), trimap) == (112, 60)
    trimap[...] = 128
    x, y = next_place(np.ones(size, np.float32), trimap) or (-1, -1)
    assert 0 <= x < 113 and 0 <= y < 61
