"""Write picture files: the whole file or nothing, in the format of the extension."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import A2UError, ImageError, OutOfMemory, is_memory
from ..units import FloatArray, Levels
from .arrays import ROUNDING, require_shape
from .colour import from_linear, to_linear
from .decoding import DAMAGE
from .encoders import encode_avif, encode_jpeg, encode_png, encode_tiff, encode_webp
from .exr_header import ExrHeader
from .exr_writing import encode_exr
from .files import replacing, words
from .formats import HOLDS, Format, choose_depth, holds_light, output_format
from .stores import as_path, in_store, is_there

log = logging.getLogger(__name__)

BEYOND = "have light beyond what sRGB holds, which is clipped"
STRIP = 2**20  # values rounded at once


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
        if is_there(path) and not force:  # also a link to nothing
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
    depth: int | None = None,
    icc: bytes | None = None,
    exif: bytes | None = None,
    premultiplied: bool = False,
    light: bool = False,
    header: ExrHeader | None = None,
    note: str | None = None,
) -> None:
    """Write a picture in the format of its extension: the whole file or nothing.

    `alpha` (H, W) is laid beside an array (H, W, 3): the file holds the RGBA of both. Missing
    folders are made; the rest is as in `encode_image`.

    Raises: ImageError where the format cannot hold the picture or the file cannot be written.
    """
    path = as_path(path)
    metadata: dict[str, Any] = {"icc": icc, "exif": exif, "header": header, "note": note}
    metadata |= {"premultiplied": premultiplied, "light": light}
    write_bytes(path, encode_for(path, array, alpha=alpha, depth=depth, **metadata))


def encode_for(
    path: Path,
    array: npt.NDArray[Any],
    *,
    alpha: npt.NDArray[Any] | None = None,
    depth: int | None = None,
    icc: bytes | None = None,
    exif: bytes | None = None,
    premultiplied: bool = False,
    light: bool = False,
    header: ExrHeader | None = None,
    note: str | None = None,
) -> bytes:
    """Give the bytes that `write_image` writes; raises ImageError where no file can hold it."""
    name = str(path)
    channels = _channels(array, name)
    kind = output_format(path, channels=channels if alpha is None else 4, depth=depth)
    depth = choose_depth(kind, depth, name=name)
    if alpha is not None:
        _require_one_size(array, alpha, name)
        if light != (holds := holds_light(kind, depth)):
            array = _converted(array, alpha if premultiplied else None, to_light=holds, name=name)
            light = holds
        parts = array, alpha
        array = np.dstack(parts if holds else [quantise(part, depth, name=name) for part in parts])
    metadata: dict[str, Any] = {"icc": icc, "exif": exif, "header": header, "note": note}
    metadata |= {"premultiplied": premultiplied, "light": light}
    return encode_image(array, kind, depth=depth, name=name, **metadata)


def _require_one_size(array: npt.NDArray[Any], alpha: npt.NDArray[Any], name: str) -> None:
    require_shape(array, name, channels=(3,))
    require_shape(alpha, f"{name}: the alpha", channels=(1,))
    if array.shape[:2] != alpha.shape:
        raise ImageError(
            f"{name}: the colours are {array.shape[1]}x{array.shape[0]} but the alpha is "
            f"{alpha.shape[1]}x{alpha.shape[0]}; use the matte of this picture"
        )


def _converted(
    colours: npt.NDArray[Any], alpha: npt.NDArray[Any] | None, *, to_light: bool, name: str
) -> FloatArray:
    """Turn sRGB values (H, W, 3) into light, or light into sRGB values, clipped to what these hold.

    `alpha` is what the colours are multiplied by, if they are.
    """
    colours = _as_floats(colours, name)
    if alpha is not None:
        alpha = alpha[..., None]
        colours = colours / np.where(alpha > 0, alpha, 1)
    if to_light:
        made = to_linear(np.clip(colours, 0, 1))
    else:
        beyond = ((colours < -ROUNDING) | (colours > 1 + ROUNDING)).any(axis=2)
        if share := np.count_nonzero(beyond) / beyond.size:
            log.warning(
                "%s: %.1f %% of the pixels %s; an .exr keeps it",
                *(name, 100 * share, BEYOND),
            )
        made = from_linear(np.clip(colours, 0, 1))
    return made if alpha is None else made * alpha


def _as_floats(array: npt.NDArray[Any], name: str) -> FloatArray:
    """Refuse what are no finite floats; raises ImageError."""
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(f"{name}: found {array.dtype} values, expected floats; convert them")
    if not np.isfinite(array).all():
        raise ImageError(
            f"{name}: found values that are not finite, expected numbers; compute in float32"
        )
    return array.astype(np.float32, copy=False)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; missing folders are made.

    Raises: ImageError where it cannot be written.
    """
    try:
        if stored := in_store(path):
            stored.write_bytes(data)
            return
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
    depth: int | None = None,
    icc: bytes | None = None,
    exif: bytes | None = None,
    premultiplied: bool = False,
    light: bool = False,
    header: ExrHeader | None = None,
    note: str | None = None,
    name: str = "the output",
) -> bytes:
    """Encode (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA as the bytes of a file.

    The values are floats in [0, 1], or levels that already have the depth asked for, or, with
    `light`, linear and unclipped light of sRGB's primaries. They become what the file holds: light
    in OpenEXR, at 16 bits (half) or 32, and in TIFF at 32; sRGB values elsewhere, at 8 bits, unless
    16 are asked for. Greys are a matte: its numbers stay. An OpenEXR lies in the windows and the
    primaries of a `header` and has its attributes.

    The profile and EXIF are embedded, but in OpenEXR; what is grey or light takes no profile. A
    `note` in ASCII is laid where each format has room for words (`images.provenance`). The
    colours of RGBA are straight, unless `premultiplied` says that they are multiplied by alpha
    already; OpenEXR's are in any case. TIFF says so to its reader, other formats cannot, and a line
    in the log tells that.

    Raises: ImageError where the format cannot hold the picture, OutOfMemory.
    """
    channels = _channels(array, name)
    depth = choose_depth(kind, depth, channels=channels, name=name)
    holds = holds_light(kind, depth)
    multiplied = premultiplied and channels == 4
    if channels > 1 and light != holds:
        array = _as_held(array, multiplied=multiplied, to_light=holds, name=name)
    if multiplied and kind not in ("tiff", "exr"):
        log.warning(
            "%s: %s's colours count as straight, so other programs show a dark rim around these "
            "premultiplied ones; a .tif says what they are",
            *(name, f"{'an' if kind == 'avif' else 'a'} {HOLDS[kind].name}"),
        )
    if exif and kind == "exr":
        log.warning("%s: OpenEXR holds no EXIF, which is left out", name)
    try:
        if holds:
            values = _as_floats(array, name)
            if kind == "tiff":
                return encode_tiff(values, None, exif, premultiplied=multiplied, note=note)
            half = depth == 16
            how: dict[str, Any] = {"half": half, "multiplied": multiplied, "note": note}
            return encode_exr(values, header, **how, name=name)
        levels = quantise(array, depth, name=name)
        profile = icc if channels > 1 else None
        if kind == "tiff":
            return encode_tiff(levels, profile, exif, premultiplied=multiplied, note=note)
        straight = {"png": encode_png, "jpeg": encode_jpeg, "webp": encode_webp}
        return (straight | {"avif": encode_avif})[kind](levels, profile, exif, note)
    except A2UError:
        raise
    except (*DAMAGE, RuntimeError) as error:  # what encoders raise, as of metadata they cannot hold
        if is_memory(error):
            raise OutOfMemory(f"there is too little memory to encode {name}") from error
        raise ImageError(
            f"{name} cannot be written as {kind} ({words(error)}); choose another format"
        ) from error


def _as_held(
    array: npt.NDArray[Any], *, multiplied: bool, to_light: bool, name: str
) -> npt.NDArray[Any]:
    """Turn (H, W, 3) or (H, W, 4) from sRGB values to light, or from light to sRGB values."""
    if array.shape[2] == 3:
        return _converted(array, None, to_light=to_light, name=name)
    by = array[..., 3] if multiplied else None
    return np.dstack([_converted(array[..., :3], by, to_light=to_light, name=name), array[..., 3]])


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
