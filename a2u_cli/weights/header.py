"""Read what a weights file says about itself, without torch and without its tensors."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import WeightsError
from ..images.files import require_regular
from .cache import SUFFIX, reason

FORMAT, FORMAT_VERSION = "a2u", "1"
RELEASED = "share", "unshare"  # the variants of A2U's operator that the authors released
MAX_HEADER = 1 << 20


@dataclass(frozen=True)
class Header:
    """What a weights file says about itself; `shapes` has every tensor's.

    `variant` is one of `RELEASED`, or the name of another operator (`operators.comparison`).
    """

    variant: str
    licence: str
    source: str
    source_sha256: str
    quality: str  # that these weights are best used with, or nothing
    sizes: dict[str, Any]
    training: dict[str, Any]
    dtype: str
    shapes: dict[str, tuple[int, ...]]


def read_header(path: Path) -> Header:
    """Read the header of one of our files, checking the file's length against it.

    Raises WeightsError for a file that is missing, cut short, damaged, or in another format.
    Source: the safetensors format, an 8-byte little-endian length and as much JSON.
    """
    try:
        require_regular(path)
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise WeightsError(
                    f"{path} is damaged or no {SUFFIX} file; for a .pth checkpoint run: "
                    f"a2u weights import {path}"
                )
            header = json.loads(file.read(length))
        metadata = header.pop("__metadata__")
        if (metadata["format"], metadata["version"]) != (FORMAT, FORMAT_VERSION):
            raise WeightsError(
                f"{path} has format {metadata['format']} version {metadata['version']}, "
                f"expected {FORMAT} {FORMAT_VERSION}; update a2u-cli"
            )
        end = max(int(tensor["data_offsets"][1]) for tensor in header.values())
        if end != size - 8 - length:
            raise WeightsError(
                f"{path} is damaged: it has {size} bytes, expected {8 + length + end}"
            )
        return _header(metadata, header)
    except OSError as error:
        raise WeightsError(f"cannot read {path} ({reason(error)})") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path} is not a weights file of a2u, or its header is damaged") from (
            error
        )


def require_released(path: Path, header: Header, *, purpose: str) -> None:
    """Raise WeightsError where weights are of another operator than A2U's as it is released."""
    if header.variant not in RELEASED:
        raise WeightsError(
            f"{path} is of the operator {header.variant}, and {purpose} takes A2U's own as it is "
            f"released ({' or '.join(RELEASED)}); take other weights"
        )


def _header(metadata: dict[str, str], tensors: dict[str, Any]) -> Header:
    return Header(
        variant=metadata["variant"],
        licence=metadata["licence"],
        source=metadata["source"],
        source_sha256=metadata.get("source_sha256", ""),
        quality=str(metadata.get("quality", "")),
        sizes=dict(json.loads(metadata["sizes"])),
        training=dict(json.loads(metadata["training"])),
        dtype=next(str(t["dtype"]) for t in tensors.values() if len(t["shape"]) > 1),
        shapes={name: tuple(map(int, t["shape"])) for name, t in tensors.items()},
    )
