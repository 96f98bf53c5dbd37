"""The matting network: its stages as data, its layers, its folded form for inference."""

from typing import TYPE_CHECKING

from ..lazy import lazily

if TYPE_CHECKING:
    from ..operators.affinity import LEAK as LEAK
    from ..operators.pair import PairFactory as PairFactory
    from ..operators.pair import ResamplingPair as ResamplingPair
    from ..operators.pair import as_pair as as_pair
    from ..units import STRIDE as STRIDE
    from .folding import Folded as Folded
    from .folding import fold_norms as fold_norms
    from .model import ConvNorm as ConvNorm
    from .model import DecoderStage as DecoderStage
    from .model import DownBlock as DownBlock
    from .model import MattingNetwork as MattingNetwork
    from .model import ResidualBlock as ResidualBlock

_HOMES = {
    "LEAK": "..operators.affinity",
    "STRIDE": "..units",
    "ConvNorm": ".model",
    "DecoderStage": ".model",
    "DownBlock": ".model",
    "Folded": ".folding",
    "MattingNetwork": ".model",
    "PairFactory": "..operators.pair",
    "ResamplingPair": "..operators.pair",
    "ResidualBlock": ".model",
    "as_pair": "..operators.pair",
    "fold_norms": ".folding",
}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
