"""What a file says of its picture beside the pixels: EXIF, and which way is up."""

import logging
from typing import Any

from PIL import ExifTags, Image
from PIL.ExifTags import IFD, Base

from ..errors import is_memory, listed
from ..units import Levels
from .decoding import DAMAGE

log = logging.getLogger(__name__)

# What describes the picture and stays true of the result; layout tags and thumbnails do not.
TEXTS = (
    *(Base.ImageDescription, Base.Make, Base.Model),
    *(Base.DateTime, Base.Artist, Base.Copyright),
)
RESOLUTION = (Base.XResolution, Base.YResolution, Base.ResolutionUnit)
DIRECTORIES = (IFD.Exif, IFD.GPSInfo)
DROPPED_SUBTAGS = (Base.ExifImageWidth, Base.ExifImageHeight, Base.ExifInteroperabilityOffset)


def read_exif(picture: Image.Image, name: str = "") -> tuple[int, bytes | None]:
    """Return the orientation and the EXIF worth carrying over; broken EXIF counts as none.

    A tag that cannot be written again is left out alone, and a line in the log names it.
    """
    try:
        tags = picture.getexif()
        orientation = tags.get(Base.Orientation, 1)
    except DAMAGE as error:
        if is_memory(error):
            raise
        return 1, None
    if orientation not in range(1, 9):
        orientation = 1
    kept, lost = Image.Exif(), []
    for tag in (*TEXTS, *RESOLUTION):
        try:
            if tag in tags:
                kept[tag] = _writable(tag, as_stored(tags[tag]))
        except DAMAGE:
            lost.append(Base(tag).name)
    for directory in DIRECTORIES:
        whole: dict[int, Any] = {}
        try:
            for entry, value in tags.get_ifd(directory).items():
                if entry in DROPPED_SUBTAGS:
                    continue
                try:
                    whole |= _writable(directory, {entry: value})
                except DAMAGE:
                    lost.append(ExifTags.TAGS.get(entry, str(entry)))
        except DAMAGE:
            lost.append(directory.name)
        if whole:
            kept[directory] = whole
    if lost and name:
        log.warning("%s has EXIF that cannot be kept: %s", name, listed(lost))
    return orientation, kept.tobytes() if kept else None


def _writable(tag: int, value: Any) -> Any:
    """Give a tag's value back; raises one of DAMAGE where it cannot be written."""
    trial = Image.Exif()
    trial[tag] = value
    trial.tobytes()
    return value


def as_stored(value: Any) -> Any:
    """Give a text its bytes back: Pillow reads all as Latin-1 and would write ASCII alone."""
    return value.encode("latin-1", "replace") if isinstance(value, str) else value


def turn_upright(levels: Levels, orientation: int) -> Levels:
    """Turn stored pixels upright (EXIF 2.3, tag 0x0112)."""
    if orientation >= 5:
        levels = levels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        levels = levels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        levels = levels[::-1]
    return levels
