"""Weights by name: where they come from, where they lie, what they are pinned to.

Nothing here needs torch, so that listing and describing weights is quick.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import WeightsError, listed
from .cache import NAME, SUFFIX, cache_folder, cached, reason, sha256_of, writing
from .download import HubFile, download
from .header import Header, read_header

DEFAULT = "a2u-open"
SHIPPED_FOLDERS = (
    Path(__file__).parent.parent / "pretrained",  # an installed wheel
    Path(__file__).parents[2] / "weights",  # a checkout
)


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
        sha256="f3834e53f9b104819d1e538c5c86673a0301a4c3154837522a0191df08a10d30",
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
    quality: str | None = None
    sizes: dict[str, Any] | None = None
    training: dict[str, Any] | None = None


def find(name: str) -> Path | None:
    """Give the file of a name, shipped with the package or in the cache, or None."""
    if not NAME.fullmatch(name):
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
    if isinstance(weights, str) and (place := find(text)):
        return place
    if isinstance(weights, str) and text in REGISTRY:
        raise WeightsError(f"weights {text} are not on this machine; run: a2u weights get {text}")
    try:
        if Path(weights).is_file():
            return Path(weights)
    except OSError as error:
        raise WeightsError(f"cannot read {text} ({reason(error)})") from error
    known = listed(names())
    raise WeightsError(f"no weights {text!r}: neither a file nor a name ({known}) nor hf://...")


def remove(name: str) -> Path:
    """Delete a name's file from the cache, forget its pin, and give its place."""
    path, pins = cached(name), _pins()
    if not path.is_file() and name not in pins:
        raise WeightsError(f"no weights {name!r} in {cache_folder()}; nothing removed")
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise WeightsError(f"cannot remove {path} ({reason(error)})") from error
    if pins.pop(name, None):
        _write_pins(pins)
    return path


def pin(name: str) -> str | None:
    """Give the sha256 that a name's source must have: the registry's, or the first import's."""
    entry = REGISTRY.get(name)
    return (entry.sha256 or _pins().get(name)) if entry else None


def check_pin(name: str, digest: str, origin: str) -> None:
    """Raise WeightsError where a name is pinned to another sha256 than `digest`."""
    expected = pin(name)
    if expected not in (None, digest):
        first = f"; if the first import was the wrong one, a2u weights rm {name} forgets it"
        raise WeightsError(
            f"{origin} is not the known {name}: its sha256 is {digest}, expected {expected}; "
            f"get the file anew{'' if REGISTRY[name].sha256 else first}"
        )


def check_reserved(name: str, variant: str, header: Header | None, origin: str) -> None:
    """Raise WeightsError where a name known here would stand for another network.

    `header` is that of one of our files, None for a checkpoint of the authors. A name of theirs
    takes their checkpoint, or what was made of it. Other names are free, but for the known ones in
    other capitals, which some disks do not tell apart.
    """
    entry = REGISTRY.get(name)
    if entry is None:
        if name.lower() in REGISTRY:
            raise WeightsError(f"{name} is too much like {name.lower()}; choose another name")
        return
    if entry.variant != variant:
        raise WeightsError(
            f"{origin} holds the {variant} variant, but {name} is the {entry.variant} "
            "one; import it under another name"
        )
    if header and entry.drive and (header.licence != entry.licence or not header.source_sha256):
        raise WeightsError(
            f"{origin} (licence {header.licence}, source {header.source}) was not made from the "
            f"authors' checkpoint, but {name} is theirs; import it under another name"
        )


def record_pin(name: str, digest: str) -> None:
    """Remember the sha256 of a name's first import, where the registry has none."""
    if name in REGISTRY and pin(name) is None:
        _write_pins({**_pins(), name: digest})


def _write_pins(pins: dict[str, str]) -> None:
    if not pins:
        _pins_path().unlink(missing_ok=True)
        return
    with writing(_pins_path()) as temporary:
        temporary.write_text(json.dumps(pins, indent=2), encoding="utf-8")


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
        raise WeightsError(f"{path} is damaged ({reason(error)}); delete it") from error


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
    digest = sha256_of(path)
    return Description(
        weights,
        header.licence,
        header.variant,
        header.source,
        pin=_compare_pin(weights, header, path, digest),
        path=str(path),
        sha256=digest,
        bytes=path.stat().st_size,
        dtype=header.dtype,
        quality=header.quality or None,
        sizes=header.sizes,
        training=header.training,
    )


def _compare_pin(name: str, header: Header, path: Path, digest: str) -> str:
    """Say whether a name's file is what the name stands for, as `Description.pin`."""
    entry, expected = REGISTRY.get(name), pin(name)
    try:
        if entry:  # else it is a path or an address, and free
            check_reserved(name, header.variant, header, str(path))
    except WeightsError:
        return "differs"
    if not expected:
        return "not pinned"
    known = {digest} if entry and entry.sha256 else {digest, header.source_sha256}
    return "matches" if expected in known else "differs"
