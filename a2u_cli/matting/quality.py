"""One matte of several looks: passes of a network, and what the colours settle between them.

Whatever runs the network, torch or another: a pass is a function of picture and trimap.
"""

from collections.abc import Callable
from typing import Any, Literal, cast, get_args

import numpy as np

from ..errors import A2UError, ImageError
from ..images.arrays import require_array
from ..trimap import check_pair, require_trimap
from ..units import FloatArray, Trimap
from .pacing import Tell, between, unheard
from .refinement import refine

Watch = Callable[[str, float], object]  # told what is at work, and what share of all is done
View = Callable[[FloatArray, Trimap, Tell], FloatArray]  # one pass: picture, trimap -> matte
Quality = Literal["fast", "refined", "best"]
FORMER = {"standard": "fast"}  # what a quality was called before
LEAST, SURE, SHARPNESS = 0.0007, 0.01, 8  # confidence in a pass: least, and more towards 0 and 1
SLACK = 0.02  # what the refinement, being least squares, falls short of 0 and 1
STILL = 0.05  # a move by the colours that is halved; smaller ones are more so
SOLVER = 0.6  # what the refinement takes, about, of one pass


def compose(
    view: View,
    image: FloatArray,
    trimap: Trimap,
    quality: Quality,
    *,
    watch: Watch | None = None,
    device: str = "cpu",
) -> FloatArray:
    """Make a matte of a `quality`, float32 (H, W) in [0, 1], of as many passes as it takes.

    `image`, `trimap`, `quality` and `watch` are as in `inference.matte`; the colours are settled
    on the `device`.
    """
    steps = _Steps(quality, watch)
    alpha = view(image, trimap, steps.begin())
    if quality == "fast":
        return alpha
    if quality == "best":
        flipped = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(trimap[:, ::-1])
        alpha = np.float32(0.5) * (alpha + view(*flipped, steps.begin())[:, ::-1])
    refined = refine(image, trimap, alpha, trust(alpha), device=device, tell=steps.begin())
    stretched = (refined - np.float32(SLACK)) / np.float32(1 - 2 * SLACK)
    return keep_large(alpha, np.clip(stretched, 0.0, 1.0, out=stretched))


def trust(alpha: FloatArray) -> FloatArray:
    """Say how far the colours must believe a network's matte, (H, W): more towards 0 and 1."""
    return np.float32(LEAST) + np.float32(SURE) * np.abs(2 * alpha - 1) ** SHARPNESS


def keep_large(alpha: FloatArray, settled: FloatArray) -> FloatArray:
    """Take the large moves from a matte to a settled one; small ones are as often for the worse.

    Each, d, is multiplied by d^2 / (d^2 + STILL^2).
    """
    move = settled - alpha
    square = move * move
    return np.asarray(alpha + move * (square / (square + STILL**2)), np.float32)


class _Steps:
    """The steps of a matte, told one by one to who watches, if any."""

    def __init__(self, quality: Quality, watch: Watch | None) -> None:
        passes = [1.0] * (1 + (quality == "best"))
        names = [f"pass {number} of {len(passes)}" for number in range(1, len(passes) + 1)]
        self.weights = passes + [SOLVER] * (quality != "fast")
        self.names, self.watch, self.begun = [*names, "settling by colour"], watch, 0

    def begin(self) -> Tell:
        """Begin the next step; gives what is to be told how far that has come."""
        name, watch = self.names[self.begun], self.watch
        start, stop = (
            sum(self.weights[:number]) / sum(self.weights)
            for number in (self.begun, self.begun + 1)
        )
        self.begun += 1
        if not watch:
            return unheard
        watch(name, start)
        most = start

        def tell(share: float) -> None:  # a residual that falls may rise for a round
            nonlocal most
            most = max(most, share)
            watch(name, most)

        return between(tell, start, stop)


def require_quality(name: str) -> Quality:
    """Check a name, or a former one; raises A2UError where it is none of `Quality`."""
    name = FORMER.get(name, name)
    if name in get_args(Quality):
        return cast(Quality, name)
    *others, last = get_args(Quality)
    raise A2UError(f"quality {name!r} is unknown; expected {', '.join(others)} or {last}")


def require_inputs(image: Any, trimap: Any) -> None:
    """Refuse what is no image and its trimap; raises ImageError or TrimapError."""
    require_array(image, "image", channels=(3,))
    if image.dtype != np.float32:
        raise ImageError(f"image is {image.dtype}, expected float32; convert it")
    require_trimap(trimap)
    check_pair(image.shape[:2], trimap)
