"""Lay a picture's foreground over a background, or cut it out: one picture, in the words given."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ImageError
from .options import (
    BACKGROUND,
    bits_for,
    bound_memory,
    choose,
    choose_finish,
    choose_fit,
    choose_target,
    refuse_idle,
)
from .pictures import file_name, read_input, read_said
from .terminal import say

if TYPE_CHECKING:
    from ..backgrounds import Fit
    from ..foreground import Method
    from ..images import Picture
    from ..images.formats import Target
    from ..images.memory import Bound
    from ..jobs.provenance import Input, Tell
    from ..matting.finishing import Finish
    from ..units import FloatArray

# Bytes for a pixel and beside the picture, by the processes' sizes at 4 and 17 million pixels.
BOUNDS = {
    "composite": {"a_pixel": 150, "process": 400 << 20},
    "cutout": {"a_pixel": 90, "process": 400 << 20},
}


@dataclass(frozen=True)
class Words:
    """What shapes a composite or a cut-out, in the words of the command line; None: not given."""

    levels: str | None = None
    choke: float | None = None
    feather: float | None = None
    crop: str | None = None
    canvas: str | None = None
    place: str | None = None
    scale: str | None = None
    colours: str | None = None
    depth: int | None = None
    target: str | None = None
    background: str | None = None
    fit: str | None = None
    linear: bool = False
    invert: bool = False
    premultiplied: bool = False

    @property
    def given(self) -> dict[str, Any]:
        """Return those that were given."""
        facts = asdict(self).items()
        return {name: value for name, value in facts if value is not None and value is not False}


@dataclass(frozen=True)
class Frame:
    """What a cut-out is cropped to, and where on which canvas it lies, in the words given."""

    crop: str | None = None
    canvas: str | None = None
    place: str | None = None
    scale: str | None = None

    def __post_init__(self) -> None:
        if self.canvas is None:
            why = "it is how a cut-out lies on a --canvas"
            refuse_idle(why, place=self.place, scale=self.scale)

    def lay(
        self,
        foreground: "FloatArray",
        matte: "FloatArray",
        image: "FloatArray",
        held: dict[str, Any],
        *,
        bound: "Bound",
        name: str,
    ) -> tuple["FloatArray", "FloatArray", "FloatArray", dict[str, Any]]:
        """Crop and place straight colours, their matte, and the picture, for what lies behind.

        All are as `held` says, of `_open`; so is the result, whose frame is another.
        """
        from ..backgrounds import fit_to
        from ..images.exr_header import canvas_header, crop_header
        from ..matting.finishing import crop_to_content, place, read_canvas

        header, light = held["header"], held["light"]
        if self.crop is not None:
            facts: dict[str, Any] = {"padding": self.crop, "depth": held["depth"], "bound": bound}
            whole = matte.shape
            box, planes = crop_to_content(matte, foreground, image, name=name, **facts)
            matte, foreground, image = planes
            header = crop_header(header, whole, box)
        if self.canvas is not None:
            size = read_canvas(self.canvas)
            bound.require(size[::-1], f"{name} on its canvas")
            words = {"where": self.place or "center", "scale": self.scale or "100%", "name": name}
            foreground, matte = place(foreground, matte, size, **words, light=light)
            image, header = fit_to(image, size, "cover", light=light), canvas_header(header, size)
        return foreground, matte, image, held | {"header": header}


@dataclass(frozen=True)
class Laying:
    """How results of a kind, "composite" or "cutout", are made of pictures and their mattes.

    `behind` is what composites are laid on, in words; `words` are all that were given.
    """

    kind: str
    words: Words
    method: "Method"
    finish: "Finish"
    frame: Frame
    behind: str
    fit: "Fit"
    target: "Target | None"
    bound: "Bound"

    @property
    def suffix(self) -> str:
        """Return the extension of results that have no other."""
        return self.target.suffix if self.target else ".png"

    @property
    def premultiplied(self) -> bool:
        """Tell whether cut-outs' colours are multiplied by alpha."""
        return self.words.premultiplied or bool(self.target and self.target.premultiplied)

    @property
    def shaping(self) -> tuple[object, ...]:
        """Return all that shapes results; what was never given is left out, as it always was."""
        from ..matting.finishing import UNFINISHED

        words = self.words
        own = (
            (self.behind, self.fit, words.linear)
            if self.kind == "composite"
            else (self.premultiplied,)
        )
        given = self.finish != UNFINISHED or self.frame != Frame()
        finishing = (asdict(self.finish), asdict(self.frame)) if given else ()
        shaping = (self.kind, self.method, *own, words.depth, words.invert, *finishing)
        return (*shaping, *self.target) if self.target else shaping

    def make(self, image: Path, alpha: Path | None, path: Path, tell: "Tell") -> bytes:
        """Make the bytes of the file that has this path; raises what reading and writing do."""
        from ..images import encode_for

        data, its = read_input("picture", image, self.bound)
        picture, held = self._open(data, image, path)
        del data
        inputs = [its]
        if alpha is None:
            cut = self._own(picture, file_name(image), light=held["light"])
        else:
            data, its = read_input("matte", alpha, self.bound)
            inputs.append(its)
            cut = self._split(picture, data, (image, alpha), light=held["light"])
        if self.kind == "composite":
            return self._mix(picture, cut, held, inputs, (image, path), tell)
        name = file_name(image)
        laid = self.frame.lay(*cut, picture.image, held, bound=self.bound, name=name)
        foreground, matte, _, held = laid
        colour = foreground * matte[..., None] if self.premultiplied else foreground
        held["note"] = self._note(inputs, {}, tell)
        return encode_for(path, colour, alpha=matte, premultiplied=self.premultiplied, **held)

    def _mix(
        self,
        picture: "Picture",
        cut: tuple["FloatArray", "FloatArray"],
        held: dict[str, Any],
        inputs: "list[Input]",
        names: tuple[Path, Path],
        tell: "Tell",
    ) -> bytes:
        """Lay a cut-out over its background, and encode that."""
        from ..backgrounds import choose_background, make_background
        from ..foreground import composite
        from ..images import encode_for
        from ..jobs.provenance import PICTURE, take_background

        image, path = names
        light, name = held["light"], file_name(image)
        colours, bound = picture.colours(light=light), self.bound
        foreground, matte, seen, held = self.frame.lay(*cut, colours, held, bound=bound, name=name)
        left = bound.beside(3 * foreground.nbytes)
        chosen = choose_background(self.behind, image.stem)
        ground = make_background(chosen, seen, fit=self.fit, max_memory=left, light=light)
        mixed = composite(foreground, matte, ground, linear=self.words.linear, light=light)
        behind = take_background(chosen)
        laid = {"background": PICTURE if behind else chosen}
        held["note"] = self._note([*inputs, *([behind] if behind else [])], laid, tell)
        return encode_for(path, mixed, **held)

    def _note(self, inputs: "list[Input]", laid: Mapping[str, Any], tell: "Tell") -> str | None:
        from ..jobs.provenance import Note

        return tell(Note(self.kind, self.kind, self.words.given | dict(laid), tuple(inputs)))

    def _open(self, data: bytes, image: Path, path: Path) -> tuple["Picture", dict[str, Any]]:
        """Decode a picture, and give how its result is written, which its format must hold."""
        from .. import images

        name, channels = file_name(image), 3 if self.kind == "composite" else 4
        picture = images.read_image(data, name=name, max_memory=self.bound)
        bits = bits_for(path, self.words.depth, self.target, own=picture.depth)
        kind = images.output_format(path, channels=channels, depth=bits)
        light = picture.light is not None or images.holds_light(kind, bits)
        metadata = {"icc": picture.icc, "exif": picture.exif, "header": picture.header}
        return picture, metadata | {"depth": bits, "light": light}

    def _own(
        self, picture: "Picture", name: str, *, light: bool
    ) -> tuple["FloatArray", "FloatArray"]:
        """Give a cut-out's own colours, sRGB values or light, and its finished transparency."""
        from ..images.meaning import OPAQUE_FROM
        from ..matting.finishing import finish_cut

        if picture.alpha is None:
            raise ImageError(f"{name} has no transparency; give its matte with --alpha")
        if picture.alpha.min() >= OPAQUE_FROM:
            say(f"warning: {name} is opaque all over, so all of it stays; --alpha takes its matte")
        return finish_cut(picture.colours(light=light), picture.alpha, self.finish)

    def _split(
        self, picture: "Picture", data: bytes, names: tuple[Path, Path], *, light: bool
    ) -> tuple["FloatArray", "FloatArray"]:
        """Estimate straight foreground colours, sRGB values or light, and finish the matte.

        The colours are those of the matte as it is: it says how they are mixed.
        """
        from ..foreground import estimate_foreground
        from ..images import tell_of_hidden
        from ..matting.finishing import finish_cut

        name, its = map(file_name, names)
        tell_of_hidden(picture, name)
        matte = read_said(data, its, invert=self.words.invert, max_memory=self.bound)
        if matte.shape != picture.size:
            (height, width), (tall, wide) = picture.size, matte.shape
            raise ImageError(f"{its} is {wide}x{tall} but {name} is {width}x{height}; resize one")
        colours = picture.colours(light=light)
        left = self.bound.beside(colours.nbytes, matte.nbytes)
        made = estimate_foreground(colours, matte, method=self.method, max_memory=left, light=light)
        return finish_cut(made, matte, self.finish)


def read_words(kind: str, words: Words, max_memory: str | None = None) -> Laying:
    """Take how results of a kind are made; raises A2UError where words are wrong or idle."""
    from ..foreground import METHODS

    behind = words.background or BACKGROUND
    return Laying(
        kind,
        words,
        method=choose("colours", words.colours, METHODS),
        finish=choose_finish(words.levels, words.choke, words.feather),
        frame=Frame(words.crop, words.canvas, words.place, words.scale),
        behind=behind,
        fit=choose_fit(words.fit, behind),
        target=choose_target(words.target),
        bound=bound_memory(max_memory, **BOUNDS[kind]),
    )
