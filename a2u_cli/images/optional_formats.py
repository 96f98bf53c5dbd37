"""Picture formats whose decoders are extras: OpenEXR (`exr`) and HEIC (`heic`)."""

from io import BytesIO

import numpy as np
import numpy.typing as npt

from ..errors import ImageError
from .colour import from_linear
from .decoding import Factory
from .files import words

EXR_MAGIC = b"\x76\x2f\x31\x01"
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def is_exr(data: bytes) -> bool:
    return data.startswith(EXR_MAGIC)


def heic(data: bytes, name: str) -> tuple[Factory, ...]:
    """Give what opens HEIC as Pillow opens pictures; nothing for other data.

    Raises ImageError where the extra is missing.
    """
    if data[4:8] != b"ftyp" or data[8:12] not in HEIC_BRANDS:
        return ()
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise _missing(name, "a HEIC", "heic") from error
    return (HeifImageFile,)


def read_exr(data: bytes, name: str, *, colour: bool, most: int) -> npt.NDArray[np.uint16]:
    """Decode OpenEXR to (H, W, C): grey, RGB or RGBA in 65536 steps from 0 to 1, clipped to it.

    A picture's colours (`colour`) are linear light, premultiplied by its alpha: they become sRGB,
    straight. Of a trimap or an alpha the numbers are taken as they are.

    Raises ImageError where the extra is missing, or the file is damaged, has more than `most`
    pixels, or neither grey nor RGB.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise _missing(name, "an OpenEXR", "exr") from error
    try:
        low, high = OpenEXR.File(BytesIO(data), header_only=True).header()["dataWindow"]
        width, height = (int(length) + 1 for length in np.subtract(high, low))
        if width * height <= most:
            planes = OpenEXR.File(BytesIO(data), separate_channels=True).channels()
            samples = {key: np.float32(plane.pixels) for key, plane in planes.items()}
    except Exception as error:  # the package raises bare RuntimeError, and more
        raise ImageError(
            f"{name} is truncated or damaged ({words(error)}), expected a whole OpenEXR picture; "
            "export it again"
        ) from error
    if width * height > most:
        raise ImageError(
            f"{name} is {width}x{height}, expected at most {most / 1e6:.1f} million pixels; make "
            "it smaller or raise the limit"
        )
    kinds = ("RGBA", "RGB", "Y", "A")
    kind = next((kind for kind in kinds if set(kind) <= set(samples)), None)
    if kind is None:
        raise ImageError(
            f"{name} has the channels {', '.join(sorted(samples))}, expected R, G, B or Y; export "
            "it as RGB"
        )
    values = np.nan_to_num(np.dstack([samples[channel] for channel in kind]))
    if colour and kind != "A":
        if kind == "RGBA":
            values[..., :3] /= np.maximum(values[..., 3:], 1e-6)
        values[..., :3] = from_linear(np.clip(values[..., :3], 0.0, 1.0))
    levels: npt.NDArray[np.uint16] = np.rint(np.clip(values, 0, 1) * 65535.0).astype(np.uint16)
    return levels


def _missing(name: str, what: str, extra: str) -> ImageError:
    return ImageError(
        f"{name} is {what} picture, which needs an extra; pip install 'a2u-cli[{extra}]'"
    )
