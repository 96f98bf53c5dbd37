"""The matting network: its stages as data, its layers, its folded form for inference."""

from ..operators.affinity import LEAK
from ..operators.pair import PairFactory, ResamplingPair, as_pair
from ..units import STRIDE
from .folding import Folded, fold_norms
from .model import (
    ConvNorm,
    DecoderStage,
    DownBlock,
    MattingNetwork,
    ResidualBlock,
)

__all__ = [
    "LEAK",
    "STRIDE",
    "ConvNorm",
    "DecoderStage",
    "DownBlock",
    "Folded",
    "MattingNetwork",
    "PairFactory",
    "ResamplingPair",
    "ResidualBlock",
    "as_pair",
    "fold_norms",
]
