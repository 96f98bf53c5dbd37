"""Check a PNG's chunks, and set aside what is too long for Pillow to take.

Pillow refuses a file whole where a text or a profile unpacks to more than 1 MiB, or all texts to
64 MiB, and can be told otherwise only for the whole process.
"""

import struct
import zlib

MOST_TEXT = 1 << 20  # bytes of a text or a profile that Pillow unpacks,
MOST_TEXTS = 32 << 20  # and of all
MOST_PROFILE = 64 << 20  # bytes of a profile: those of presses have a few million
SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")


def split_png(data: bytes) -> tuple[bytes, bytes | None]:
    """Give a PNG without texts that are too long, and its colour profile.

    A profile that does not unpack is given as it stands: it is no profile, and told as damaged.

    Raises OSError where the file ends early or a chunk's sum is wrong.
    """
    kept: list[memoryview | bytes] = [SIGNATURE]
    profile, room, place, kind, whole = None, MOST_TEXTS, len(SIGNATURE), b"", True
    while kind != b"IEND":
        if place + 12 > len(data):
            raise OSError("the file ends too early")
        length, kind = struct.unpack_from(">I4s", data, place)
        chunk = memoryview(data)[place : place + 12 + length]
        place += 12 + length
        if place > len(data):
            raise OSError("the file ends too early")
        if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise OSError(f"the checksum of {kind.decode('latin-1')} is wrong")
        if kind == b"iCCP":
            profile = profile or _profile(bytes(chunk[8:-4]))
        dropped = kind == b"iCCP" or kind in TEXTS
        if kind in TEXTS and room > 0:  # what goes beyond is not even unpacked
            size = _unpacked_size(kind, bytes(chunk[8:-4]))
            room -= size
            dropped = size > MOST_TEXT or room < 0
        if dropped:
            whole = False
        else:
            kept.append(chunk)
    return (data if whole else b"".join(kept)), profile


def _profile(body: bytes) -> bytes:
    """Unpack a profile: its name, a zero, the method, zlib's stream (PNG 3, 11.3.2.3)."""
    try:
        return zlib.decompressobj().decompress(body[body.index(b"\0") + 2 :], MOST_PROFILE)
    except (ValueError, zlib.error):
        return body or b"empty"


def _unpacked_size(kind: bytes, body: bytes) -> int:
    """Count a text's bytes, as far as they matter (PNG 3, 11.3.3)."""
    text = body.partition(b"\0")[2]
    packed = kind == b"zTXt" or (kind == b"iTXt" and text[:1] == b"\1")
    if kind == b"zTXt":
        text = text[1:]
    elif packed:
        text = text[2:].split(b"\0", 2)[-1]
    if not packed:
        return len(text)
    try:
        return len(zlib.decompressobj().decompress(text, MOST_TEXT + 1))
    except zlib.error:
        return MOST_TEXT + 1  # it says nothing
