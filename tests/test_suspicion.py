"""What can be told of a matte without truth: small arrays, counted by hand."""

import numpy as np
import pytest

from a2u_cli.errors import ImageError
from a2u_cli.scoring.suspicion import WEIGHTS, Views, measure, suspect, widen

Array = np.ndarray


def row(*values: float) -> Array:
    return np.array([values], np.float32)


def trimap_of(*values: int) -> Array:
    return np.array([values], np.uint8)


TRIMAP = trimap_of(0, 0, 128, 128, 128, 128, 255, 255)
ALPHA = row(0, 0, 0, 0.25, 0.75, 1, 1, 1)
WIDE = trimap_of(0, 128, 128, 128, 128, 128, 128, 255)
GREY = np.full((1, 8, 3), 0.5, np.float32)


def views(mirrored: Array, widened: Array | None = None, wide: Array = WIDE) -> Views:
    """Give two views, which are alike where but one is told."""
    return Views(mirrored, mirrored if widened is None else widened, wide)


def kinds(trimap: Array, alpha: Array, view: Views, image: Array = GREY) -> list[str]:
    return [reason.kind for reason in suspect(image, trimap, alpha, view).reasons]


def test_a_matte_that_all_agree_on_is_above_suspicion() -> None:
    hard = row(0, 0, 0, 0, 1, 1, 1, 1)
    found = suspect(GREY, TRIMAP, hard, views(hard))
    assert found.score == 0
    assert found.reasons == ()


def test_disagreement_is_the_mean_over_the_unknown() -> None:
    view = views(row(0, 0, 0.2, 0.25, 0.55, 1, 1, 1), ALPHA)
    assert measure(GREY, TRIMAP, ALPHA, view).disagreement == pytest.approx(0.1)


def test_undecided_is_the_share_of_the_unknown_that_is_neither_0_nor_1() -> None:
    assert measure(GREY, TRIMAP, ALPHA, views(ALPHA)).undecided == 0.5
    assert "undecided" not in kinds(TRIMAP, ALPHA, views(ALPHA))
    soft = row(0, 0, 0.05, 0.3, 0.5, 0.7, 1, 1)
    assert "undecided" in kinds(TRIMAP, soft, views(soft))


def test_what_is_soft_where_the_unknown_begins_tells_of_a_tight_trimap() -> None:
    soft = row(0, 0, 0.3, 0.4, 0.6, 0.9, 1, 1)
    found = measure(GREY, TRIMAP, soft, views(soft))
    assert found.border == pytest.approx((0.3 + 0.1) / 2)
    assert "tight trimap" in kinds(TRIMAP, soft, views(soft))
    assert measure(GREY, TRIMAP, ALPHA, views(ALPHA)).border == 0


def test_another_view_that_sees_the_contrary_beside_the_unknown_tells_of_a_wrong_trimap() -> None:
    view = views(ALPHA, row(0, 0.8, 0, 0.25, 0.75, 1, 0.9, 1))
    found = measure(GREY, TRIMAP, ALPHA, view)
    assert found.contradicted == 0.5  # of two pixels
    assert found.beyond == pytest.approx((0.8 + 0.1) / 4)  # for each of four unknown ones
    assert "wrong trimap" in kinds(TRIMAP, ALPHA, view)


def test_a_matte_of_another_trimap_strays_where_this_one_knows() -> None:
    stray = row(0, 1, 0, 0.25, 0.75, 1, 1, 1)
    assert measure(GREY, TRIMAP, stray, views(ALPHA)).strays == 0.25
    assert kinds(TRIMAP, stray, views(ALPHA))[0] == "another trimap"


def test_colours_that_laid_together_miss_the_picture_are_a_residual(
    rng: np.random.Generator,
) -> None:
    trimap = np.full((32, 32), 128, np.uint8)
    alpha = np.full((32, 32), 0.5, np.float32)
    smooth, noisy = np.full((32, 32, 3), 0.5, np.float32), rng.random((32, 32, 3), np.float32)
    view = views(alpha, wide=trimap)
    assert measure(smooth, trimap, alpha, view).residual < 1e-3
    assert measure(noisy, trimap, alpha, view).residual > 0.05
    assert "colours unexplained" in kinds(trimap, alpha, view, noisy)


@pytest.mark.parametrize(("lacking", "other"), [("foreground", 0), ("background", 255)])
def test_a_trimap_that_lacks_one_side_is_a_reason(lacking: str, other: int) -> None:
    trimap = np.where((TRIMAP == 128) | (other == TRIMAP), TRIMAP, 128).astype(np.uint8)
    assert f"no {lacking}" in kinds(trimap, ALPHA, views(ALPHA))
    assert "mostly unknown" in kinds(trimap, ALPHA, views(ALPHA))


def test_a_picture_all_of_whose_pixels_are_unknown_is_measured() -> None:
    trimap = np.full((1, 8), 128, np.uint8)
    found = measure(GREY, trimap, ALPHA, views(ALPHA, wide=trimap))
    assert (found.border, found.beyond, found.contradicted, found.strays) == (0, 0, 0, 0)


def test_a_smaller_view_is_compared_at_its_size() -> None:
    trimap, alpha = np.repeat(TRIMAP, 4, 1).repeat(4, 0), np.repeat(ALPHA, 4, 1).repeat(4, 0)
    image = np.full((4, 32, 3), 0.5, np.float32)
    found = measure(image, trimap, alpha, views(ALPHA))
    assert found.disagreement == pytest.approx(0, abs=1e-6)
    assert found.beyond == pytest.approx(0, abs=1e-6)


def test_widening_takes_back_what_is_known_near_the_unknown_alone() -> None:
    trimap = np.zeros((9, 40), np.uint8)
    trimap[:, 20], trimap[:, 21:] = 128, 255
    wide = widen(trimap)
    assert (wide[4] == 128).nonzero()[0].tolist() == [18, 19, 20, 21, 22]
    assert (trimap[4] == 128).sum() == 1
    nothing = np.zeros((9, 9), np.uint8)
    assert (widen(nothing) == nothing).all()


def test_the_score_is_an_error_between_0_and_1_and_its_weights_are_few_and_not_negative() -> None:
    worst = suspect(GREY, TRIMAP, 1 - ALPHA, views(row(1, 1, 0, 0, 1, 0, 0, 0)))
    assert 0 < worst.score <= 1
    assert len(WEIGHTS) <= 4
    assert min(WEIGHTS.values()) > 0


def test_arrays_of_two_pictures_are_refused() -> None:
    with pytest.raises(ImageError, match=r"the matte is 7x1, its picture 8x1 and its trimap 8x1"):
        suspect(GREY, TRIMAP, ALPHA[:, :7], views(ALPHA))
