"""The system that a refinement solves, in torch: the matting Laplacian, ties, and the way down."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..units import FloatArray, Mask
from .descent import Descent, Ties

EPSILON = 1e-7  # regularises the covariance of a window's colours
PLACES = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]  # of a window's pixels
OFFSETS = [(y, x) for y in range(-2, 3) for x in range(-2, 3)]  # of pixels that share a window
CHUNK = 4096  # windows at a time


@dataclass(frozen=True)
class _Ties:
    """T as tensors: weights and numbers, both (k, n)."""

    weights: Tensor
    others: Tensor

    def times(self, x: Tensor) -> Tensor:
        others = self.others.flatten()
        pull = self.weights * (x - x.index_select(0, others).view_as(self.weights))
        return pull.sum(0).scatter_add_(0, others, -pull.flatten())

    def diagonal(self) -> Tensor:
        sums = self.weights.sum(0)
        return sums.scatter_add_(0, self.others.flatten(), self.weights.flatten())


def settle(
    colours: FloatArray,
    free: Mask,
    alpha: FloatArray,
    given: FloatArray,
    trust: FloatArray,
    ties: Ties,
    descent: Descent,
    *,
    device: str | torch.device = "cpu",
) -> FloatArray:
    """Give the alpha (h, w) that minimises alpha' (L + T) alpha + trust (alpha - given)^2.

    Only the `free` pixels, (h, w), move from where `alpha` has them; `colours` are (h, w, 3).
    """

    def hold(array: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    moving, begun = hold(free), hold(alpha)
    tied = _Ties(hold(ties.weights), hold(ties.others))
    system, slope = _assemble(hold(colours), begun, moving)
    weight, start = hold(trust)[moving].double(), begun[moving].double()
    target = weight * (hold(given)[moving].double() - start) - slope - tied.times(start)
    settled = begun.double()
    settled[moving] += _solve(system, tied, weight, target, descent)
    return np.asarray(settled.float().cpu().numpy(), np.float32)


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


def _solve(
    system: _Laplacian, ties: _Ties, weight: Tensor, target: Tensor, descent: Descent
) -> Tensor:
    """Solve (L + T + weight) x = target by conjugate gradients, preconditioned by the diagonal."""
    scale = 1.0 / (system.values[OFFSETS.index((0, 0))] + ties.diagonal() + weight)
    x, residual = torch.zeros_like(target), target
    direction = scale * residual
    energy = residual @ direction
    start = target.norm()
    goal = descent.tolerance * start
    for _ in range(descent.most_rounds):
        rest = residual.norm()
        if rest <= goal:
            break
        descent.say(float(rest / start))
        product = system.times(direction) + ties.times(direction) + weight * direction
        length = energy / (direction @ product)
        x = x + length * direction
        residual = residual - length * product
        old, energy = energy, residual @ (scale * residual)
        direction = scale * residual + (energy / old) * direction
    return x
