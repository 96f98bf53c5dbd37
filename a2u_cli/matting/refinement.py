"""Settle the doubtful parts of a matte by colour, of what is near and of what looks alike."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..trimap import check_pair, halve_trimap, restore_known
from ..units import UNKNOWN, FloatArray, Trimap
from .windows import Window, grid

EPSILON = 1e-7  # regularises the covariance of a window's colours
PLACES = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]  # of a window's pixels
OFFSETS = [(y, x) for y in range(-2, 3) for x in range(-2, 3)]  # of pixels that share a window
CHUNK = 4096  # windows at a time
TILE, OVERLAP = 1024, 64  # pixels
NEIGHBOURS = 3  # of the same colours, for each unknown pixel
NEARNESS = 0.05  # what the picture's longer side counts among the colours' 0 to 1
ALIKE = 8e-3  # what the tie to such a neighbour weighs, beside the matting Laplacian
KD_TREE = 4  # FLANN's exact one for few dimensions
SMALLEST = 128  # pixels: a shorter side from which on the picture is refined at half size first
TOLERANCE = 1e-3  # of the residual, against that of the start
MOST_ROUNDS = 400


def refine(
    image: FloatArray,
    trimap: Trimap,
    alpha: FloatArray,
    confidence: FloatArray,
    *,
    device: str | torch.device = "cpu",
) -> FloatArray:
    """Move a matte towards what the colours around each pixel say, the less the surer it is.

    Minimises alpha' (L + T) alpha + sum of confidence (alpha - given)^2 over the unknown pixels. L
    is the matting Laplacian of 3 x 3 windows (Levin, Lischinski and Weiss, "A Closed-Form Solution
    to Natural Image Matting", CVPR 2006, equation 12); T ties each unknown pixel to the unknown
    pixels that look most like it wherever they are, so that one strand of hair helps another (the
    intra-unknown flow of Aksoy, Aydin and Pollefeys, "Designing Effective Inter-Pixel Information
    Flow for Natural Image Matting", CVPR 2017). `image` is float32 (H, W, 3) in [0, 1],
    `trimap` uint8 (H, W) in {0, 128, 255}, `alpha` float32 (H, W) in [0, 1] and `confidence`
    float32 (H, W) above 0, where 1e-3 leaves much to the colours and 1 next to nothing; the result
    is float32 (H, W) in [0, 1]. Each size starts from what the half size has come to; a large
    picture is walked tile by tile, each with its surroundings as they stand.

    Raises TrimapError where the sizes differ or nothing is unknown.
    """
    check_pair(image.shape[:2], trimap)
    place = torch.device("cpu" if torch.device(device).type == "mps" else device)  # needs float64
    return _settle(image, trimap, restore_known(alpha, trimap), confidence, place)


def _settle(
    image: FloatArray,
    trimap: Trimap,
    given: FloatArray,
    confidence: FloatArray,
    device: torch.device,
) -> FloatArray:
    """Refine the half size, then start from there; `given` holds what the trimap knows."""
    refined = given.copy()
    if min(trimap.shape) < 3:
        return refined  # no window fits in
    if min(trimap.shape) >= SMALLEST:
        moved = given + _move_at_half_size(image, trimap, given, confidence, device)
        refined = restore_known(np.clip(moved, 0.0, 1.0), trimap)
    look = _look(image)
    for tile in grid(trimap.shape, (TILE, TILE)):
        part = tile.grow(OVERLAP)
        at = part.rows, part.columns
        free = (trimap[at] == UNKNOWN) & _within(part)
        if free.any():
            arrays = (look[at], free, refined[at], given[at], confidence[at])
            planes = (torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in arrays)
            refined[at] = _refine(*planes).cpu().numpy()
    return refined


def _move_at_half_size(
    image: FloatArray,
    trimap: Trimap,
    given: FloatArray,
    confidence: FloatArray,
    device: torch.device,
) -> FloatArray:
    """Tell how far the half size moves, at the full size."""
    small = halve_trimap(trimap)
    image, given, confidence = (
        np.asarray(cv2.resize(plane, small.shape[::-1], interpolation=cv2.INTER_AREA), np.float32)
        for plane in (image, given, confidence)
    )
    given = restore_known(given, small)
    move = _settle(image, small, given, confidence, device) - given
    return np.asarray(cv2.resize(move, trimap.shape[::-1]), np.float32)


def _look(image: FloatArray) -> FloatArray:
    """Give each pixel's colours and, for much less, its place: (H, W, 5)."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    place = np.stack([rows, columns], -1) * np.float32(NEARNESS / max(height, width))
    return np.concatenate([image, place], -1)


def _within(part: Window) -> npt.NDArray[np.bool_]:
    """Mark the pixels all of whose windows lie in a part of a picture, or would be off it."""
    height, width = part.size
    free = np.ones((part.height, part.width), np.bool_)
    free[: 2 * (part.top > 0)] = False
    free[part.height - 2 * (part.bottom < height) :] = False
    free[:, : 2 * (part.left > 0)] = False
    free[:, part.width - 2 * (part.right < width) :] = False
    return free


def _refine(look: Tensor, free: Tensor, alpha: Tensor, given: Tensor, trust: Tensor) -> Tensor:
    """Give the best alpha (h, w) where only the `free` pixels may move."""
    system, slope = _assemble(look[..., :3], alpha, free)
    ties = _Ties.between(look[free])
    weight, start = trust[free].double(), alpha[free].double()
    target = weight * (given[free].double() - start) - slope - ties.times(start)
    refined = alpha.double()
    refined[free] += _solve(system, ties, weight, target)
    return refined.clamp(0.0, 1.0).float()


@dataclass(frozen=True)
class _Ties:
    """T: each free pixel's ties to those that look like it, weights and numbers, both (k, n)."""

    weights: Tensor
    others: Tensor

    @classmethod
    def between(cls, look: Tensor) -> Self:
        """Find the nearest of (n, 5) looks for each of them."""
        points = look.cpu().numpy()
        count = min(NEIGHBOURS, len(points) - 1)
        tree = cv2.flann.Index(points, {"algorithm": KD_TREE})
        found, _ = tree.knnSearch(points, 1 + count, params={"checks": -1})
        others = torch.from_numpy(found.T[1:].astype(np.int64)).to(look.device)  # [0] is itself
        apart = (look[:, :3] - look[others, :3]).abs().mean(-1)
        return cls(ALIKE / 2 * (1.0 - apart).double(), others)

    def times(self, x: Tensor) -> Tensor:
        others = self.others.flatten()
        pull = self.weights * (x - x.index_select(0, others).view_as(self.weights))
        return pull.sum(0).scatter_add_(0, others, -pull.flatten())

    def diagonal(self) -> Tensor:
        sums = self.weights.sum(0)
        return sums.scatter_add_(0, self.others.flatten(), self.weights.flatten())


@dataclass(frozen=True)
class _Laplacian:
    """The rows and columns of L that are free pixels: a value and a column for each offset.

    `values` is float64 and `columns` int32, both (25, n); column n stands for all other pixels.
    """

    values: Tensor
    columns: Tensor

    def times(self, x: Tensor) -> Tensor:
        x = torch.cat([x, x.new_zeros(1)])
        y = torch.zeros_like(self.values[0])
        for value, column in zip(self.values, self.columns, strict=True):
            y.addcmul_(value, x.index_select(0, column))
        return y


def _assemble(image: Tensor, alpha: Tensor, free: Tensor) -> tuple[_Laplacian, Tensor]:
    """Sum up the windows that hold a free pixel: L, and its product with alpha where free."""
    height, width = free.shape
    count, device = int(free.sum()), free.device
    number = torch.full((height, width), count, device=device)
    number[free] = torch.arange(count, device=device)
    rows, columns = F.max_pool2d(free.float()[None, None], 3, 1)[0, 0].nonzero(as_tuple=True)
    centres = (rows + 1) * width + columns + 1
    steps = torch.tensor([y * width + x for y, x in PLACES], device=device)
    between = [[OFFSETS.index((c - a, d - b)) for c, d in PLACES] for a, b in PLACES]
    start = torch.tensor(between, device=device) * (count + 1)
    values = torch.zeros(len(OFFSETS) * (count + 1), dtype=torch.float64, device=device)
    slope = torch.zeros(count + 1, dtype=torch.float64, device=device)
    colours, alphas = image.reshape(-1, 3), alpha.view(-1)
    for chunk in centres.split(CHUNK):
        pixels = steps[:, None] + chunk  # (9, m)
        local = _window_laplacians(colours[pixels].double().movedim(2, 1))
        row = number.view(-1)[pixels]
        values.index_add_(0, (row[:, None] + start[..., None]).flatten(), local.flatten())
        product = (local * alphas[pixels].double()).sum(1)
        slope.index_add_(0, row.flatten(), product.flatten())
    padded = F.pad(number, (2, 2, 2, 2), value=count)
    near = [padded[2 + y : 2 + y + height, 2 + x : 2 + x + width][free] for y, x in OFFSETS]
    system = _Laplacian(
        values.view(len(OFFSETS), -1)[:, :count], torch.stack([plane.int() for plane in near])
    )
    return system, slope[:count]


def _window_laplacians(colours: Tensor) -> Tensor:
    """Give each window's part of L, (9, 9, m), from its colours (9, 3, m): Levin's equation 12.

    The m windows lie along the last axis: matrices so small are slow one by one.
    """
    unit = torch.eye(3, dtype=colours.dtype, device=colours.device)[..., None]
    centred = colours - colours.mean(0)
    covariance = ((centred[:, :, None] * centred[:, None]).sum(0) + EPSILON * unit) / len(PLACES)
    inverse = torch.linalg.inv(covariance.movedim(2, 0)).movedim(0, 2)
    whitened = (centred[:, :, None] * inverse).sum(1)
    alike = (whitened[:, None] * centred).sum(2)
    same = torch.eye(len(PLACES), dtype=colours.dtype, device=colours.device)[..., None]
    laplacian: Tensor = same - (1.0 + alike) / len(PLACES)
    return laplacian


def _solve(system: _Laplacian, ties: _Ties, weight: Tensor, target: Tensor) -> Tensor:
    """Solve (L + T + weight) x = target by conjugate gradients, preconditioned by the diagonal."""
    scale = 1.0 / (system.values[OFFSETS.index((0, 0))] + ties.diagonal() + weight)
    x, residual = torch.zeros_like(target), target
    direction = scale * residual
    energy = residual @ direction
    goal = TOLERANCE * target.norm()
    for _ in range(MOST_ROUNDS):
        if residual.norm() <= goal:
            break
        product = system.times(direction) + ties.times(direction) + weight * direction
        length = energy / (direction @ product)
        x = x + length * direction
        residual = residual - length * product
        old, energy = energy, residual @ (scale * residual)
        direction = scale * residual + (energy / old) * direction
    return x
