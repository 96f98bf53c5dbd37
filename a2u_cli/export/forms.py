"""The network in export forms: the same numbers, by operations that other runtimes have.

The operator of `operators.affinity` (https://arxiv.org/abs/2011.14288) with sizes that stay open:
bins by products of matrices in place of adaptive pooling, which ONNX has not; strided slices and
shuffled channels in place of windows; padding by looking pixels up. Of a single picture at a time.
"""

from math import isqrt
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import A2UError
from ..network.folding import Folded, fold_norms
from ..network.model import MattingNetwork, WholePlanes
from ..network.stages import walk
from ..operators.affinity import LEAK, SCALE, AffinityPair, KernelGenerator
from ..units import STRIDE

KNOWN = 0.25  # of a trimap in [0, 1]: what is so near to 0 or 1 is known


class PlainConvolution(nn.Module):
    """A folded convolution, the sums and the leak behind it, without ways of a CPU's own."""

    def __init__(self, folded: Folded) -> None:
        super().__init__()
        old, dtype = folded.conv, folded.dtype
        self.conv = nn.Conv2d(
            old.in_channels,
            old.out_channels,
            cast(tuple[int, int], old.kernel_size),
            stride=cast(tuple[int, int], old.stride),
            padding=cast(tuple[int, int], old.padding),
            dilation=cast(tuple[int, int], old.dilation),
            groups=old.groups,
        )
        self.conv.load_state_dict(old.state_dict())
        self.conv.to(dtype)
        self.dtype, self.activate = dtype, folded.activate

    def forward(
        self,
        x: Tensor,
        plus: Tensor | None = None,
        *,
        then: Tensor | None = None,
        needed: None = None,
    ) -> Tensor:
        y = cast(Tensor, self.conv(x.to(self.dtype)))
        y = y if plus is None else y + plus.to(self.dtype)
        y = F.leaky_relu(y, LEAK) if self.activate else y
        return y if then is None else y + then.to(self.dtype)


class PlainPair(nn.Module):
    """`AffinityPair` in export form, for a single picture (1, C, 2h, 2w) of any even size.

    Raises A2UError for ranks and groups other than 1 and learned constants: no released weights
    have them.
    """

    def __init__(self, pair: AffinityPair) -> None:
        super().__init__()
        made = pair.generator
        plain = made.rank == made.groups == 1 and made.normalise == ("softmax", "sigmoid-softmax")
        if not plain or not isinstance(made.filter_u, nn.Conv2d):
            raise A2UError("only the operator as it is released has an export form")
        self.generator: KernelGenerator = made

    def down(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Halve (1, C, 2h, 2w); the state is the kernels of the way up, (1, 9, 4, h, w)."""
        made, size = self.generator, self.generator.encode_size
        dtype, x = x.dtype, x.float()  # statistics, norms and softmax are kept wide
        bins = pool(x, size)  # (1, C, K, K)
        mean = x.mean(3, keepdim=True).mean(2, keepdim=True)  # (1, C, 1, 1): short sums are exact
        u, v = (self._filter(point, bins) for point in (made.filter_u, made.filter_v))
        a = F.leaky_relu(norm(made.norm_u, correlate(x, u)), LEAK)  # (1, C, h, w)
        b = F.leaky_relu(norm(made.norm_v, correlate(x, v)), LEAK)
        affinity = (a * b).sum(1, keepdim=True) * made.channels**-0.5  # (1, 1, h, w)
        weights = by_phase(made.project_down(mean), size)  # (1, K * K, 1, 1)
        down = (weights * affinity).softmax(1)  # (1, K * K, h, w)
        down = down.unflatten(1, (-1, SCALE * SCALE))  # (1, 9, 4, h, w)
        up = (made.project_up(mean) * affinity).sigmoid()  # (1, 9 * 4, h, w), tap-major
        up = up.unflatten(1, (-1, SCALE * SCALE)).softmax(1)  # (1, 9, 4, h, w)
        return halve(x, down).to(dtype), up

    def up(self, features: Tensor, state: Tensor) -> Tensor:
        return double(features.float(), state).to(features.dtype)

    def _filter(self, point: nn.Module, bins: Tensor) -> Tensor:
        """Make one encoding's filters: (1, C, K, K), bins -> (C, 1, K, K)."""
        return cast(Tensor, point(bins)).transpose(0, 1).expand(self.generator.channels, -1, -1, -1)


class WidePlanes(WholePlanes):
    """`WholePlanes` whose context takes the mean of the whole picture in float32."""

    def surround(self, stage: str, x: Tensor) -> Tensor:
        return cast(Tensor, self._module(stage)(x, x.float().mean((2, 3), keepdim=True)))


class WholePicture(nn.Module):
    """Picture and trimap of any size to alpha: what `fold_norms` gives, in export form.

    The convolutions but the last are in `dtype`.

    `image` is (1, 3, H, W) RGB in [0, 1], `trimap` (1, 1, H, W) with 0, 128/255 and 1 for
    background, unknown and foreground. Gives alpha (1, 1, H, W) in [0, 1]: padded to the stride,
    normalised, cropped, clipped, and the known pixels put back. Raises A2UError where a network
    has other resampling pairs.
    """

    def __init__(self, network: MattingNetwork, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        folded = fold_norms(network, dtype).requires_grad_(False)
        for parent in list(folded.modules()):
            for name, layer in parent.named_children():
                if isinstance(layer, Folded):
                    setattr(parent, name, PlainConvolution(layer))
                elif type(layer) is AffinityPair:
                    setattr(parent, name, PlainPair(layer))
        if not all(isinstance(pair, PlainPair) for pair in folded.pairs()):
            raise A2UError("only A2U's own operator has an export form")
        self.network = folded

    def forward(self, image: Tensor, trimap: Tensor) -> Tensor:
        height, width = image.shape[2:]
        colours = (image - self.network.mean) / self.network.std
        picture = mirror(torch.cat([colours, trimap], 1))  # (1, 4, H', W')
        raw = walk(WidePlanes(self.network), picture)[:, :, :height, :width]
        known = (trimap - 0.5).abs() > 0.5 - KNOWN
        return torch.where(known, trimap.round(), raw.clamp(0, 1))


def pool(x: Tensor, size: int) -> Tensor:
    """Average (1, C, H, W) over size x size bins, those of `F.adaptive_avg_pool2d`."""
    rows, columns = bins(x, 2, size), bins(x, 3, size)  # (size, H), (size, W)
    return rows @ (x @ columns.T)


def bins(x: Tensor, axis: int, size: int) -> Tensor:
    """Give the weights (size, side) of each bin's pixels along an axis: they sum up to 1."""
    side = x.shape[axis]
    at = torch.arange(side, device=x.device)
    number = torch.arange(size, device=x.device)
    starts, stops = number * side // size, (number * side + side + size - 1) // size
    marks = ((at >= starts[:, None]) & (at < stops[:, None])).to(x.dtype)
    return marks / marks.sum(1, keepdim=True)


def correlate(x: Tensor, filters: Tensor) -> Tensor:
    """Correlate (1, C, 2h, 2w) with a filter a channel, (C, 1, K, K), stride 2."""
    pad = (filters.shape[2] - 1) // 2
    return F.conv2d(x, filters, stride=SCALE, padding=pad, groups=filters.shape[0])


def norm(layer: nn.GroupNorm, x: Tensor) -> Tensor:
    """Apply a GroupNorm to (1, C, h, w), its sums taken line by line."""
    grouped = x.unflatten(1, (layer.num_groups, -1))  # (1, G, C / G, h, w)
    centred = grouped - grouped.mean(4, keepdim=True).mean((2, 3), keepdim=True)
    variance = centred.square().mean(4, keepdim=True).mean((2, 3), keepdim=True)
    scaled = (centred * (variance + layer.eps).rsqrt()).flatten(1, 2)
    weight, bias = layer.weight[:, None, None], layer.bias[:, None, None]
    result: Tensor = scaled * weight + bias
    return result


def by_phase(taps: Tensor, size: int) -> Tensor:
    """Sort the taps of K x K kernels, (1, K * K, 1, 1), by 2 x 2 cells, rows of cells first."""
    cells = taps.reshape(size // SCALE, SCALE, size // SCALE, SCALE)
    return cells.permute(0, 2, 1, 3).reshape(1, size * size, 1, 1)


def halve(x: Tensor, kernels: Tensor) -> Tensor:
    """Give `operators.affinity.downsample` of (1, C, 2h, 2w) by kernels (1, cells, 4, h, w)."""
    across = isqrt(kernels.shape[1])  # cells of a kernel
    pad = across - 1
    phases = F.pixel_unshuffle(F.pad(x, (pad, pad, pad, pad)), SCALE)
    phases = phases.unflatten(1, (-1, SCALE * SCALE))  # (1, C, 4, h + pad, w + pad)
    height, width = kernels.shape[3:]
    total = x.new_zeros(())
    for cell in range(across * across):
        u, v = divmod(cell, across)
        window = phases[..., u : u + height, v : v + width]  # (1, C, 4, h, w)
        total = total + (window * kernels[:, cell, None]).sum(2)  # (1, C, h, w)
    return total


def double(x: Tensor, kernels: Tensor) -> Tensor:
    """Give `operators.affinity.upsample` of (1, C, h, w) by kernels (1, 9, 4, h, w)."""
    padded = F.pad(x, (1, 1, 1, 1))
    height, width = x.shape[2:]
    total = x.new_zeros(())
    for tap in range(9):
        u, v = divmod(tap, 3)
        window = padded[:, :, None, u : u + height, v : v + width]  # (1, C, 1, h, w)
        total = total + window * kernels[:, tap, None]  # (1, C, 4, h, w)
    return F.pixel_shuffle(total.flatten(1, 2), SCALE)


def mirror(x: Tensor) -> Tensor:
    """Pad (1, C, H, W) at the bottom and right to the stride, as `pad_to_stride` does."""
    return x[:, :, mirrored(x, 2)][:, :, :, mirrored(x, 3)]


def mirrored(x: Tensor, axis: int) -> Tensor:
    """Give the places that the padded pixels along an axis have their values from."""
    side = x.shape[axis]
    at = torch.arange((side + STRIDE - 1) // STRIDE * STRIDE, device=x.device)
    period = at.new_full((), 2 * side - 2 + 1 // side)  # a side of one pixel is repeated
    at = at.remainder(period)
    return torch.minimum(at, period - at)
