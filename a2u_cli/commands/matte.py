"""`a2u matte`: one picture and its trimap in, its alpha matte out."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..weights import registry
from .options import (
    AsJson,
    Band,
    Choke,
    Depth,
    Device,
    Dtype,
    Feather,
    Force,
    Inside,
    Invert,
    Levels,
    MaxMemory,
    Outside,
    Quality,
    Strict,
    Weights,
    choose_finish,
    load_matter,
)
from .pictures import STDOUT_AS, choose_hint, output_path, read_pair
from .progress import watching
from .terminal import say, show_json, show_path

if TYPE_CHECKING:
    from ..units import FloatArray


def matte(
    image: Annotated[str, typer.Argument(help="The picture, or - for stdin.", show_default=False)],
    *,
    trimap: Annotated[
        str | None,
        typer.Option(
            "--trimap",
            "-t",
            help="Black background, white foreground, grey unknown; - for stdin.",
            show_default=False,
        ),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(help="A mask or a rough alpha to make the trimap from; - for stdin."),
    ] = None,
    band: Band = None,
    inside: Inside = None,
    outside: Outside = None,
    invert: Invert = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Alpha matte, .png or .tif, or - for stdout. [default: IMAGE_alpha.png]",
        ),
    ] = None,
    cutout: Annotated[
        Path | None,
        typer.Option(help="Also write the cut-out: straight RGBA with foreground colours."),
    ] = None,
    levels: Levels = None,
    choke: Choke = None,
    feather: Feather = None,
    depth: Depth = 8,
    weights: Weights = registry.DEFAULT,
    device: Device = "auto",
    dtype: Dtype = "auto",
    max_memory: MaxMemory = None,
    quality: Quality = None,
    strict: Strict = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Estimate the alpha matte of one picture.

    Example: a2u matte photo.jpg --trimap trimap.png --cutout cutout.png
    """
    from .. import images
    from ..matting.finishing import finish, finish_cut
    from ..matting.planning import parse_bytes

    finishing = choose_finish(levels, choke, feather)
    hint = choose_hint(
        trimap, mask, strict=strict, invert=invert, band=band, inside=inside, outside=outside
    )
    alpha_path = output_path(image, output, kind="alpha")
    _require_places(alpha_path, cutout, [image, hint.file], depth=depth, force=force)
    picture, parsed, facts = read_pair(image, hint, max_memory=parse_bytes(max_memory))
    matter = load_matter(
        weights, device=device, dtype=dtype, depth=depth, quality=quality, max_memory=max_memory
    )
    say(f"memory: {matter.plan(picture.size)}")
    say(f"device: {matter}")
    start = time.perf_counter()
    foreground = None
    with watching() as watch:
        if cutout:
            cut = matter.cut_out(picture.image, parsed, watch=watch)
            foreground, alpha = finish_cut(*cut, finishing)
        else:
            alpha = finish(matter.matte(picture.image, parsed, watch=watch), finishing)
    facts |= {"weights": weights, "device": str(matter.device), "dtype": matter.dtype_name}
    facts |= {"quality": matter.quality, "seconds": round(time.perf_counter() - start, 3)}
    metadata: dict[str, Any] = {"depth": depth, "icc": picture.icc, "exif": picture.exif}
    del picture, parsed  # as large as what is written next
    if cutout and foreground is not None:
        images.write_image(cutout, foreground, alpha=alpha, **metadata)
    _write_alpha(alpha_path, alpha, metadata)
    outputs = [path for path in (alpha_path, cutout) if path]
    if as_json:
        show_json(facts | {"outputs": [str(path) for path in outputs]}, err=alpha_path is None)
        return
    for path in outputs:
        say(path) if alpha_path is None else show_path(path)


def _require_places(
    alpha_path: Path | None, cutout: Path | None, inputs: list[str], *, depth: int, force: bool
) -> None:
    """Refuse outputs that cannot be written before any work is done."""
    from .. import images

    images.output_format(alpha_path or STDOUT_AS, channels=1, depth=depth)
    if cutout:
        images.output_format(cutout, channels=4, depth=depth)
    taken = [Path(name) for name in inputs if name != "-"]
    for path in (alpha_path, cutout):
        if path:
            images.require_free(path, taken, force=force)
            taken.append(path)


def _write_alpha(path: Path | None, alpha: "FloatArray", metadata: dict[str, Any]) -> None:
    """Write the matte to its file, or as a PNG to stdout."""
    from .. import images

    if path:
        images.write_image(path, alpha, **metadata)
    else:
        sys.stdout.buffer.write(images.encode_image(alpha, "png", **metadata))
