"""A2U matting: image and trimap in, alpha matte out."""

from typing import TYPE_CHECKING

from .lazy import lazily

if TYPE_CHECKING:
    from .errors import A2UError as A2UError
    from .foreground import composite as composite
    from .foreground import estimate_foreground as estimate_foreground
    from .matting.inference import matte as matte
    from .scoring.metrics import score as score
    from .weights.format import load_model as load_model

__version__ = "0.1.0"
__all__ = ["A2UError", "composite", "estimate_foreground", "load_model", "matte", "score"]
__getattr__ = lazily(
    __name__,
    {
        "A2UError": ".errors",
        "composite": ".foreground",
        "estimate_foreground": ".foreground",
        "load_model": ".weights.format",
        "matte": ".matting.inference",
        "score": ".scoring.metrics",
    },
)
