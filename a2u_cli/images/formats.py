"""Which formats are written, by their extensions, and what each can hold."""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from ..errors import ImageError
from .optional_formats import missing_extra

Format = Literal["png", "tiff", "jpeg", "exr", "webp", "avif"]
FORMATS: dict[str, Format] = {
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".exr": "exr",
    ".webp": "webp",
    ".avif": "avif",
}
DEPTHS = (8, 16, 32)
INSTEAD = {8: ".png or .tif", 16: ".png or .tif", 32: ".tif or .exr"}  # what holds so many bits


class Holds(NamedTuple):
    """What a format is called, and what it can hold: bits a channel, its own first."""

    name: str
    depths: tuple[int, ...]
    transparency: bool = True
    lossy: bool = False


HOLDS: dict[Format, Holds] = {
    "png": Holds("PNG", (8, 16)),
    "tiff": Holds("TIFF", (8, 16, 32)),
    "jpeg": Holds("JPEG", (8,), transparency=False, lossy=True),
    "exr": Holds("OpenEXR", (16, 32)),  # half floats, and floats
    "webp": Holds("WebP", (8,)),
    "avif": Holds("AVIF", (8,), lossy=True),
}


class Target(NamedTuple):
    """What suits those who go on with a result: why stands in docs/compositing.md."""

    format: Format
    depth: int
    premultiplied: bool

    @property
    def suffix(self) -> str:
        """Return the extension of its files."""
        return extension(self.format)


TARGETS = {
    "nuke": Target("exr", 16, premultiplied=True),
    "fusion": Target("exr", 16, premultiplied=True),
    "after-effects": Target("png", 16, premultiplied=False),
    "web": Target("webp", 8, premultiplied=False),
}


def extension(kind: Format) -> str:
    """Give the extension that files of a format are given here."""
    return next(suffix for suffix, known in FORMATS.items() if known == kind)


def output_format(path: Path, *, channels: int, depth: int | None = None) -> Format:
    """Name the format that the extension asks for, so that a wrong one is refused before work.

    Raises: ImageError where the extension is unknown or its format cannot hold the picture.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        extension = f"extension {path.suffix}" if path.suffix else "no extension"
        raise ImageError(
            f"{path} has {extension}, expected one of {', '.join(FORMATS)}; rename the output"
        )
    choose_depth(kind, depth, channels=channels, name=str(path))
    return kind


def choose_depth(kind: Format, depth: int | None, *, channels: int = 1, name: str) -> int:
    """Give the bits a channel that are asked for, or a format's own.

    Raises: ImageError where it cannot hold them, or the channels, or cannot be written here.
    """
    holds = HOLDS[kind]
    if depth not in (None, *DEPTHS):
        known = " or ".join(map(str, holds.depths))
        raise ImageError(f"{name}: depth {depth} was asked for, expected {known}; choose one")
    if channels == 4 and not holds.transparency:
        raise ImageError(f"{name}: {holds.name} cannot hold transparency; choose .png or .tif")
    if depth and depth not in holds.depths:
        raise ImageError(
            f"{name}: {holds.name} cannot hold {depth} bits a channel; choose {INSTEAD[depth]}"
        )
    if kind == "exr" and find_spec("OpenEXR") is None:
        raise missing_extra(name, "an OpenEXR", "exr")
    if kind == "avif" and not _has_avif():
        raise ImageError(f"{name}: this Pillow writes no AVIF; choose .webp, or install another")
    return depth or holds.depths[0]


def enough_depth(kind: Format, bits: int) -> int:
    """Give the least of a format's depths that holds so many bits a channel; they, if none does."""
    return min((depth for depth in HOLDS[kind].depths if depth >= bits), default=bits)


def _has_avif() -> bool:
    from PIL import features

    return bool(features.check("avif"))


def holds_light(kind: Format, depth: int) -> bool:
    """Tell whether colours are written as linear light, unclipped, and not as sRGB values."""
    return kind == "exr" or depth == 32
