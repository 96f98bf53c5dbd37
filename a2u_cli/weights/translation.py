"""Read the authors' checkpoints: their names and their norm, turned into ours."""

import re
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from ..errors import WeightsError, is_memory
from ..images.files import require_regular
from ..network.model import MattingNetwork
from .cache import MAX_FILE, memory_for
from .format import COUNTER, fill, new_network, require_plain

NORM_EPS = 1e-5
# From the authors' names to ours: every row is applied to what the rows above left, in order.
TRANSLATION = (
    (r"^module\.", ""),
    # where a part stands
    (r"^layer0\.", "stem."),
    (r"^bilinear0\.", "pair1.generator."),
    (r"^bilinear1\.", "pair2.generator."),
    (r"^layer1\.block", "stage1.block"),
    (r"^layer([23])_2\.block", r"stage\1.block"),
    (r"^layer([23])_1\.bilinear\.", r"down\1.pair.generator."),
    (r"^layer([23])_1\.(layer[12]\.)?", r"down\1."),
    (r"\.block1\.convs\.", ".0."),
    (r"\.block2\.convs\.", ".1."),
    (r"\.block3\.convs\.", ".2."),
    (r"^dconv_pp\.aspp1\.atrous_conv\.", "context.point."),
    (r"^dconv_pp\.aspp2\.atrous_conv\.", "context.atrous.0:"),
    (r"^dconv_pp\.aspp3\.atrous_conv\.", "context.atrous.1:"),
    (r"^dconv_pp\.aspp4\.atrous_conv\.", "context.atrous.2:"),
    (r"^dconv_pp\.global_avg_pool\.1\.", "context.pooled.conv."),
    (r"^dconv_pp\.global_avg_pool\.2\.", "context.pooled.norm."),
    (r"^dconv_pp\.bottleneck_conv\.", "context.project."),
    (r"^short3\.", "decoder4.skip."),
    (r"^short2\.", "decoder3.skip."),
    (r"^short1\.", "decoder2.skip."),
    (r"^short0\.", "decoder1.skip."),
    (r"^decoder_layer([1-4])\.dconv\.", r"decoder\1.first."),
    (r"^decoder_layer([1-4])\.dconv1\.", r"decoder\1.second."),
    (r"^pred\.0\.", "head."),
    (r"^pred\.1\.", "smooth."),
    # what it is
    (r"\.dep_sep_conv\.", "."),
    (r"\.conv1\.", ".first.conv."),
    (r"\.bn1\.", ".first.norm."),
    (r"\.conv2\.", ".second.conv."),
    (r"\.bn2\.", ".second.norm."),
    (r"\.proj_conv\.", ".shortcut.conv."),
    (r"\.proj_bn\.", ".shortcut.norm."),
    (r":0\.", ".0.conv."),
    (r":1\.", ".0.norm."),
    (r":2\.", ".1.conv."),
    (r":3\.", ".1.norm."),
    (r"^(stem|head|context\.point|context\.project|decoder[1-4]\.skip)\.0\.", r"\1.conv."),
    (r"^(stem|head|context\.point|context\.project|decoder[1-4]\.skip)\.1\.", r"\1.norm."),
    (r"\.generator\.bnu\.0\.", ".generator.norm_u."),
    (r"\.generator\.bnv\.0\.", ".generator.norm_v."),
    (r"\.generator\.bconv_U\.1\.", ".generator.filter_u."),
    (r"\.generator\.bconv_V\.1\.", ".generator.filter_v."),
    (r"\.generator\.bconv_UP\.1\.", ".generator.project_up."),
    (r"\.generator\.bconv_DP\.1\.", ".generator.project_down."),
)


def read_checkpoint(path: Path) -> MattingNetwork:
    """Read a checkpoint of the authors into a network, either variant, told by its shapes.

    Only tensors are unpickled. The authors' norm multiplies by |w| + eps, ours by w: that is
    folded in here. Raises WeightsError where the file holds anything else or does not fit,
    OutOfMemory where memory is short.
    """
    _require_modest(path)
    with memory_for(path):
        return _translated(_tensors(path), path)


def _tensors(path: Path) -> dict[str, Tensor]:
    """Unpickle a checkpoint's tensors, and nothing else."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        state = loaded.get("state_dict", loaded)
        tensors = {str(name): tensor for name, tensor in state.items()}
        if not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
            raise TypeError("no tensor")
        return tensors
    except Exception as error:  # damaged pickles raise nearly anything
        if is_memory(error):
            raise
        raise WeightsError(
            f"{path} is damaged or holds more than tensors, which could run code when loaded; "
            f"nothing in it was run; expected a checkpoint with the authors' state_dict"
        ) from error


def _translated(tensors: dict[str, Tensor], path: Path) -> MattingNetwork:
    """Make a network of tensors that have the authors' names.

    Nothing is computed of a tensor before it fits: a few bytes may stand for gigabytes (stride 0).
    """
    theirs = [name for name in tensors if not name.endswith(COUNTER)]
    ours = {translate(name): tensors[name] for name in theirs}
    if len(ours) < len(theirs) or not any(translate(name) != name for name in theirs):
        raise WeightsError(f"{path} does not hold the authors' network: its names are others")
    require_plain(ours, path)
    filters = ours.get("pair1.generator.filter_u.weight")
    shared = filters is None or filters.shape[:1] in ((), (1,))
    network = new_network(MattingNetwork, shared=shared)
    fill(network, ours, path)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.endswith(".norm.weight"):  # activated batch norms, not the generators'
                weight.abs_().add_(NORM_EPS)
    return network.eval()


def _require_modest(path: Path) -> None:
    """Refuse a checkpoint that is, or unpacks to, far more than the network could need."""
    try:
        require_regular(path)
        size = path.stat().st_size
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                size = max(size, sum(record.file_size for record in archive.infolist()))
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise WeightsError(f"cannot read {path} ({error}); get it anew") from error
    if size > MAX_FILE:
        raise WeightsError(
            f"{path} holds {size / 1e9:.1f} GB, expected at most {MAX_FILE / 1e9:.1f}: it "
            "is no checkpoint of this network"
        )


def translate(name: str) -> str:
    """Turn the name of a tensor in the authors' checkpoint into ours; leave an unknown one."""
    for pattern, replacement in TRANSLATION:
        name = re.sub(pattern, replacement, name)
    return name
