"""Weights by name: where they come from, where they lie, and what their header says.

Nothing here needs torch, so that listing and describing weights is quick.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import platformdirs

from .errors import WeightsError
from .files import replacing, require_regular

DEFAULT = "a2u-open"
SUFFIX = ".safetensors"
FORMAT, FORMAT_VERSION = "a2u", "1"
SHIPPED_FOLDERS = (
    Path(__file__).parent / "pretrained",  # an installed wheel
    Path(__file__).parent.parent / "weights",  # a checkout
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MAX_HEADER = 1 << 20


@dataclass(frozen=True)
class HubFile:
    """One file in a model repository on the Hugging Face Hub."""

    repository: str
    revision: str = "main"
    file: str = "model.safetensors"

    @classmethod
    def parse(cls, address: str) -> Self:
        """Read `hf://owner/repo[@revision][/file]`.

        Raises WeightsError for any other form, a `..`, or a file that is not safetensors.
        """
        part = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
        form = rf"hf://({part}/{part})(?:@({part}))?(?:/({part}(?:/{part})*\{SUFFIX}))?"
        match = re.fullmatch(form, address)
        if not match or ".." in address:
            raise WeightsError(
                f"{address!r} is no address on the Hub; expected "
                f"hf://owner/repo[@revision][/file], the file ending in {SUFFIX}"
            )
        return cls(match[1], match[2] or cls.revision, match[3] or cls.file)


@dataclass(frozen=True)
class Entry:
    """Weights known by name; `terms` must be accepted before they are fetched."""

    variant: str
    licence: str
    hub: HubFile | None = None
    drive: str | None = None
    sha256: str | None = None
    terms: str | None = None

    @property
    def address(self) -> str:
        """Give the address a person can open in a browser or hand to `a2u weights get`."""
        if self.hub:
            return f"hf://{self.hub.repository}@{self.hub.revision}"
        return f"https://drive.google.com/uc?id={self.drive}"


_TERMS = (
    "The weights published by the authors of A2U (Dai, Lu and Shen, CVPR 2021) are for "
    "non-commercial use only; pictures made with them fall under the same condition."
)
REGISTRY = {
    "a2u-open": Entry(
        variant="share",
        licence="Apache-2.0",
        hub=HubFile("a2u-matting/a2u-open", revision="main"),
        sha256="f7d4628b321af99176486f4060ba80580779a9a9da85833faeedfb0079931cbc",
    ),
    "a2u-official": Entry(
        variant="share",
        licence="non-commercial",
        drive="1hGe86w611FKl8YaTD3YWXlHDC0XIATyh",
        terms=_TERMS,
    ),
    "a2u-official-unshare": Entry(
        variant="unshare",
        licence="non-commercial",
        drive="1CGunN8gMHDypUzWzsj5xfa0I9bM16kyJ",
        terms=_TERMS,
    ),
}


@dataclass(frozen=True)
class Header:
    """What a weights file says about itself; `shapes` has every tensor's."""

    variant: str
    licence: str
    source: str
    source_sha256: str
    sizes: dict[str, Any]
    training: dict[str, Any]
    dtype: str
    shapes: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Description:
    """What is known of weights; without a file only what the registry says.

    `pin` compares the source's sha256 with the known one: "matches", "differs", "not pinned", or
    "pinned" where there is no file to compare.
    """

    name: str
    licence: str
    variant: str
    source: str
    pin: str
    path: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    dtype: str | None = None
    sizes: dict[str, Any] | None = None
    training: dict[str, Any] | None = None


def cache_folder() -> Path:
    """Give the folder for fetched and imported weights: A2U_CACHE or the platform's place."""
    return Path(os.environ.get("A2U_CACHE") or platformdirs.user_cache_path("a2u"))


def cached(name: str) -> Path:
    """Give the place of a name in the cache, there or not; WeightsError for an unfit name."""
    if not _NAME.fullmatch(name):
        raise WeightsError(f"{name!r} is no name; use letters, digits, '.', '_' and '-'")
    return cache_folder() / f"{name}{SUFFIX}"


def find(name: str) -> Path | None:
    """Give the file of a name, shipped with the package or in the cache, or None."""
    if not _NAME.fullmatch(name):
        return None
    shipped = (folder / f"{name}{SUFFIX}" for folder in SHIPPED_FOLDERS if name in REGISTRY)
    return next((path for path in (*shipped, cached(name)) if path.is_file()), None)


def names() -> list[str]:
    """List the registry's names, then those imported into the cache."""
    there = sorted(path.stem for path in cache_folder().glob(f"[!.]*{SUFFIX}"))
    return [*REGISTRY, *(name for name in there if name not in REGISTRY)]


def locate(weights: str | Path) -> Path:
    """Give the file for a name, a path or a Hub address (which is downloaded where needed).

    Raises WeightsError where there is none, saying how to get it.
    """
    text = str(weights)
    if isinstance(weights, str) and text.startswith("hf://"):
        return download(HubFile.parse(text))
    if isinstance(weights, str) and (found := find(text)):
        return found
    if isinstance(weights, str) and text in REGISTRY:
        raise WeightsError(f"weights {text} are not on this machine; run: a2u weights get {text}")
    if Path(weights).is_file():
        return Path(weights)
    known = ", ".join(names())
    raise WeightsError(f"no weights {text!r}: neither a file nor a name ({known}) nor hf://...")


def remove(name: str) -> Path:
    """Delete a name's file from the cache and give its place."""
    path = cached(name)
    if not path.is_file():
        raise WeightsError(f"no weights {name!r} in {cache_folder()}; nothing removed")
    path.unlink()
    return path


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Write as `files.replacing` does; WeightsError where the file cannot be written."""
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise WeightsError(f"cannot write {path} ({_reason(error)})") from error


def sha256_of(path: Path) -> str:
    """Give the sha256 of a file in hexadecimal; WeightsError where it cannot be read."""
    try:
        require_regular(path)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"cannot read {path} ({_reason(error)})") from error


def pin(name: str) -> str | None:
    """Give the sha256 that a name's source must have: the registry's, or the first import's."""
    entry = REGISTRY.get(name)
    return (entry.sha256 or _pins().get(name)) if entry else None


def check_pin(name: str, digest: str, origin: str) -> None:
    """Raise WeightsError where a name is pinned to another sha256 than `digest`."""
    expected = pin(name)
    if expected not in (None, digest):
        raise WeightsError(
            f"{origin} is not the known {name}: its sha256 is {digest}, expected {expected}; "
            f"get the file anew"
        )


def record_pin(name: str, digest: str) -> None:
    """Remember the sha256 of a name's first import, where the registry has none."""
    if name in REGISTRY and pin(name) is None:
        with writing(_pins_path()) as temporary:
            temporary.write_text(json.dumps({**_pins(), name: digest}, indent=2), encoding="utf-8")


def _pins_path() -> Path:
    return cache_folder() / "pins.json"


def _pins() -> dict[str, str]:
    path = _pins_path()
    if not path.exists():
        return {}
    try:
        pins = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(digest) for name, digest in pins.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path} is damaged ({_reason(error)}); delete it") from error


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
        raise WeightsError(f"cannot read {path} ({_reason(error)})") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path} is not a weights file of a2u, or its header is damaged") from (
            error
        )


def _header(metadata: dict[str, str], tensors: dict[str, Any]) -> Header:
    return Header(
        variant=metadata["variant"],
        licence=metadata["licence"],
        source=metadata["source"],
        source_sha256=metadata.get("source_sha256", ""),
        sizes=dict(json.loads(metadata["sizes"])),
        training=dict(json.loads(metadata["training"])),
        dtype=next(str(t["dtype"]) for t in tensors.values() if len(t["shape"]) > 1),
        shapes={name: tuple(map(int, t["shape"])) for name, t in tensors.items()},
    )


def describe(weights: str) -> Description:
    """Collect what is known of a name, a file or a Hub address.

    Raises WeightsError where there is no such thing or its file is damaged.
    """
    entry = REGISTRY.get(weights)
    if entry and find(weights) is None:
        state = "pinned" if pin(weights) else "not pinned"
        return Description(weights, entry.licence, entry.variant, entry.address, state)
    path = locate(weights)
    header = read_header(path)
    digest, expected = sha256_of(path), pin(weights)
    known = {digest} if entry and entry.sha256 else {digest, header.source_sha256}
    state = "matches" if expected in known else "differs"
    return Description(
        weights,
        header.licence,
        header.variant,
        header.source,
        pin=state if expected else "not pinned",
        path=str(path),
        sha256=digest,
        bytes=path.stat().st_size,
        dtype=header.dtype,
        sizes=header.sizes,
        training=header.training,
    )


def download(file: HubFile, *, force: bool = False) -> Path:
    """Download a file from the Hub into the Hub's own cache and give its path.

    Offline mode, mirrors, tokens and that cache follow huggingface_hub's environment variables;
    what the Hub stores by sha256 is checked against it. Raises WeightsError with the address, the
    folder and the command that finish the job by hand.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub as hub  # reads HF_* when imported, so as late as can be

    address = hub.hf_hub_url(file.repository, file.file, revision=file.revision)
    etag, failure = None, None
    try:
        try:  # fails at once, where a download without a server retries for half a minute
            etag = hub.get_hf_file_metadata(address).etag
        except Exception as error:
            failure = error
        path = hub.hf_hub_download(
            file.repository,
            file.file,
            revision=file.revision,
            force_download=force and failure is None,
            local_files_only=failure is not None,
        )
    except Exception as error:  # the Hub's HTTP library, and so its errors, differ by version
        raise no_download(file.repository.split("/")[1], address, failure or error) from error
    if re.fullmatch("[0-9a-f]{64}", etag or "") and sha256_of(Path(path)) != etag:
        raise WeightsError(
            f"{path} differs from what the Hub promised (sha256 {etag}); "
            f"delete it, or run a2u weights get with --force"
        )
    return Path(path)


def no_download(name: str, address: str, cause: Exception | str) -> WeightsError:
    """Make the error for a failed download: why, the address, the folder, the import command."""
    return WeightsError(
        f"cannot download {name} ({_reason(cause)}); fetch {address} by other means, then run "
        f"'a2u weights import FILE --name {name}', which puts it into {cache_folder()}"
    )


def _reason(cause: Exception | str) -> str:
    """Say a cause in one short line."""
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return " ".join(str(cause).split())[:200] or type(cause).__name__
