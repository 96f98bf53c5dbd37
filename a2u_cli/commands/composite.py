"""`a2u composite` and `a2u cutout`: from pictures and their mattes to what people want of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ImageError
from .laying import Laying, Words, read_words
from .options import (
    Background,
    Canvas,
    Choke,
    Colours,
    Crop,
    Feather,
    Fit,
    For,
    Force,
    Invert,
    Levels,
    Linear,
    MaxMemory,
    NoLock,
    OwnDepth,
    Place,
    Provenance,
    Scale,
    refuse_idle,
)
from .pictures import STDOUT_AS, output_path, put, require_one_stdin

if TYPE_CHECKING:
    from ..pairing import Pair

Image = Annotated[
    Path,
    typer.Argument(
        help="The picture, or a cut-out with transparency, or a folder of them; - for stdin."
    ),
]
Alpha = Annotated[
    Path | None,
    typer.Option(
        "--alpha",
        "-a",
        help="Its matte, or a folder of them; - for stdin. [default: its own transparency]",
    ),
]


@dataclass(frozen=True)
class _Work:
    """How results are made, where they go, and what may be done there."""

    laying: Laying
    output: Path | None
    provenance: bool
    force: bool
    no_lock: bool

    def make(self, image: Path, alpha: Path | None, path: Path) -> bytes:
        """Make the bytes of a result that has this path, of a picture and its matte."""
        from ..jobs.provenance import telling

        return self.laying.make(image, alpha, path, telling(self.provenance))


def composite(
    image: Image,
    *,
    alpha: Alpha = None,
    invert: Invert = False,
    background: Background = None,
    fit: Fit = None,
    linear: Linear = False,
    levels: Levels = None,
    choke: Choke = None,
    feather: Feather = None,
    crop: Crop = None,
    canvas: Canvas = None,
    place: Place = None,
    scale: Scale = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="- for stdout. [default: IMAGE_composite.png]"),
    ] = None,
    colours: Colours = None,
    depth: OwnDepth = None,
    target: For = None,
    max_memory: MaxMemory = None,
    provenance: Provenance = True,
    force: Force = False,
    no_lock: NoLock = False,
) -> None:
    """Lay a picture's foreground over another background, with clean edges.

    Example: a2u composite photo.jpg --alpha alpha.png --background white
    """
    finishing: dict[str, Any] = {"levels": levels, "choke": choke, "feather": feather}
    placing: dict[str, Any] = {"crop": crop, "canvas": canvas, "place": place, "scale": scale}
    words = Words(
        **(finishing | placing),
        invert=invert,
        colours=colours,
        depth=depth,
        target=target,
        background=background,
        fit=fit,
        linear=linear,
    )
    laying = read_words("composite", words, max_memory)
    _make_all(image, alpha, _Work(laying, output, provenance, force=force, no_lock=no_lock))


def cutout(
    image: Image,
    *,
    alpha: Alpha = None,
    invert: Invert = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="- for stdout. [default: IMAGE_cutout.png]"),
    ] = None,
    premultiplied: Annotated[
        bool, typer.Option("--premultiplied", help="Multiply colours by alpha; straight if not.")
    ] = False,
    levels: Levels = None,
    choke: Choke = None,
    feather: Feather = None,
    crop: Crop = None,
    colours: Colours = None,
    depth: OwnDepth = None,
    target: For = None,
    max_memory: MaxMemory = None,
    provenance: Provenance = True,
    force: Force = False,
    no_lock: NoLock = False,
) -> None:
    """Cut a picture out along its matte: RGBA with the foreground's own colours.

    Example: a2u cutout photo.jpg --alpha photo_alpha.png
    """
    finishing: dict[str, Any] = {"levels": levels, "choke": choke, "feather": feather}
    words = Words(
        **finishing,
        invert=invert,
        colours=colours,
        depth=depth,
        target=target,
        crop=crop,
        premultiplied=premultiplied,
    )
    laying = read_words("cutout", words, max_memory)
    _make_all(image, alpha, _Work(laying, output, provenance, force=force, no_lock=no_lock))


def _make_all(image: Path, alpha: Path | None, work: _Work) -> None:
    """Make a result of a picture, or of each of a folder's: its mattes may be those of a batch."""
    from .. import images
    from ..backgrounds import choose_background, list_backgrounds
    from ..images.listing import OUTPUT_FOLDER
    from ..jobs.journal import find_own, find_results
    from ..jobs.provenance import untold
    from ..pairing import find_alone, find_mattes
    from .progress import Filling, make_each

    laying, words = work.laying, work.laying.words
    ground = laying.behind if laying.kind == "composite" else None
    behind = list_backgrounds(ground) if ground else []
    made = image / OUTPUT_FOLDER / "alpha"
    mattes = alpha or (made if made.is_dir() else None)
    if mattes is None:
        refuse_idle(
            "a cut-out's own colours are taken; it is for an --alpha", colours=words.colours
        )
        refuse_idle(
            "a cut-out's own transparency is taken; it turns an --alpha", invert=words.invert
        )
    if not image.is_dir():
        if alpha and alpha.exists() and image.exists() and alpha.samefile(image):
            raise ImageError(f"{alpha} is the picture itself, expected its matte; give that file")
        require_one_stdin(image, alpha)
        path = output_path(image, work.output, kind=laying.kind, suffix=laying.suffix)
        if path:
            taken = [image, *([alpha] if alpha else []), *behind]
            images.require_free(path, taken, force=work.force)
        put(path, work.make(image, alpha, path or STDOUT_AS.with_suffix(laying.suffix)))
        return
    folder = work.output or image / OUTPUT_FOLDER / laying.kind
    together = bool(mattes) or folder.resolve() == image.resolve()
    own = find_own(folder)
    if mattes:
        pairs = find_mattes(image, mattes, results=lambda: find_results(image), own=own)
    else:
        pairs = find_alone(image, lambda: find_results(image, own=together) | own)

    def reads(pair: "Pair") -> list[Path]:
        files = [pair.image, pair.hint]
        if ground and behind:
            files.append(Path(choose_background(ground, pair.image.stem)))
        return files

    shaping = (*laying.shaping, mattes is None, *untold(work.provenance))
    make_each(
        pairs,
        Filling(folder, shaping, force=work.force, no_lock=work.no_lock, suffix=laying.suffix),
        lambda pair, path: work.make(pair.image, pair.hint if mattes else None, path),
        reads=reads,
        others=behind,
    )
