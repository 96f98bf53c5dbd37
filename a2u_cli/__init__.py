"""A2U matting: image and trimap in, alpha matte out."""

from typing import TYPE_CHECKING

from .lazy import lazily

if TYPE_CHECKING:
    from .errors import A2UError as A2UError
    from .foreground import composite as composite
    from .foreground import estimate_foreground as estimate_foreground
    from .images import read_image as read_image
    from .images import write_image as write_image
    from .matting.inference import matte as matte
    from .matting.matter import Matter as Matter
    from .scoring.metrics import score as score
    from .trimap import read_trimap as read_trimap
    from .weights.format import load_model as load_model

__version__ = "0.1.0"
_HOMES = {
    "A2UError": ".errors",
    "Matter": ".matting.matter",
    "composite": ".foreground",
    "estimate_foreground": ".foreground",
    "load_model": ".weights.format",
    "matte": ".matting.inference",
    "read_image": ".images.reading",
    "read_trimap": ".trimap",
    "score": ".scoring.metrics",
    "write_image": ".images.writing",
}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
