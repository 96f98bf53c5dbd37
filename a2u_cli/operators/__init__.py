"""Affinity-aware upsampling and what it is compared with, behind one face."""

from typing import TYPE_CHECKING

from ..lazy import lazily

if TYPE_CHECKING:
    from .affinity import AffinityPair as AffinityPair
    from .affinity import KernelGenerator as KernelGenerator
    from .affinity import downsample as downsample
    from .affinity import upsample as upsample
    from .comparison import OPERATORS as OPERATORS
    from .comparison import make_pair as make_pair
    from .counting import count_operations as count_operations
    from .counting import count_parameters as count_parameters
    from .pair import PairFactory as PairFactory
    from .pair import ResamplingPair as ResamplingPair
    from .pair import as_pair as as_pair

_HOMES = {
    "OPERATORS": ".comparison",
    "AffinityPair": ".affinity",
    "KernelGenerator": ".affinity",
    "PairFactory": ".pair",
    "ResamplingPair": ".pair",
    "as_pair": ".pair",
    "count_operations": ".counting",
    "count_parameters": ".counting",
    "downsample": ".affinity",
    "make_pair": ".comparison",
    "upsample": ".affinity",
}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
