"""The network with the Hub's own methods: from_pretrained, save_pretrained, push_to_hub.

Importing this module imports the Hub's library, which is slow: `weights` does so when first asked.
"""

from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin

from ..errors import WeightsError
from ..network.model import MattingNetwork
from . import registry
from .card import LIBRARY, PAPER, TAGS, TASK
from .download import HubFile, download
from .format import open_weights, save_weights, variant_of
from .header import Header, read_header, require_released
from .registry import DEFAULT


class HubMattingNetwork(
    MattingNetwork,
    PyTorchModelHubMixin,
    library_name=LIBRARY,
    pipeline_tag=TASK,
    tags=list(TAGS),
    paper_url=PAPER,
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
        require_released(path, read_header(path), purpose="the Hub's network")
        network, header = open_weights(path, cls)
        network.header = header
        return network

    @classmethod
    def from_pretrained(  # the library would fetch config.json under names that a server chooses
        cls, pretrained_model_name_or_path: str | Path, **options: Any
    ) -> Self:
        """Load a folder, or a repository on the Hub, whose own header tells its variant."""
        where = pretrained_model_name_or_path
        if Path(where).is_dir():
            return super().from_pretrained(where, **options)
        return cls._from_pretrained(model_id=str(where), **options)

    @classmethod
    def _from_pretrained(  # always strict
        cls, *, model_id: str, shared: bool | None = None, **options: Any
    ) -> Self:
        folder = Path(model_id)
        path = folder / HubFile.file if folder.is_dir() else _fetch(model_id, **options)
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
            quality=header.quality if header else "",
            dtype=torch.float16 if header and header.dtype == "F16" else torch.float32,
        )

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """Write the card as the Hub's library does, with the licence of these weights."""
        card = super().generate_model_card(*args, **kwargs)
        free = self.header is not None and self.header.licence == "Apache-2.0"
        card.data["license"] = "apache-2.0" if free else "other"
        return card


def _fetch(
    model_id: str,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
    token: str | bool | None = None,
) -> Path:
    """Download a repository's weights, with the options that the Hub's library has for it."""
    return download(
        HubFile(model_id, revision or HubFile.revision),
        force=force_download,
        token=token,
        cache=Path(cache_dir) if cache_dir else None,
        offline=local_files_only,
    )
