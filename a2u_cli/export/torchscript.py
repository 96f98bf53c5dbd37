"""Write the network as TorchScript: for programs in C++, and hosts such as Nuke."""

import io
import json
import warnings
from pathlib import Path

import numpy as np
import torch

from .. import __version__
from ..errors import WeightsError
from ..images.writing import write_bytes
from ..units import FloatArray, Trimap
from ..weights.cache import sha256_of
from ..weights.format import load_model
from ..weights.header import read_header
from .forms import WholePicture

FACTS = "a2u.json"  # what the file was made of, kept in it
EXAMPLE = (80, 112)


def write_torchscript(weights: Path, to: Path) -> None:
    """Export a weights file as a traced `WholePicture`: its sizes stay open.

    Raises WeightsError for weights that cannot be read, A2UError where the network has no export
    form, ImageError where the file cannot be written.
    """
    network = WholePicture(load_model(weights)).eval()
    example = torch.rand(1, 3, *EXAMPLE), torch.full((1, 1, *EXAMPLE), 128 / 255)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch 2.13 on: TorchScript is not developed further
        traced = torch.jit.trace(network, example, check_trace=False)
        header = read_header(weights)
        facts = {
            "made_by": f"a2u-cli {__version__}, torch {torch.__version__}",
            "weights_sha256": sha256_of(weights),
            "licence": header.licence,
            "variant": header.variant,
            "dtype": "float32",
            "opset": "0",
        }
        data = io.BytesIO()
        torch.jit.save(traced, data, _extra_files={FACTS: json.dumps(facts)})
    write_bytes(to, data.getvalue())


def read_facts(file: Path) -> dict[str, str]:
    """Give what an exported file says of itself; raises WeightsError."""
    extra = {FACTS: ""}
    _load(file, extra)
    facts: dict[str, str] = json.loads(extra[FACTS] or "{}")
    return facts


class ScriptMatter:
    """Hold an exported file, to compare it."""

    def __init__(self, file: Path) -> None:
        self.network = _load(file, {})

    def matte(self, image: FloatArray, trimap: Trimap) -> FloatArray:
        """Give one pass: alpha, float32 (H, W) in [0, 1]."""
        colours = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
        known = torch.from_numpy(trimap)[None, None].float() / 255
        with torch.inference_mode():
            alpha = self.network(colours, known)[0, 0].numpy()
        return np.asarray(alpha, np.float32)


def _load(file: Path, extra: dict[str, str]) -> torch.jit.ScriptModule:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network: torch.jit.ScriptModule = torch.jit.load(
                file, map_location="cpu", _extra_files=extra
            )
            return network
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise WeightsError(f"{file} is no TorchScript file ({reason}); export it again") from error
