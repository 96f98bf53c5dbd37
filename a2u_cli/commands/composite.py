"""`a2u composite` and `a2u cutout`: from pictures and their mattes to what people want of them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ImageError
from .options import (
    BACKGROUND,
    Background,
    Colours,
    Fit,
    Force,
    Invert,
    Linear,
    choose,
    choose_fit,
    refuse_idle,
)
from .pictures import read_said
from .terminal import show_path

if TYPE_CHECKING:
    from ..foreground import Method
    from ..images import Picture
    from ..pairing import Pair
    from ..units import FloatArray

Image = Annotated[
    Path, typer.Argument(help="The picture, or a cut-out with transparency, or a folder of them.")
]
Alpha = Annotated[
    Path | None,
    typer.Option(
        "--alpha", "-a", help="Its matte, or a folder of them. [default: its own transparency]"
    ),
]
OwnDepth = Annotated[
    int | None, typer.Option(help="Bits a channel: 8 or 16. [default: as the picture has]")
]
Make = Callable[[Path, Path | None, Path], None]  # of a picture and its matte, at a path


def composite(
    image: Image,
    *,
    alpha: Alpha = None,
    invert: Invert = False,
    background: Background = None,
    fit: Fit = None,
    linear: Linear = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="[default: IMAGE_composite.png]")
    ] = None,
    colours: Colours = None,
    depth: OwnDepth = None,
    force: Force = False,
) -> None:
    """Lay a picture's foreground over another background, with clean edges.

    Example: a2u composite photo.jpg --alpha alpha.png --background beach.jpg
    """
    from .. import images
    from ..backgrounds import choose_background, make_background
    from ..foreground import METHODS
    from ..foreground import composite as mix

    method = choose("colours", colours, METHODS)
    behind = background or BACKGROUND
    fitting = choose_fit(fit, behind)

    def make(image: Path, alpha: Path | None, path: Path) -> None:
        chosen = choose_background(behind, image.stem)
        others = [alpha, Path(chosen) if Path(chosen).is_file() else None]
        picture, bits = _open(image, path, others, channels=3, depth=depth, force=force)
        foreground, matte = _split(picture, image, alpha, method, invert=invert)
        canvas = make_background(chosen, picture.image, fit=fitting)
        mixed = mix(foreground, matte, canvas, linear=linear)
        images.write_image(path, mixed, depth=bits, icc=picture.icc, exif=picture.exif)

    _make_all(make, image, alpha, output, kind="composite", colours=colours, invert=invert)


def cutout(
    image: Image,
    *,
    alpha: Alpha = None,
    invert: Invert = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="[default: IMAGE_cutout.png]")
    ] = None,
    premultiplied: Annotated[
        bool, typer.Option("--premultiplied", help="Multiply colours by alpha; straight if not.")
    ] = False,
    colours: Colours = None,
    depth: OwnDepth = None,
    force: Force = False,
) -> None:
    """Cut a picture out along its matte: RGBA with the foreground's own colours.

    Example: a2u cutout photo.jpg --alpha photo_alpha.png
    """
    from .. import images
    from ..foreground import METHODS

    method = choose("colours", colours, METHODS)

    def make(image: Path, alpha: Path | None, path: Path) -> None:
        picture, bits = _open(image, path, [alpha], channels=4, depth=depth, force=force)
        foreground, matte = _split(picture, image, alpha, method, invert=invert)
        colour = foreground * matte[..., None] if premultiplied else foreground
        images.write_image(
            path, colour, alpha=matte, depth=bits, icc=picture.icc, exif=picture.exif
        )

    _make_all(make, image, alpha, output, kind="cutout", colours=colours, invert=invert)


def _make_all(
    make: Make,
    image: Path,
    alpha: Path | None,
    output: Path | None,
    *,
    kind: str,
    colours: str | None,
    invert: bool,
) -> None:
    """Make a result of a picture, or of each of a folder's: its mattes may be those of a batch."""
    from ..pairing import OUTPUT_FOLDER, find_alone, find_mattes
    from .progress import for_each

    own = image / OUTPUT_FOLDER / "alpha"
    mattes = alpha or (own if own.is_dir() else None)
    if mattes is None:
        refuse_idle("a cut-out's own colours are taken; it is for an --alpha", colours=colours)
        refuse_idle("a cut-out's own transparency is taken; it turns an --alpha", invert=invert)
    if not image.is_dir():
        if alpha and alpha.exists() and image.exists() and alpha.samefile(image):
            raise ImageError(f"{alpha} is the picture itself, expected its matte; give that file")
        path = output or image.parent / f"{image.stem}_{kind}.png"
        make(image, alpha, path)
        show_path(path)
        return
    pairs = find_mattes(image, mattes) if mattes else find_alone(image)
    folder = output or image / OUTPUT_FOLDER / kind

    def make_one(pair: "Pair") -> None:
        path = folder / f"{pair.name}.png"
        make(pair.image, pair.hint if mattes else None, path)
        show_path(path)

    for_each(pairs.found, make_one, unpaired=pairs.unpaired)


def _open(
    image: Path,
    path: Path,
    others: list[Path | None],
    *,
    channels: int,
    depth: int | None,
    force: bool,
) -> tuple["Picture", int]:
    """Read a picture, and give the depth of its result, for which there must be a place."""
    from .. import images

    picture = images.read_image(image)
    bits = depth or picture.depth
    images.output_format(path, channels=channels, depth=bits)
    images.require_free(path, [image, *(other for other in others if other)], force=force)
    return picture, bits


def _split(
    picture: "Picture", image: Path, alpha: Path | None, method: "Method", *, invert: bool
) -> tuple["FloatArray", "FloatArray"]:
    """Give straight foreground colours and the matte; a cut-out's own colours are taken as such."""
    from ..foreground import estimate_foreground

    if alpha is None:
        if picture.alpha is None:
            raise ImageError(f"{image} has no transparency; give its matte with --alpha")
        return picture.image, picture.alpha
    matte = read_said(alpha, str(alpha), invert=invert)
    if matte.shape != picture.size:
        (height, width), (tall, wide) = picture.size, matte.shape
        raise ImageError(f"{alpha} is {wide}x{tall} but {image} is {width}x{height}; resize one")
    return estimate_foreground(picture.image, matte, method=method), matte
