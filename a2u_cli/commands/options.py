"""Options that several commands share, each stated once, and what becomes of their words."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, get_args

import typer

from ..errors import A2UError

if TYPE_CHECKING:
    from ..backgrounds import Fit as FitWord
    from ..matting.matter import Matter

BAND, BACKGROUND = "1.5%", "white"
Word = TypeVar("Word", bound=str)

Weights = Annotated[
    str, typer.Option(envvar="A2U_WEIGHTS", help="A name, a file, or hf://owner/repo[@revision].")
]
Device = Annotated[
    str, typer.Option(envvar="A2U_DEVICE", help="auto, cpu, cuda, cuda:N or mps; never another.")
]
Dtype = Annotated[
    str,
    typer.Option(help="auto (bfloat16 for 8 bits where it is fast), float32, bfloat16, float16."),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(help="Bound on memory, as 2GB or 800MB. [default: most of what is free]"),
]
Quality = Annotated[
    str,
    typer.Option(help="standard, or best: doubtful parts settled by colour; 5 x the time."),
]
Depth = Annotated[int, typer.Option(help="Bits a channel: 8 or 16.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse trimap values other than 0, 128 and 255.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
NoLock = Annotated[
    bool,
    typer.Option(
        "--no-lock", help="Go on where the disk knows no locks; see that no other run is there."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Band = Annotated[
    str | None,
    typer.Option(
        help="Reach of the unknown band around a mask's edges: 12 pixels, or a share of the "
        f"diagonal. [default: {BAND}]"
    ),
]
Inside = Annotated[
    str | None, typer.Option(help="Its reach into the foreground, where it differs from --band.")
]
Outside = Annotated[
    str | None, typer.Option(help="Its reach into the background, where it differs from --band.")
]
Invert = Annotated[
    bool, typer.Option("--invert", help="The mask or matte is black where the object is.")
]
Colours = Annotated[
    str | None,
    typer.Option(
        help="Foreground colours by multilevel, or blur-fusion (rougher, faster). "
        "[default: multilevel]"
    ),
]
Background = Annotated[
    str | None,
    typer.Option(
        "--background",
        "-b",
        help="For composites: a colour, gradient, checker, blur, a picture, or a folder of them. "
        f"[default: {BACKGROUND}]",
    ),
]
Fit = Annotated[
    str | None,
    typer.Option(
        help="How a background picture fills: cover, contain, stretch or tile. [default: cover]"
    ),
]
Linear = Annotated[bool, typer.Option("--linear", help="Mix light in place of sRGB values.")]


def choose(option: str, word: str | None, words: Sequence[Word]) -> Word:
    """Find an option's word among those there are; the first of them where none was given.

    Raises A2UError where it is none of them.
    """
    for known in words:
        if word in (known, None):
            return known
    *others, last = words
    raise A2UError(f"{option} {word!r} is unknown; expected {', '.join(others)} or {last}")


def choose_fit(fit: str | None, background: str) -> "FitWord":
    """Find the word for how a background fills; only a picture's has to be given.

    Raises A2UError where it is none, or would do nothing.
    """
    from ..backgrounds import Fit

    word: FitWord = choose("fit", fit, get_args(Fit))
    if not Path(background).exists():
        refuse_idle(f"it is how a background picture fills, and {background!r} is none", fit=fit)
    return word


def refuse_idle(why: str, **options: object) -> None:
    """Refuse options that were given and would do nothing, by their names without dashes.

    Raises A2UError that says why; None and False mean that an option was not given.
    """
    given = [name for name, value in options.items() if value is not None and value is not False]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise A2UError(f"{names} would do nothing: {why}")


def load_matter(
    weights: str,
    *,
    device: str,
    dtype: str = "float32",
    depth: int = 8,
    quality: str = "standard",
    max_memory: str | None = None,
) -> "Matter":
    """Load weights as the options say; raises what `Matter` does."""
    from ..matting.devices import pick_device, pick_dtype
    from ..matting.inference import require_quality
    from ..matting.matter import Matter

    place = pick_device(device)
    return Matter(
        weights,
        device=place,
        dtype=pick_dtype(dtype, device=place, depth=depth),
        quality=require_quality(quality),
        max_memory=max_memory,
    )
