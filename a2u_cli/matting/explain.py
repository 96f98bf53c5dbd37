"""Show what the operator sees: affinity planes and kernels of the four stages, over the picture."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import A2UError
from ..network.model import MattingNetwork
from ..units import UNKNOWN, FloatArray
from .kernels import see_kernels

Page = npt.NDArray[np.uint8]  # (H, W, 3)
STAGES = ("1: 1/1 to 1/2", "2: 1/2 to 1/4", "3: 1/4 to 1/8", "4: 1/8 to 1/16")
POINTS = 4  # places whose kernels are drawn
LONGEST = 1024  # pixels of the longer side that are looked at: the planes are small in any case
PANEL, GAP, LINE = 320, 12, 26  # pixels of the page
TALLEST, THINNEST = 3 * PANEL, 8  # pixels of a panel: thin pictures are shown wider than they are
CELL = 14  # of a kernel's tap
INK, FAINT, PAPER = 26, 115, 255
RING = (255, 90, 26)
RED, BLUE = (0.70, 0.09, 0.17), (0.13, 0.40, 0.67)  # of positive and negative affinity
FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True)
class Stage:
    """What one of the four pairs made of a picture.

    `affinity` is (h, w); `down` the 6x6 kernel of every coarse position, (36, h, w), and `up` the
    3x3 kernel of every fine one, (9, 2h, 2w); the taps of each sum to 1.
    """

    affinity: FloatArray
    down: FloatArray
    up: FloatArray


def shrink(
    image: FloatArray, trimap: npt.NDArray[np.uint8], longest: int = LONGEST
) -> tuple[FloatArray, npt.NDArray[np.uint8]]:
    """Bring a picture and its trimap down to a longer side, as much as a page can show."""
    height, width = trimap.shape
    if max(height, width) <= longest:
        return image, trimap
    share = longest / max(height, width)
    size = max(1, round(width * share)), max(1, round(height * share))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
    known = cv2.resize(trimap, size, interpolation=cv2.INTER_NEAREST)
    return np.clip(small, 0.0, 1.0), np.asarray(known, np.uint8)


def look(network: MattingNetwork, image: FloatArray, trimap: npt.NDArray[np.uint8]) -> list[Stage]:
    """Run the network and keep the four stages' planes and kernels.

    `image` is float32 (H, W, 3) in [0, 1], `trimap` uint8 (H, W) in {0, 128, 255}. Planes are
    those of the picture mirrored up to the stride of 16.

    Raises A2UError where the operator is not a form of A2U.
    """
    stages = []
    for seen in see_kernels(network, image, trimap):
        if seen.down is None or seen.affinity is None:
            raise A2UError(
                f"the operator {network.operator} has no affinity to draw; --html shows its kernels"
            )
        stages.append(Stage(seen.affinity, seen.down, seen.up))
    return stages


def page(
    image: FloatArray, trimap: npt.NDArray[np.uint8], alpha: FloatArray, stages: list[Stage]
) -> Page:
    """Lay out a page, uint8 (H', W', 3): a row for each stage, and one of what went in and out.

    Beside each affinity plane stand what its kernels do: how concentrated they are (the largest
    tap's share), and the kernels themselves at a few places in the unknown region.
    """
    height, width = trimap.shape
    points = choose_points(trimap)
    size = panel_size((height, width))
    tall = size[1]
    marked = _mark(_panel(image, size), points, trimap.shape)
    known = trimap.astype(np.float32) / np.float32(255.0)
    greys = [_panel(_grey(plane), size) for plane in (known, alpha)]
    note = "what went in, and what came out; kernels are drawn at the rings"
    rows = [_row(note, _frame(marked, *greys), ["picture", "trimap", "matte"])]
    for name, stage in zip(STAGES, stages, strict=True):
        scale = 2.0 ** (STAGES.index(name) + 1)
        coarse = [(row / scale, column / scale) for row, column in points]
        shown = slice(0, max(1, round(height / scale))), slice(0, max(1, round(width / scale)))
        fine = slice(0, 2 * shown[0].stop), slice(0, 2 * shown[1].stop)
        affinity = _mark(_panel(_signed(stage.affinity[shown]), size), points, trimap.shape)
        focus = [
            _panel(_grey(_stretch(kernels.max(0)[part])), size)
            for kernels, part in ((stage.up, fine), (stage.down, shown))
        ]
        ups = [(2 * row, 2 * column) for row, column in coarse]
        kernels = _kernels([(stage.up, ups, 3), (stage.down, coarse, 6)], tall)
        titles = [
            f"affinity, {stage.affinity.min():.2f} to {stage.affinity.max():.2f}",
            f"largest of 9 taps up, {_span(stage.up)}",
            f"largest of 36 taps down, {_span(stage.down)}",
            "kernels at the rings: up, down",
        ]
        rows.append(_row(f"stage {name}", [*_frame(affinity, *focus), kernels], titles))
    wide = max(row.shape[1] for row in rows)
    edges = [((0, 0), (0, wide - row.shape[1]), (0, 0)) for row in rows]
    padded = [
        np.pad(row, edge, constant_values=PAPER) for row, edge in zip(rows, edges, strict=True)
    ]
    return np.concatenate(padded)


def panel_size(size: tuple[int, int]) -> tuple[int, int]:
    """Give the width and height of the panel that shows a picture of `size` (height, width)."""
    height, width = size
    scale = min(PANEL / width, TALLEST / height)
    return max(THINNEST, round(scale * width)), max(THINNEST, round(scale * height))


def _frame(*panels: Page) -> list[Page]:
    """Give panels the width that their titles need."""
    edges = [((0, 0), (0, max(0, PANEL - panel.shape[1])), (0, 0)) for panel in panels]
    return [np.pad(p, edge, constant_values=PAPER) for p, edge in zip(panels, edges, strict=True)]


def choose_points(trimap: npt.NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Choose places deep in the unknown region, far from one another: (row, column) each.

    Without an unknown region the picture's middle is the only one.
    """
    unknown = (trimap == UNKNOWN).astype(np.uint8)
    if not unknown.any():
        return [(trimap.shape[0] // 2, trimap.shape[1] // 2)]
    depth = cv2.distanceTransform(np.pad(unknown, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    rows, columns = np.mgrid[: trimap.shape[0], : trimap.shape[1]]
    points: list[tuple[int, int]] = []
    for _ in range(POINTS):
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        if depth[row, column] <= 0:
            break
        points.append((int(row), int(column)))
        reach = max(trimap.shape) / (POINTS + 1)
        depth[(rows - row) ** 2 + (columns - column) ** 2 < reach**2] = 0
    return points


def _row(note: str, panels: list[Page], titles: list[str]) -> Page:
    """Set panels side by side with a heading, and a title above each."""
    tall = max(panel.shape[0] for panel in panels)
    wide = sum(panel.shape[1] + GAP for panel in panels) + GAP
    canvas = np.full((tall + 2 * LINE + GAP, wide, 3), PAPER, np.uint8)
    _write(canvas, note, (GAP, LINE - 7), INK, 0.55)
    left = GAP
    for panel, title in zip(panels, titles, strict=True):
        _write(canvas, title, (left, 2 * LINE - 8), FAINT, 0.45)
        canvas[2 * LINE : 2 * LINE + panel.shape[0], left : left + panel.shape[1]] = panel
        left += panel.shape[1] + GAP
    return canvas


def _kernels(sets: list[tuple[FloatArray, list[tuple[float, float]], int]], tall: int) -> Page:
    """Draw kernels as cells, a row for each place; each kernel is stretched to its own extremes."""
    wide = GAP + sum(size * CELL + 2 * GAP for _, _, size in sets)
    rows = max(len(points) for _, points, _ in sets)
    step = 6 * CELL + 2 * GAP
    canvas = np.full((max(tall, rows * step), wide + 90, 3), PAPER, np.uint8)
    left = 0
    for kernels, points, size in sets:
        for number, (row, column) in enumerate(points):
            at = (min(int(row), kernels.shape[1] - 1), min(int(column), kernels.shape[2] - 1))
            taps = kernels[:, at[0], at[1]].reshape(size, size)
            cells = np.kron(_stretch(taps), np.ones((CELL, CELL), np.float32))
            top = number * step
            canvas[top : top + cells.shape[0], left : left + cells.shape[1]] = _levels(_grey(cells))
            text = f"{taps.min():.3f}-{taps.max():.3f}"
            _write(canvas, text, (left, top + cells.shape[0] + 11), FAINT, 0.33)
        left += size * CELL + 5 * GAP
    return canvas


def _span(kernels: FloatArray) -> str:
    largest = kernels.max(0)
    return f"{largest.min():.3f} to {largest.max():.3f}"


def _mark(panel: Page, points: list[tuple[int, int]], size: tuple[int, int]) -> Page:
    """Draw a ring around each point of a picture of `size`."""
    marked = panel.copy()
    for row, column in points:
        centre = (
            round((column + 0.5) * panel.shape[1] / size[1]),
            round((row + 0.5) * panel.shape[0] / size[0]),
        )
        cv2.circle(marked, centre, 6, RING, 2, cv2.LINE_AA)
    return marked


def _panel(picture: FloatArray, size: tuple[int, int]) -> Page:
    """Scale a picture to a panel: smaller by averages, larger by repetition."""
    smaller = picture.shape[1] > size[0]
    method = cv2.INTER_AREA if smaller else cv2.INTER_NEAREST
    return _levels(np.asarray(cv2.resize(picture, size, interpolation=method), np.float32))


def _signed(plane: FloatArray) -> FloatArray:
    """Colour a plane: negative blue, zero white, positive red, to its largest magnitude."""
    share = np.clip(plane / max(float(np.abs(plane).max()), 1e-6), -1, 1)[..., None]
    towards = np.where(share > 0, np.array(RED), np.array(BLUE))
    return np.asarray(1.0 + np.abs(share) * (towards - 1.0), np.float32)


def _grey(plane: FloatArray) -> FloatArray:
    return np.repeat(plane[..., None], 3, 2).astype(np.float32, copy=False)


def _levels(picture: FloatArray) -> Page:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _stretch(plane: FloatArray) -> FloatArray:
    low, high = float(plane.min()), float(plane.max())
    return ((plane - low) / max(high - low, 1e-6)).astype(np.float32)


def _write(canvas: Page, text: str, at: tuple[int, int], ink: int, size: float) -> None:
    cv2.putText(canvas, text, at, FONT, size, (ink, ink, ink), 1, cv2.LINE_AA)
