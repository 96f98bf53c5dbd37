"""The A2U operator: affinity-aware upsampling kernels and their downsampling twin.

Dai, Lu and Shen, "Learning Affinity-Aware Upsampling for Deep Image Matting", CVPR 2021
(https://arxiv.org/abs/2011.14288). A low-rank bilinear model of second-order features gives one
affinity value for each coarse position; projections of the pooled picture turn it into kernels.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from math import gcd, isqrt, sqrt
from typing import Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import steady
from .fused import encodings, resampling
from .fused import kernels as fused_kernels
from .fused.area import Area
from .steady import Moments as Moments

SCALE = 2
LEAK = 0.01
Form = Literal["dynamic", "hybrid", "static"]
Normalisation = Literal["softmax", "sigmoid-softmax", "sigmoid", "none"]


def downsample(x: Tensor, kernels: Tensor, *, groups: int = 1) -> Tensor:
    """Halve `x` with a kernel of its own for every output position (paper, section 3.1).

    `x` is (N, C, 2h, 2w), `kernels` (N, groups * K * K, h, w) with even K; the result is
    (N, C, h, w) in the dtype of `x`. Channel c uses kernel group c // (C / groups), tap u * K + v
    weighs x[2i - p + u, 2j - p + v] with p = (K - 1) // 2; outside the picture is zero.

    Raises ValueError where the shapes do not fit together.
    """
    size = _kernel_size(x, kernels, groups)
    height, width = kernels.shape[-2:]
    if x.shape[-2:] != (SCALE * height, SCALE * width) or size % 2:
        raise ValueError(
            f"downsample needs x of twice the kernels' height and width and an even kernel size, "
            f"got x {tuple(x.shape)} and kernels {tuple(kernels.shape)} of size {size}"
        )
    if resampling.usable(x, size, groups):
        return resampling.downsample(x, kernels)
    pad = (size - 1) // 2
    padded = F.pad(x, (pad, pad, pad, pad)).unflatten(1, (groups, -1))
    taps = kernels.to(_wide(x)).unflatten(1, (groups, size * size))
    total = torch.zeros((), dtype=_wide(x), device=x.device)
    for tap in range(size * size):
        u, v = divmod(tap, size)
        window = padded[..., u : u + 2 * height - 1 : 2, v : v + 2 * width - 1 : 2]
        total = total + window * taps[:, :, tap, None]  # (N, groups, C / groups, h, w)
    return total.flatten(1, 2).to(x.dtype)


def upsample(x: Tensor, kernels: Tensor, *, groups: int = 1, needed: Area | None = None) -> Tensor:
    """Double `x` with a kernel of its own for every output position (paper, section 3.1).

    `x` is (N, C, h, w), `kernels` (N, groups * K * K, 2h, 2w) with odd K; the result is
    (N, C, 2h, 2w) in the dtype of `x`. Tap u * K + v of output (y, x) weighs
    x[y // 2 - p + u, x // 2 - p + v] with p = (K - 1) // 2; outside the picture is zero. What is
    not `needed` of the result may be left out.

    Raises ValueError where the shapes do not fit together.
    """
    size = _kernel_size(x, kernels, groups)
    height, width = x.shape[-2:]
    if kernels.shape[-2:] != (SCALE * height, SCALE * width) or not size % 2:
        raise ValueError(
            f"upsample needs kernels of twice x's height and width and an odd kernel size, "
            f"got x {tuple(x.shape)} and kernels {tuple(kernels.shape)} of size {size}"
        )
    if resampling.usable(x, size, groups):
        return resampling.upsample(x, kernels, needed)
    pad = (size - 1) // 2
    padded = F.pad(x, (pad, pad, pad, pad)).unflatten(1, (groups, -1))
    taps = kernels.to(_wide(x)).unflatten(1, (groups, size * size))
    taps = taps.unflatten(-1, (width, SCALE)).unflatten(-3, (height, SCALE))
    total = torch.zeros((), dtype=_wide(x), device=x.device)
    for tap in range(size * size):
        u, v = divmod(tap, size)
        window = padded[..., u : u + height, v : v + width]
        window = window[..., :, None, :, None]  # each coarse pixel serves a 2x2 block
        total = total + window * taps[:, :, tap, None]  # (N, groups, C / groups, h, 2, w, 2)
    return total.flatten(-2).flatten(-3, -2).flatten(1, 2).to(x.dtype)


def normalise_down(logits: Tensor, groups: int) -> Tensor:
    """Softmax over the taps of each group: (N, groups * K * K, h, w), same shape out."""
    taps = logits.movedim(1, -1).unflatten(-1, (groups, -1))  # (N, h, w, groups, K * K)
    kernels: Tensor = _softmax(taps).flatten(-2)
    return kernels.movedim(-1, 1)


def normalise_up(logits: Tensor, groups: int) -> Tensor:
    """Sigmoid, then softmax over the taps of each group, so that no tap can take all."""
    return normalise_down(steady.sigmoid(logits), groups)


NORMALISATIONS: dict[Normalisation, Callable[[Tensor, int], Tensor]] = {
    "softmax": normalise_down,
    "sigmoid-softmax": normalise_up,
    "sigmoid": lambda logits, groups: steady.sigmoid(logits),
    "none": lambda logits, groups: logits,
}


class Constant(nn.Module):
    """A learned constant in place of a 1x1 convolution of the pooled picture."""

    def __init__(self, outputs: int, size: int, deviation: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(deviation * torch.randn(1, outputs, size, size))


class KernelGenerator(nn.Module):
    """Make downsampling and upsampling kernels from second-order features (paper, section 3.2).

    For x of (N, C, 2h, 2w) gives `(down, up)`: (N, groups * encode_size^2, h, w) and
    (N, groups * up_size^2, 2h, 2w), float32 or wider, the taps of each group summing to 1. With
    rank d the logits are sum_r p[m, r] A_r, where A_r = sum_c a_rc b_rc / sqrt(C) is the bilinear
    affinity of the r-th pair of encodings and p a projection of the globally pooled x. `shared`
    encodes all channels with one filter, otherwise each has its own.

    `form` says what is made from the picture: `dynamic` (the released code) the encoding filters
    U and V and the projection p; `hybrid` p alone, U and V being learned constants; `static`
    nothing, all three are learned. `normalise` are the rules of the down and up kernels' taps;
    with `sigmoid` and `none` they need not sum to 1.

    Raises ValueError where channels do not split into groups, or for an unknown form or rule.
    """

    def __init__(
        self,
        channels: int,
        *,
        up_size: int = 3,
        encode_size: int = 6,
        rank: int = 1,
        groups: int = 1,
        shared: bool = True,
        norm_groups: int = 32,
        form: Form = "dynamic",
        normalise: tuple[Normalisation, Normalisation] = ("softmax", "sigmoid-softmax"),
    ) -> None:
        super().__init__()
        if form not in get_args(Form) or not set(normalise) <= set(NORMALISATIONS):
            raise ValueError(
                f"form {form!r} and normalisations {normalise}, expected one of {get_args(Form)} "
                f"and two of {tuple(NORMALISATIONS)}"
            )
        if channels % groups or channels % norm_groups:
            raise ValueError(f"{channels} channels cannot be split into {groups}/{norm_groups}")
        self.channels, self.encode_size = channels, encode_size
        self.rank, self.groups = rank, groups
        self.normalise = normalise

        def filters() -> nn.Module:
            outputs = rank if shared else rank * channels
            if form == "dynamic":
                return nn.Conv2d(channels, outputs, 1)
            return Constant(outputs, encode_size, 0.2)

        def projection(taps: int) -> nn.Module:
            outputs = groups * taps * rank
            if form != "static":
                return nn.Conv2d(channels, outputs, 1)
            return Constant(outputs, 1, 0.1)

        self.filter_u, self.filter_v = filters(), filters()
        self.norm_u = nn.GroupNorm(norm_groups * rank, rank * channels)
        self.norm_v = nn.GroupNorm(norm_groups * rank, rank * channels)
        self.project_down = projection(encode_size**2)
        self.project_up = projection((SCALE * up_size) ** 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with _full_precision(x):
            if x.requires_grad:
                pooled, mean = pool(x, self.encode_size)
                affinity = self.affinity(x, pooled)
            else:
                affinity = self.affinity(x)
                mean = x.mean((2, 3), keepdim=True, dtype=_wide(x))
            return self.down_kernels(affinity, mean), self.up_kernels(affinity, mean)

    def affinity(self, x: Tensor, pooled: Tensor | None = None) -> Tensor:
        """Give the affinity planes A: (N, C, 2h, 2w) -> (N, rank, h, w), float32 or wider.

        `pooled` is x averaged to (N, C, encode_size, encode_size), where that is known.
        """
        with _full_precision(x):
            if pooled is None:
                pooled = F.adaptive_avg_pool2d(x.to(_wide(x)), self.encode_size)
            a, b = encode(x, *self.filters(pooled))  # (N, rank * C, h, w)
            if steady.applies(a):
                of_a = steady.measure(a, self.norm_u.num_groups)
                return self.affinity_with(a, b, (of_a, steady.measure(b, self.norm_v.num_groups)))
            return self.bilinear(
                F.leaky_relu(_apply(self.norm_u, a.to(_wide(x))), LEAK),
                F.leaky_relu(_apply(self.norm_v, b.to(_wide(x))), LEAK),
            )

    def filters(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Make the encoding filters: (N, C, K, K), pooled -> two of (N, rank, 1 or C, K, K)."""
        u, v = _apply(self.filter_u, pooled), _apply(self.filter_v, pooled)
        return u.unflatten(1, (self.rank, -1)), v.unflatten(1, (self.rank, -1))

    def affinity_with(self, a: Tensor, b: Tensor, moments: tuple[Moments, Moments]) -> Tensor:
        """Give the part of A that belongs to a part of the encodings, by the whole's moments."""
        of_a, of_b = (
            _gain_and_shift(norm, of) for norm, of in zip(self._norms, moments, strict=True)
        )
        return self.bilinear(_standardise(a, *of_a), _standardise(b, *of_b))

    def affinity_of(
        self, x: Tensor, filters: tuple[Tensor, Tensor], moments: tuple[Moments, Moments]
    ) -> Tensor:
        """Give the part of A that belongs to a part of a picture, by the whole's moments."""
        if not encodings.usable(x, filters[0]):
            return self.affinity_with(*encode(x, *filters), moments)
        scales = [_gain_and_shift(norm, of) for norm, of in zip(self._norms, moments, strict=True)]
        gain, shift = (torch.cat(parts).flatten(1) for parts in zip(*scales, strict=True))  # (2, C)
        return encodings.affinity(x, *filters, gain, shift, LEAK)

    @property
    def _norms(self) -> tuple[nn.GroupNorm, nn.GroupNorm]:
        return self.norm_u, self.norm_v

    def bilinear(self, a: Tensor, b: Tensor) -> Tensor:
        """Multiply two normed encodings, (N, rank * C, h, w), into (N, rank, h, w)."""
        product: Tensor = (a * b).unflatten(1, (self.rank, -1))  # (N, rank, C, h, w)
        return product.sum(2) / sqrt(product.shape[2])

    def down_kernels(self, affinity: Tensor, mean: Tensor) -> Tensor:
        """Project A, (N, rank, h, w), by the pooled x, (N, C, 1, 1): the kernels of that part."""
        weights = self._projection(self.project_down, mean)  # (N, rank, M)
        if self._fast(0, affinity, weights):
            return fused_kernels.make(
                affinity, weights, scale=1, sigmoid=self.normalise[0] != "softmax"
            )
        logits = _weighted(weights[:, None, None], affinity.movedim(1, -1)[..., None])
        return NORMALISATIONS[self.normalise[0]](logits.movedim(-1, 1), self.groups)

    def up_kernels(self, affinity: Tensor, mean: Tensor, needed: Area | None = None) -> Tensor:
        """Project A as `down_kernels` does; (N, groups * up_size^2, 2h, 2w).

        Of a single picture, what is not `needed` may be left out.
        """
        weights = self._projection(self.project_up, mean)  # (N, rank, M)
        if self._fast(1, affinity, weights):
            sets = weights.unflatten(2, (-1, SCALE**2)).transpose(2, 3)[:, 0]
            sigmoid = self.normalise[1] != "softmax"
            return fused_kernels.make(affinity, sets, scale=SCALE, sigmoid=sigmoid, needed=needed)
        if needed is not None:
            return self._some_up_kernels(affinity, mean, needed)
        weights = weights.unflatten(2, (-1, SCALE, SCALE))
        weights = weights.permute(0, 3, 4, 1, 2)[:, None, :, None]  # (N, 1, 2, 1, 2, rank, M / 4)
        planes = affinity.movedim(1, -1)[:, :, None, :, None, :, None]
        logits = _weighted(weights, planes)  # (N, h, 2, w, 2, M / 4)
        logits = logits.flatten(3, 4).flatten(1, 2).movedim(-1, 1)
        return NORMALISATIONS[self.normalise[1]](logits, self.groups)

    def _fast(self, at: int, affinity: Tensor, weights: Tensor) -> bool:
        """Tell whether C makes the kernels down (at 0) or up (at 1)."""
        plain = self.groups == 1 and self.normalise[at] in ("softmax", "sigmoid-softmax")
        return plain and fused_kernels.usable(affinity, weights)

    def _some_up_kernels(self, affinity: Tensor, mean: Tensor, needed: Area) -> Tensor:
        height, width = affinity.shape[2:]
        rows, columns = map(torch.from_numpy, needed.under())
        some = self.up_kernels(affinity[:, :, rows, columns][:, :, None], mean)  # (1, M, 2, 2n)
        fine = torch.empty(height, SCALE, width, SCALE, some.shape[1], dtype=some.dtype)
        fine[rows, :, columns] = some[0].unflatten(2, (-1, SCALE)).permute(2, 1, 3, 0)
        return fine.flatten(2, 3).flatten(0, 1).permute(2, 0, 1)[None]  # (1, M, 2h, 2w)

    def _projection(self, project: nn.Module, mean: Tensor) -> Tensor:
        weights: Tensor = _apply(project, mean)[..., 0, 0].unflatten(1, (-1, self.rank))
        return weights.movedim(2, 1)  # (N, rank, M)


class AffinityPair(nn.Module):
    """A downsampling and its upsampling twin that share one affinity plane.

    `down(x)` halves (N, C, 2h, 2w) and returns the state that `up(features, state)` needs to
    double features of (N, C', h, w) again. The options are those of `KernelGenerator`.
    """

    def __init__(
        self,
        channels: int,
        *,
        up_size: int = 3,
        rank: int = 1,
        groups: int = 1,
        shared: bool = True,
        form: Form = "dynamic",
        normalise: tuple[Normalisation, Normalisation] = ("softmax", "sigmoid-softmax"),
    ) -> None:
        super().__init__()
        self.generator = KernelGenerator(
            channels,
            up_size=up_size,
            rank=rank,
            groups=groups,
            shared=shared,
            norm_groups=gcd(32, channels),
            form=form,
            normalise=normalise,
        )

    def down(self, x: Tensor) -> tuple[Tensor, Tensor]:
        down_kernels, up_kernels = self.generator(x)
        return downsample(x, down_kernels, groups=self.generator.groups), up_kernels

    def up(self, features: Tensor, state: Tensor) -> Tensor:
        return upsample(features, state, groups=self.generator.groups)


def pool(x: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Average `x`, (N, C, H, W), over size x size bins and over all, in one pass each way.

    Gives (N, C, size, size), the bins of `F.adaptive_avg_pool2d`, and (N, C, 1, 1), float32 or
    wider. The gradient of `x` is written once, in its dtype; that of torch's pooling is full-size
    float32.
    """
    samples, channels, height, width = x.shape
    rows, columns = (_bins(size, side, x) for side in (height, width))  # (size + 1, H)
    picture = x.permute(0, 2, 3, 1).reshape(samples, height, width * channels)
    lines = torch.bmm(rows.expand(samples, -1, -1), picture)  # (N, size + 1, W * C)
    lines = lines.to(_wide(x)).unflatten(2, (width, channels))
    columns, rows = columns.to(_wide(x)), rows.to(_wide(x))
    counts = torch.outer(rows.sum(1), columns.sum(1))[..., None]
    means = ((columns @ lines) / counts).movedim(3, 1)  # (N, C, size + 1, size + 1)
    return means[..., :size, :size], means[..., size:, size:]


def _bins(size: int, side: int, x: Tensor) -> Tensor:
    """Mark what belongs to each bin, and to the whole: ones and zeros (size + 1, side)."""
    marks = x.new_ones(size + 1, side)
    for i in range(size):
        marks[i, : i * side // size] = 0
        marks[i, -(-(i + 1) * side // size) :] = 0
    return marks


def encode(x: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Correlate every channel of `x` with the two filters made for its own sample, stride 2.

    `x` is (N, C, 2h, 2w), `u` and `v` (N, rank, 1 or C, K, K): one filter for all channels or one
    for each. Both results are (N, rank * C, h, w) in the dtype of `x`, rank-major.
    """
    if u.shape[1:3] == (1, 1) and resampling.usable(x, u.shape[-1]):
        return resampling.filter_pair(x, u.flatten(1), v.flatten(1))
    return _correlate(x, u), _correlate(x, v)


def _correlate(x: Tensor, filters: Tensor) -> Tensor:
    samples, channels, height, width = x.shape
    rank, size = filters.shape[1], filters.shape[-1]
    weight = filters.expand(-1, -1, channels, -1, -1).transpose(1, 2)  # (N, C, rank, K, K)
    # a CPU is several times slower at half-precision gradients of so many groups
    dtype = _wide(x) if x.requires_grad and x.device.type == "cpu" else x.dtype
    result = F.conv2d(
        x.reshape(1, samples * channels, height, width).to(dtype),
        weight.reshape(-1, 1, size, size).to(dtype),
        stride=SCALE,
        padding=(size - 1) // 2,
        groups=samples * channels,
    )  # (1, N * C * rank, h, w)
    result = result.reshape(samples, channels, rank, height // SCALE, width // SCALE)
    return result.transpose(1, 2).flatten(1, 2).to(x.dtype)  # (N, rank * C, h, w)


def _kernel_size(x: Tensor, kernels: Tensor, groups: int) -> int:
    taps, rest = divmod(kernels.shape[1], groups)
    size = isqrt(taps)
    if rest or size * size != taps or x.shape[1] % groups or x.shape[0] != kernels.shape[0]:
        raise ValueError(
            f"kernels need (N, groups * K * K, h, w) and x channels divisible by groups, got x "
            f"{tuple(x.shape)}, kernels {tuple(kernels.shape)}, groups {groups}"
        )
    return size


def _softmax(taps: Tensor) -> Tensor:
    """Softmax over the last dimension; torch's own takes a CPU five times as long for few taps.

    Where nothing is learned it is torch's, to the last bit.
    """
    if not taps.requires_grad or taps.device.type != "cpu":
        return taps.softmax(-1)
    powers = (taps - taps.detach().amax(-1, keepdim=True)).exp()
    return powers / powers.sum(-1, keepdim=True)


def _weighted(weights: Tensor, planes: Tensor) -> Tensor:
    """Sum weights times planes over the rank, which is the last dimension but one."""
    total = weights[..., 0, :] * planes[..., 0, :]
    for r in range(1, weights.shape[-2]):
        total = total + weights[..., r, :] * planes[..., r, :]
    return total


def _gain_and_shift(norm: nn.GroupNorm, moments: Moments) -> tuple[Tensor, Tensor]:
    """Make a GroupNorm with moments measured elsewhere a product and a sum, each (N, C, 1, 1)."""
    weight, bias = (p.view(1, -1, 1, 1).to(moments.mean) for p in (norm.weight, norm.bias))
    gain = weight * (moments.variance + norm.eps).rsqrt()
    return gain, bias - moments.mean * gain


def _standardise(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """Apply gain and shift, and the leak."""
    gain, shift = (t.to(_wide(x)).to(x.device) for t in (gain, shift))
    return F.leaky_relu(torch.addcmul(shift, x.to(_wide(x)), gain), LEAK)


def _full_precision(x: Tensor) -> AbstractContextManager[None]:
    """Keep autocast out; there is none on the meta device, where operations are only counted."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def _wide(x: Tensor) -> torch.dtype:
    """Half precision is widened for sums and softmax; float32 and float64 stay."""
    return torch.promote_types(x.dtype, torch.float32)


def _apply(layer: nn.Module, x: Tensor) -> Tensor:
    """Run a layer whose parameters may be of lower precision in the precision of `x`."""
    weight = cast(Tensor, layer.weight).to(x.dtype)
    if isinstance(layer, Constant):
        return weight.expand(len(x), -1, -1, -1)
    bias = None if layer.bias is None else cast(Tensor, layer.bias).to(x.dtype)
    if isinstance(layer, nn.GroupNorm):
        return F.group_norm(x, layer.num_groups, weight, bias, layer.eps)
    return steady.convolve_point(x, weight, bias)
