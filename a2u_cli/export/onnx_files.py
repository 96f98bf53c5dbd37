"""Write the network as an ONNX graph whose height and width stay open."""

import io
import logging
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from .. import __version__
from ..errors import A2UError, WeightsError
from ..images.writing import write_bytes
from ..matting.onnx_matter import FORMAT, FORMAT_VERSION
from ..weights.cache import sha256_of
from ..weights.format import load_model
from ..weights.header import read_header
from .forms import WholePicture

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18  # onnxruntime-web lacks what later ones have
LARGEST = 32_768  # a side: the exporter wants to know of one
EXAMPLE = (80, 112)  # a size that is neither square nor small
NAMES = ("image", "trimap", "alpha")


def write_onnx(weights: Path, to: Path, *, half: bool = False) -> None:
    """Export a weights file as a graph: `WholePicture`, with inputs and outputs named as there.

    `half` keeps the convolutions in float16; norms, softmax and the head stay in float32, and so
    do inputs and outputs. The graph's metadata say what it was made of.

    Raises WeightsError for weights that cannot be read, A2UError where packages are missing or the
    network has no export form, ImageError where the file cannot be written.
    """
    require_packages()
    import onnx

    model = _trace(WholePicture(load_model(weights), torch.float16 if half else torch.float32))
    header = read_header(weights)
    facts = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "made_by": f"a2u-cli {__version__}, torch {torch.__version__}",
        "weights_sha256": sha256_of(weights),
        "licence": header.licence,
        "source": header.source,
        "variant": header.variant,
        "quality": header.quality,
        "dtype": "float16" if half else "float32",
    }
    onnx.helper.set_model_props(model, facts)
    model.graph.name = "a2u"
    onnx.checker.check_model(model, full_check=True)
    write_bytes(to, model.SerializeToString())


def _trace(network: WholePicture) -> "ModelProto":
    """Let torch export a network with open sizes; what it says on the way is for its makers."""
    sides = {
        2 + axis: torch.export.Dim(name, min=1, max=LARGEST)
        for axis, name in enumerate(("height", "width"))
    }
    example = torch.rand(1, 3, *EXAMPLE), torch.full((1, 1, *EXAMPLE), 128 / 255)
    said = io.StringIO()
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            warnings.catch_warnings(),
            redirect_stdout(said),
            redirect_stderr(said),
        ):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network.eval(),
                example,
                dynamo=True,
                opset_version=OPSET,
                input_names=NAMES[:2],
                output_names=NAMES[2:],
                dynamic_shapes=(sides, sides),
                verbose=False,
            )
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
    assert program is not None
    return program.model_proto


def read_facts(file: Path) -> dict[str, str]:
    """Give a graph's metadata, and the opset that it is really of; raises WeightsError."""
    require_packages()
    import onnx

    try:
        model = onnx.load(file)
        onnx.checker.check_model(model)
    except Exception as error:  # of several libraries
        raise WeightsError(
            f"{file} is no sound ONNX graph ({' '.join(str(error).split())[:200]}); export it again"
        ) from error
    (opset,) = [known.version for known in model.opset_import if not known.domain]
    return {entry.key: entry.value for entry in model.metadata_props} | {"opset": str(opset)}


def require_packages() -> None:
    """Refuse to begin where a package is missing; raises A2UError."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise A2UError(
            f"a2u export onnx needs {error.name}; run: pip install 'a2u-cli[onnx]'"
        ) from None
