"""Tell the kinds of JPEG that no decoder here reads, though they are whole."""

import struct

from ..errors import ImageError

FRAMES = range(0xC0, 0xD0)  # markers that begin a frame (ITU-T T.81, table B.1), but for
TABLES = (0xC4, 0xC8, 0xCC)
READ = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # by differences (lossless), or hierarchical, are the others


def refuse_unusual_jpeg(data: bytes, name: str) -> None:
    """Refuse what is lossless, or has another number of bits than 8; raises ImageError."""
    place = 2
    while data.startswith(b"\xff\xd8\xff") and place + 5 <= len(data):
        start, marker, length, bits = struct.unpack_from(">BBHB", data, place)
        if start != 0xFF:
            return
        if marker == 0xFF:  # more of it may stand before any marker
            place += 1
            continue
        if marker in FRAMES and marker not in TABLES:
            what = f"of {bits} bits a channel" if marker in READ else "that is lossless"
            if marker in READ and bits == 8:
                return
            raise ImageError(
                f"{name} is a JPEG {what}, which cannot be read, expected one of 8 bits; export "
                "it as PNG or TIFF"
            )
        place += 2 + length
