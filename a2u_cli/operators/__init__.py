"""Affinity-aware upsampling and what it is compared with, behind one face."""

from .affinity import AffinityPair, KernelGenerator, downsample, upsample
from .comparison import OPERATORS, make_pair
from .counting import count_operations, count_parameters
from .pair import PairFactory, ResamplingPair, as_pair

__all__ = [
    "OPERATORS",
    "AffinityPair",
    "KernelGenerator",
    "PairFactory",
    "ResamplingPair",
    "as_pair",
    "count_operations",
    "count_parameters",
    "downsample",
    "make_pair",
    "upsample",
]
