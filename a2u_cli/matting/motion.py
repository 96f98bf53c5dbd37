"""Dense motion between two pictures: where each pixel of one lies in the other, and how surely.

Optical flow by dense inverse search, both ways (Kroeger, Timofte, Dai and Van Gool, "Fast Optical
Flow using Dense Inverse Search", ECCV 2016, as OpenCV has it).
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ..units import FloatArray

Grey = npt.NDArray[np.uint8]  # (h, w)
BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601's weights
PIXELS = 1_000_000  # of larger pictures motion is measured on every second, third, ... of a side
SHORTEST = 16  # pixels of a side: shorter ones are continued by their edges
CUT_SIDE = 160  # pixels: the longer side at which a cut is looked for
LOST = 0.4  # of its pixels do not come back to within 1 of CUT_SIDE: a cut lies between pictures,
SAME = 4.0  # unless they differ by less than so many levels of 255, as noise does


@dataclass(frozen=True)
class Motion:
    """The way from each pixel of a picture (h, w) to its place in another.

    flow: float32 (h, w, 2), pixels to the right and down; error: float32 (h, w), how many pixels
    the way there and back ends beside its start: what the two do not agree on.
    """

    flow: FloatArray
    error: FloatArray

    def then(self, onward: "Motion") -> "Motion":
        """Go on from there: the way through both; errors add up."""
        flow = self.flow + warp(onward.flow, self.flow)
        return Motion(flow, self.error + warp(onward.error, self.flow))

    def at(self, size: tuple[int, int]) -> "Motion":
        """Give the motion at another size (height, width), in its pixels."""
        height, width = self.error.shape
        if size == (height, width):
            return self
        scale = np.array([size[1] / width, size[0] / height], np.float32)
        flow = cv2.resize(self.flow, size[::-1]) * scale
        return Motion(flow.astype(np.float32), cv2.resize(self.error, size[::-1]) * scale.max())


def reduce(picture: FloatArray) -> Grey:
    """Make what motion is measured on: grey of at most about PIXELS pixels, from (H, W[, 3])."""
    grey = picture if picture.ndim == 2 else picture @ BRIGHTNESS
    height, width = grey.shape
    factor = math.ceil(math.sqrt(height * width / PIXELS))
    size = max(1, width // factor), max(1, height // factor)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA) if factor > 1 else grey
    return np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8)


def measure(first: Grey, second: Grey) -> tuple[Motion, Motion]:
    """Measure the motion from the first picture to the second, and back; both (h, w)."""
    there, back = _flow(first, second), _flow(second, first)
    return _checked(there, back), _checked(back, there)


def warp(plane: FloatArray, flow: FloatArray) -> FloatArray:
    """Fetch a plane's values, (h, w) or (h, w, C), from where a flow (h, w, 2) leads."""
    height, width = flow.shape[:2]
    across = flow[..., 0] + np.arange(width, dtype=np.float32)
    down = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    border = cv2.BORDER_REPLICATE
    return np.asarray(cv2.remap(plane, across, down, cv2.INTER_LINEAR, borderMode=border))


def is_cut(first: Grey, second: Grey) -> bool:
    """Tell whether the second picture shows another scene: the ways there and back do not agree.

    Between frames of a shot a tenth of all pixels may not come back; of two scenes, most.
    """
    if first.shape != second.shape:
        return True
    scale = min(1.0, CUT_SIDE / max(first.shape))
    size = [max(1, round(side * scale)) for side in first.shape[::-1]]
    small, other = (
        np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
        for grey in (first, second)
    )
    if cv2.absdiff(small, other).mean() < SAME:
        return False
    there, _ = measure(small, other)
    return bool((there.error > max(size) / CUT_SIDE).mean() > LOST)


def _checked(there: FloatArray, back: FloatArray) -> Motion:
    gap = there + warp(back, there)
    return Motion(there, np.sqrt(np.square(gap).sum(-1)))


def _flow(first: Grey, second: Grey) -> FloatArray:
    height, width = first.shape
    edges = [(0, max(0, SHORTEST - side)) for side in (height, width)]
    pair = [np.pad(grey, edges, mode="edge") for grey in (first, second)]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = search.calc(pair[0], pair[1], None)  # type: ignore[call-overload]
    return np.ascontiguousarray(flow[:height, :width], np.float32)
