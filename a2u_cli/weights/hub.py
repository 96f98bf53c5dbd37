"""The network with the Hub's own methods: from_pretrained, save_pretrained, push_to_hub.

Importing this module imports the Hub's library, which is slow: `weights` does so when first asked.
"""

from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import (
    ModelCard,
    PyTorchModelHubMixin,
    hf_hub_download,
)

from ..errors import WeightsError
from ..network.model import MattingNetwork
from . import registry
from .download import HubFile
from .format import open_weights, save_weights, variant_of
from .header import Header
from .registry import DEFAULT


class HubMattingNetwork(
    MattingNetwork,
    PyTorchModelHubMixin,
    library_name="a2u-cli",
    pipeline_tag="image-segmentation",
    tags=["image-matting"],
    paper_url="https://arxiv.org/abs/2011.14288",
):
    """The matting network with the Hub's own methods; `header` describes its weights."""

    def __init__(self, *, shared: bool = True) -> None:
        super().__init__(shared=shared)
        self.header: Header | None = None

    @classmethod
    def from_file(cls, weights: str | Path = DEFAULT) -> Self:
        """Load weights as `load_model` does, with their description, to publish them."""
        return cls._with_header(registry.locate(weights))

    @classmethod
    def _with_header(cls, path: Path) -> Self:
        network, header = open_weights(path, cls)
        network.header = header
        return network

    @classmethod
    def _from_pretrained(  # always strict
        cls, *, model_id: str, shared: bool | None = None, **options: Any
    ) -> Self:
        folder = Path(model_id)
        path = folder / HubFile.file
        if not folder.is_dir():
            path = Path(hf_hub_download(model_id, HubFile.file, **options))
        network = cls._with_header(path)
        if shared not in (None, network.shared):
            raise WeightsError(f"{path} is the {variant_of(network)} variant, config.json not")
        return network

    def _save_pretrained(self, save_directory: Path) -> None:
        header = self.header
        save_weights(
            self,
            save_directory / HubFile.file,
            licence=header.licence if header else "unknown",
            source=header.source if header else "a2u-cli",
            source_sha256=header.source_sha256 if header else "",
            training=header.training if header else None,
            dtype=torch.float16 if header and header.dtype == "F16" else torch.float32,
        )

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """Write the card as the Hub's library does, with the licence of these weights."""
        card = super().generate_model_card(*args, **kwargs)
        free = self.header is not None and self.header.licence == "Apache-2.0"
        card.data["license"] = "apache-2.0" if free else "other"
        return card
