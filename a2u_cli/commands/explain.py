"""`a2u explain`: the operator at work, on one page."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..weights import registry
from .options import Device, Force, Strict, complete_weights, load_matter, refuse_idle
from .pictures import Hint, read_pair
from .terminal import show_path

if TYPE_CHECKING:
    from ..matting.matter import Matter
    from ..units import FloatArray, Trimap


def explain(
    image: Annotated[str, typer.Argument(help="The picture.", show_default=False)],
    *,
    trimap: Annotated[str, typer.Option("--trimap", "-t", help="Its trimap.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="[default: IMAGE_explained.png]")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page to click on instead, for any browser.")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="A name, a file, or hf://owner/repo[@revision]; repeat it for the page's switch "
            f"between operators. [env var: A2U_WEIGHTS; default: {registry.DEFAULT}]",
            autocompletion=complete_weights,
        ),
    ] = None,
    device: Device = "auto",
    strict: Strict = False,
    force: Force = False,
) -> None:
    """Show the operator at work: its affinity planes and kernels over the picture, on one page.

    Example: a2u explain photo.jpg --trimap trimap.png --html look.html
    """
    from .. import images

    names = weights or [os.environ.get("A2U_WEIGHTS") or registry.DEFAULT]
    path = html or output or Path(image).parent / f"{Path(image).stem}_explained.png"
    if html is None:
        images.output_format(path, channels=3, depth=8)
        refuse_idle("a picture shows one operator; add --html", weights=names[1:] or None)
    else:
        refuse_idle("--html is what is written", output=output)
    images.require_free(path, [Path(image), Path(trimap)], force=force)
    picture, parsed, *_ = read_pair(image, Hint(trimap, strict=strict))
    from ..matting import explain as explaining

    matters = [load_matter(name, device=device) for name in names]
    if html is not None:
        page = _write_page(picture.image, parsed, matters, title=Path(image).name)
        images.write_bytes(path, page)
    else:
        (matter,) = matters
        small, known = explaining.shrink(picture.image, parsed)
        alpha = matter.matte(small, known)
        stages = explaining.look(matter.network, small, known)
        images.write_image(path, explaining.page(small, known, alpha, stages))
    show_path(path)


def _write_page(
    image: "FloatArray", trimap: "Trimap", matters: "list[Matter]", *, title: str
) -> bytes:
    from ..matting.explain import shrink
    from ..matting.explain_page import Shown, side_for, write_page
    from ..matting.kernels import FIXED, see_kernels

    moving = [matter for matter in matters if matter.network.operator not in FIXED]
    small, known = shrink(image, trimap, side_for(trimap.shape, len(moving)))
    shown: list[Shown] = []
    for matter in matters:
        name = matter.network.operator or ""
        if name in {one.name for one in shown}:
            name += f" ({matter.weights})"
        kernels = see_kernels(matter.network, small, known)
        shown.append(Shown(name, kernels, matter.matte(small, known)))
    return write_page(small, known, shown, title=title)
