"""What a request asks of a result, in words: its format, depth, finish and background."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from ..backgrounds import DRAWN, read_colour
from ..errors import A2UError
from ..images.formats import FORMATS, HOLDS, Format, choose_depth
from ..jobs.options import Options
from ..matting.finishing import AS_IT_IS, Finish, read_levels
from ..matting.inference import Quality
from .refusals import Refused

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


def read_wish(words: Mapping[str, Any], save: tuple[str, ...]) -> Wish:
    """Take what is asked of results of these kinds; raises A2UError for what cannot be."""
    require_known(words, NAMES)
    text = {name: str(value) for name, value in words.items() if value is not None}
    if "background" in text and "composite" not in save:
        raise Refused(422, "background would do nothing: no composite is asked for")
    kind = _format(text.get("format", "png"))
    depth = choose_depth(kind, _whole(text, "depth"), name="the result")
    quality = text.get("quality", "auto")
    if quality not in QUALITIES:
        raise Refused(422, f"quality {quality!r} is unknown, expected {', '.join(QUALITIES)}")
    levels = read_levels(text["levels"]) if "levels" in text else AS_IT_IS
    finish = Finish(levels, read_number(text, "choke"), read_number(text, "feather"))
    background = text.get("background", "white")
    _require_drawn(background)
    return Wish(
        Options(save=save, depth=depth, format=kind, background=background, finish=finish), quality
    )


def require_known(words: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Refuse what nobody heeds; raises Refused."""
    if strange := sorted({*words} - {*names}):
        expected = ", ".join(names) or "none"
        raise Refused(422, f"{', '.join(strange)} would do nothing, expected {expected}")


def read_number(text: Mapping[str, str], name: str, default: float = 0.0) -> float:
    """Read a number; raises Refused where it is none."""
    try:
        number = float(text.get(name, default))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Refused(422, f"{name} is {text[name]!r}, expected a number")
    return number


def _whole(text: Mapping[str, str], name: str) -> int | None:
    if name not in text:
        return None
    if not text[name].isdecimal():
        raise Refused(422, f"{name} is {text[name]!r}, expected a whole number")
    return int(text[name][:9])


def _format(word: str) -> Format:
    found = FORMATS.get(f".{word.lower()}")
    if found is None:
        raise A2UError(f"format {word!r} is unknown, expected one of {', '.join(HOLDS)}")
    return cast(Format, found)


def _require_drawn(background: str) -> None:
    """Refuse what is no colour or drawn: a request names no files of this machine."""
    if background not in DRAWN:
        try:
            read_colour(background)
        except A2UError:
            raise Refused(
                422,
                f"background {background!r} is no colour, expected {', '.join(DRAWN)} or a colour "
                "such as white or #2b5f9e; lay the cut-out on a picture with a2u composite",
            ) from None
