"""`a2u explain`: the operator at work, on one page."""

from pathlib import Path
from typing import Annotated

import typer

from ..weights import registry
from .options import Device, Force, Strict, Weights
from .pictures import read_pair


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
    path = output or Path(image).parent / f"{Path(image).stem}_explained.png"
    from .. import images

    images.output_format(path, channels=3, depth=8)
    images.require_free(path, [Path(image), Path(trimap)], force=force)
    picture, parsed, _ = read_pair(image, trimap, strict=strict)
    from ..matting import devices, inference
    from ..matting import explain as explaining
    from ..weights.format import load_model

    small, known = explaining.shrink(picture.image, parsed)
    network = load_model(weights, device=devices.pick_device(device))
    alpha = inference.matte(network, small, known)
    page = explaining.page(small, known, alpha, explaining.look(network, small, known))
    images.write_image(path, page)
    typer.echo(str(path))
