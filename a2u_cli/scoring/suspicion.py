"""Tell without truth how far off a matte may be, and why: so that the worst are looked at first."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import hypot

import cv2
import numpy as np

from ..errors import ImageError
from ..foreground import estimate_colours
from ..images.arrays import require_array
from ..trimap import TrimapShares, describe, require_trimap, shrink_trimap
from ..units import BACKGROUND, FOREGROUND, UNKNOWN, FloatArray, Mask, Trimap

WIDER = 0.01  # of the diagonal: how far `widen` takes back what a trimap knows
OPPOSITE = 0.5  # so far from what the trimap knows a matte says the contrary
GREY = 0.1  # from 0, and from 1: between is undecided

# Fitted by `python -m benchmarks.checking`, which says what they are worth; docs/checking.md.
WEIGHTS = {"disagreement": 1.2, "beyond": 5.0}
CALM = 0.01  # so much changes beyond the unknown of right trimaps, and says nothing

# From where on a measure is a reason to look, by the same benchmark: right trimaps rarely have it.
MUCH = {
    "border": 0.02,
    "contradicted": 0.015,
    "strays": 0.001,
    "disagreement": 0.1,
    "undecided": 0.6,
    "residual": 0.05,
    "unknown": 0.6,
}


@dataclass(frozen=True)
class Views:
    """Other mattes of a picture, float32 (h, w) in [0, 1], of any size.

    mirrored: by the same trimap; widened: by one that knows less, as `widen` gives; wide: that
    trimap, uint8 (h, w) in {0, 128, 255}.
    """

    mirrored: FloatArray
    widened: FloatArray
    wide: Trimap


@dataclass(frozen=True)
class Measures:
    """What can be measured of a matte without truth; 0 is nothing to complain of.

    disagreement: mean difference to the mirrored view, over the unknown; undecided: share of the
    unknown that is neither near 0 nor near 1; border: mean difference to what is known right beside
    it, where the unknown begins; beyond: sum of the widened view's differences to what the trimap
    knows around the unknown, for each unknown pixel; contradicted: share of those pixels of which
    that view says the contrary; strays: share of the known pixels of which the matte itself does;
    residual: mean difference of the picture to its foreground and background laid over each other
    again, over the unknown.
    """

    disagreement: float
    undecided: float
    border: float
    beyond: float
    contradicted: float
    strays: float
    residual: float


@dataclass(frozen=True)
class Reason:
    """Why somebody should look: one of a few kinds, and what was found in words."""

    kind: str
    text: str


@dataclass(frozen=True)
class Suspicion:
    """What was measured of a matte, and what it comes to.

    score: the error to expect for each unknown pixel, in [0, 1]; reasons: there may be none.
    """

    measures: Measures
    score: float
    reasons: tuple[Reason, ...]


def widen(trimap: Trimap) -> Trimap:
    """Take back what a trimap knows near its unknown: uint8 (H, W) in {0, 128, 255}."""
    reach = max(2, round(WIDER * hypot(*trimap.shape)))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    near = cv2.dilate(np.asarray(trimap == UNKNOWN, np.uint8), disk)
    return np.where(near > 0, np.uint8(UNKNOWN), trimap)


def suspect(image: FloatArray, trimap: Trimap, alpha: FloatArray, views: Views) -> Suspicion:
    """Measure a matte, and say what is suspicious about it.

    `image` is float32 (H, W, 3) in [0, 1], `trimap` uint8 (H, W) in {0, 128, 255}, `alpha` float32
    (H, W) in [0, 1].

    Raises ImageError or TrimapError for arrays of another kind, or of different sizes.
    """
    require_array(image, "image", channels=(3,))
    require_array(alpha, "alpha", channels=(1,))
    require_trimap(trimap)
    if not image.shape[:2] == trimap.shape == alpha.shape:
        found = (f"{array.shape[1]}x{array.shape[0]}" for array in (alpha, image, trimap))
        raise ImageError(
            "the matte is {}, its picture {} and its trimap {}; use those of one picture".format(
                *found
            )
        )
    measures = measure(image, trimap, alpha, views)
    shares = describe(trimap)
    return Suspicion(measures, expect(measures), tuple(list_reasons(measures, shares)))


def expect(measures: Measures) -> float:
    """Tell what error to expect for each unknown pixel, in [0, 1]."""
    parts = {"disagreement": measures.disagreement, "beyond": max(0.0, measures.beyond - CALM)}
    return min(1.0, sum(weight * parts[name] for name, weight in WEIGHTS.items()))


def measure(image: FloatArray, trimap: Trimap, alpha: FloatArray, views: Views) -> Measures:
    """Measure arrays that are as in `suspect`."""
    unknown, size = trimap == UNKNOWN, views.wide.shape
    contrary = np.abs(alpha - trimap / np.float32(FOREGROUND)) > OPPOSITE
    known = shrink_trimap(trimap, size) if trimap.shape != size else trimap
    inside, own = known == UNKNOWN, _sized(alpha, size)
    around = ~inside & (views.wide == UNKNOWN)
    apart = np.abs(views.widened - known / np.float32(FOREGROUND))
    return Measures(
        disagreement=_mean(np.abs(own - views.mirrored), inside),
        undecided=_mean(np.abs(alpha - 0.5) < 0.5 - GREY, unknown),
        border=_at_border(alpha, trimap),
        beyond=float(apart[around].sum() / max(1, np.count_nonzero(inside))),
        contradicted=_mean(apart > OPPOSITE, around),
        strays=_mean(contrary, ~unknown),
        residual=_residual(_sized(image, size), own, inside),
    )


def _mean(values: FloatArray | Mask, where: Mask) -> float:
    """Average the pixels of a region; 0 where it has none."""
    return float(values[where].mean()) if where.any() else 0.0


def _sized(plane: FloatArray, size: tuple[int, ...]) -> FloatArray:
    """Bring a plane (H, W) or (H, W, 3) to a smaller size."""
    if plane.shape[:2] == size:
        return plane
    shrunk = np.asarray(cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA), np.float32)
    return shrunk.clip(0.0, 1.0)


def _at_border(alpha: FloatArray, trimap: Trimap) -> float:
    """Average how far unknown pixels are from what is known in one of their eight neighbours."""
    square, unknown, errors = np.ones((3, 3), np.uint8), trimap == UNKNOWN, []
    for known in (BACKGROUND, FOREGROUND):
        beside = cv2.dilate(np.asarray(trimap == known, np.uint8), square) > 0
        errors.append(np.abs(alpha[beside & unknown] - np.float32(known / FOREGROUND)))
    every = np.concatenate(errors)
    return float(every.mean()) if every.size else 0.0


def _residual(image: FloatArray, alpha: FloatArray, region: Mask) -> float:
    """Average what the estimated colours of foreground and background leave of the picture."""
    if not region.any():
        return 0.0
    foreground, background = estimate_colours(image, alpha, method="blur-fusion")
    share = alpha[..., None]
    left = np.abs(image - share * foreground - (1 - share) * background)
    return float(left[region].mean())


def list_reasons(measures: Measures, shares: TrimapShares) -> Iterator[Reason]:
    """Say what is suspicious: first what a better trimap mends."""
    for kind in ("foreground", "background"):
        if not getattr(shares, kind):
            yield Reason(f"no {kind}", f"the trimap knows no {kind}")
    if shares.unknown > MUCH["unknown"]:
        yield Reason("mostly unknown", f"{shares.unknown:.0%} of the picture are unknown")
    if measures.strays > MUCH["strays"]:
        yield Reason(
            "another trimap",
            f"the matte says the contrary of {measures.strays:.1%} of what the trimap knows",
        )
    if measures.contradicted > MUCH["contradicted"]:
        yield Reason(
            "wrong trimap",
            f"{measures.contradicted:.0%} of what is known around the unknown look the contrary",
        )
    if measures.border > MUCH["border"]:
        yield Reason(
            "tight trimap",
            f"the matte is still {measures.border:.0%} off where the unknown ends: widen it",
        )
    if measures.disagreement > MUCH["disagreement"]:
        yield Reason("views disagree", f"another view of it differs by {measures.disagreement:.0%}")
    if measures.undecided > MUCH["undecided"]:
        yield Reason("undecided", f"{measures.undecided:.0%} of the unknown are neither 0 nor 1")
    if measures.residual > MUCH["residual"]:
        yield Reason(
            "colours unexplained",
            f"foreground and background laid together miss the picture by {measures.residual:.0%}",
        )
