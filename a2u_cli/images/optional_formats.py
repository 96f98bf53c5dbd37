"""Picture formats whose decoders are extras: HEIC (`heic`), and OpenEXR in a module of its own."""

from ..errors import ImageError
from .decoding import Factory

HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def heic(data: bytes, name: str) -> tuple[Factory, ...]:
    """Give what opens HEIC as Pillow opens pictures; nothing for other data.

    Raises ImageError where the extra is missing.
    """
    if data[4:8] != b"ftyp" or data[8:12] not in HEIC_BRANDS:
        return ()
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise missing_extra(name, "a HEIC", "heic") from error
    return (HeifImageFile,)


def missing_extra(name: str, what: str, extra: str) -> ImageError:
    """Word the refusal of a format whose decoder is not installed."""
    return ImageError(
        f"{name} is {what} picture, which needs an extra; pip install 'a2u-cli[{extra}]'"
    )
