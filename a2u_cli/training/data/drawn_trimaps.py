"""Draw trimaps for a batch of alphas as people draw them, by distances measured on the device."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .random_draws import RandomDraws
from .samples import CARELESS

UNKNOWN = 128 / 255
GRID = 200  # distances are measured on about so many cells a side
WIDEST = 0.45  # of the crop: the widest band on one side of an edge
BLOCK = 8


def draw_trimaps(alpha: Tensor, crop: int, draws: RandomDraws, *, without: float = 0.0) -> Tensor:
    """Draw trimaps around the soft pixels of alpha (N, 1, S, S): 0, 128/255 and 1.

    Bands are 3 pixels to a quarter of `crop` wide, inside and outside apart, and uneven along the
    edge; most are closed to smooth blobs as a broad brush leaves them, and a few are blocky.
    With probability `without` no foreground is known.
    """
    tolerance = draws.choose(0.004, 0.01, 0.03)
    solid = alpha >= 1.0 - tolerance
    soft = (alpha > tolerance) & ~solid
    edge = soft | (F.max_pool2d(solid.float(), 3, 1, 1) > solid)
    unknown = _bands(edge, solid, crop, draws) | soft
    blocks = F.max_pool2d(unknown.float(), BLOCK, ceil_mode=True)
    blocks = blocks.repeat_interleave(BLOCK, 2).repeat_interleave(BLOCK, 3)
    blocky = blocks[..., : alpha.shape[2], : alpha.shape[3]] > 0
    unknown = unknown | (blocky & draws.chance(0.06))
    unknown = unknown | (solid & draws.chance(without))
    return torch.where(unknown, UNKNOWN, solid.float())


def _bands(edge: Tensor, solid: Tensor, crop: int, draws: RandomDraws) -> Tensor:
    """Widen edges (N, 1, S, S) to bands, on a coarse grid; bool of the same shape."""
    size = edge.shape[-1]
    step = max(1, size // GRID)
    limit = int(WIDEST * crop / step) + 1  # cells
    reach = draws.log_uniform(3.0, crop / 4) / step
    distance = distance_to(F.max_pool2d(edge.float(), step, ceil_mode=True) > 0, limit)
    cells = distance.shape[-1]
    within = F.max_pool2d(solid.float(), step, ceil_mode=True) > 0
    careless = draws.chance(CARELESS)
    inside, outside = (
        reach
        * torch.where(careless, draws.choose(0.1, 0.5, 1.0, 1.0), draws.normal(0.0, 0.2).exp())
        * _unevenness(draws, cells)
        for _ in range(2)
    )
    width = torch.where(within, inside, outside).clamp(max=limit)
    brush = torch.maximum(reach, draws.log_uniform(2.0, crop / 12) / step)
    closing = brush * draws.uniform(0.3, 1.2) * draws.chance(0.7)
    bands = close(distance <= width, closing.clamp(max=limit), limit)
    return F.interpolate(bands.float(), (size, size), mode="bilinear") > 0.5


def _unevenness(draws: RandomDraws, size: int) -> Tensor:
    """Vary around 1: slowly, as a hand does, and sometimes jaggedly; (N, 1, size, size)."""
    slow = draws.field(3, size) + draws.field(7, size)
    jagged = draws.field(max(8, size // 6), size) * draws.chance(0.25)
    return (1.0 + draws.uniform(0.0, 0.5) * slow + 0.4 * jagged).clamp(min=0.15)


def close(mask: Tensor, radius: Tensor, limit: int) -> Tensor:
    """Close holes and gaps of a mask (N, 1, H, W) that a disc of `radius` does not fit into."""
    grown = distance_to(mask, limit) <= radius
    return mask | (distance_to(~grown, limit) > radius)


def distance_to(mask: Tensor, limit: int) -> Tensor:
    """Measure how far each cell of (N, 1, H, W) is from the mask, exact where at most `limit`.

    Columns by running maxima, then rows by the lower envelope over `limit` cells (Felzenszwalb and
    Huttenlocher 2012).
    """
    far = float(2 * limit + 2)
    rows = torch.arange(mask.shape[2], device=mask.device, dtype=torch.float32)[:, None]
    above = torch.where(mask, rows, -torch.inf).cummax(2).values
    below = torch.where(mask, rows, torch.inf).flip(2).cummin(2).values.flip(2)
    column = torch.minimum(rows - above, below - rows).clamp(max=far)
    padded = F.pad(column.square(), (limit, limit), value=far**2)
    offsets = torch.arange(-limit, limit + 1, device=mask.device, dtype=torch.float32)
    nearest = (padded.unfold(3, 2 * limit + 1, 1) + offsets.square()).amin(-1)
    return nearest.sqrt()
