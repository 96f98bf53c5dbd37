"""What a request asks of a result, in words: its format, depth, finish and background."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from ..backgrounds import DRAWN, read_colour
from ..errors import A2UError
from ..images.formats import FORMATS, HOLDS, Format, choose_depth
from ..jobs.options import Options
from ..matting.finishing import AS_IT_IS, Finish, read_levels
from ..matting.quality import Quality
from .refusals import Refused
from .spool import Spooled

OWN = "own"  # the background that was sent, which no colour is called
NAMES = ("quality", "depth", "format", "background", "levels", "choke", "feather")
QUALITIES = ("auto", *get_args(Quality))
MEDIA: dict[Format, str] = {
    "png": "image/png",
    "tiff": "image/tiff",
    "jpeg": "image/jpeg",
    "exr": "image/x-exr",
    "webp": "image/webp",
    "avif": "image/avif",
}


@dataclass(frozen=True)
class Wish:
    """What shapes a result, and the quality of its matte, "auto" where none was asked for."""

    options: Options
    quality: str = "auto"


def read_wish(words: Mapping[str, Any], save: tuple[str, ...], own: Spooled | None = None) -> Wish:
    """Take what is asked of results of these kinds; raises A2UError for what cannot be.

    `own` is the picture that was sent to lay the cut-out on, if any.
    """
    require_known(words, NAMES)
    text = {name: str(value) for name, value in words.items() if value is not None}
    if "background" in text and "composite" not in save:
        raise Refused(422, "background would do nothing: no composite is asked for")
    kind = _format(text.get("format", "png"))
    depth = choose_depth(kind, read_whole(text, "depth"), name="the result")
    quality = text.get("quality", "auto")
    if quality not in QUALITIES:
        raise Refused(422, f"quality {quality!r} is unknown, expected {', '.join(QUALITIES)}")
    levels = read_levels(text["levels"]) if "levels" in text else AS_IT_IS
    finish = Finish(levels, _pixels(text, "choke"), _pixels(text, "feather"))
    background = _read_background(text.get("background", Options.background), own)
    return Wish(
        Options(save=save, depth=depth, format=kind, background=background, finish=finish), quality
    )


def require_known(words: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Refuse what nobody heeds; raises Refused."""
    if strange := sorted({*words} - {*names}):
        expected = ", ".join(names) or "none"
        raise Refused(422, f"{', '.join(strange)} would do nothing, expected {expected}")


def read_switch(words: Mapping[str, str], name: str) -> bool:
    """Read a switch, off where it is not given; raises Refused where it is neither 0 nor 1."""
    if words.get(name, "0") not in ("0", "1"):
        raise Refused(422, f"{name} is {words[name]!r}, expected 0 or 1")
    return words.get(name) == "1"


def read_whole(words: Mapping[str, str], name: str) -> int | None:
    """Read a whole number from 1 on, None where it is not given; raises Refused."""
    if name not in words:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,8}", words[name]):
        raise Refused(422, f"{name} is {words[name]!r}, expected a whole number from 1 on")
    return int(words[name])


def _pixels(words: Mapping[str, str], name: str) -> float:
    try:
        number = float(words.get(name, "0"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Refused(422, f"{name} is {words[name]!r}, expected a number of pixels")
    return number


def _format(word: str) -> Format:
    found = FORMATS.get(f".{word.lower()}")
    if found is None:
        raise A2UError(f"format {word!r} is unknown, expected one of {', '.join(HOLDS)}")
    return found


def _read_background(background: str, own: Spooled | None) -> str:
    """Give a background as the commands name it: a request names no files of this machine."""
    if background == OWN:
        if own is None:
            raise Refused(409, "no background of your own was sent; PUT it as background first")
        return str(own.path)
    if background not in DRAWN:
        try:
            read_colour(background)
        except A2UError:
            raise Refused(
                422,
                f"background {background!r} is no colour, expected {', '.join(DRAWN)}, a colour "
                f"such as white or #2b5f9e, or {OWN!r} after a picture was PUT as background",
            ) from None
    return background
