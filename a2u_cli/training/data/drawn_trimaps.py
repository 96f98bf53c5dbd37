"""Draw trimaps for a batch of alphas as hands and tools draw them."""

from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...units import UNKNOWN as LEVEL
from .random_draws import RandomDraws

UNKNOWN = LEVEL / 255
NARROWEST, WIDEST = 3.0, 0.29  # pixels; share of the crop's side: of a band on one side of an edge
LIMIT = 0.45  # of the crop's side: no band reaches further
KNOTS = 36  # across the crop and its margins, of what varies along an edge
SPECK = 0.45  # of a field in [-1, 1]: where known specks lie


@dataclass(frozen=True)
class Style:
    """How the trimaps of N crops are drawn; lengths are shares of the crop's side.

    `tolerance` says from which alpha on a pixel is soft; `inside` and `outside` (N, 1, 1, 1) how
    wide the bands are, `uneven` (N, 2, K, K) times what, from place to place. Gaps that a brush of
    radius `brush` does not fit into are closed; `block` is the side of the squares that a coarse
    tool leaves, `speckled` whether known specks lie within the unknown, where `specks` (N, 1, K, K)
    is large, and `whole` whether no foreground is known.
    """

    tolerance: Tensor
    inside: Tensor
    outside: Tensor
    uneven: Tensor
    brush: Tensor
    block: Tensor
    speckled: Tensor
    specks: Tensor
    whole: Tensor

    def take(self, chosen: Tensor) -> "Style":
        """Keep some of the samples."""
        return Style(*(getattr(self, field.name)[chosen] for field in fields(self)))


def draw_style(
    draws: RandomDraws, size: int, *, careless: float | None, without: float = 0.0
) -> Style:
    """Draw how a person or a tool works, for crops of `size` pixels.

    Most bands reach about as far in as out, vary along the edge, and are closed to smooth blobs as
    a broad brush leaves them; a share, `careless`, may lie on one side only, or None: all are
    even. With probability `without` no foreground is known.
    """
    reach = draws.log_uniform(NARROWEST / size, WIDEST)
    wild = draws.chance(careless or 0.0)
    sides = []
    for _ in range(2):
        share = torch.where(wild, draws.choose(0.1, 0.5, 1.0, 1.0), draws.normal(0.0, 0.2).exp())
        sides.append(reach * (share if careless is not None else 1.0))
    uneven = torch.cat([_unevenness(draws) for _ in range(2)], 1)
    closing = torch.maximum(reach, draws.log_uniform(2.0 / size, 1 / 12))
    coarse = draws.log_uniform(8.0 / size, 1 / 8) * draws.chance(0.1)
    return Style(
        tolerance=draws.choose(0.004, 0.01, 0.03),
        inside=sides[0],
        outside=sides[1],
        uneven=uneven if careless is not None else torch.ones_like(uneven),
        brush=closing * draws.uniform(0.3, 1.2) * draws.chance(0.7),
        block=coarse,
        speckled=draws.chance(0.15),
        specks=draws.field(KNOTS // 2, KNOTS) + 0.5 * draws.field(KNOTS // 6, KNOTS),
        whole=draws.chance(without),
    )


def _unevenness(draws: RandomDraws) -> Tensor:
    """Vary around 1: slowly, as a hand does, and sometimes jaggedly; (N, 1, KNOTS, KNOTS)."""
    slow = draws.field(3, KNOTS) + draws.field(7, KNOTS)
    jagged = draws.uniform(-1.0, 1.0, 1, KNOTS, KNOTS) * draws.chance(0.25)
    return (1.0 + draws.uniform(0.0, 0.5) * slow + 0.4 * jagged).clamp(min=0.15)


def draw_bands(alpha: Tensor, crop: float, style: Style) -> tuple[Tensor, Tensor]:
    """Give what is unknown and what is solid, bool (N, 1, S, S), of alpha seen with its margins.

    `crop` is the side of the crop in the pixels of alpha, which may be coarser than the crop's.
    """
    solid, soft = _parts(alpha, style)
    edge = soft | (F.max_pool2d(solid.float(), 3, 1, 1) > solid)
    limit = int(LIMIT * crop) + 1
    uneven = F.interpolate(style.uneven, alpha.shape[2:], mode="bilinear", align_corners=True)
    width = torch.where(solid, style.inside * uneven[:, :1], style.outside * uneven[:, 1:]) * crop
    bands = distance_to(edge, limit) <= width.clamp(max=limit)
    unknown = _blocky(close(bands, (style.brush * crop).clamp(max=limit), limit), style, crop)
    specks = F.interpolate(style.specks, alpha.shape[2:], mode="bilinear") > SPECK
    known = specks & style.speckled & (F.max_pool2d(soft.float(), 5, 1, 2) == 0)
    return (unknown & ~known) | (solid & style.whole), solid


def finish_trimaps(unknown: Tensor, alpha: Tensor, style: Style) -> Tensor:
    """Give trimaps (N, 1, S, S) in 0, 128/255 and 1 of crops of alpha, from their coarse bands."""
    solid, soft = _parts(alpha, style)
    bands = F.interpolate(unknown.float(), alpha.shape[2:], mode="bilinear") > 0.5
    return torch.where(bands | soft | (solid & style.whole), UNKNOWN, solid.float())


def _parts(alpha: Tensor, style: Style) -> tuple[Tensor, Tensor]:
    solid = alpha >= 1.0 - style.tolerance
    return solid, (alpha > style.tolerance) & ~solid


def _blocky(unknown: Tensor, style: Style, crop: float) -> Tensor:
    """Widen some masks to whole squares, of each its own side."""
    sides = (style.block * crop).round().flatten().tolist()
    for i, side in enumerate(int(side) for side in sides):
        if side > 1:
            blocks = F.max_pool2d(unknown[i : i + 1].float(), side, ceil_mode=True)
            whole = blocks.repeat_interleave(side, 2).repeat_interleave(side, 3)
            unknown[i] = whole[0, :, : unknown.shape[2], : unknown.shape[3]] > 0
    return unknown


def close(mask: Tensor, radius: Tensor, limit: int) -> Tensor:
    """Close holes and gaps of a mask (N, 1, H, W) that a disc of `radius` does not fit into."""
    grown = distance_to(mask, limit) <= radius
    return mask | (distance_to(~grown, limit) > radius)


def distance_to(mask: Tensor, limit: int) -> Tensor:
    """Measure how far each cell of (N, 1, H, W) is from the mask, exact where at most `limit`."""
    if mask.device.type != "cpu":
        return nearest_within(mask, limit)
    far = np.float32(2 * limit + 2)
    distances = []
    for plane in (~mask[:, 0]).to(torch.uint8).numpy():
        found = cv2.distanceTransform(plane, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        distances.append(found if not plane.all() else np.full_like(found, far))
    return torch.from_numpy(np.stack(distances))[:, None]


def nearest_within(mask: Tensor, limit: int) -> Tensor:
    """Measure distances without leaving the device: columns by running maxima, then rows.

    A row takes the lower envelope over `limit` cells to either side (Felzenszwalb and Huttenlocher
    2012, equation 1).
    """
    far = float(2 * limit + 2)
    rows = torch.arange(mask.shape[2], device=mask.device, dtype=torch.float32)[:, None]
    above = torch.where(mask, rows, -torch.inf).cummax(2).values
    below = torch.where(mask, rows, torch.inf).flip(2).cummin(2).values.flip(2)
    column = torch.minimum(rows - above, below - rows).clamp(max=far)
    padded = F.pad(column.square(), (limit, limit), value=far**2)
    nearest = padded[..., limit : limit + mask.shape[3]].clone()
    for offset in range(-limit, limit + 1):
        torch.minimum(
            nearest,
            padded[..., limit + offset : limit + offset + mask.shape[3]] + offset**2,
            out=nearest,
        )
    return nearest.sqrt()
