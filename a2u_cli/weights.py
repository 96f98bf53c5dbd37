"""Weights in and out of the network: our file format, the authors' checkpoints, the Hub's door."""

import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from . import registry
from .errors import WeightsError
from .files import require_regular
from .network import STRIDE, MattingNetwork
from .registry import DEFAULT, Header, HubFile

NORM_EPS = 1e-5
Network = TypeVar("Network", bound=MattingNetwork)
COUNTER = ".num_batches_tracked"
MAX_CHECKPOINT = 1 << 30  # bytes; the authors' are thirty times smaller
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


def load_model(
    weights: str | Path = DEFAULT, *, device: str | torch.device = "cpu"
) -> MattingNetwork:
    """Load weights, by name, path or Hub address, into a network in evaluation mode.

    Raises WeightsError where they are missing, damaged, or do not fit the network exactly.
    """
    network, _ = _open(registry.locate(weights), MattingNetwork)
    return network.to(device)


def save_weights(
    network: MattingNetwork,
    path: Path,
    *,
    licence: str,
    source: str,
    training: Mapping[str, Any] | None = None,
    source_sha256: str = "",
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a network's weights and their description as one of our files, atomically.

    Convolutions are stored in `dtype`, the short vectors of norms and biases in float32.
    Raises WeightsError where a value is not finite or the file cannot be written.
    """
    state = {
        name: (tensor.to(dtype) if tensor.dim() > 1 else tensor.float()).detach().cpu().contiguous()
        for name, tensor in _tensors(network).items()
    }
    _check_finite(state, path)
    metadata = {
        "format": registry.FORMAT,
        "version": registry.FORMAT_VERSION,
        "variant": _variant(network),
        "sizes": json.dumps(_sizes(network)),
        "licence": licence,
        "source": source,
        "source_sha256": source_sha256,
        "training": json.dumps(dict(training or {})),
    }
    with registry.writing(path) as temporary:
        temporary.write_bytes(_pack(state, metadata))


def _pack(state: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """Serialise with the header's keys in order, so that equal weights have equal checksums."""
    data = save(state, metadata)
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + length]), sort_keys=True, separators=(",", ":"))
    text = header.encode()
    text = text.ljust(-(-len(text) // 8) * 8)  # tensors start at a multiple of 8
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def import_file(path: Path, *, name: str, force: bool = False) -> Path:
    """Put a checkpoint of the authors, or one of our files, into the cache under a name.

    Gives its new place. The sha256 of a registry name is checked, or recorded the first time.
    Raises WeightsError where the file cannot be read safely, does not fit, or is another one.
    """
    target = registry.cached(name)
    if target.exists() and not force:
        raise WeightsError(f"{target} is there already; use --force to replace it")
    digest = registry.sha256_of(path)
    registry.check_pin(name, digest, str(path))
    entry = registry.REGISTRY.get(name)
    if _is_safetensors(path):
        network, _ = _open(path, MattingNetwork)
        _check_variant(network, path, name)
        with registry.writing(target) as temporary:
            shutil.copyfile(path, temporary)
    else:
        network = read_checkpoint(path)
        _check_variant(network, path, name)
        save_weights(
            network,
            target,
            licence=entry.licence if entry else "unknown",
            source=path.name,
            source_sha256=digest,
        )
    registry.record_pin(name, digest)
    return target


def fetch(weights: str = DEFAULT, *, accept_licence: bool = False, force: bool = False) -> Path:
    """Download weights by name or Hub address, check them, and give their place.

    Weights that are here already are not fetched again unless `force` says so.
    Raises WeightsError where that fails, with the way to finish by hand, or where the licence
    must be accepted first.
    """
    if weights.startswith("hf://"):
        path = registry.download(registry.HubFile.parse(weights), force=force)
        _open(path, MattingNetwork)
        return path
    if weights not in registry.REGISTRY:
        known = ", ".join(registry.REGISTRY)
        raise WeightsError(f"nothing to download by the name {weights!r}; known: {known}, hf://...")
    entry = registry.REGISTRY[weights]
    if (found := registry.find(weights)) and not force:
        return found
    if entry.terms and not accept_licence:
        raise WeightsError(
            f"the licence of {weights} ({entry.licence}) must be accepted first; "
            f"run: a2u weights get {weights} --accept-license"
        )
    if entry.hub:
        return import_file(registry.download(entry.hub, force=force), name=weights, force=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{weights}.pth"
        _from_drive(weights, str(entry.drive), file)
        return import_file(file, name=weights, force=True)


def _from_drive(name: str, drive: str, file: Path) -> None:
    address = f"https://drive.google.com/uc?id={drive}"
    try:
        import gdown
    except ImportError as error:
        cause = "gdown is not installed: pip install 'a2u-cli[gdrive]'"
        raise registry.no_download(name, address, cause) from error
    try:
        gdown.download(id=drive, output=str(file))
    except Exception as error:  # a foreign downloader: whatever it raises ends in the same advice
        raise registry.no_download(name, address, error) from error
    if not file.is_file():
        raise registry.no_download(name, address, "Google Drive gave no file")


def read_checkpoint(path: Path) -> MattingNetwork:
    """Read a checkpoint of the authors into a network, either variant, told by its shapes.

    Only tensors are unpickled. The authors' norm multiplies by |w| + eps, ours by w: that is
    folded in here. Raises WeightsError where the file holds anything else or does not fit.
    """
    _require_modest(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        state = loaded.get("state_dict", loaded)
        tensors = {str(name): tensor.float() for name, tensor in state.items()}
    except Exception as error:  # damaged pickles raise nearly anything
        raise WeightsError(
            f"{path} is damaged or holds more than tensors, which could run code when loaded; "
            f"nothing in it was run; expected a checkpoint with the authors' state_dict"
        ) from error
    theirs = [name for name in tensors if not name.endswith(COUNTER)]
    ours = {translate(name): tensors[name] for name in theirs}
    if len(ours) < len(theirs) or not any(translate(name) != name for name in theirs):
        raise WeightsError(f"{path} does not hold the authors' network: its names are others")
    for name in ours:
        if name.endswith(".norm.weight"):  # activated batch norms, not the generators' GroupNorm
            ours[name] = ours[name].abs() + NORM_EPS
    filters = ours.get("pair1.generator.filter_u.weight")
    network = MattingNetwork(shared=filters is None or len(filters) == 1)
    _fill(network, ours, path)
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
    if size > MAX_CHECKPOINT:
        raise WeightsError(
            f"{path} holds {size / 1e9:.1f} GB, expected at most {MAX_CHECKPOINT / 1e9:.1f}: it "
            "is no checkpoint of this network"
        )


def translate(name: str) -> str:
    """Turn the name of a tensor in the authors' checkpoint into ours; leave an unknown one."""
    for pattern, replacement in TRANSLATION:
        name = re.sub(pattern, replacement, name)
    return name


def _open(path: Path, make: type[Network]) -> tuple[Network, Header]:
    """Read one of our files into a network of its variant, strictly."""
    header = registry.read_header(path)
    network = make(shared=header.variant == "share")
    _check_shapes(network, header.shapes, path)  # before memory is taken for what does not fit
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} is damaged and cannot be read; get it anew") from error
    _fill(network, tensors, path)
    return network.eval(), header


def _fill(network: MattingNetwork, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into the network, which they must fit, all of them."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    _check_shapes(network, shapes, path)
    _check_finite(tensors, path)
    network.load_state_dict(tensors, strict=False)  # all but the batch counters, as just checked


def _check_shapes(
    network: MattingNetwork, shapes: Mapping[str, tuple[int, ...]], path: Path
) -> None:
    """Raise a WeightsError that lists every misfit, sorted."""
    expected = {name: tuple(tensor.shape) for name, tensor in _tensors(network).items()}
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
        found = "; ".join(f"{kind}: {', '.join(keys)}" for kind, keys in misfits.items() if keys)
        raise WeightsError(f"{path} does not fit the {_variant(network)} network: {found}")


def _check_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    broken = sorted(name for name, tensor in tensors.items() if not tensor.isfinite().all())
    if broken:
        raise WeightsError(f"{path} has values that are not finite numbers in {', '.join(broken)}")


def _check_variant(network: MattingNetwork, path: Path, name: str) -> None:
    entry = registry.REGISTRY.get(name)
    if entry and entry.variant != _variant(network):
        raise WeightsError(
            f"{path} holds the {_variant(network)} variant, but {name} is the {entry.variant} one; "
            f"import it under another name"
        )


def _is_safetensors(path: Path) -> bool:
    """Tell our files from pickles and zip archives, whose first 8 bytes are a huge number."""
    with path.open("rb") as file:
        return int.from_bytes(file.read(8), "little") <= registry.MAX_HEADER


def _tensors(network: MattingNetwork) -> dict[str, Tensor]:
    """Give everything that is stored: the state without the batch counters."""
    return {k: v for k, v in network.state_dict().items() if not k.endswith(COUNTER)}


def _variant(network: MattingNetwork) -> str:
    return "share" if network.shared else "unshare"


def _sizes(network: MattingNetwork) -> dict[str, Any]:
    encoder = (network.stem, network.down2.first, network.down3.first)
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "channels": [part.conv.out_channels for part in encoder],
        "stride": STRIDE,
    }


@cache
def _hub_network() -> type[MattingNetwork]:
    """Make the class that speaks the Hub's from_pretrained, save_pretrained and push_to_hub."""
    from huggingface_hub import ModelCard, PyTorchModelHubMixin, hf_hub_download

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
            network, header = _open(path, cls)
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
                raise WeightsError(f"{path} is the {_variant(network)} variant, config.json not")
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
            card = super().generate_model_card(*args, **kwargs)
            free = self.header is not None and self.header.licence == "Apache-2.0"
            card.data["license"] = "apache-2.0" if free else "other"
            return card

    HubMattingNetwork.__qualname__ = "HubMattingNetwork"  # so that pickle finds it
    return HubMattingNetwork


def __getattr__(name: str) -> Any:
    if name == "HubMattingNetwork":
        return _hub_network()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
