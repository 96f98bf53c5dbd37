"""What the commands for one picture share: its files, and what is said of them."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import typer

from ..errors import ImageError


def read_pair(
    image: str, trimap: str, *, strict: bool, parsed: Any = None
) -> tuple[Any, Any, dict[str, Any]]:
    """Read a picture and its trimap, if not `parsed` yet, and say how the trimap was understood."""
    from .. import images
    from .. import trimap as trimaps

    if image == trimap == "-":
        raise ImageError("both the image and the trimap are -; stdin holds one, give a file")
    names = name(image), name(trimap)
    picture = images.read_image(source(image), name=names[0])
    if parsed is None:
        grey = images.read_grey(source(trimap), name=names[1])
        parsed = trimaps.parse_trimap(grey, strict=strict, name=names[1])
    warnings = trimaps.check_pair(
        picture.size, parsed, names=names, image_orientation=picture.orientation
    )
    shares = trimaps.describe(parsed)
    say(f"trimap: {shares}")
    for warning in warnings:
        say(f"warning: {warning}")
    height, width = picture.size
    report = {"image": image, "trimap": trimap, "height": height, "width": width}
    return picture, parsed, report | dataclasses.asdict(shares) | {"warnings": warnings}


def say(text: str) -> None:
    typer.echo(text, err=True)


def name(argument: str) -> str:
    return "stdin" if argument == "-" else argument


def source(argument: str) -> Path | bytes:
    return sys.stdin.buffer.read() if argument == "-" else Path(argument)


def output_path(image: str, output: str | None) -> Path | None:
    """Choose the matte's path: beside the image unless told; None is stdout."""
    if output == "-" or (output is None and image == "-"):
        return None
    if output is not None:
        return Path(output)
    return Path(image).parent / f"{Path(image).stem}_alpha.png"
