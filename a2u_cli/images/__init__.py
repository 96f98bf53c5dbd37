"""The one door between picture files and arrays."""

from typing import TYPE_CHECKING

from ..lazy import lazily

if TYPE_CHECKING:
    from .exr_header import ExrHeader as ExrHeader
    from .formats import FORMATS as FORMATS
    from .formats import Format as Format
    from .formats import choose_depth as choose_depth
    from .formats import holds_light as holds_light
    from .formats import output_format as output_format
    from .meaning import Matte as Matte
    from .meaning import read_matte as read_matte
    from .reading import MAX_PIXELS as MAX_PIXELS
    from .reading import SUFFIXES as SUFFIXES
    from .reading import Picture as Picture
    from .reading import picture_size as picture_size
    from .reading import read_bytes as read_bytes
    from .reading import read_grey as read_grey
    from .reading import read_image as read_image
    from .reading import read_stream as read_stream
    from .reading import tell_of_hidden as tell_of_hidden
    from .writing import encode_for as encode_for
    from .writing import encode_image as encode_image
    from .writing import quantise as quantise
    from .writing import require_free as require_free
    from .writing import write_bytes as write_bytes
    from .writing import write_image as write_image

_READING = ("MAX_PIXELS", "SUFFIXES", "Picture", "picture_size", "read_bytes", "read_grey")
_FORMATS = ("FORMATS", "Format", "choose_depth", "holds_light", "output_format")
_WRITING = ("encode_image", "quantise", "require_free")
_HOMES = {
    "ExrHeader": ".exr_header",
    **dict.fromkeys(_FORMATS, ".formats"),
    **dict.fromkeys(("Matte", "read_matte"), ".meaning"),
    **dict.fromkeys((*_READING, "read_image", "read_stream", "tell_of_hidden"), ".reading"),
    **dict.fromkeys((*_WRITING, "encode_for", "write_bytes", "write_image"), ".writing"),
}
__all__ = sorted(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
