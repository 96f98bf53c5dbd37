"""Picture formats whose decoders are extras: HEIC (`heic`), and OpenEXR in a module of its own."""

from ..errors import ImageError
from .decoding import Factory

HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def is_heic(data: bytes) -> bool:
    """Tell by its start whether a file is a HEIC."""
    return data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS


def heic(data: bytes, name: str) -> tuple[Factory, ...]:
    """Give what opens HEIC as Pillow opens pictures; nothing for other data.

    Raises ImageError where the extra is missing.
    """
    if not is_heic(data):
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
