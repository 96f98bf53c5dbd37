"""Options that several commands share, each stated once, and what becomes of their words."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast, get_args

import typer

from ..errors import A2UError, ImageError
from ..weights import registry
from .terminal import say

if TYPE_CHECKING:
    from ..backgrounds import Fit as FitWord
    from ..images.formats import Target
    from ..images.memory import Bound
    from ..matting.finishing import Finish
    from ..matting.matter import Matter
    from ..matting.runtime import Runtime

BAND, BACKGROUND = "1.5%", "white"
DEPTHS = (8, 16, 32)
Word = TypeVar("Word", bound=str)


def path(text: str | Path) -> Path:
    """Take the path of a file or folder, on a disk or in a store; raises A2UError."""
    from ..images.stores import place

    return place(str(text))  # a default is a path already


def completing(words: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Complete an option's value on Tab from the words that there are."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in words() if word.startswith(incomplete)]

    return complete


def checking(check: Callable[[Any], object]) -> Callable[..., Any]:
    """Refuse a wrong value where the command line is read: before any picture is.

    `check` raises A2UError; what was not given is not checked.
    """

    def call(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> Any:
        if not context.resilient_parsing and value not in (None, parameter.default):
            check(value)
        return value

    return call


def _qualities() -> tuple[str, ...]:
    from ..matting.quality import Quality

    return "auto", *get_args(Quality)


def _require_quality(word: str) -> None:
    """Refuse what is no quality, and say what a former one is called now; raises A2UError."""
    from ..matting.quality import FORMER

    if word in FORMER:
        say(f"--quality {word} is called {FORMER[word]} now")
    else:
        choose("quality", word, _qualities())


def _fits() -> tuple[str, ...]:
    from ..backgrounds import Fit

    return get_args(Fit)


def _methods() -> Sequence[str]:
    from ..foreground import METHODS

    return METHODS


def _targets() -> tuple[str, ...]:
    from ..images.formats import TARGETS

    return tuple(TARGETS)


def _drawn() -> tuple[str, ...]:
    from ..backgrounds import DRAWN

    return DRAWN


def _require_depth(depth: int) -> None:
    if depth not in DEPTHS:
        raise A2UError(f"depth {depth} was asked for, expected 8, 16 or 32; choose one")


def _require_band(text: str) -> None:
    from ..trimap import band_pixels

    band_pixels(text, (1, 1))


def _require_amount(text: str) -> None:
    from ..matting.planning import parse_bytes

    parse_bytes(text)


def _require_background(what: str) -> None:
    from ..backgrounds import require_background

    require_background(what)


complete_weights = completing(registry.names)
Weights = Annotated[
    str,
    typer.Option(
        envvar="A2U_WEIGHTS",
        help="A name, a file, or hf://owner/repo[@revision].",
        autocompletion=complete_weights,
    ),
]
Device = Annotated[
    str, typer.Option(envvar="A2U_DEVICE", help="auto, cpu, cuda, cuda:N or mps; never another.")
]
Dtype = Annotated[
    str,
    typer.Option(help="auto (bfloat16 for 8 bits where it is fast), float32, bfloat16, float16."),
]
RuntimeName = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        help="torch, or onnx for a file of a2u export onnx. [default: as the weights are]",
        callback=checking(lambda word: choose("runtime", word, ("torch", "onnx"))),
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        help="Bound on memory, as 2GB or 800MB. [default: most of what is free]",
        callback=checking(_require_amount),
    ),
]
Quality = Annotated[
    str | None,
    typer.Option(
        help="fast: one pass; refined: then settled by colour; best: a pass more. "
        "[default: auto, as the weights say]",
        callback=checking(_require_quality),
        autocompletion=completing(_qualities),
    ),
]
_depth: dict[str, Any] = {
    "callback": checking(_require_depth),
    "autocompletion": completing(lambda: map(str, DEPTHS)),
}
Depth = Annotated[
    int | None,
    typer.Option(
        help="Bits a channel: 8, 16, or 32 for floats. [default: 8; OpenEXR 16, half floats]",
        **_depth,
    ),
]
OwnDepth = Annotated[
    int | None,
    typer.Option(
        help="Bits a channel: 8, 16, or 32 for floats. [default: as the picture has]", **_depth
    ),
]
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
Report = Annotated[
    Path | None,
    typer.Option(help="Write a page of all mattes to look at, the worst first, as report.html."),
]
Provenance = Annotated[
    bool,
    typer.Option(
        "--provenance/--no-provenance",
        help="A note in each file of what it was made of: see a2u provenance.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Band = Annotated[
    str | None,
    typer.Option(
        help="Reach of the unknown band around a mask's edges: 12 pixels, or a share of the "
        f"diagonal. [default: {BAND}]",
        callback=checking(_require_band),
    ),
]
Inside = Annotated[
    str | None,
    typer.Option(
        help="Its reach into the foreground, where it differs from --band.",
        callback=checking(_require_band),
    ),
]
Outside = Annotated[
    str | None,
    typer.Option(
        help="Its reach into the background, where it differs from --band.",
        callback=checking(_require_band),
    ),
]
Invert = Annotated[
    bool, typer.Option("--invert", help="The mask or matte is black where the object is.")
]
Colours = Annotated[
    str | None,
    typer.Option(
        help="Foreground colours by multilevel, or blur-fusion (rougher, faster). "
        "[default: multilevel]",
        callback=checking(lambda word: choose("colours", word, _methods())),
        autocompletion=completing(_methods),
    ),
]
Background = Annotated[
    str | None,
    typer.Option(
        "--background",
        "-b",
        help="For composites: a colour, gradient, checker, blur, a picture, or a folder of them. "
        f"[default: {BACKGROUND}]",
        callback=checking(_require_background),
        autocompletion=completing(_drawn),
    ),
]
Fit = Annotated[
    str | None,
    typer.Option(
        help="How a background picture fills: cover, contain, stretch or tile. [default: cover]",
        callback=checking(lambda word: choose("fit", word, _fits())),
        autocompletion=completing(_fits),
    ),
]
_for: dict[str, Any] = {
    "callback": checking(lambda word: choose("for", word, _targets())),
    "autocompletion": completing(_targets),
}
SUITS = "Format, depth and premultiplication that suit nuke, fusion, after-effects or web."
LIGHT = f"{SUITS} [default: nuke where frames are OpenEXR or TIFFs of floats]"
For = Annotated[str | None, typer.Option("--for", help=SUITS, **_for)]
ForLight = Annotated[str | None, typer.Option("--for", help=LIGHT, **_for)]
Linear = Annotated[bool, typer.Option("--linear", help="Mix light in place of sRGB values.")]

# Finishing: see matting/finishing.py
Levels = Annotated[
    str | None,
    typer.Option(
        help="BLACK,WHITE or BLACK,WHITE,GAMMA of the matte, as 5%,95%: what becomes 0, and 1.",
        callback=checking(lambda text: _finishing().read_levels(text)),
    ),
]
Choke = Annotated[
    float | None,
    typer.Option(
        help="Shrink the matte by so many pixels, or spread it: -1.5. It eats hair: see --levels.",
        callback=checking(lambda pixels: choose_finish(None, pixels, None)),
    ),
]
Feather = Annotated[
    float | None,
    typer.Option(
        help="Blur the matte: so many pixels to each side of an edge.",
        callback=checking(lambda pixels: choose_finish(None, None, pixels)),
    ),
]
Crop = Annotated[
    str | None,
    typer.Option(
        help="Crop to what is not transparent, with padding: 0, 20 (pixels), 5% (of the result).",
        callback=checking(lambda text: _finishing().padding_pixels(text, (1, 1))),
    ),
]
Canvas = Annotated[
    str | None,
    typer.Option(
        help="Size of the result, as 2000x1500; the cut-out is fitted into it. [default: its own]",
        callback=checking(lambda text: _finishing().read_canvas(text)),
    ),
]
Place = Annotated[
    str | None,
    typer.Option(
        help="Where on the --canvas: center, top, bottom-left and so on, or X,Y of its corner. "
        "[default: center]",
        callback=checking(lambda text: _finishing().read_place(text)),
        autocompletion=completing(lambda: _finishing().PLACES),
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(
        help="Of what fits the --canvas, as 80%; or original, its own pixels. [default: 100%]",
        callback=checking(lambda text: _finishing().read_scale(text)),
    ),
]


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


def _finishing() -> Any:
    from ..matting import finishing

    return finishing


def choose_finish(levels: str | None, choke: float | None, feather: float | None) -> "Finish":
    """Take how a matte is finished; raises A2UError where that cannot be."""
    from ..matting.finishing import AS_IT_IS, Finish, read_levels

    return Finish(read_levels(levels) if levels else AS_IT_IS, choke or 0.0, feather or 0.0)


def choose_target(word: str | None) -> "Target | None":
    """Find what --for means; None where it was not given.

    Raises ImageError where its format cannot be written here.
    """
    from ..images.formats import TARGETS, choose_depth

    if word is None:
        return None
    target = TARGETS[word]
    choose_depth(target.format, target.depth, name="the output")
    return target


def bits_for(path: Path, depth: int | None, target: "Target | None", *, own: int) -> int:
    """Give the bits a channel of an output: those asked for, a target's, or enough for its `own`.

    Raises ImageError where its extension is unknown, or another than the target's.
    """
    from ..images.formats import HOLDS, enough_depth, output_format

    kind = output_format(path, channels=1)
    if target and kind != target.format:
        raise ImageError(
            f"{path} is no {HOLDS[target.format].name}, which --for asks for; name it "
            f"{target.suffix}, or leave --for out"
        )
    return depth or (target.depth if target else enough_depth(kind, own))


def refuse_idle(why: str, **options: object) -> None:
    """Refuse options that were given and would do nothing, by their names without dashes.

    Raises A2UError that says why; None and False mean that an option was not given.
    """
    given = [name for name, value in options.items() if value is not None and value is not False]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise A2UError(f"{names} would do nothing: {why}")


def bound_memory(text: str | None, *, a_pixel: int, process: int) -> "Bound":
    """Bound work that takes so many bytes for a pixel, and beside the picture, by --max-memory."""
    from ..images.memory import Bound
    from ..matting.planning import parse_bytes

    return Bound(parse_bytes(text), a_pixel, process)


def load_runtime(
    weights: str,
    *,
    device: str,
    dtype: str = "float32",
    depth: int = 8,
    quality: str | None = None,
    max_memory: str | None = None,
    runtime: str | None = None,
) -> "Runtime":
    """Load weights, or a graph, as the options say; raises what `open_runtime` does."""
    from ..matting.opening import open_runtime

    matter = open_runtime(
        weights,
        runtime=cast(Literal["torch", "onnx"] | None, runtime),
        device=device,
        dtype=dtype,
        depth=depth,
        quality=cast(Literal["auto"], quality or "auto"),
        max_memory=max_memory,
    )
    if quality is None and not matter.suited:
        say(f"{weights} do not say what quality suits them: fast, unless --quality is given")
    return matter


def load_matter(weights: str, **options: Any) -> "Matter":
    """Load weights into torch, for what asks the network itself; as `load_runtime` does."""
    return cast("Matter", load_runtime(weights, runtime="torch", **options))
