"""`a2u trimap`: make trimaps from masks and alphas, and tell what is wrong with one."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from ..errors import TrimapError
from .options import (
    AsJson,
    Band,
    Force,
    Inside,
    Invert,
    MaxMemory,
    NoLock,
    Outside,
    Provenance,
    bound_memory,
    checking,
    refuse_idle,
)
from .pictures import (
    STDOUT_AS,
    BoxHint,
    Hint,
    file_name,
    file_source,
    mask_hint,
    output_path,
    put,
    read_input,
    require_one_stdin,
)
from .terminal import say, show, show_json

if TYPE_CHECKING:
    from ..images import Matte
    from ..images.memory import Bound
    from ..jobs.provenance import Tell

# Bytes for a pixel and beside the picture, by the processes' sizes at 4 and 17 million pixels.
MAKE, CHECK = {"a_pixel": 24, "process": 100 << 20}, {"a_pixel": 60, "process": 100 << 20}


def _require_box(text: str) -> None:
    from ..matting.box import parse_box

    parse_box(text)


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
        typer.Argument(
            help="A mask, an alpha, a picture with transparency, or a folder of them; with --box "
            "the photo; - for stdin."
        ),
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="- for stdout. [default: MASK_trimap.png]"),
    ] = None,
    band: Band = None,
    inside: Inside = None,
    outside: Outside = None,
    invert: Invert = False,
    box: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="Find the object in this box of a photo: left, top, width, height in pixels.",
            callback=checking(_require_box),
        ),
    ] = None,
    max_memory: MaxMemory = None,
    provenance: Provenance = True,
    force: Force = False,
    no_lock: NoLock = False,
) -> None:
    """Make a trimap: bands of unknown around every edge, and all that is soft; this is the default.

    Example: a2u trimap make mask.png --inside 5 --outside 2%
    """
    from ..jobs.provenance import telling, untold

    bound = bound_memory(max_memory, **(CHECK if box else MAKE))
    hint = mask_hint(str(mask), band=band, inside=inside, outside=outside, invert=invert)
    if box:
        refuse_idle("the object is found by its box; this turns a mask", invert=invert)
        if mask.is_dir():
            refuse_idle("a folder's objects are not all in one place; give one photo", box=box)
        hint = BoxHint(**dataclasses.asdict(hint), box=box)
    if not mask.is_dir():
        from ..images import require_free

        path = output_path(mask, output, kind="trimap")
        if path:
            require_free(path, [mask], force=force)
        put(path, make_trimap(hint, path or STDOUT_AS, bound, telling(provenance)))
        return
    from ..images.listing import OUTPUT_FOLDER
    from ..jobs.journal import find_own, find_results
    from ..pairing import find_masks
    from .progress import Filling, make_each

    folder = output or mask / OUTPUT_FOLDER / "trimap"
    own = folder.resolve() == mask.resolve()
    masks = find_masks(mask, lambda: find_results(mask, own=own) | find_own(folder))
    if masks.unpaired:
        say(
            f"{len(masks.unpaired)} pictures are no masks: they have one beside them or in its own "
            f"folder, or are trimaps, as {masks.unpaired[0].relative_to(mask)}"
        )
    tell = telling(provenance)
    shaping = ("trimap", hint.inside, hint.outside, invert, *untold(provenance))
    make_each(
        dataclasses.replace(masks, unpaired=()),
        Filling(folder, shaping, force=force, no_lock=no_lock),
        lambda pair, path: make_trimap(
            dataclasses.replace(hint, file=str(pair.image)), path, bound, tell
        ),
        reads=lambda pair: [pair.image],
        others=masks.unpaired,
    )


def make_trimap(hint: Hint, path: Path, bound: "Bound", tell: "Tell") -> bytes:
    """Make a trimap's file, and say what it holds; raises ImageError or TrimapError."""
    from ..images import encode_for, output_format
    from ..images.formats import HOLDS
    from ..jobs.provenance import Note
    from ..trimap import require_unknown

    holds = HOLDS[output_format(path, channels=1, depth=8)]
    if holds.lossy:
        raise TrimapError(f"{path}: {holds.name} would blur the trimap; choose .png or .tif")
    data, its = read_input(hint.role, hint.file, bound)
    trimap = hint.read(data, max_memory=bound)
    say(f"trimap: {require_unknown(trimap, file_name(hint.file), of_mask=hint.is_mask)}")
    facts = hint.shaping | ({"invert": True} if hint.invert else {})
    return encode_for(path, trimap, note=tell(Note("trimap", "trimap", facts, (its,))))


@app.command()
def check(
    trimap: Annotated[Path, typer.Argument(help="The trimap, or a folder of them; - for stdin.")],
    *,
    image: Annotated[
        Path | None, typer.Option(help="Also check that it fits this picture.")
    ] = None,
    max_memory: MaxMemory = None,
    as_json: AsJson = False,
) -> None:
    """Describe a trimap: what is in the file, how it is read, what is wrong with it.

    Example: a2u trimap check trimap.png --image photo.jpg
    """

    bound = bound_memory(max_memory, **CHECK)

    def report(path: Path) -> None:
        facts, lines = _check(path, image, bound)
        if as_json:
            show_json(facts)
            return
        for line in lines:
            show(line)

    if not trimap.is_dir():
        report(trimap)
        return
    from ..pairing import find_alone
    from .progress import for_each

    refuse_idle("a folder's trimaps are not all one picture's", image=image)
    found = find_alone(trimap)
    for_each(found.found, lambda pair: report(pair.image), left_out=found.left_out)


def _check(path: Path, image: Path | None, bound: "Bound") -> tuple[dict[str, Any], list[str]]:
    """Give what there is to say of a trimap, as facts and as lines."""
    from ..images import read_image, read_matte
    from ..trimap import check_pair, describe, parse_trimap

    require_one_stdin(path, image)
    name = file_name(path)
    matte = read_matte(file_source(path, bound), name=name, drawn=True, max_memory=bound)
    parsed = parse_trimap(matte.values, name=name)
    height, width = parsed.shape
    shares, fitted = describe(parsed), (height, width)
    turn: dict[str, Any] = {}
    if image:
        its = file_name(image)
        picture = read_image(file_source(image, bound), name=its, max_memory=bound)
        fitted = picture.size
        turn = {"image_orientation": picture.orientation, "image": picture.image}
    names = (file_name(image or path), name)
    warnings = check_pair(fitted, parsed, names=names, **turn) + _oddities(matte)
    facts = {"trimap": name, "height": height, "width": width, "depth": matte.depth}
    first = f"{name}: {width}x{height}, {matte.depth} bits, {shares}"
    return facts | dataclasses.asdict(shares) | {"warnings": warnings}, [
        first,
        *(f"warning: {warning}" for warning in warnings),
    ]


def _oddities(matte: "Matte") -> list[str]:
    """Warn of what a trimap's file holds besides the three greys."""
    from ..images.meaning import GREYS
    from ..trimap import stray_pixels

    warnings = []
    if strays := stray_pixels(matte.values):
        warnings.append(
            f"{strays} pixels are neither 0, 128 nor 255; up to 10 % is read as background, from "
            "90 % as foreground, the rest as unknown"
        )
    if matte.taken != GREYS:
        warnings.append(matte.taken)
    if matte.tinted:
        warnings.append("it has colours; their mean is read")
    return warnings
