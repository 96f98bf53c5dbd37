"""`a2u composite` and `a2u cutout`: from pictures and their mattes to what people want of them."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ImageError
from .options import (
    BACKGROUND,
    Background,
    Canvas,
    Choke,
    Colours,
    Crop,
    Feather,
    Fit,
    For,
    Force,
    Invert,
    Levels,
    Linear,
    MaxMemory,
    NoLock,
    OwnDepth,
    Place,
    Scale,
    bits_for,
    bound_memory,
    choose,
    choose_finish,
    choose_fit,
    choose_target,
    refuse_idle,
)
from .pictures import (
    STDOUT_AS,
    file_name,
    file_source,
    output_path,
    put,
    read_said,
    require_one_stdin,
)
from .terminal import say

if TYPE_CHECKING:
    from ..foreground import Method
    from ..images import Picture
    from ..images.formats import Target
    from ..images.memory import Bound
    from ..matting.finishing import Finish
    from ..pairing import Pair
    from ..units import FloatArray

Image = Annotated[
    Path,
    typer.Argument(
        help="The picture, or a cut-out with transparency, or a folder of them; - for stdin."
    ),
]
Alpha = Annotated[
    Path | None,
    typer.Option(
        "--alpha",
        "-a",
        help="Its matte, or a folder of them; - for stdin. [default: its own transparency]",
    ),
]
# Bytes for a pixel and beside the picture, by the processes' sizes at 4 and 17 million pixels.
COMPOSITE, CUTOUT = {"a_pixel": 150, "process": 400 << 20}, {"a_pixel": 90, "process": 400 << 20}
Make = Callable[[Path, Path | None, Path], bytes]  # of a picture and its matte, for a path


@dataclass(frozen=True)
class _Work:
    """Where results go, what may be done there, what is laid behind, and all that shapes them."""

    output: Path | None
    background: str | None
    shaping: tuple[object, ...]  # its kind comes first
    force: bool
    no_lock: bool
    suffix: str

    @property
    def kind(self) -> str:
        return str(self.shaping[0])


@dataclass(frozen=True)
class _Frame:
    """What a cut-out is cropped to, and where on which canvas it lies, in the words given."""

    crop: str | None = None
    canvas: str | None = None
    place: str | None = None
    scale: str | None = None

    def __post_init__(self) -> None:
        if self.canvas is None:
            why = "it is how a cut-out lies on a --canvas"
            refuse_idle(why, place=self.place, scale=self.scale)

    def lay(
        self,
        foreground: "FloatArray",
        matte: "FloatArray",
        image: "FloatArray",
        held: dict[str, Any],
        *,
        bound: "Bound",
        name: str,
    ) -> tuple["FloatArray", "FloatArray", "FloatArray", dict[str, Any]]:
        """Crop and place straight colours, their matte, and the picture, for what lies behind.

        All are as `held` says, of `_open`; so is the result, whose frame is another.
        """
        from ..backgrounds import fit_to
        from ..images.exr_header import canvas_header, crop_header
        from ..matting.finishing import crop_to_content, place, read_canvas

        header, light = held["header"], held["light"]
        if self.crop is not None:
            facts: dict[str, Any] = {"padding": self.crop, "depth": held["depth"], "bound": bound}
            whole = matte.shape
            box, planes = crop_to_content(matte, foreground, image, name=name, **facts)
            matte, foreground, image = planes
            header = crop_header(header, whole, box)
        if self.canvas is not None:
            size = read_canvas(self.canvas)
            bound.require(size[::-1], f"{name} on its canvas")
            words = {"where": self.place or "center", "scale": self.scale or "100%", "name": name}
            foreground, matte = place(foreground, matte, size, **words, light=light)
            image, header = fit_to(image, size, "cover", light=light), canvas_header(header, size)
        return foreground, matte, image, held | {"header": header}


def _shaping(finish: "Finish", frame: _Frame) -> tuple[object, ...]:
    """Give what shapes results, nothing where nothing was given: so what was made before holds."""
    from ..matting.finishing import UNFINISHED

    given = finish != UNFINISHED or frame != _Frame()
    return (asdict(finish), asdict(frame)) if given else ()


def composite(
    image: Image,
    *,
    alpha: Alpha = None,
    invert: Invert = False,
    background: Background = None,
    fit: Fit = None,
    linear: Linear = False,
    levels: Levels = None,
    choke: Choke = None,
    feather: Feather = None,
    crop: Crop = None,
    canvas: Canvas = None,
    place: Place = None,
    scale: Scale = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="- for stdout. [default: IMAGE_composite.png]"),
    ] = None,
    colours: Colours = None,
    depth: OwnDepth = None,
    target: For = None,
    max_memory: MaxMemory = None,
    force: Force = False,
    no_lock: NoLock = False,
) -> None:
    """Lay a picture's foreground over another background, with clean edges.

    Example: a2u composite photo.jpg --alpha alpha.png --background white
    """
    from .. import images
    from ..backgrounds import choose_background, make_background
    from ..foreground import METHODS
    from ..foreground import composite as mix

    method = choose("colours", colours, METHODS)
    finish = choose_finish(levels, choke, feather)
    frame = _Frame(crop, canvas, place, scale)
    behind = background or BACKGROUND
    fitting, suits = choose_fit(fit, behind), choose_target(target)
    bound = bound_memory(max_memory, **COMPOSITE)

    def make(image: Path, alpha: Path | None, path: Path) -> bytes:
        chosen = choose_background(behind, image.stem)
        picture, held = _open(image, path, suits, channels=3, depth=depth, bound=bound)
        light, name = held["light"], file_name(image)
        cut = _split(picture, image, alpha, method, finish, invert=invert, bound=bound, light=light)
        colours = picture.colours(light=light)
        foreground, matte, seen, held = frame.lay(*cut, colours, held, bound=bound, name=name)
        left = bound.beside(3 * foreground.nbytes)
        ground = make_background(chosen, seen, fit=fitting, max_memory=left, light=light)
        mixed = mix(foreground, matte, ground, linear=linear, light=light)
        return images.encode_for(path, mixed, **held)

    shaping = "composite", method, behind, fitting, linear, depth, invert, *_shaping(finish, frame)
    work = _work(output, behind, shaping, suits, force=force, no_lock=no_lock)
    _make_all(make, image, alpha, work, colours=colours, invert=invert)


def cutout(
    image: Image,
    *,
    alpha: Alpha = None,
    invert: Invert = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="- for stdout. [default: IMAGE_cutout.png]"),
    ] = None,
    premultiplied: Annotated[
        bool, typer.Option("--premultiplied", help="Multiply colours by alpha; straight if not.")
    ] = False,
    levels: Levels = None,
    choke: Choke = None,
    feather: Feather = None,
    crop: Crop = None,
    colours: Colours = None,
    depth: OwnDepth = None,
    target: For = None,
    max_memory: MaxMemory = None,
    force: Force = False,
    no_lock: NoLock = False,
) -> None:
    """Cut a picture out along its matte: RGBA with the foreground's own colours.

    Example: a2u cutout photo.jpg --alpha photo_alpha.png
    """
    from .. import images
    from ..foreground import METHODS

    method, suits = choose("colours", colours, METHODS), choose_target(target)
    finish, frame = choose_finish(levels, choke, feather), _Frame(crop)
    multiplied = premultiplied or bool(suits and suits.premultiplied)
    bound = bound_memory(max_memory, **CUTOUT)

    def make(image: Path, alpha: Path | None, path: Path) -> bytes:
        picture, held = _open(image, path, suits, channels=4, depth=depth, bound=bound)
        light, name = held["light"], file_name(image)
        cut = _split(picture, image, alpha, method, finish, invert=invert, bound=bound, light=light)
        foreground, matte, _, held = frame.lay(*cut, picture.image, held, bound=bound, name=name)
        colour = foreground * matte[..., None] if multiplied else foreground
        return images.encode_for(path, colour, alpha=matte, premultiplied=multiplied, **held)

    shaping = ("cutout", method, multiplied, depth, invert, *_shaping(finish, frame))
    work = _work(output, None, shaping, suits, force=force, no_lock=no_lock)
    _make_all(make, image, alpha, work, colours=colours, invert=invert)


def _work(
    output: Path | None,
    background: str | None,
    shaping: tuple[object, ...],
    target: "Target | None",
    *,
    force: bool,
    no_lock: bool,
) -> _Work:
    """Take what shapes the results; without a target they are made as they always were."""
    suffix = target.suffix if target else ".png"
    if target:
        shaping = (*shaping, *target)
    return _Work(output, background, shaping, force, no_lock, suffix)


def _make_all(
    make: Make,
    image: Path,
    alpha: Path | None,
    work: _Work,
    *,
    colours: str | None,
    invert: bool,
) -> None:
    """Make a result of a picture, or of each of a folder's: its mattes may be those of a batch."""
    from .. import images
    from ..backgrounds import choose_background, list_backgrounds
    from ..images.listing import OUTPUT_FOLDER
    from ..jobs.journal import find_own, find_results
    from ..pairing import find_alone, find_mattes
    from .progress import Filling, make_each

    behind = list_backgrounds(work.background) if work.background else []
    made = image / OUTPUT_FOLDER / "alpha"
    mattes = alpha or (made if made.is_dir() else None)
    if mattes is None:
        refuse_idle("a cut-out's own colours are taken; it is for an --alpha", colours=colours)
        refuse_idle("a cut-out's own transparency is taken; it turns an --alpha", invert=invert)
    if not image.is_dir():
        if alpha and alpha.exists() and image.exists() and alpha.samefile(image):
            raise ImageError(f"{alpha} is the picture itself, expected its matte; give that file")
        require_one_stdin(image, alpha)
        path = output_path(image, work.output, kind=work.kind, suffix=work.suffix)
        if path:
            taken = [image, *([alpha] if alpha else []), *behind]
            images.require_free(path, taken, force=work.force)
        put(path, make(image, alpha, path or STDOUT_AS.with_suffix(work.suffix)))
        return
    folder = work.output or image / OUTPUT_FOLDER / work.kind
    together = bool(mattes) or folder.resolve() == image.resolve()
    own = find_own(folder)
    if mattes:
        pairs = find_mattes(image, mattes, results=lambda: find_results(image), own=own)
    else:
        pairs = find_alone(image, lambda: find_results(image, own=together) | own)

    def reads(pair: "Pair") -> list[Path]:
        files = [pair.image, pair.hint]
        if work.background and behind:
            files.append(Path(choose_background(work.background, pair.image.stem)))
        return files

    shaping = (*work.shaping, mattes is None)
    make_each(
        pairs,
        Filling(folder, shaping, force=work.force, no_lock=work.no_lock, suffix=work.suffix),
        lambda pair, path: make(pair.image, pair.hint if mattes else None, path),
        reads=reads,
        others=behind,
    )


def _open(
    image: Path,
    path: Path,
    target: "Target | None",
    *,
    channels: int,
    depth: int | None,
    bound: "Bound",
) -> tuple["Picture", dict[str, Any]]:
    """Read a picture, and give how its result is written, which its format must be able to hold."""
    from .. import images

    source, name = file_source(image, bound), file_name(image)
    picture = images.read_image(source, name=name, max_memory=bound)
    bits = bits_for(path, depth, target, own=picture.depth)
    kind = images.output_format(path, channels=channels, depth=bits)
    light = picture.light is not None or images.holds_light(kind, bits)
    metadata = {"icc": picture.icc, "exif": picture.exif, "header": picture.header}
    return picture, metadata | {"depth": bits, "light": light}


def _split(
    picture: "Picture",
    image: Path,
    alpha: Path | None,
    method: "Method",
    how: "Finish",
    *,
    invert: bool,
    bound: "Bound",
    light: bool,
) -> tuple["FloatArray", "FloatArray"]:
    """Give straight foreground colours, sRGB values or light, and the finished matte.

    A cut-out's own colours are taken. Others are estimated from the matte as it is: it says how
    they are mixed.
    """
    from ..foreground import estimate_foreground
    from ..images import tell_of_hidden
    from ..images.meaning import OPAQUE_FROM
    from ..matting.finishing import finish_cut

    name = file_name(image)
    if alpha is None:
        if picture.alpha is None:
            raise ImageError(f"{name} has no transparency; give its matte with --alpha")
        if picture.alpha.min() >= OPAQUE_FROM:
            say(f"warning: {name} is opaque all over, so all of it stays; --alpha takes its matte")
        return finish_cut(picture.colours(light=light), picture.alpha, how)
    tell_of_hidden(picture, name)
    source, its = file_source(alpha, bound), file_name(alpha)
    matte = read_said(source, its, invert=invert, max_memory=bound)
    if matte.shape != picture.size:
        (height, width), (tall, wide) = picture.size, matte.shape
        raise ImageError(f"{its} is {wide}x{tall} but {name} is {width}x{height}; resize one")
    colours = picture.colours(light=light)
    left = bound.beside(colours.nbytes, matte.nbytes)
    made = estimate_foreground(colours, matte, method=method, max_memory=left, light=light)
    return finish_cut(made, matte, how)
