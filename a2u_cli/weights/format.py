"""Our weights files: a network written to one, and one read into a network that it fits exactly."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ..errors import WeightsError, is_memory, listed
from ..network.model import MattingNetwork
from ..operators.comparison import OPERATORS
from ..units import STRIDE
from . import registry
from .cache import memory_for, writing
from .header import FORMAT, FORMAT_VERSION, RELEASED, Header, read_header
from .registry import DEFAULT

Network = TypeVar("Network", bound=MattingNetwork)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # of weights
COUNTER = ".num_batches_tracked"


def load_model(
    weights: str | Path = DEFAULT, *, device: str | torch.device = "cpu"
) -> MattingNetwork:
    """Load weights, by name, path or Hub address, into a network in evaluation mode.

    Raises WeightsError where they are missing, damaged, or do not fit the network exactly,
    OutOfMemory where they do not fit into memory.
    """
    path = registry.locate(weights)
    network, _ = open_weights(path, MattingNetwork)
    with memory_for(path):
        return network.to(device)


def save_weights(
    network: MattingNetwork,
    path: Path,
    *,
    licence: str,
    source: str,
    training: Mapping[str, Any] | None = None,
    source_sha256: str = "",
    quality: str = "",
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a network's weights and their description as one of our files, atomically.

    `quality` is what these weights are best used with, where that is known. Convolutions are stored
    in `dtype`, the short vectors of norms and biases in float32.

    Raises WeightsError where a value is not finite or the file cannot be written, ValueError for a
    network whose operator has no name: none could load it.
    """
    state = {
        name: (tensor.to(dtype) if tensor.dim() > 1 else tensor.float()).detach().cpu().contiguous()
        for name, tensor in stored_tensors(network).items()
    }
    _check_finite(state, path)
    metadata = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "variant": variant_of(network),
        "sizes": json.dumps(sizes_of(network)),
        "licence": licence,
        "source": source,
        "source_sha256": source_sha256,
        "training": json.dumps(dict(training or {})),
    }
    if quality:
        metadata["quality"] = quality
    with writing(path) as temporary:
        temporary.write_bytes(_pack(state, metadata))


def _pack(state: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Serialise with the header's keys in order, so that equal weights have equal checksums."""
    # names of files that are no UTF-8 are written as their escapes
    texts = {key: text.encode(errors="backslashreplace").decode() for key, text in metadata.items()}
    data = save(state, texts)
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, separators=(",", ":"))
    text = header.encode()
    text = text.ljust(-(-len(text) // 8) * 8)  # tensors start at a multiple of 8
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def open_weights(path: Path, make: type[Network]) -> tuple[Network, Header]:
    """Read one of our files into a network of its variant, strictly.

    Raises WeightsError where it is damaged or does not fit, OutOfMemory where memory is short.
    """
    header = read_header(path)
    with memory_for(path):
        network = new_network(make, **_options_of(header, path))
        _check_shapes(network, header.shapes, path)  # before memory is taken for what does not fit
        try:
            tensors = load_file(path)
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            if is_memory(error):
                raise
            raise WeightsError(f"{path} is damaged and cannot be read; get it anew") from error
        fill(network, tensors, path)
    return network.eval(), header


def _options_of(header: Header, path: Path) -> dict[str, Any]:
    """Give the network's options that a header asks for; raises WeightsError for unknown ones."""
    if header.variant in RELEASED:
        return {"shared": header.variant == RELEASED[0]}
    if header.variant not in OPERATORS:
        raise WeightsError(
            f"{path} is of the operator {header.variant!r}, expected one of "
            f"{', '.join(OPERATORS)}; update a2u-cli, or take other weights"
        )
    return {"operator": header.variant}


def new_network(make: type[Network], **options: Any) -> Network:
    """Make a network to fill: float32 on the CPU, whatever the process's defaults are."""
    with torch.device("cpu"):
        return make(**options).float()


def fill(network: MattingNetwork, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into the network, which they must fit, all of them, in kind, shape and range."""
    require_plain(tensors, path)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    _check_shapes(network, shapes, path)
    floats = {name: tensor.float() for name, tensor in tensors.items()}
    _check_finite(floats, path)  # as the network holds them: 1e300 is none
    network.load_state_dict(floats, strict=False)  # all but the batch counters, as just checked


def require_plain(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise a WeightsError where a tensor is not a plain array of floating-point numbers."""
    strange = {
        name: f"{tensor.layout} {tensor.dtype}".replace("torch.", "")
        for name, tensor in tensors.items()
        if tensor.dtype not in FLOATS
        or tensor.layout != torch.strided
        or tensor.is_nested
        or tensor.device.type != "cpu"
    }
    if strange:
        name = min(strange)
        raise WeightsError(
            f"{path} has {len(strange)} tensors that are no plain arrays of floating-point numbers "
            f"({name} is {strange[name]}); expected float16, bfloat16, float32 or float64"
        )


def _check_shapes(
    network: MattingNetwork, shapes: Mapping[str, tuple[int, ...]], path: Path
) -> None:
    """Raise a WeightsError that lists the misfits, sorted."""
    expected = {name: tuple(tensor.shape) for name, tensor in stored_tensors(network).items()}
    misfits = {
        "missing": sorted(expected.keys() - shapes.keys()),
        "unexpected": sorted(shapes.keys() - expected.keys()),
        "wrong shape": [
            f"{name} {shapes[name]} instead of {expected[name]}"
            for name in sorted(expected.keys() & shapes.keys())
            if shapes[name] != expected[name]
        ],
    }
    if any(misfits.values()):
        text = "; ".join(f"{kind}: {listed(keys)}" for kind, keys in misfits.items() if keys)
        raise WeightsError(f"{path} does not fit the {variant_of(network)} network: {text}")


def _check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    broken = sorted(name for name, tensor in tensors.items() if not tensor.isfinite().all())
    if broken:
        raise WeightsError(f"{path} has values that are not finite numbers in {listed(broken)}")


def stored_tensors(network: MattingNetwork) -> dict[str, Tensor]:
    """Give everything that is stored: the state without the batch counters."""
    return {k: v for k, v in network.state_dict().items() if not k.endswith(COUNTER)}


def variant_of(network: MattingNetwork) -> str:
    """Say which operator a network has as its header does: by the authors' word, or by its name."""
    if network.operator is None:
        raise ValueError("the network's resampling pair has no name that a file could tell")
    words = dict(zip(("a2u-dynamic-shared", "a2u-dynamic-wise"), RELEASED, strict=True))
    return words.get(network.operator, network.operator)


def sizes_of(network: MattingNetwork) -> dict[str, Any]:
    encoder = (network.stem, network.down2.first, network.down3.first)
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "channels": [part.conv.out_channels for part in encoder],
        "stride": STRIDE,
    }
