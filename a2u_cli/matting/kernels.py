"""See the kernels by which a network's operators halve and double, at every place of a picture."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy.typing as npt
import torch
from torch import Tensor, nn

from ..errors import A2UError
from ..network.model import MattingNetwork
from ..operators.affinity import SCALE, AffinityPair
from ..operators.comparison import Carafe, PooledPair, find_operator
from ..units import FloatArray
from .streaming import run_whole

FIXED = ("bilinear", "nearest")  # have the same kernels whatever was trained
NEIGHBOURS = 3  # coarse pixels across, which fixed kernels reach


@dataclass(frozen=True)
class Kernels:
    """What one of the four pairs made of a picture, or would make of any.

    `up` is the K x K kernel of every fine position, (K * K, 2h, 2w), or (K * K, 2, 2) where it only
    depends on a position's place in its 2x2 block; `down` the kernel of every coarse one, (36, h,
    w), and `affinity` (h, w), where the operator has them. The taps of each kernel sum to 1.
    """

    up: FloatArray
    down: FloatArray | None = None
    affinity: FloatArray | None = None


def see_kernels(
    network: MattingNetwork, image: FloatArray, trimap: npt.NDArray[Any]
) -> list[Kernels]:
    """Run the network and keep the kernels of its four stages, from the finest on.

    `image` is float32 (H, W, 3) in [0, 1], `trimap` uint8 (H, W) in {0, 128, 255}. Planes are
    those of the picture mirrored up to the stride of 16.

    Raises A2UError for an operator that has no kernels, or others for every channel.
    """
    seen: list[Kernels] = []
    pairs = [cast(nn.Module, pair) for pair in network.pairs()]
    if all(isinstance(pair, PooledPair) and _is_fixed(pair) for pair in pairs):
        return [_fixed(cast(PooledPair, pair)) for pair in pairs]
    with _watching(pairs, seen, network.operator), torch.inference_mode():
        run_whole(network, image, trimap)
    # made on the way down or, by CARAFE, on the way up
    return sorted(seen, key=lambda kernels: -kernels.up.shape[1])


def see_fixed(name: str) -> list[Kernels]:
    """Give the kernels of one of `FIXED`, which are those of all four stages."""
    return 4 * [_fixed(cast(PooledPair, find_operator(name)(1)))]


@contextmanager
def _watching(pairs: list[nn.Module], seen: list[Kernels], name: str | None) -> Iterator[None]:
    """Keep what is made in the generators of kernels, while they run."""

    def keep_affinity(module: nn.Module, inputs: tuple[Tensor, ...], kernels: Any) -> None:
        affinity = cast(Any, module).affinity(inputs[0])[:, 0]  # the first, where there are more
        down, up = kernels
        seen.append(Kernels(*(plane[0].float().cpu().numpy() for plane in (up, down, affinity))))

    def keep_reassembly(module: nn.Module, inputs: tuple[Tensor, ...], _: Any) -> None:
        seen.append(Kernels(cast(Carafe, module).kernels(inputs[0])[0].float().cpu().numpy()))

    hooks = []
    for pair in pairs:
        if type(pair) is AffinityPair:
            hooks.append(pair.generator.register_forward_hook(keep_affinity))
        elif isinstance(pair, PooledPair) and isinstance(pair.upsampler, Carafe):
            hooks.append(pair.upsampler.register_forward_hook(keep_reassembly))
        else:
            raise A2UError(
                f"the operator {name} has no kernels that all channels share, expected a form of "
                f"a2u, carafe, {' or '.join(FIXED)}; take other weights"
            )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _is_fixed(pair: PooledPair) -> bool:
    return isinstance(pair.upsampler, nn.Upsample)


def _fixed(pair: PooledPair) -> Kernels:
    """Measure kernels that are the same everywhere by what becomes of single pixels."""
    taps = NEIGHBOURS**2
    pixels = torch.eye(taps).view(1, taps, NEIGHBOURS, NEIGHBOURS)
    middle = slice(SCALE, 2 * SCALE)  # the block of the pixel in the middle
    with torch.inference_mode():
        return Kernels(pair.up(pixels, None)[0, :, middle, middle].numpy())  # (9, 2, 2)
