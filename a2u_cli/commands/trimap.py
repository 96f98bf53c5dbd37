"""`a2u trimap`: make trimaps from masks and alphas, and tell what is wrong with one."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ..errors import TrimapError

Band = Annotated[
    str, typer.Option("--band", help="Reach of the unknown band: 12 pixels, or 1.5% (diagonal).")
]
Inside = Annotated[
    str | None, typer.Option(help="Its reach into the foreground, where it differs from --band.")
]
Outside = Annotated[
    str | None, typer.Option(help="Its reach into the background, where it differs from --band.")
]
BAND = "1.5%"


class _MakeByDefault(TyperGroup):
    """Let `a2u trimap mask.png` stand for `a2u trimap make mask.png`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "-h", "--help"}:
            args = ["make", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_MakeByDefault,
    help="Make a trimap from a mask, an alpha or an RGBA picture: a2u trimap mask.png",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def make(
    mask: Annotated[
        Path,
        typer.Argument(help="A mask, an alpha, a picture with transparency, or a folder of them."),
    ],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="[default: MASK_trimap.png]")
    ] = None,
    band: Band = BAND,
    inside: Inside = None,
    outside: Outside = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
) -> None:
    """Make a trimap: bands of unknown around every edge, and all that is soft; this is the default.

    Example: a2u trimap make mask.png --inside 5 --outside 2%
    """

    def work(mask: Path, path: Path) -> Path:
        return _make(mask, path, band=band, inside=inside, outside=outside, force=force)

    if not mask.is_dir():
        typer.echo(str(work(mask, output or mask.parent / f"{mask.stem}_trimap.png")))
        return
    from ..pairing import OUTPUT_FOLDER, find_alone
    from .progress import each

    out = output or mask / OUTPUT_FOLDER / "trimap"
    each(find_alone(mask).found, lambda pair: work(pair.image, out / f"{pair.name}.png"))


def _make(
    mask: Path, path: Path, *, band: str, inside: str | None, outside: str | None, force: bool
) -> Path:
    from ..images.writing import output_format, require_free, write_image
    from ..trimap import describe

    if output_format(path, channels=1, depth=8) == "jpeg":
        raise TrimapError(f"{path}: JPEG would blur the trimap; choose .png or .tif")
    require_free(path, [mask], force=force)
    trimap = from_mask(mask, band=band, inside=inside, outside=outside)
    shares = describe(trimap)
    if not shares.unknown:
        raise TrimapError(f"{mask} has no edge ({shares}), so there is nothing to matte")
    write_image(path, trimap)
    typer.echo(f"trimap: {shares}", err=True)
    return path


@app.command()
def check(
    trimap: Annotated[Path, typer.Argument(help="The trimap, or a folder of them.")],
    *,
    image: Annotated[
        Path | None, typer.Option(help="Also check that it fits this picture.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Describe a trimap: what is in the file, how it is read, what is wrong with it.

    Example: a2u trimap check trimap.png --image photo.jpg
    """

    def work(path: Path) -> str:
        facts, lines = _check(path, image)
        return json.dumps(facts) if as_json else "\n".join(lines)

    if not trimap.is_dir():
        typer.echo(work(trimap))
        return
    from ..pairing import find_alone
    from .progress import each

    if image:
        raise TrimapError("--image is for one trimap; leave it out for a folder")
    each(find_alone(trimap).found, lambda pair: work(pair.image))


def _check(trimap: Path, image: Path | None) -> tuple[dict[str, Any], list[str]]:
    """Give what there is to say of a trimap, as facts and as lines."""
    import numpy as np

    from ..images.reading import read_grey, read_image
    from ..trimap import check_pair, describe, parse_trimap
    from ..units import BACKGROUND, FOREGROUND, UNKNOWN

    picture = read_image(trimap)
    grey = read_grey(trimap)
    parsed = parse_trimap(grey, name=str(trimap))
    levels = np.rint(255 * grey).astype(np.uint8)
    strays = int(np.count_nonzero(~np.isin(levels, (BACKGROUND, UNKNOWN, FOREGROUND))))
    size, names, orientation = picture.size, (str(image or trimap), str(trimap)), 1
    if image:
        other = read_image(image)
        size, orientation = other.size, other.orientation
    warnings = check_pair(size, parsed, names=names, image_orientation=orientation)
    if strays:
        warnings.append(
            f"{strays} pixels are neither 0, 128 nor 255; up to 10 % is read as background, from "
            "90 % as foreground, the rest as unknown"
        )
    if picture.alpha is not None:
        warnings.append("it has an alpha channel, which is ignored: only its colours mean anything")
    if not np.ptp(picture.image, axis=2).max() <= 1 / 255:
        warnings.append("it has colours; their mean is read")
    height, width = picture.size
    facts = {"trimap": str(trimap), "height": height, "width": width, "depth": picture.depth}
    facts |= dataclasses.asdict(describe(parsed)) | {"warnings": warnings}
    first = f"{trimap}: {width}x{height}, {picture.depth} bits, {describe(parsed)}"
    return facts, [first, *(f"warning: {warning}" for warning in warnings)]


def from_mask(mask: Path, *, band: str, inside: str | None, outside: str | None) -> Any:
    """Read a mask, an alpha or the transparency of a picture and make a trimap: uint8 (H, W)."""
    from ..images.reading import read_mask
    from ..trimap import band_pixels, make_trimap

    alpha = read_mask(mask)
    reach = {
        name: band_pixels(band if own is None else own, alpha.shape)
        for name, own in (("inside", inside), ("outside", outside))
    }
    return make_trimap(alpha, **reach)
