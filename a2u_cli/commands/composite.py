"""`a2u composite` and `a2u cutout`: from pictures and their mattes to what people want of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ImageError

Image = Annotated[
    Path, typer.Argument(help="The picture, or a cut-out with transparency, or a folder of them.")
]
Alpha = Annotated[
    Path | None,
    typer.Option(
        "--alpha", "-a", help="Its matte, or a folder of them. [default: its own transparency]"
    ),
]
Colours = Annotated[
    str, typer.Option(help="Foreground colours by multilevel, or blur-fusion (rougher, faster).")
]
Depth = Annotated[
    int | None, typer.Option(help="Bits a channel: 8 or 16. [default: as the picture has]")
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
Work = Callable[[Path, Path | None, Path], Path]  # of a picture, its matte and the result's path


def composite(
    image: Image,
    *,
    alpha: Alpha = None,
    background: Annotated[
        str,
        typer.Option(
            "--background", "-b", help="A colour, gradient, checker, blur, a picture or a folder."
        ),
    ] = "white",
    fit: Annotated[
        str, typer.Option(help="How a picture fills: cover, contain, stretch or tile.")
    ] = "cover",
    linear: Annotated[
        bool, typer.Option("--linear", help="Mix light in place of sRGB values.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="[default: IMAGE_composite.png]")
    ] = None,
    colours: Colours = "multilevel",
    depth: Depth = None,
    force: Force = False,
) -> None:
    """Lay a picture's foreground over another background, with clean edges.

    Example: a2u composite photo.jpg --alpha alpha.png --background beach.jpg
    """
    any_fit: Any = fit

    def work(image: Path, alpha: Path | None, path: Path) -> Path:
        from .. import images
        from ..backgrounds import choose_background, make_background
        from ..foreground import composite as mix

        behind = choose_background(background, image.stem)
        inputs = [*([alpha] if alpha else []), *([Path(behind)] if Path(behind).is_file() else [])]
        picture, bits = _open(image, path, inputs, channels=3, depth=depth, force=force)
        foreground, matte = _foreground(picture, image, alpha, colours)
        canvas = make_background(behind, picture.image, fit=any_fit)
        mixed = mix(foreground, matte, canvas, linear=linear)
        images.write_image(path, mixed, depth=bits, icc=picture.icc, exif=picture.exif)
        return path

    _do(work, image, alpha, output, "composite")


def cutout(
    image: Image,
    *,
    alpha: Alpha = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="[default: IMAGE_cutout.png]")
    ] = None,
    premultiplied: Annotated[
        bool, typer.Option("--premultiplied", help="Multiply colours by alpha; straight if not.")
    ] = False,
    colours: Colours = "multilevel",
    depth: Depth = None,
    force: Force = False,
) -> None:
    """Cut a picture out along its matte: RGBA with the foreground's own colours.

    Example: a2u cutout photo.jpg --alpha photo_alpha.png
    """

    def work(image: Path, alpha: Path | None, path: Path) -> Path:
        import numpy as np

        from .. import images

        inputs = [alpha] if alpha else []
        picture, bits = _open(image, path, inputs, channels=4, depth=depth, force=force)
        foreground, matte = _foreground(picture, image, alpha, colours)
        layers = np.dstack([foreground * matte[..., None] if premultiplied else foreground, matte])
        images.write_image(path, layers, depth=bits, icc=picture.icc, exif=picture.exif)
        return path

    _do(work, image, alpha, output, "cutout")


def _do(work: Work, image: Path, alpha: Path | None, output: Path | None, kind: str) -> None:
    """Do the work for a picture, or for each of a folder's: its mattes may be those of a batch."""
    if not image.is_dir():
        typer.echo(str(work(image, alpha, output or image.parent / f"{image.stem}_{kind}.png")))
        return
    from ..pairing import OUTPUT_FOLDER, find_alone, find_mattes
    from .progress import each

    own = image / OUTPUT_FOLDER / "alpha"
    mattes = alpha or (own if own.is_dir() else None)
    found = find_mattes(image, mattes) if mattes else find_alone(image)
    out = output or image / OUTPUT_FOLDER / kind

    def one(pair: Any) -> Path:
        return work(pair.image, pair.hint if mattes else None, out / f"{pair.name}.png")

    each(found.found, one, unpaired=found.unpaired)


def _open(
    image: Path, path: Path, inputs: list[Path], *, channels: int, depth: int | None, force: bool
) -> tuple[Any, int]:
    """Read a picture, and give the depth of its result, for which there must be a place."""
    from .. import images

    picture = images.read_image(image)
    bits = depth or picture.depth
    images.output_format(path, channels=channels, depth=bits)
    images.require_free(path, [image, *inputs], force=force)
    return picture, bits


def _foreground(picture: Any, image: Path, alpha: Path | None, colours: Any) -> tuple[Any, Any]:
    """Give straight foreground colours and the matte; a cut-out's own colours are taken as such."""
    from .. import images
    from ..foreground import estimate_foreground

    if alpha is None:
        if picture.alpha is None:
            raise ImageError(f"{image} has no transparency; give its matte with --alpha")
        return picture.image, picture.alpha
    matte = images.read_grey(alpha)
    if matte.shape != picture.size:
        (height, width), (tall, wide) = picture.size, matte.shape
        raise ImageError(f"{alpha} is {wide}x{tall} but {image} is {width}x{height}; resize one")
    return estimate_foreground(picture.image, matte, method=colours), matte
