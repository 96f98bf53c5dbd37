"""Lay a note in a picture's file, and find it again: where each format has room for words.

PNG has it in an iTXt chunk, JPEG in a comment, OpenEXR in an attribute, TIFF, WebP and AVIF in
their XMP; all of them are passed over by readers that do not ask. Other files have it beside them.
What a note says is `jobs.provenance`.
"""

import html
import re
from io import BytesIO
from pathlib import Path

from ..errors import ImageError
from .decoding import DAMAGE, begins_as_picture, open_picture

KEY = "a2u"  # of a chunk, an attribute, a namespace
SIDECAR = ".a2u.json"  # behind the whole name of a file that has no room
MOST = 16 << 10  # bytes: ours have hundreds
XMP = 700  # the tag, XMP part 3
COMMENT = b"a2u "  # before a note in a JPEG, whose comments are anybody's
EXR_MAGIC, EXR_HEAD, EXR_NAME = b"v/1\x01", 8, 256
PACKET = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:a2u="urn:a2u-cli" a2u:note="{}"/>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)
IN_PACKET = re.compile(rb'a2u:note="([^"]*)"')


def png_text(note: str) -> bytes:
    """Give the body of an iTXt chunk (PNG 3, 11.3.3.4): not compressed, of no language."""
    return KEY.encode() + b"\0\0\0\0\0" + note.encode()


def jpeg_comment(note: str) -> bytes:
    """Give the bytes of a comment."""
    return COMMENT + note.encode()


def xmp_packet(note: str) -> bytes:
    """Give an XMP packet (part 1, 7.3) of one property."""
    return PACKET.format(html.escape(note)).encode()


def sidecar(path: Path) -> Path:
    """Name the file that holds the note of one that has no room for it."""
    return path.with_name(path.name + SIDECAR)


def find_note(data: bytes, name: str) -> str | None:
    """Find the note in the bytes of a picture's file, None where it carries none.

    Raises ImageError where it is no picture, or the note is longer than any of ours.
    """
    if data.startswith(EXR_MAGIC):
        found = _find_in_exr(data)
    elif begins_as_picture(data[:16]):
        found = _find_in_picture(data)
    else:
        raise ImageError(
            f"{name} is not a picture that can be read, expected a result of a2u; check the name"
        )
    if found is None:
        return None
    if len(found) > MOST:
        raise ImageError(
            f"{name} carries a note of {len(found)} bytes, expected at most {MOST}; it is none of "
            "a2u's"
        )
    return found.decode("ascii", "replace")


def _find_in_picture(data: bytes) -> bytes | None:
    """Ask Pillow, which reads no pixels for it; what is damaged has no note."""
    try:
        with open_picture(BytesIO(data)) as picture:
            told = picture.info
            if picture.format == "PNG":
                text = told.get(KEY)
                return text.encode("utf-8", "replace") if isinstance(text, str) else None
            if picture.format in ("JPEG", "MPO"):
                comment = told.get("comment", b"")
                return comment.removeprefix(COMMENT) if comment.startswith(COMMENT) else None
            packet = told.get("xmp") or b""
    except DAMAGE:
        return None
    found = IN_PACKET.search(packet if isinstance(packet, bytes) else b"")
    return html.unescape(found[1].decode("utf-8", "replace")).encode() if found else None


def _find_in_exr(data: bytes) -> bytes | None:
    """Walk through the attributes of the first header: names, kinds, sizes and values."""
    at = EXR_HEAD
    while data[at : at + 1] not in (b"", b"\0"):
        words = data[at : at + 2 * EXR_NAME].split(b"\0", 2)
        if len(words) < 3:
            return None
        at += len(words[0]) + len(words[1]) + 2
        size, at = int.from_bytes(data[at : at + 4], "little"), at + 4
        if words[:2] == [KEY.encode(), b"string"]:
            return data[at : at + size]
        at += size
    return None
