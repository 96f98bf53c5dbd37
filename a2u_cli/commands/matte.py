"""`a2u matte`: one picture and its trimap in, its alpha matte out."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import TrimapError
from ..weights import registry
from .batch import Quality
from .options import AsJson, Device, Force, Strict, Weights
from .pictures import output_path, read_pair, say
from .trimap import BAND, Band, Inside, Outside, from_mask


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
        Path | None, typer.Option(help="A mask or a rough alpha to make the trimap from.")
    ] = None,
    band: Band = BAND,
    inside: Inside = None,
    outside: Outside = None,
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
    depth: Annotated[int, typer.Option(help="Bits a channel: 8 or 16.")] = 8,
    weights: Weights = registry.DEFAULT,
    device: Device = "auto",
    dtype: Annotated[
        str,
        typer.Option(
            help="auto (bfloat16 for 8 bits where it is fast), float32, bfloat16, float16."
        ),
    ] = "auto",
    max_memory: Annotated[
        str | None,
        typer.Option(help="Bound on memory, as 2GB or 800MB. [default: most of what is free]"),
    ] = None,
    quality: Quality = "standard",
    strict: Strict = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Estimate the alpha matte of one picture.

    Example: a2u matte photo.jpg --trimap trimap.png --cutout cutout.png
    """
    alpha_path = output_path(image, output)
    outputs = [path for path in (alpha_path, cutout) if path]
    hint = trimap or (str(mask) if mask else None)
    if hint is None or (trimap and mask):
        raise TrimapError("give what is known of the picture: either --trimap, or --mask")
    _require_places(outputs, [image, hint], cutout=cutout, depth=depth, force=force)
    made = None
    if mask:
        made = from_mask(mask, band=band, inside=inside, outside=outside)
    picture, parsed, report = read_pair(image, hint, strict=strict, parsed=made)

    from .. import images
    from ..matting import devices, inference
    from ..matting.planning import parse_bytes
    from ..weights.format import load_model

    chosen = devices.pick_device(device)
    precision = devices.pick_dtype(dtype, device=chosen, depth=depth)
    how = inference.require_quality(quality)
    precision_name = str(precision).removeprefix("torch.")
    bound = parse_bytes(max_memory)
    plan = inference.plan_memory(picture.size, device=chosen, dtype=precision, max_memory=bound)
    network = load_model(weights, device=chosen)
    say(f"memory: {plan}")
    say(f"device: {devices.describe_device(chosen)}, {precision_name}")
    start = time.perf_counter()
    alpha = inference.matte(
        network, picture.image, parsed, dtype=precision, max_memory=bound, quality=how
    )
    seconds = round(time.perf_counter() - start, 3)
    metadata: dict[str, Any] = {"depth": depth, "icc": picture.icc, "exif": picture.exif}
    if cutout:
        from ..foreground import cut_out

        images.write_image(cutout, cut_out(picture.image, alpha), **metadata)
    if alpha_path:
        images.write_image(alpha_path, alpha, **metadata)
    else:
        sys.stdout.buffer.write(images.encode_image(alpha, "png", **metadata))
    if as_json:
        report |= {
            "weights": weights,
            "device": str(chosen),
            "dtype": precision_name,
            "quality": quality,
        }
        report |= {"outputs": [str(path) for path in outputs], "seconds": seconds}
        typer.echo(json.dumps(report), err=alpha_path is None)
    else:
        for path in outputs:
            typer.echo(str(path), err=alpha_path is None)


def _require_places(
    outputs: list[Path], inputs: list[str], *, cutout: Path | None, depth: int, force: bool
) -> None:
    """Refuse outputs that cannot be written before any work is done."""
    from .. import images

    taken = [Path(name) for name in inputs if name != "-"]
    for path in outputs:
        images.output_format(path, channels=4 if path == cutout else 1, depth=depth)
        images.require_free(path, taken, force=force)
        taken.append(path)
