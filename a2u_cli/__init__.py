"""A2U matting: image and trimap in, alpha matte out."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import A2UError as A2UError
    from .foreground import composite as composite
    from .foreground import estimate_foreground as estimate_foreground
    from .inference import matte as matte
    from .metrics import score as score
    from .weights import load_model as load_model

__version__ = "0.1.0"
_HOMES = {
    "A2UError": "errors",
    "composite": "foreground",
    "estimate_foreground": "foreground",
    "load_model": "weights",
    "matte": "inference",
    "score": "metrics",
}
__all__ = ["A2UError", "composite", "estimate_foreground", "load_model", "matte", "score"]


def __getattr__(name: str) -> Any:
    """Import the public names when they are first asked for: torch takes seconds to load."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
