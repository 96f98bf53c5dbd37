"""Check the metrics against a slow oracle, recorded reference numbers, and each port's mistake."""

from dataclasses import astuple, fields, replace
from fractions import Fraction
from math import ceil, exp, hypot, log, pi, sqrt
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from metric_cases import GOLDEN, Case, Grey, coarse, flat, pane, recorded, soft
from numpy.typing import NDArray

from a2u_cli.errors import A2UError, ImageError, TrimapError
from a2u_cli.scoring import metrics
from a2u_cli.scoring.metrics import Scores, connectivity_error, gradient_error, mad, mse, sad, score

Rule = Literal["dim", "a2u"]
RULES: tuple[Rule, Rule] = ("dim", "a2u")


def everywhere(alpha: Grey) -> NDArray[np.bool_]:
    return np.ones(alpha.shape, np.bool_)


# ---------------------------------------------------------------- the slow oracle


def slow_gradient(alpha: Grey) -> dict[tuple[int, int], float]:
    """Convolve pixel by pixel with the normalised derivative filter, borders replicated."""
    height, width = alpha.shape
    low, high = int(alpha.min()), int(alpha.max())
    value = {
        (i, j): (int(alpha[i, j]) - low) / (high - low) if high > low else 0.0
        for i in range(height)
        for j in range(width)
    }
    sigma = 1.4
    half = ceil(sigma * sqrt(-2 * log(sqrt(2 * pi) * sigma * 0.01)))
    gauss = {
        k: exp(-k * k / (2 * sigma**2)) / (sigma * sqrt(2 * pi)) for k in range(-half, half + 1)
    }
    taps = {(i, j): gauss[i] * -j * gauss[j] / sigma**2 for i in gauss for j in gauss}
    norm = sqrt(sum(tap * tap for tap in taps.values()))

    def near(i: int, j: int) -> float:
        return value[min(max(i, 0), height - 1), min(max(j, 0), width - 1)]

    return {
        (i, j): hypot(
            sum(tap * near(i - a, j - b) for (a, b), tap in taps.items()) / norm,
            sum(tap * near(i - b, j - a) for (a, b), tap in taps.items()) / norm,
        )
        for i, j in value
    }


def slow_body(mask: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Flood from the pixels column by column; keep the first of the largest floods."""
    best: set[tuple[int, int]] = set()
    left = set(mask)
    for seed in sorted(mask, key=lambda pixel: (pixel[1], pixel[0])):
        flood, todo = set(), [seed] if seed in left else []
        while todo:
            i, j = todo.pop()
            if (i, j) in left:
                left.remove((i, j))
                flood.add((i, j))
                todo += [(i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)]
        if len(flood) > len(best):
            best = flood
    return best


def slow_connectivity(prediction: Grey, truth: Grey, trimap: Grey, rule: Rule) -> float:
    """Follow the definition in fractions, so that no comparison can be off by rounding."""
    pixels = list(np.ndindex(*truth.shape))
    p = {at: Fraction(int(prediction[at]), 255) for at in pixels}
    t = {at: Fraction(int(truth[at]), 255) for at in pixels}
    level: dict[Any, Fraction] = {}
    for k in range(1, 11):
        mask = {at for at in pixels if p[at] >= Fraction(k, 10) and t[at] >= Fraction(k, 10)}
        if mask or rule == "dim":
            body = slow_body(mask)
            for at in pixels:
                if at not in body and at not in level:
                    level[at] = Fraction(k - 1, 10)
    loss = Fraction(0)
    for at in pixels:
        if trimap[at] == 128:
            phi = []
            for alpha in (p[at], t[at]):
                rise = alpha - level.get(at, Fraction(1))
                phi.append(1 - rise if rise >= Fraction(15, 100) else Fraction(1))
            loss += abs(phi[0] - phi[1])
    return float(loss / 1000)


def slow_score(prediction: Grey, truth: Grey, trimap: Grey, rule: Rule) -> Scores:
    scored = [at for at in np.ndindex(*truth.shape) if trimap[at] == 128]
    off = {at: (int(prediction[at]) - int(truth[at])) / 255 for at in np.ndindex(*truth.shape)}
    grad_p, grad_t = slow_gradient(prediction), slow_gradient(truth)
    return Scores(
        sad=sum(abs(off[at]) for at in scored) / 1000,
        mse=sum(off[at] ** 2 for at in scored) / len(scored),
        grad=sum((grad_p[i, j] - grad_t[i, j]) ** 2 for i, j in scored) / 1000,
        conn=slow_connectivity(prediction, truth, trimap, rule),
        pixels=len(scored),
        whole_mad=sum(map(abs, off.values())) / len(off),
        whole_mse=sum(value**2 for value in off.values()) / len(off),
    )


SLOW_CASES = [
    soft(2, 13, 17),
    soft(4, 11, 7),
    coarse(6, 12, 9),
    coarse(7, 3, 3),
    coarse(8, 1, 9),
    coarse(9, 9, 1),
    (flat(90, (1, 1)), flat(200, (1, 1)), flat(128, (1, 1))),
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", SLOW_CASES, ids=lambda case: "x".join(map(str, case[0].shape)))
def test_scores_agree_with_a_slow_reading_of_the_definitions(case: Case, rule: Rule) -> None:
    found, expected = score(*case, conn_rule=rule), slow_score(*case, rule)
    assert astuple(found) == pytest.approx(astuple(expected), rel=1e-9, abs=1e-12)


GREYS = st.sampled_from([0, 25, 26, 51, 102, 127, 153, 204, 230, 255])


@st.composite
def greys(draw: st.DrawFn, count: int) -> tuple[Grey, ...]:
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    return tuple(draw(arrays(np.uint8, shape, elements=GREYS)) for _ in range(count))


@given(greys(2), st.sampled_from(RULES))
@settings(deadline=None)
def test_connectivity_agrees_with_the_slow_flood_fill(pair: tuple[Grey, Grey], rule: Rule) -> None:
    found = connectivity_error(*pair, everywhere(pair[0]), empty=rule)
    expected = slow_connectivity(*pair, flat(128, pair[0].shape), rule)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)


# ---------------------------------------------------------------- recorded numbers


@pytest.mark.parametrize("name", GOLDEN)
def test_scores_agree_with_octave(name: str) -> None:
    expected = recorded()[name]
    if expected["pixels"] == 0:
        with pytest.raises(TrimapError, match="nothing to score"):
            score(*GOLDEN[name])
        return
    found = score(*GOLDEN[name])
    other_conn = score(*GOLDEN[name], conn_rule="a2u").conn
    for metric, value in expected.items():
        ours = other_conn if metric == "conn_a2u" else getattr(found, metric)
        assert ours == pytest.approx(value, rel=1e-6, abs=1e-9), metric


# Recorded to three decimals from another transcription of the reference, in Python.
@pytest.mark.parametrize(
    ("grey", "grad", "conn_dim", "conn_a2u"),
    [(230, 0.000, 20.078, 0.000), (0, 15.552, 18.039, 0.000)],
    ids=["pane predicted at 0.90", "pane predicted at 0"],
)
def test_a_pane_of_45_percent_scores_as_recorded(
    grey: int, grad: float, conn_dim: float, conn_a2u: float
) -> None:
    case = pane(grey), pane(115), flat(128, (240, 240))
    found = score(*case)
    assert found.grad == pytest.approx(grad, abs=5e-4)
    assert found.conn == pytest.approx(conn_dim, abs=5e-4)
    assert score(*case, conn_rule="a2u").conn == conn_a2u
    assert found.sad == pytest.approx(40 * abs(grey - 115) / 255)


# ---------------------------------------------------------------- where ports went wrong


def test_a_matte_at_half_strength_is_not_stretched_for_sad_and_mse() -> None:
    truth = soft(3, 40, 50)[1]
    half = (truth // 2).astype(np.uint8)
    assert sad(half, truth, everywhere(truth)) > 0.1
    assert mse(half, truth, everywhere(truth)) > 0.01


def test_the_arguments_are_left_as_they_were() -> None:
    case = soft(1, 37, 53)
    before = [array.copy() for array in case]
    for array in case:
        array.flags.writeable = False
    score(*case)
    for array, copy in zip(case, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_each_matte_is_stretched_by_its_own_extremes_for_the_gradient() -> None:
    full = soft(3, 40, 50)[1] // 2 * 2
    shifted = (full // 2 + 100).astype(np.uint8)
    assert gradient_error(shifted, full, everywhere(full)) == pytest.approx(0, abs=1e-12)


def test_the_stretch_is_taken_over_the_whole_image_and_not_the_region() -> None:
    truth = flat(0, (30, 40))
    truth[:, 20:] = 255
    prediction = (truth // 5).astype(np.uint8)
    prediction[0, 0] = 255  # far from the region, yet it sets the stretch
    region = np.zeros(truth.shape, np.bool_)
    region[15:, 15:25] = True
    reference = gradient_error(flat(0, (30, 40)), truth, region)
    assert gradient_error(prediction, truth, region) == pytest.approx(reference * 0.8**2)


@pytest.mark.parametrize("grey", [0, 115, 255])
def test_a_flat_matte_has_no_gradient(grey: int) -> None:
    assert gradient_error(flat(grey), flat(60), everywhere(flat(0))) == 0


def test_the_gradient_filter_has_an_l2_norm_of_one() -> None:
    point = flat(0, (31, 31))
    point[15, 15] = 255
    # The answers to a point are the filters themselves: one square norm for each direction.
    assert gradient_error(point, flat(0, (31, 31)), everywhere(point)) == pytest.approx(2 / 1000)


def test_the_gradient_filter_reaches_four_pixels() -> None:
    point = flat(0, (31, 31))
    point[15, 15] = 255
    for reach, differs in ((4, True), (5, False)):
        region = np.zeros(point.shape, np.bool_)
        region[15, 15 + reach] = True
        assert (gradient_error(point, flat(0, (31, 31)), region) > 1e-12) is differs


def test_the_gradient_sees_replicated_borders() -> None:
    step = flat(0, (12, 20))
    step[:, 10:] = 255
    rows = [
        gradient_error(step, flat(0, (12, 20)), np.arange(12)[:, None] == np.full((12, 20), row))
        for row in range(12)
    ]
    assert rows == pytest.approx([rows[6]] * 12)
    edge = np.zeros(step.shape, np.bool_)
    edge[:, [0, -1]] = True
    assert gradient_error(step, flat(0, (12, 20)), edge) == pytest.approx(0, abs=1e-12)


def test_an_unshared_body_ends_connections_by_one_rule_and_is_skipped_by_the_other() -> None:
    truth, nothing = flat(115), flat(0)
    region = everywhere(truth)
    expected = 600 * 115 / 255 / 1000
    assert connectivity_error(nothing, truth, region) == pytest.approx(expected)
    assert connectivity_error(nothing, truth, region, empty="a2u") == 0


def test_the_default_rule_for_empty_thresholds_is_dims() -> None:
    case = coarse(7, 3, 3)
    assert score(*case) == score(*case, conn_rule="dim") != score(*case, conn_rule="a2u")


def test_an_unknown_rule_for_empty_thresholds_is_refused() -> None:
    with pytest.raises(ValueError, match="'gca', expected 'dim' or 'a2u'"):
        connectivity_error(flat(1), flat(1), everywhere(flat(1)), empty="gca")  # type: ignore[arg-type]


def test_a_background_larger_than_the_body_is_not_taken_for_it() -> None:
    truth = flat(0)
    truth[5:8, 5:8] = 255
    prediction = truth.copy()
    prediction[12, 12] = 255  # apart from the body: its rise counts in full
    assert connectivity_error(prediction, truth, everywhere(truth)) == pytest.approx(1 / 1000)
    prediction, truth = flat(0), flat(0)
    prediction[5:8, 5:8], truth[5:8, 5:8] = 230, 255
    # The body hangs on it up to 0.9, where the prediction ends: rises of 0.002 and 0.1 are none.
    assert connectivity_error(prediction, truth, everywhere(truth)) == 0


@pytest.mark.parametrize("tenths", [2, 4, 6, 8])
def test_a_grey_on_a_threshold_reaches_it(tenths: int) -> None:
    on, under = flat(255 * tenths // 10), flat(255 * tenths // 10 - 1)
    solid = flat(255)
    # Level 0.6 leaves rises of 0.4 and 0; missed by one grey, of 0.5 and below 0.15.
    found = connectivity_error(on, solid, everywhere(solid))
    missed = connectivity_error(under, solid, everywhere(solid))
    assert found == pytest.approx(600 * (1 - tenths / 10) / 1000)
    assert missed == pytest.approx(600 * (1 - (tenths - 1) / 10) / 1000)


def test_rises_below_fifteen_hundredths_count_as_none() -> None:
    # Level 0.1: grey 63 rises by 0.147, grey 64 by 0.151; the truth, grey 26, by 0.002.
    truth = flat(26)
    assert connectivity_error(flat(63), truth, everywhere(truth)) == 0
    rise = 64 / 255 - 0.1
    assert connectivity_error(flat(64), truth, everywhere(truth)) == pytest.approx(0.6 * rise)


def test_components_that_touch_at_a_corner_are_apart() -> None:
    truth = flat(0, (4, 4))
    truth[:2, :2] = 255
    truth[2, 2] = 255
    prediction = truth.copy()
    prediction[2, 2] = 100
    # By 8 neighbours the corner would hang on the body up to 0.3 and its error be 0.7.
    expected = (255 - 100) / 255 / 1000
    assert connectivity_error(prediction, truth, everywhere(truth)) == pytest.approx(expected)


def test_of_equal_components_the_first_in_column_major_order_is_the_body() -> None:
    truth = flat(0, (5, 5))
    truth[0, 3:5] = 255  # the first by rows
    truth[3:5, 0] = 255  # the first by columns
    prediction = truth.copy()
    prediction[0, 3:5] = prediction[3:5, 0] = 230
    # The body hangs on up to 0.9, so its rises are none; the other's are 1 and 230 / 255.
    by_rows, by_columns = np.zeros((2, 5, 5), np.bool_)
    by_rows[0, 3:5], by_columns[3:5, 0] = True, True
    assert connectivity_error(prediction, truth, by_columns) == 0
    expected = 2 * 25 / 255 / 1000
    assert connectivity_error(prediction, truth, by_rows) == pytest.approx(expected)


def test_the_body_may_lie_outside_the_region() -> None:
    truth = flat(0)
    truth[:, :10] = 255  # known foreground, larger than what is scored
    truth[5:9, 15:19] = 255
    prediction = truth.copy()
    prediction[5:9, 15:19] = 204
    region = np.zeros(truth.shape, np.bool_)
    region[5:9, 15:19] = True
    assert connectivity_error(prediction, truth, region) == pytest.approx(16 * 0.2 / 1000)


def test_connected_components_are_found_at_most_ten_times(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    original = metrics._largest_component

    def counted(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        nonlocal calls
        calls += 1
        return original(mask)

    monkeypatch.setattr(metrics, "_largest_component", counted)
    connectivity_error(flat(255), flat(255), everywhere(flat(255)))
    assert calls == 10


def test_a_prediction_that_differs_in_the_known_region_is_scored_as_it_is() -> None:
    prediction, truth, trimap = soft(1, 37, 53)
    changed = np.where(trimap == 128, prediction, 255 - prediction)
    found, before = score(changed, truth, trimap), score(prediction, truth, trimap)
    assert (found.sad, found.mse, found.pixels) == (before.sad, before.mse, before.pixels)
    assert found.whole_mad > before.whole_mad
    assert found.whole_mse > before.whole_mse


# ---------------------------------------------------------------- region and refusals


def test_only_pixels_of_exactly_128_are_scored() -> None:
    trimap = flat(127)
    trimap[0, :5] = 129
    trimap[3, 3:7] = 128
    found = score(flat(0), flat(255), trimap)
    assert found.pixels == 4
    assert found.sad == pytest.approx(4 / 1000)
    assert (found.mse, found.whole_mad, found.whole_mse) == (1, 1, 1)


@pytest.mark.parametrize("metric", [sad, mse, gradient_error, connectivity_error])
def test_an_empty_region_has_nothing_to_score(metric: Any) -> None:
    nowhere = np.zeros((20, 30), np.bool_)
    with pytest.raises(A2UError, match="nothing to score"):
        metric(flat(0), flat(255), nowhere)


def test_a_trimap_without_an_unknown_pixel_has_nothing_to_score() -> None:
    with pytest.raises(TrimapError, match=r"nothing to score.*exactly 128"):
        score(flat(0), flat(255), flat(127))


def test_an_image_without_a_pixel_has_nothing_to_score() -> None:
    with pytest.raises(A2UError, match="nothing to score"):
        mad(flat(0, (0, 5)), flat(0, (0, 5)))


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"prediction": flat(0, (30, 20))}, ImageError, "prediction is 20 x 30 but .* 30 x 20"),
        ({"prediction": np.zeros((20, 30), np.float32)}, ImageError, "float32, expected uint8"),
        ({"truth": np.zeros((20, 30), np.uint16)}, ImageError, "truth is uint16, expected uint8"),
        ({"truth": np.zeros((20, 30, 3), np.uint8)}, ImageError, r"\(20, 30, 3\).*one channel"),
        ({"trimap": flat(128, (20, 31))}, TrimapError, "trimap's region is 31 x 20 but"),
        ({"trimap": np.full((20, 30, 3), 128, np.uint8)}, TrimapError, "trimap.*one channel"),
    ],
)
def test_arrays_that_cannot_be_compared_are_refused(
    changed: dict[str, Any], error: type[A2UError], text: str
) -> None:
    given_arrays: dict[str, Any] = {
        "prediction": flat(0),
        "truth": flat(255),
        "trimap": flat(128),
    }
    with pytest.raises(error, match=text):
        score(**(given_arrays | changed))


def test_a_region_that_is_a_trimap_is_refused() -> None:
    with pytest.raises(TrimapError, match="is uint8, expected bool"):
        sad(flat(0), flat(255), flat(128))  # type: ignore[arg-type]


# ---------------------------------------------------------------- properties


@given(greys(2), st.sampled_from(RULES))
@settings(deadline=None)
def test_scores_are_symmetric_and_bounded(pair: tuple[Grey, Grey], rule: Rule) -> None:
    prediction, truth = pair
    trimap = np.full_like(truth, 128)
    found = score(prediction, truth, trimap, conn_rule=rule)
    mirrored = score(truth, prediction, trimap, conn_rule=rule)
    assert replace(found, grad=0.0) == replace(mirrored, grad=0.0)
    assert found.grad == pytest.approx(mirrored.grad)
    assert all(value >= 0 for value in astuple(found))
    assert found.sad <= truth.size / 1000
    assert found.conn <= truth.size / 1000
    assert found.mse <= found.sad * 1000 / truth.size + 1e-12
    assert found.sad * 1000 / truth.size == pytest.approx(found.whole_mad)


@given(greys(2), st.sampled_from(RULES))
@settings(deadline=None)
def test_a_matte_scores_nothing_against_itself(pair: tuple[Grey, Grey], rule: Rule) -> None:
    alpha, trimap = pair[0], np.full_like(pair[1], 128)
    found = score(alpha, alpha, trimap, conn_rule=rule)
    assert astuple(replace(found, pixels=0)) == (0,) * len(fields(Scores))
