"""The upsamplers that the paper compares with, and A2U in its variants, behind one interface.

Every operator halves and doubles: `down(x)` gives the halved features and a state, and
`up(features, state)` doubles features again with what it needs of that state: nothing, the places
of maxima, indices, or A2U's kernels. So any of them drops into an encoder-decoder:

    pair = make_pair("a2u-dynamic-shared", 64)
    half, state = pair.down(x)  # (N, 64, H, W) -> (N, 64, ceil(H / 2), ceil(W / 2))
    full = pair.up(features, state)  # (N, 64, ...) -> (N, 64, H, W)

Upsamplers that stand alone are paired with a 2x2 max-pooling.
"""

from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import A2UError
from ..units import Size
from .affinity import SCALE, AffinityPair, normalise_down, upsample
from .pair import PairFactory, as_pair


class PooledPair(nn.Module):
    """A 2x2 max-pooling, or what `halve` is set to, and an upsampler of features alone."""

    def __init__(self, upsampler: nn.Module) -> None:
        super().__init__()
        self.halve: nn.Module = nn.MaxPool2d(SCALE)
        self.upsampler = upsampler

    def down(self, x: Tensor) -> tuple[Tensor, None]:
        return self.halve(x), None

    def up(self, features: Tensor, state: None) -> Tensor:
        return cast(Tensor, self.upsampler(features))


class TransposedConvolution(nn.ConvTranspose2d):
    """Learned upsampling by a transposed convolution of 4x4 taps, stride 2.

    Zeiler et al., "Deconvolutional Networks", CVPR 2010; as an upsampler in Long et al., "Fully
    Convolutional Networks for Semantic Segmentation", CVPR 2015, section 3.3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 4, stride=SCALE, padding=1)


class SubPixelConvolution(nn.Sequential):
    """A 3x3 convolution to four times the channels, shuffled into place.

    Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network", CVPR 2016, equations 3 and 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, SCALE**2 * channels, 3, padding=1), nn.PixelShuffle(SCALE)
        )


class Carafe(nn.Module):
    """Content-aware reassembly: every output position's kernel is predicted from the features.

    Wang et al., "CARAFE: Content-Aware ReAssembly of FEatures", ICCV 2019, equations 1 and 2, with
    the paper's sizes: 64 compressed channels, 3x3 content encoder, 5x5 reassembly kernels.
    """

    def __init__(self, channels: int, *, compressed: int = 64, up_size: int = 5) -> None:
        super().__init__()
        self.compress = nn.Conv2d(channels, compressed, 1)
        self.encode = nn.Conv2d(compressed, (SCALE * up_size) ** 2, up_size - 2, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        return upsample(x, self.kernels(x))

    def kernels(self, x: Tensor) -> Tensor:
        """Predict the kernel of every fine position: (N, C, h, w) -> (N, K * K, 2h, 2w)."""
        logits = F.pixel_shuffle(self.encode(self.compress(x)), SCALE)
        return normalise_down(logits, 1)


class UnpoolingPair(nn.Module):
    """Max-pooling that remembers where its maxima were, and unpooling that puts values back there.

    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014; as a
    decoder in Badrinarayanan et al., "SegNet", PAMI 2017. Features must have the channels of x.
    """

    def down(self, x: Tensor) -> tuple[Tensor, Tensor]:
        half, places = F.max_pool2d(x, SCALE, return_indices=True)
        return half, places

    def up(self, features: Tensor, state: Tensor) -> Tensor:
        return F.max_unpool2d(features, state, [SCALE, SCALE])


class IndexPair(nn.Module):
    """IndexNet: a network learns from x what max-pooling's indices are to unpooling.

    Lu et al., "Index Networks", PAMI 2020 ("Indices Matter", ICCV 2019), section 4: four branches
    give an index plane for each phase of the 2x2 block; sigmoid makes the decoder's indices, and a
    softmax over the block of these the encoder's. Pooling is the sum over a block of indices times
    x, upsampling the nearest neighbour times indices. The default is the paper's best: depthwise
    many-to-one indices with context (4x4 kernels) and a hidden layer; `holistic` has one plane for
    all channels. Features must have the channels of x.
    """

    def __init__(self, channels: int, *, holistic: bool = False) -> None:
        super().__init__()
        outputs = SCALE**2 if holistic else channels

        def branch() -> nn.Module:
            return nn.Sequential(
                nn.Conv2d(channels, 2 * channels, 4, stride=SCALE, padding=1, bias=False),
                nn.BatchNorm2d(2 * channels),
                nn.ReLU6(inplace=True),
                nn.Conv2d(2 * channels, outputs, 1, bias=False),
            )

        self.branches = nn.ModuleList(branch() for _ in range(1 if holistic else SCALE**2))

    def down(self, x: Tensor) -> tuple[Tensor, Tensor]:
        planes = torch.cat([branch(x) for branch in self.branches], 1)  # (N, 4 * C or 4, h, w)
        phases = planes.unflatten(1, (SCALE**2, -1)).sigmoid()  # phase-major
        indices = phases.softmax(1)
        pooled = indices * _phases(x)
        return pooled.sum(1), _shuffle(phases)  # (N, C, h, w), (N, C or 1, 2h, 2w)

    def up(self, features: Tensor, state: Tensor) -> Tensor:
        return F.interpolate(features, scale_factor=SCALE, mode="nearest") * state


class AffinityWithoutTwin(AffinityPair):
    """A2U's upsampling on its own: kernels from x before a max-pooling, or what `halve` is."""

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__(channels, **options)
        self.halve: nn.Module = nn.MaxPool2d(SCALE)
        del self.generator.project_down

    def down(self, x: Tensor) -> tuple[Tensor, Tensor]:
        affinity = self.generator.affinity(x)
        mean = x.mean((2, 3), keepdim=True, dtype=affinity.dtype)
        return self.halve(x), self.generator.up_kernels(affinity, mean)


class AnySize(nn.Module):
    """Let a pair take odd sizes: the last row and column are repeated, and cropped again."""

    def __init__(self, pair: nn.Module) -> None:
        super().__init__()
        self.pair = pair

    def down(self, x: Tensor) -> tuple[Tensor, tuple[Any, Size]]:
        height, width = x.shape[-2:]
        if height % SCALE or width % SCALE:
            x = F.pad(x, (0, width % SCALE, 0, height % SCALE), mode="replicate")
        half, state = as_pair(self.pair).down(x)
        return half, (state, (height, width))

    def up(self, features: Tensor, state: tuple[Any, Size]) -> Tensor:
        inner, (height, width) = state
        full: Tensor = as_pair(self.pair).up(features, inner)
        return full[..., :height, :width]


def _phases(x: Tensor) -> Tensor:
    """Take 2x2 blocks apart: (N, C, 2h, 2w) -> (N, 4, C, h, w)."""
    blocks: Tensor = F.pixel_unshuffle(x, SCALE).unflatten(1, (-1, SCALE**2))
    return blocks.transpose(1, 2)


def _shuffle(phases: Tensor) -> Tensor:
    """Put 2x2 blocks together: (N, 4, C, h, w) -> (N, C, 2h, 2w)."""
    return F.pixel_shuffle(phases.transpose(1, 2).flatten(1, 2), SCALE)


def _interpolation(mode: str) -> nn.Module:
    return PooledPair(nn.Upsample(scale_factor=SCALE, mode=mode))


OPERATORS: dict[str, PairFactory] = {
    "nearest": lambda channels: _interpolation("nearest"),
    "bilinear": lambda channels: _interpolation("bilinear"),
    "transposed": lambda channels: PooledPair(TransposedConvolution(channels)),
    "sub-pixel": lambda channels: PooledPair(SubPixelConvolution(channels)),
    "unpooling": lambda channels: UnpoolingPair(),
    "carafe": lambda channels: PooledPair(Carafe(channels)),
    "indexnet": IndexPair,
    "indexnet-holistic": partial(IndexPair, holistic=True),
    **{
        f"a2u-{form}-{kind}": partial(AffinityPair, form=form, shared=kind == "shared")
        for form in ("static", "hybrid", "dynamic")
        for kind in ("shared", "wise")
    },
    "a2u-dynamic-shared-d2": partial(AffinityPair, rank=2),
    "a2u-dynamic-shared-d4": partial(AffinityPair, rank=4),
    "a2u-dynamic-shared-softmax": partial(AffinityPair, normalise=("softmax", "softmax")),
    "a2u-dynamic-shared-sigmoid": partial(AffinityPair, normalise=("softmax", "sigmoid")),
    "a2u-dynamic-shared-1x1": partial(AffinityPair, up_size=1, normalise=("softmax", "sigmoid")),
    "a2u-without-twin": AffinityWithoutTwin,
    "a2u-without-twin-softmax": partial(AffinityWithoutTwin, normalise=("softmax", "softmax")),
    "a2u-without-twin-1x1": partial(
        AffinityWithoutTwin, up_size=1, normalise=("softmax", "sigmoid")
    ),
    "a2u-without-twin-1x1-d4": partial(
        AffinityWithoutTwin, rank=4, up_size=1, normalise=("softmax", "sigmoid")
    ),
}


def name_operator(operator: str | None, form: str | None) -> str | None:
    """Give the name in `OPERATORS` of an operator, or of a form of A2U such as "static-wise".

    Channel-shared goes without saying, as does A2U: "static" is "a2u-static-shared", and None what
    the network has by itself.

    Raises A2UError for an unknown one, or both.
    """
    a2u = operator in (None, "a2u")
    if a2u and (form or operator):
        form = form or "dynamic"
        operator = f"a2u-{form}" if form.endswith(("-shared", "-wise")) else f"a2u-{form}-shared"
    elif form:
        raise A2UError(f"form {form} was asked for, and {operator} has none; leave one out")
    if operator is not None and operator not in OPERATORS:
        raise A2UError(
            f"operator {operator!r} is unknown, expected a2u or one of {', '.join(OPERATORS)}"
        )
    return operator


def find_operator(name: str) -> PairFactory:
    """Give the factory of one of `OPERATORS`: from a number of channels to a pair for even sizes.

    Raises ValueError for an unknown name.
    """
    if name not in OPERATORS:
        raise ValueError(f"operator {name!r} is unknown, expected one of {', '.join(OPERATORS)}")
    return OPERATORS[name]


def make_pair(name: str, channels: int) -> AnySize:
    """Make one of `OPERATORS` for x and features of so many channels, of any height and width.

    Raises ValueError for an unknown name.
    """
    return AnySize(find_operator(name)(channels))
