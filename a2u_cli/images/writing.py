"""Write picture files: the whole file or nothing, in the format of the extension."""

import logging
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import ImageError, OutOfMemory, is_memory
from ..units import Levels
from .arrays import require_shape
from .decoding import DAMAGE
from .encoders import encode_jpeg, encode_png, encode_tiff
from .files import replacing, words

log = logging.getLogger(__name__)

Format = Literal["png", "tiff", "jpeg"]
STRIP = 2**20  # values rounded at once
FORMATS: dict[str, Format] = {
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
}


def output_format(path: Path, *, channels: int, depth: int) -> Format:
    """Name the format that the extension asks for, so that a wrong one is refused before work.

    Raises: ImageError where the extension is unknown or its format cannot hold the picture.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        extension = f"extension {path.suffix}" if path.suffix else "no extension"
        raise ImageError(
            f"{path} has {extension}, expected one of {', '.join(FORMATS)}; rename the output"
        )
    _require_room(kind, channels, depth, str(path))
    return kind


def _require_room(kind: Format, channels: int, depth: int, name: str) -> None:
    if depth not in (8, 16):
        raise ImageError(f"{name}: depth {depth} was asked for, expected 8 or 16; choose one")
    if kind == "jpeg" and (channels == 4 or depth == 16):
        what = "transparency" if channels == 4 else "16 bits a channel"
        raise ImageError(f"{name}: JPEG cannot hold {what}; choose .png or .tif")


def require_free(path: Path, taken: list[Path], *, force: bool) -> None:
    """Refuse an output that cannot be written, before any work is done for it.

    Raises: ImageError where it is an input or another output, by whatever name, exists already, or
    has no place.
    """
    try:
        if any(path.resolve() == other.resolve() for other in taken) or (
            path.exists() and any(other.exists() and path.samefile(other) for other in taken)
        ):
            raise ImageError(f"{path} is an input or another output; choose another output")
        if path.is_dir():
            raise ImageError(f"{path} is a folder; give a file name for the output")
        if os.path.lexists(path) and not force:  # also a link to nothing
            raise ImageError(f"{path} exists; choose another output, or --force to replace it")
        above = next(folder for folder in path.absolute().parents if folder.exists())
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        text = f"{path} cannot be written ({words(error)}); choose another output"
        raise ImageError(text) from error
    if not above.is_dir():
        raise ImageError(f"{path} cannot be written: {above} is a file, expected a folder")


def write_image(
    path: str | Path,
    array: npt.NDArray[Any],
    *,
    alpha: npt.NDArray[Any] | None = None,
    depth: int = 8,
    icc: bytes | None = None,
    exif: bytes | None = None,
    premultiplied: bool = False,
) -> None:
    """Write a picture in the format of its extension: the whole file or nothing.

    `alpha` (H, W) is laid beside an array (H, W, 3): the file holds the RGBA of both. Missing
    folders are made; the rest is as in `encode_image`.

    Raises: ImageError where the format cannot hold the picture or the file cannot be written.
    """
    path = Path(path)
    metadata: dict[str, Any] = {"icc": icc, "exif": exif, "premultiplied": premultiplied}
    write_bytes(path, encode_for(path, array, alpha=alpha, depth=depth, **metadata))


def encode_for(
    path: Path,
    array: npt.NDArray[Any],
    *,
    alpha: npt.NDArray[Any] | None = None,
    depth: int = 8,
    icc: bytes | None = None,
    exif: bytes | None = None,
    premultiplied: bool = False,
) -> bytes:
    """Give the bytes that `write_image` writes; raises ImageError where no file can hold it."""
    name = str(path)
    channels = _channels(array, name)
    kind = output_format(path, channels=channels if alpha is None else 4, depth=depth)
    if alpha is not None:
        array = _with_alpha(array, alpha, depth, name)
    metadata: dict[str, Any] = {"icc": icc, "exif": exif, "premultiplied": premultiplied}
    return encode_image(array, kind, depth=depth, name=name, **metadata)


def _with_alpha(array: npt.NDArray[Any], alpha: npt.NDArray[Any], depth: int, name: str) -> Levels:
    require_shape(array, name, channels=(3,))
    require_shape(alpha, f"{name}: the alpha", channels=(1,))
    if array.shape[:2] != alpha.shape:
        raise ImageError(
            f"{name}: the colours are {array.shape[1]}x{array.shape[0]} but the alpha is "
            f"{alpha.shape[1]}x{alpha.shape[0]}; use the matte of this picture"
        )
    levels = [quantise(plane, depth, name=name) for plane in (array, alpha)]
    return np.dstack(levels)  # type: ignore[return-value]  # of their own type


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; missing folders are made.

    Raises: ImageError where it cannot be written.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{path} cannot be written ({words(error)}), expected a folder with room and "
            "permission to write; choose another output"
        ) from error


def encode_image(
    array: npt.NDArray[Any],
    kind: Format,
    *,
    depth: int = 8,
    icc: bytes | None = None,
    exif: bytes | None = None,
    premultiplied: bool = False,
    name: str = "the output",
) -> bytes:
    """Encode (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA as the bytes of a file.

    The values are floats in [0, 1], or levels that already have the depth asked for. The profile
    and EXIF are embedded at either depth; a grey file takes no RGB profile. The colours of RGBA are
    straight, unless `premultiplied` says that they are multiplied by alpha already: TIFF says so to
    its reader, PNG cannot, and a line in the log tells that.

    Raises: ImageError where the format cannot hold the picture, OutOfMemory.
    """
    channels = _channels(array, name)
    _require_room(kind, channels, depth, name)
    levels = quantise(array, depth, name=name)
    profile = icc if channels > 1 else None
    premultiplied = premultiplied and channels == 4
    if premultiplied and kind == "png":
        log.warning(
            "%s: a PNG's colours count as straight, so other programs show a dark rim around these "
            "premultiplied ones; a .tif says what they are",
            name,
        )
    try:
        if kind == "tiff":
            return encode_tiff(levels, profile, exif, premultiplied=premultiplied)
        return (encode_png if kind == "png" else encode_jpeg)(levels, profile, exif)
    except DAMAGE as error:  # what encoders raise, as of metadata that they cannot hold
        if is_memory(error):
            raise OutOfMemory(f"there is too little memory to encode {name}") from error
        raise ImageError(
            f"{name} cannot be written as {kind} ({words(error)}); choose another format"
        ) from error


def quantise(array: npt.NDArray[Any], depth: int, *, name: str = "the array") -> Levels:
    """Round values in [0, 1] to the nearest of the 2**depth levels; levels pass unchanged.

    Raises: ImageError where it is no picture, a value is not finite or integers are of another
    depth.
    """
    _channels(array, name)
    dtype = np.uint8 if depth == 8 else np.uint16
    if array.dtype == dtype:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(
            f"{name}: found {array.dtype} values, expected floats in [0, 1]; convert them"
        )
    levels = np.empty(array.shape, dtype)
    rows = max(1, STRIP // array[0].size)
    for top in range(0, len(array), rows):  # in strips, or this takes more than the picture
        strip = array[top : top + rows]
        if not np.isfinite(strip).all():
            raise ImageError(
                f"{name}: found values that are not finite, expected [0, 1]; compute in float32"
            )
        values = np.clip(strip, 0, 1, dtype=np.promote_types(array.dtype, np.float32))
        levels[top : top + rows] = np.rint(values * (2**depth - 1))
    return levels


def _channels(array: Any, name: str) -> int:
    require_shape(array, name, channels=(1, 3, 4))
    return 1 if array.ndim == 2 else int(array.shape[2])
