"""Name what files say of their colours without a profile: it is told, and not converted."""

import struct
from collections.abc import Iterator

from PIL import Image
from PIL.ExifTags import IFD

from .decoding import DAMAGE
from .png import SIGNATURE

# ITU-T H.273, tables 2 and 3, by number: those of sRGB, and what looks like them.
PRIMARIES = {1: "", 2: "", 5: "", 6: "", 7: "", 9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
CURVES = {1: "", 2: "", 4: "", 6: "", 13: "", 14: "", 15: "", 8: "linear", 16: "PQ", 18: "HLG"}
PLAIN_GAMMA, NEARLY = 1 / 2.2, 0.02
HEAD = 1 << 16  # bytes of an AVIF or a HEIC in which its colours are told
ADOBE = "R03"  # how cameras call Adobe RGB (DCF 2.0, optional colour space)


def other_colours(picture: Image.Image, data: bytes) -> str:
    """Name the colours of a picture without a profile; empty where they may count as sRGB."""
    if data.startswith(SIGNATURE):
        return _of_png(data)
    if data[4:8] == b"ftyp":
        at = data.find(b"colrnclx", 0, HEAD)
        if 0 < at <= len(data) - 12:
            return _coded(*struct.unpack_from(">HH", data, at + 8))
    try:
        interoperability = picture.getexif().get_ifd(IFD.Interop)
    except DAMAGE:
        return ""
    return "Adobe RGB" if interoperability.get(1) == ADOBE else ""


def _of_png(data: bytes) -> str:
    """Read cICP, or else gAMA where no sRGB overrules it (PNG 3, 4.3)."""
    chunks = dict(_chunks(data))
    if len(chunks.get(b"cICP", b"")) == 4:
        return _coded(*chunks[b"cICP"][:2])
    gamma = chunks.get(b"gAMA", b"")
    if b"sRGB" in chunks or len(gamma) != 4:
        return ""
    value = int.from_bytes(gamma, "big") / 100_000
    return "" if abs(value - PLAIN_GAMMA) < NEARLY else f"a gamma of {value:.3g}"


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give the kinds and bodies of a PNG's chunks before its pixels."""
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IDAT":
            return
        yield kind, data[place + 8 : place + 8 + length]
        place += 12 + length


def _coded(primaries: int, curve: int) -> str:
    named = PRIMARIES.get(primaries, f"primaries {primaries}"), CURVES.get(curve, f"curve {curve}")
    return ", ".join(filter(None, named))
