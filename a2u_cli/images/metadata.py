"""What a file says of its picture beside the pixels: EXIF, and which way is up."""

from typing import Any

from PIL import Image
from PIL.ExifTags import IFD, Base

from ..units import Levels
from .decoding import DAMAGE

# What describes the picture and stays true of the result; layout tags and thumbnails do not.
TEXTS = (
    *(Base.ImageDescription, Base.Make, Base.Model),
    *(Base.DateTime, Base.Artist, Base.Copyright),
)
RESOLUTION = (Base.XResolution, Base.YResolution, Base.ResolutionUnit)
DIRECTORIES = (IFD.Exif, IFD.GPSInfo)
DROPPED_SUBTAGS = (Base.ExifImageWidth, Base.ExifImageHeight, Base.ExifInteroperabilityOffset)


def read_exif(picture: Image.Image) -> tuple[int, bytes | None]:
    """Return the orientation and the EXIF worth carrying over; broken EXIF counts as none."""
    try:
        tags = picture.getexif()
        orientation = tags.get(Base.Orientation, 1)
        kept = Image.Exif()
        for tag in (*TEXTS, *RESOLUTION):
            if tag in tags:
                kept[tag] = as_stored(tags[tag])
        for directory in DIRECTORIES:
            entries = tags.get_ifd(directory).items()
            if subtags := {tag: value for tag, value in entries if tag not in DROPPED_SUBTAGS}:
                kept[directory] = subtags
        return (orientation if orientation in range(1, 9) else 1), kept.tobytes() if kept else None
    except DAMAGE:
        return 1, None


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
