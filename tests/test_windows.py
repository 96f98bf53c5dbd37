"""Integer geometry: windows, halos and coverings, against masks of pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2u_cli.matting.windows import Window, blocks_with, cover, grid, pool_bins

SIDES = st.integers(1, 40)
SIZES = st.tuples(SIDES, SIDES)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    height, width = size = draw(SIZES)
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    bottom, right = draw(st.integers(top + 1, height)), draw(st.integers(left + 1, width))
    return Window(top, bottom, left, right, size)


def painted(parts: list[Window], size: tuple[int, int]) -> np.ndarray:
    """Count how many windows hold each pixel."""
    counts = np.zeros(size, int)
    for part in parts:
        assert part.size == size
        assert part.height > 0 and part.width > 0
        counts[part.rows, part.columns] += 1
    return counts


@settings(deadline=None)
@given(windows(), st.integers(0, 9))
def test_a_window_grows_up_to_the_borders(window: Window, margin: int) -> None:
    grown = window.grow(margin)
    inside = painted([window], window.size).astype(bool)
    expected = np.zeros_like(inside)
    for row, column in np.argwhere(inside):
        top, left = max(0, row - margin), max(0, column - margin)
        expected[top : row + margin + 1, left : column + margin + 1] = True
    assert np.array_equal(painted([grown], window.size).astype(bool), expected)


@settings(deadline=None)
@given(windows())
def test_halving_covers_and_doubling_is_exact(window: Window) -> None:
    fine = window.double()
    assert fine.halve() == window
    assert np.array_equal(
        painted([fine], fine.size), painted([window], window.size).repeat(2, 0).repeat(2, 1)
    )
    shifted = Window(
        fine.top + 1, fine.bottom, fine.left, max(fine.left + 1, fine.right - 1), fine.size
    )
    assert shifted.halve() == Window(
        shifted.top // 2,
        (shifted.bottom + 1) // 2,
        shifted.left // 2,
        (shifted.right + 1) // 2,
        window.size,
    )


@settings(deadline=None)
@given(windows(), st.integers(0, 9))
def test_a_window_is_cut_out_of_a_larger_one(window: Window, margin: int) -> None:
    plane = np.arange(np.prod(window.size)).reshape(window.size)
    outer = window.grow(margin)
    found = plane[outer.rows, outer.columns][window.within(outer)]
    assert np.array_equal(found, plane[window.rows, window.columns])


@settings(deadline=None)
@given(SIZES, SIZES)
def test_a_grid_holds_every_pixel_once(size: tuple[int, int], tile: tuple[int, int]) -> None:
    parts = grid(size, tile)
    assert (painted(parts, size) == 1).all()
    assert all(part.height <= tile[0] and part.width <= tile[1] for part in parts)


@settings(deadline=None)
@given(SIZES, SIZES, st.integers(1, 9), st.randoms(use_true_random=False), st.floats(0, 1))
def test_a_cover_holds_the_needed_blocks_once_and_nothing_else(
    size: tuple[int, int], tile: tuple[int, int], block: int, random, share: float
) -> None:
    needed = np.array(
        [
            [random.random() < share for _ in range(-(-size[1] // block))]
            for _ in range(-(-size[0] // block))
        ]
    )
    parts = cover(needed, size, tile, block)
    expected = needed.repeat(block, 0).repeat(block, 1)[: size[0], : size[1]]
    assert np.array_equal(painted(parts, size), expected.astype(int))
    tops = [part.top for part in parts]
    assert tops == sorted(tops)
    for part in parts:
        assert part.height <= max(tile[0], block)
        assert part.width <= max(tile[1], block)


@settings(deadline=None)
@given(SIZES, st.integers(1, 9), st.integers(0, 99))
def test_blocks_are_needed_that_hold_a_marked_pixel(
    size: tuple[int, int], block: int, seed: int
) -> None:
    pixels = np.random.default_rng(seed).random(size) < 0.05
    for (i, j), needed in np.ndenumerate(blocks_with(pixels, block)):
        part = pixels[i * block : (i + 1) * block, j * block : (j + 1) * block]
        assert needed == part.any()


@settings(deadline=None)
@given(windows(), st.integers(0, 9), st.integers(1, 4))
def test_a_window_that_grows_begins_where_a_tile_does(
    window: Window, margin: int, tile: int
) -> None:
    plain, grown = window.grow(margin), window.grow(margin, tile)
    assert (grown.bottom, grown.right) == (plain.bottom, plain.right)
    assert grown.top == plain.top // tile * tile
    assert grown.left == plain.left // tile * tile


@pytest.mark.parametrize(
    ("length", "bins", "expected"),
    [
        (6, 6, [(i, i + 1) for i in range(6)]),
        (8, 3, [(0, 3), (2, 6), (5, 8)]),
        (2, 6, [(0, 1), (0, 1), (0, 1), (1, 2), (1, 2), (1, 2)]),
    ],
)
def test_pooling_bins_may_share_pixels(length: int, bins: int, expected: list) -> None:
    assert list(pool_bins(length, bins)) == expected
