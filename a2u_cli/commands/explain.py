"""`a2u explain`: the operator at work, on one page."""

from pathlib import Path
from typing import Annotated

import typer

from ..weights import registry
from .options import Device, Force, Strict, Weights, load_matter
from .pictures import Hint, read_pair
from .terminal import show_path


def explain(
    image: Annotated[str, typer.Argument(help="The picture.", show_default=False)],
    *,
    trimap: Annotated[str, typer.Option("--trimap", "-t", help="Its trimap.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="[default: IMAGE_explained.png]")
    ] = None,
    weights: Weights = registry.DEFAULT,
    device: Device = "auto",
    strict: Strict = False,
    force: Force = False,
) -> None:
    """Show the operator at work: its affinity planes and kernels over the picture, on one page.

    Example: a2u explain photo.jpg --trimap trimap.png
    """
    from .. import images

    path = output or Path(image).parent / f"{Path(image).stem}_explained.png"
    images.output_format(path, channels=3, depth=8)
    images.require_free(path, [Path(image), Path(trimap)], force=force)
    picture, parsed, *_ = read_pair(image, Hint(trimap, strict=strict))
    from ..matting import explain as explaining

    matter = load_matter(weights, device=device)
    small, known = explaining.shrink(picture.image, parsed)
    alpha = matter.matte(small, known)
    stages = explaining.look(matter.network, small, known)
    images.write_image(path, explaining.page(small, known, alpha, stages))
    show_path(path)
