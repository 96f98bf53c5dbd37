"""`a2u composite` and `a2u cutout`: from a picture and its matte to what people want of them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .errors import ImageError

Image = Annotated[Path, typer.Argument(help="The picture, or a cut-out with transparency.")]
Alpha = Annotated[
    Path | None, typer.Option("--alpha", "-a", help="Its matte. [default: its own transparency]")
]
Depth = Annotated[
    int | None, typer.Option(help="Bits a channel: 8 or 16. [default: as the picture has]")
]
Colours = Annotated[
    str, typer.Option(help="Foreground colours by multilevel, or blur-fusion (rougher, faster).")
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]


def composite(
    image: Image,
    *,
    alpha: Alpha = None,
    background: Annotated[
        str,
        typer.Option("--background", "-b", help="A colour, gradient, checker, blur, a picture."),
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
    from . import images
    from .backgrounds import make_background
    from .foreground import composite as mix

    any_fit: Any = fit
    picture = images.read_image(image)
    bits = depth or picture.depth
    path = output or image.parent / f"{image.stem}_composite.png"
    images.output_format(path, channels=3, depth=bits)
    inputs = [
        image,
        *([alpha] if alpha else []),
        *([Path(background)] if _is_file(background) else []),
    ]
    images.require_free(path, inputs, force=force)
    foreground, matte = _foreground(picture, image, alpha, colours)
    behind = make_background(background, picture.image, fit=any_fit)
    mixed = mix(foreground, matte, behind, linear=linear)
    images.write_image(path, mixed, depth=bits, icc=picture.icc, exif=picture.exif)
    typer.echo(str(path))


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
    import numpy as np

    from . import images

    picture = images.read_image(image)
    bits = depth or picture.depth
    path = output or image.parent / f"{image.stem}_cutout.png"
    images.output_format(path, channels=4, depth=bits)
    images.require_free(path, [image, *([alpha] if alpha else [])], force=force)
    foreground, matte = _foreground(picture, image, alpha, colours)
    layers = np.dstack([foreground * matte[..., None] if premultiplied else foreground, matte])
    images.write_image(path, layers, depth=bits, icc=picture.icc, exif=picture.exif)
    typer.echo(str(path))


def _is_file(name: str) -> bool:
    return Path(name).is_file()


def _foreground(picture: Any, image: Path, alpha: Path | None, colours: Any) -> tuple[Any, Any]:
    """Give straight foreground colours and the matte; a cut-out's own colours are taken as such."""
    from . import images
    from .foreground import estimate_foreground

    if alpha is None:
        if picture.alpha is None:
            raise ImageError(f"{image} has no transparency; give its matte with --alpha")
        return picture.image, picture.alpha
    matte = images.read_grey(alpha)
    if matte.shape != picture.size:
        (height, width), (tall, wide) = picture.size, matte.shape
        raise ImageError(f"{alpha} is {wide}x{tall} but {image} is {width}x{height}; resize one")
    return estimate_foreground(picture.image, matte, method=colours), matte
