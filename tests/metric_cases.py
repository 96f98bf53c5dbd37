"""Made-up cases for the metrics, and what GNU Octave found for them (`tests/octave`)."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Case = tuple[Grey, Grey, Grey]  # prediction, truth, trimap
Clip = tuple[list[Case], list[NDArray[np.float32]]]  # frames, and the flow from each to the next
RECORDED = Path(__file__).parent / "octave" / "golden.csv"
RECORDED_CLIPS = Path(__file__).parent / "octave" / "golden_clips.csv"


def flat(value: int, shape: tuple[int, int] = (20, 30)) -> Grey:
    return np.full(shape, value, np.uint8)


def pane(value: int) -> Grey:
    """A square of 200 x 200 on black, with room around it for the gradient filter."""
    alpha = flat(0, (240, 240))
    alpha[20:220, 20:220] = value
    return alpha


def soft(seed: int, height: int, width: int) -> Case:
    """Soft discs; the prediction is noisy where they are soft. RandomState's stream is frozen."""
    random = np.random.RandomState(seed)
    y, x = np.mgrid[:height, :width]
    truth = np.zeros((height, width), np.int64)
    for _ in range(4):
        row, column = random.randint(height), random.randint(width)
        radius = random.randint(3, max(4, min(height, width) // 3))
        fall = 255 * ((y - row) ** 2 + (x - column) ** 2) // radius**2
        truth = np.maximum(truth, np.clip(random.randint(90, 400) - fall, 0, 255))
    band = (truth > 0) & (truth < 255)
    prediction = np.clip(truth + random.randint(-60, 61, truth.shape) * band, 0, 255)
    trimap = np.where(band | (random.randint(8, size=truth.shape) == 0), 128, truth)
    return prediction.astype(np.uint8), truth.astype(np.uint8), trimap.astype(np.uint8)


def coarse(seed: int, height: int, width: int) -> Case:
    """Four greys at random: many small components, many of equal size."""
    random = np.random.RandomState(seed)
    size = (height, width)
    prediction, truth = random.choice([0, 51, 153, 230], size=(2, *size), p=[0.2, 0.2, 0.3, 0.3])
    trimap = random.choice([0, 128, 255], size=size, p=[0.2, 0.6, 0.2])
    return prediction.astype(np.uint8), truth.astype(np.uint8), trimap.astype(np.uint8)


def ties() -> Case:
    """Two bodies of one size: the left one is first in column-major order, the upper by rows."""
    truth = flat(0, (7, 9))
    truth[0:2, 5:8] = truth[4:6, 1:4] = 255
    prediction = truth // 2
    return prediction.astype(np.uint8), truth, flat(128, truth.shape)


def nearly_unknown() -> Case:
    """Greys beside 128 in the trimap are known."""
    prediction, truth, _ = soft(11, 24, 30)
    return prediction, truth, np.resize(np.array([127, 128, 129], np.uint8), truth.shape)


def one_pixel(row: int, column: int) -> Case:
    prediction, truth, trimap = soft(13, 20, 26)
    trimap = np.where(trimap == 128, 255, trimap).astype(np.uint8)
    trimap[row, column] = 128
    return prediction, truth, trimap


GOLDEN: dict[str, Case] = {
    "soft discs": soft(1, 37, 53),
    "soft discs, tall": soft(2, 64, 48),
    "soft discs, large": soft(3, 90, 120),
    "small components": coarse(5, 23, 31),
    "three by three": coarse(7, 3, 3),
    "a row": coarse(8, 1, 17),
    "a column": coarse(9, 17, 1),
    "flat, predicted brighter": (flat(230), flat(115), flat(128)),
    "flat, predicted empty": (flat(0), flat(115), flat(128)),
    "a pane, predicted brighter": (pane(230), pane(115), flat(128, (240, 240))),
    "a pane, predicted empty": (pane(0), pane(115), flat(128, (240, 240))),
    "nothing opaque": (flat(0), flat(0), flat(128)),
    "all opaque": (flat(255), flat(255), flat(128)),
    "equal bodies": ties(),
    "greys beside 128": nearly_unknown(),
    "one soft pixel": one_pixel(10, 12),
    "one corner pixel": one_pixel(0, 0),
    "one pixel in all": (flat(90, (1, 1)), flat(200, (1, 1)), flat(128, (1, 1))),
    "an empty region": (*soft(4, 15, 15)[:2], flat(255, (15, 15))),
}


def moving(seed: int, count: int, height: int, width: int, *, greys: bool = False) -> Clip:
    """Soft discs that move, predicted with noise, and a flow between pixels, with holes in it.

    Some of the flow leads out of the picture. With `greys` the trimap has other levels than three.
    """
    random = np.random.RandomState(seed)
    y, x = np.mgrid[:height, :width]
    discs = [
        (random.uniform(0, height), random.uniform(0, width), *random.uniform(-3, 3, 2))
        for _ in range(3)
    ]
    frames, flows = [], []
    for time in range(count):
        truth = np.zeros((height, width))
        for row, column, down, right in discs:
            apart = np.hypot(y - row - time * down, x - column - time * right)
            truth = np.maximum(truth, np.clip(1.6 - apart / (0.15 * max(height, width)), 0, 1))
        truth = np.rint(255 * truth).astype(np.int64)
        band = (truth > 0) & (truth < 255)
        prediction = np.clip(truth + random.randint(-50, 51, truth.shape) * band, 0, 255)
        trimap = np.where(band | (random.randint(6, size=truth.shape) == 0), 128, truth)
        if greys:
            trimap[random.randint(5, size=truth.shape) == 0] = 77
        eight = [plane.astype(np.uint8) for plane in (prediction, truth, trimap)]
        frames.append((eight[0], eight[1], eight[2]))
        flow = random.uniform(-4, 4, (height, width, 2)).astype(np.float32)
        flow[random.randint(9, size=truth.shape) == 0] = np.nan
        flows.append(flow)
    return frames, flows[:-1]


GOLDEN_CLIPS: dict[str, Clip] = {
    "moving discs": moving(21, 4, 30, 41),
    "moving discs, greys in the trimap": moving(22, 3, 24, 24, greys=True),
    "a row that moves": moving(23, 5, 1, 40),
    "two frames": moving(24, 2, 17, 9),
}


def recorded(path: Path = RECORDED) -> dict[str, dict[str, float]]:
    """Read what Octave found: by case, by metric; SAD, Grad and Conn are divided by 1000."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        row.pop("case"): {metric: float(value) for metric, value in row.items()} for row in rows
    }
