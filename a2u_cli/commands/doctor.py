"""`a2u doctor`: what a bug report needs: versions, devices, weights, folders."""

import importlib.metadata
import platform

from .. import __version__
from ..errors import WeightsError, listed
from ..weights import registry
from ..weights.cache import cache_folder
from .options import AsJson
from .terminal import show, show_json

PACKAGES = (
    *("torch", "triton", "numpy", "pillow", "tifffile", "safetensors", "huggingface-hub"),
    *("typer", "gdown"),
)


def doctor(*, as_json: AsJson = False) -> None:
    """Show versions, devices, weights and folders: what to send with a bug report.

    Example: a2u doctor
    """
    facts = examine()
    if as_json:
        show_json(facts, indent=2)
        return
    for name, value in facts.items():
        show(f"{name:<22} {value}")


def examine() -> dict[str, str]:
    """Collect the facts, each a name and a line of text."""
    import cv2
    import torch

    from ..matting.devices import describe_device, pick_device
    from ..operators.fused import convolution, resampling
    from ..operators.fused.library import vectors
    from ..rendering import raster

    facts = {
        "a2u": __version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
        "opencv": cv2.__version__,
    }
    facts |= {name: _version(name) for name in PACKAGES}
    facts["device"] = describe_device(pick_device("auto"))
    facts["cuda devices"] = (
        ", ".join(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count()))
        or "none found by this build of torch"
    )
    facts["fused operator"] = resampling.describe()
    fast = convolution.available()
    facts["3x3 convolution"] = f"minimal filtering, C ({vectors()})" if fast else "torch's"
    facts["rasteriser"] = raster.describe()
    facts["weights"] = listed([n for n in registry.names() if registry.find(n)]) or "none"
    facts["default weights"] = _default_weights()
    facts["licence of default"] = registry.REGISTRY[registry.DEFAULT].licence
    facts["cache folder"] = str(cache_folder())
    return facts


def _default_weights() -> str:
    """Say where the default weights lie, or what is wrong with them: a doctor meets the ill."""
    name = registry.DEFAULT
    try:
        path = registry.describe(name).path
    except WeightsError as error:
        return f"{name}: {error}"
    return f"{name} at {path}" if path else f"{name} is not here; run: a2u weights get {name}"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
