"""The losses of matting, over the unknown region."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..units import UNKNOWN
from . import distributed

PYRAMID_LEVELS = 5
Batch = dict[str, Tensor]


def matting_loss(raw: Tensor, batch: Batch, *, shared: bool = False) -> dict[str, Tensor]:
    """Give the loss and its parts for raw alpha (N, 1, H, W), over the unknown region.

    `shared`: the batch is one process's share, and the region is that of all shares together.

    L1 on alpha + L1 on the re-composed colour + 0.5 x L1 on a Laplacian pyramid of the error, as
    in Deep Image Matting (Xu et al. 2017) and Context-Aware Matting (Hou and Liu 2019).
    """
    unknown = (batch["trimap"] == UNKNOWN / 255).float()
    pixels = unknown.sum()
    count = (distributed.mean(pixels) if shared else pixels).clamp_min(1.0)
    error = (raw.float() - batch["alpha"]) * unknown
    alpha = error.abs().sum() / count
    contrast = (batch["foreground"] - batch["background"]).abs().mean(1, keepdim=True)
    composition = (error.abs() * contrast).sum() / count
    pyramid = laplacian_l1(error) / count
    loss = alpha + composition + 0.5 * pyramid
    return {"loss": loss, "alpha": alpha, "composition": composition, "pyramid": pyramid}


def laplacian_l1(x: Tensor) -> Tensor:
    """Sum |Laplacian pyramid| of (N, 1, H, W); a level at 1/2^k counts 2^k times."""
    total = x.new_zeros(())
    for level in range(PYRAMID_LEVELS):
        if min(x.shape[-2:]) < 4:
            break
        down, across = (_blur(side, x) for side in x.shape[-2:])
        smooth = down.mT @ x @ across
        total = total + 2.0**level * (x - smooth).abs().sum()
        x = smooth[..., ::2, ::2]
    return total


def _blur(side: int, x: Tensor) -> Tensor:
    """Give the matrix (side, side) whose column j weighs what a binomial blur adds up at place j.

    The edges are repeated. Of one channel, a product with it is far quicker than a convolution.
    """
    taps = x.new_tensor([[[1.0, 4.0, 6.0, 4.0, 1.0]]]) / 16.0
    impulses = torch.eye(side, dtype=x.dtype, device=x.device)[:, None]
    return F.conv1d(F.pad(impulses, (2, 2), mode="replicate"), taps)[:, 0]
