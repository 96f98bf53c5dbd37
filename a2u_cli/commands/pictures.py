"""What the commands for one picture share: its files, and what is known of its pixels."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ImageError, TrimapError
from .options import BAND, path, refuse_idle
from .terminal import say, show_path

if TYPE_CHECKING:
    from ..images import Picture
    from ..images.memory import Bound
    from ..jobs.provenance import Input
    from ..units import FloatArray, Trimap


@dataclasses.dataclass(frozen=True)
class Hint:
    """What is known of a picture, by a file or - for stdin: a drawn trimap, or a mask.

    A mask has a band of unknown around its edges, `inside` and `outside` pixels or percent wide;
    `invert` turns one whose object is black.
    """

    file: str
    is_mask: bool = False
    strict: bool = False
    inside: str = BAND
    outside: str = BAND
    invert: bool = False

    @property
    def role(self) -> str:
        """Return what its file is to a result."""
        return "mask" if self.is_mask else "trimap"

    @property
    def shaping(self) -> dict[str, Any]:
        """Return what makes a trimap of a mask, for the notes in results."""
        return {"inside": self.inside, "outside": self.outside} if self.is_mask else {}

    def read(self, data: bytes, *, max_memory: "int | Bound | None" = None) -> "Trimap":
        """Give the trimap, uint8 (H, W) in {0, 128, 255}, and say what of the file was taken.

        Raises ImageError or TrimapError; OutOfMemory where it takes more than `max_memory` bytes.
        """
        from ..trimap import band_pixels, make_trimap, parse_trimap

        name = file_name(self.file)
        words = {"drawn": not self.is_mask, "invert": self.invert}
        values = read_said(data, name, max_memory=max_memory, **words)
        if not self.is_mask:
            return parse_trimap(values, strict=self.strict, name=name)
        size = values.shape[0], values.shape[1]
        return make_trimap(
            values,
            inside=band_pixels(self.inside, size),
            outside=band_pixels(self.outside, size),
        )


@dataclasses.dataclass(frozen=True)
class BoxHint(Hint):
    """What is known of a picture by a box around its object; `file` is the picture itself."""

    box: str = ""

    @property
    def role(self) -> str:
        """Return what its file is to a result."""
        return "picture"

    @property
    def shaping(self) -> dict[str, Any]:
        """Return what makes a trimap of a picture."""
        return super().shaping | {"box": self.box}

    def read(self, data: bytes, *, max_memory: "int | Bound | None" = None) -> "Trimap":
        """Find the object, and make its trimap as of a mask; raises what `Hint.read` does."""
        from .. import images
        from ..matting.box import box_trimap, parse_box

        name = file_name(self.file)
        picture = images.read_image(data, name=name, max_memory=max_memory)
        images.tell_of_hidden(picture, name)
        return box_trimap(picture.image, parse_box(self.box), self.inside, outside=self.outside)


def read_said(
    source: Path | bytes,
    name: str,
    *,
    drawn: bool = False,
    invert: bool = False,
    max_memory: "int | Bound | None" = None,
) -> "FloatArray":
    """Read a matte, a mask or a trimap, and say in a line what of the file was taken.

    Raises ImageError.
    """
    from ..images import read_matte

    matte = read_matte(source, name=name, drawn=drawn, invert=invert, max_memory=max_memory)
    if note := matte.note(name):
        say(note)
    return matte.values


def mask_hint(
    file: str, *, band: str | None, inside: str | None, outside: str | None, invert: bool = False
) -> Hint:
    """Take a mask, with the width of its band; raises A2UError where --band would do nothing."""
    if inside is not None and outside is not None:
        refuse_idle("--inside and --outside say it all", band=band)
    width = BAND if band is None else band
    inner, outer = (width if side is None else side for side in (inside, outside))
    return Hint(file, is_mask=True, inside=inner, outside=outer, invert=invert)


def choose_hint(
    trimap: str | None, mask: str | None, *, strict: bool, invert: bool = False, **bands: Any
) -> Hint:
    """Take the trimap or the mask, whichever was given, and refuse the other's options.

    Raises TrimapError where it is not exactly one of them.
    """
    if trimap is not None and mask is None:
        refuse_idle("a drawn trimap is taken as it is; this widens a --mask", **bands)
        refuse_idle("a drawn trimap is taken as it is; this turns a --mask", invert=invert)
        return Hint(trimap, strict=strict)
    if mask is None or trimap is not None:
        raise TrimapError("give what is known of the picture: either --trimap, or --mask")
    refuse_idle("it is about the greys of a drawn --trimap; a --mask may have any", strict=strict)
    return mask_hint(mask, invert=invert, **bands)


def read_pair(
    image: str, hint: Hint, *, max_memory: "int | Bound | None" = None
) -> tuple["Picture", "Trimap", dict[str, Any], "tuple[Input, ...]"]:
    """Read a picture and its trimap, and say how the trimap was understood, also as facts.

    Last comes what was read, for the notes in results.

    Reading takes at most `max_memory` bytes, None: what is free. Raises ImageError or TrimapError
    where one cannot be read, or they do not fit; OutOfMemory.
    """
    from .. import images
    from .. import trimap as trimaps

    require_one_stdin(image, hint.file)
    data, its = read_input("picture", image, max_memory)
    picture = images.read_image(data, name=file_name(image), max_memory=max_memory)
    images.tell_of_hidden(picture, file_name(image))
    data, hints = read_input(hint.role, hint.file, max_memory)
    parsed = hint.read(data, max_memory=max_memory)
    del data
    warnings = trimaps.check_pair(
        picture.size,
        parsed,
        names=(file_name(image), file_name(hint.file)),
        image_orientation=picture.orientation,
        image=picture.image,
        of_mask=hint.is_mask,
    )
    shares = trimaps.describe(parsed)
    say(f"trimap: {shares}")
    for warning in warnings:
        say(f"warning: {warning}")
    height, width = picture.size
    facts = {"image": image, "trimap": hint.file, "height": height, "width": width}
    facts |= dataclasses.asdict(shares) | {"warnings": warnings}
    return picture, parsed, facts, (its, hints)


STDIN = STDOUT = "-"
STDOUT_AS = Path("stdout.png")  # what goes there is a PNG, unless --for says otherwise


def output_path(
    image: str | Path, output: str | Path | None, *, kind: str, suffix: str = ".png"
) -> Path | None:
    """Choose where a picture's result goes: IMAGE_KIND.png unless told; None is stdout.

    What comes from stdin goes to stdout unless told.
    """
    if str(output) == STDOUT or (output is None and str(image) == STDIN):
        return None
    if output:
        return path(str(output))
    picture = path(str(image))
    return picture.parent / f"{picture.stem}_{kind}{suffix}"


def put(path: Path | None, data: bytes) -> None:
    """Write a result to its file, and show where; or to stdout."""
    from ..images import write_bytes

    if path:
        write_bytes(path, data)
        show_path(path)
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def require_one_stdin(*files: str | Path | None) -> None:
    """Raise ImageError where more than one file is -."""
    if [str(file) for file in files].count(STDIN) > 1:
        raise ImageError(
            "more than one input is -, but stdin holds one; give a file for the others"
        )


def file_name(argument: str | Path) -> str:
    """Name a file, or stdin, for a message."""
    return "stdin" if str(argument) == STDIN else str(argument)


def file_source(argument: str | Path, max_memory: "int | Bound | None" = None) -> Path | bytes:
    """Give a file's path, or what comes in on stdin; raises ImageError, OutOfMemory."""
    argument = str(argument)
    if argument != STDIN:
        return path(argument)
    from ..images import read_stream

    return read_stream(sys.stdin.buffer, file_name(argument), max_memory=max_memory)


def read_input(
    role: str, argument: str | Path, max_memory: "int | Bound | None" = None
) -> tuple[bytes, "Input"]:
    """Read a file, or stdin, and tell of it as a result's note does; raises what reading does."""
    from ..images import read_bytes
    from ..jobs.provenance import take_input

    source, name = file_source(argument, max_memory), file_name(argument)
    data = source if isinstance(source, bytes) else read_bytes(source, name)
    return data, take_input(role, Path(name), data)
