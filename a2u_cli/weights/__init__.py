"""Weights by name, file or address: fetched, checked, loaded and saved."""

from typing import TYPE_CHECKING

from ..lazy import lazily

if TYPE_CHECKING:
    from .format import load_model as load_model
    from .format import save_weights as save_weights
    from .hub import HubMattingNetwork as HubMattingNetwork
    from .importing import fetch as fetch
    from .importing import import_file as import_file
    from .registry import DEFAULT as DEFAULT
    from .translation import read_checkpoint as read_checkpoint
    from .translation import translate as translate

_HOMES = {
    "DEFAULT": ".registry",
    "HubMattingNetwork": ".hub",
    "fetch": ".importing",
    "import_file": ".importing",
    "load_model": ".format",
    "read_checkpoint": ".translation",
    "save_weights": ".format",
    "translate": ".translation",
}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
