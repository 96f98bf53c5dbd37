"""Bring weights into the cache under a name: downloaded, checked, converted."""

import shutil
import tempfile
from pathlib import Path

from ..errors import WeightsError
from ..network.model import MattingNetwork
from . import registry
from .cache import cached, sha256_of, writing
from .download import HubFile, download, no_download
from .format import open_weights, save_weights, variant_of
from .header import MAX_HEADER, read_header
from .registry import DEFAULT
from .translation import read_checkpoint


def import_file(path: Path, *, name: str, force: bool = False) -> Path:
    """Put a checkpoint of the authors, or one of our files, into the cache under a name.

    Gives its new place. The sha256 of a registry name is checked, or recorded the first time.
    Raises WeightsError where the file cannot be read safely, does not fit, or is another one.
    """
    target = cached(name)
    if target.exists() and not force:
        raise WeightsError(f"{target} is there already; use --force to replace it")
    digest = sha256_of(path)
    entry, ours = registry.REGISTRY.get(name), _is_safetensors(path)
    if ours and entry and entry.drive:  # the same, converted here or elsewhere
        digest = read_header(path).source_sha256 or digest
    registry.check_pin(name, digest, str(path))
    if ours:
        _, header = open_weights(path, MattingNetwork)
        registry.check_reserved(name, header.variant, header, str(path))
        with writing(target) as temporary:
            shutil.copyfile(path, temporary)
    else:
        network = read_checkpoint(path)
        registry.check_reserved(name, variant_of(network), None, str(path))
        save_weights(
            network,
            target,
            licence=entry.licence if entry else "unknown",
            source=path.name,
            source_sha256=digest,
            quality="fast",  # the authors' numbers are of one pass
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
        path = download(HubFile.parse(weights), force=force)
        open_weights(path, MattingNetwork)
        return path
    if weights not in registry.REGISTRY:
        known = ", ".join(registry.REGISTRY)
        raise WeightsError(f"nothing to download by the name {weights!r}; known: {known}, hf://...")
    entry = registry.REGISTRY[weights]
    if (place := registry.find(weights)) and not force:
        return place
    if entry.terms and not accept_licence:
        raise WeightsError(
            f"the licence of {weights} ({entry.licence}) must be accepted first; "
            f"run: a2u weights get {weights} --accept-license"
        )
    if entry.hub:
        return import_file(download(entry.hub, force=force), name=weights, force=True)
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
        raise no_download(name, address, cause) from error
    try:
        gdown.download(id=drive, output=str(file))
    except Exception as error:  # a foreign downloader: whatever it raises ends in the same advice
        raise no_download(name, address, error) from error
    if not file.is_file():
        raise no_download(name, address, "Google Drive gave no file")


def _is_safetensors(path: Path) -> bool:
    """Tell our files from pickles and zip archives, whose first 8 bytes are a huge number."""
    with path.open("rb") as file:
        return int.from_bytes(file.read(8), "little") <= MAX_HEADER
