"""`a2u matte`: one picture and its trimap in, its alpha matte out."""

import sys
import time
from dataclasses import dataclass
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
    For,
    Force,
    Inside,
    Invert,
    Levels,
    MaxMemory,
    Outside,
    Provenance,
    Quality,
    RuntimeName,
    Strict,
    Weights,
    bits_for,
    choose_finish,
    choose_target,
    load_runtime,
    path,
)
from .pictures import STDOUT_AS, Hint, choose_hint, output_path, read_pair
from .progress import watching
from .terminal import say, show_json, show_path

if TYPE_CHECKING:
    from ..images.formats import Target
    from ..jobs.provenance import Input
    from ..matting.finishing import Finish
    from ..matting.runtime import Runtime
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
            help="Alpha matte, as .png or .exr, or - for stdout. [default: IMAGE_alpha.png]",
        ),
    ] = None,
    cutout: Annotated[
        Path | None,
        typer.Option(
            help="Also write the cut-out: straight RGBA with foreground colours.", parser=path
        ),
    ] = None,
    levels: Levels = None,
    choke: Choke = None,
    feather: Feather = None,
    depth: Depth = None,
    target: For = None,
    weights: Weights = registry.DEFAULT,
    runtime: RuntimeName = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    max_memory: MaxMemory = None,
    quality: Quality = None,
    strict: Strict = False,
    provenance: Provenance = True,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Estimate the alpha matte of one picture.

    Example: a2u matte photo.jpg --trimap trimap.png --cutout cutout.png
    """
    from ..matting.finishing import finish, finish_cut
    from ..matting.planning import parse_bytes

    finishing = choose_finish(levels, choke, feather)
    hint = choose_hint(
        trimap, mask, strict=strict, invert=invert, band=band, inside=inside, outside=outside
    )
    suits = choose_target(target)
    alpha_path = output_path(image, output, kind="alpha", suffix=suits.suffix if suits else ".png")
    files = _Files(alpha_path, cutout, suits, depth)
    files.require_places([image, hint.file], force=force)
    picture, parsed, facts, inputs = read_pair(image, hint, max_memory=parse_bytes(max_memory))
    matter = load_runtime(
        weights,
        device=device,
        dtype=dtype,
        depth=files.most_bits,
        quality=quality,
        max_memory=max_memory,
        runtime=runtime,
    )
    say(f"memory: {matter.plan(picture.size)}")
    say(f"device: {matter}")
    start = time.perf_counter()
    foreground = light = None
    if cutout and (picture.light is not None or files.holds_light(cutout)):
        light = picture.colours(light=True)
    with watching() as watch:
        if cutout:
            cut = matter.cut_out(picture.image, parsed, watch=watch, light=light)
            foreground, alpha = finish_cut(*cut, finishing)
        else:
            alpha = finish(matter.matte(picture.image, parsed, watch=watch), finishing)
    facts |= {"weights": weights, "device": str(matter.device), "dtype": matter.dtype_name}
    facts |= {"quality": matter.quality, "seconds": round(time.perf_counter() - start, 3)}
    metadata: dict[str, Any] = {"icc": picture.icc, "exif": picture.exif, "header": picture.header}
    metadata["light"] = light is not None
    del picture, parsed, light  # as large as what is written next
    notes = _Notes(hint, finishing, inputs, matter) if provenance else None
    if foreground is not None:
        files.write_cutout(foreground, alpha, metadata, notes)
    files.write_alpha(alpha, metadata, notes)
    outputs = [file for file in (alpha_path, cutout) if file]
    if as_json:
        show_json(facts | {"outputs": [*map(str, outputs)]}, err=alpha_path is None)
        return
    for output_file in outputs:
        say(output_file) if alpha_path is None else show_path(output_file)


@dataclass(frozen=True)
class _Files:
    """Where the matte and the cut-out go, None for stdout and for no cut-out, and how."""

    alpha: Path | None
    cutout: Path | None
    target: "Target | None"
    depth: int | None

    @property
    def matte(self) -> Path:
        """Return the matte's path, or what its format on stdout is told by."""
        return self.alpha or STDOUT_AS.with_suffix(self.target.suffix if self.target else ".png")

    @property
    def most_bits(self) -> int:
        """Return the most bits a channel that are written."""
        return max(self.bits(path) for path in (self.matte, self.cutout) if path)

    @property
    def is_premultiplied(self) -> bool:
        """Tell whether the target wants colours that are multiplied by alpha."""
        return bool(self.target and self.target.premultiplied)

    def bits(self, path: Path) -> int:
        """Give the bits a channel of a file."""
        return bits_for(path, self.depth, self.target, own=8)

    def holds_light(self, path: Path) -> bool:
        """Tell whether a file holds light."""
        from ..images import holds_light, output_format

        return holds_light(output_format(path, channels=4), self.bits(path))

    def require_places(self, inputs: list[str], *, force: bool) -> None:
        """Refuse outputs that cannot be written before any work is done."""
        from .. import images

        images.output_format(self.matte, channels=1, depth=self.bits(self.matte))
        if self.cutout:
            images.output_format(self.cutout, channels=4, depth=self.bits(self.cutout))
        taken = [path(name) for name in inputs if name != "-"]
        for output in (self.alpha, self.cutout):
            if output:
                images.require_free(output, taken, force=force)
                taken.append(output)

    def write_cutout(
        self,
        foreground: "FloatArray",
        alpha: "FloatArray",
        metadata: dict[str, Any],
        notes: "_Notes | None",
    ) -> None:
        """Write the cut-out, premultiplied where its target wants that."""
        from .. import images

        assert self.cutout
        multiplied = self.is_premultiplied
        colours = foreground * alpha[..., None] if multiplied else foreground
        metadata = metadata | {"depth": self.bits(self.cutout), "premultiplied": multiplied}
        metadata["note"] = notes and notes.of("cutout", self.cutout, self)
        images.write_image(self.cutout, colours, alpha=alpha, **metadata)

    def write_alpha(
        self, alpha: "FloatArray", metadata: dict[str, Any], notes: "_Notes | None"
    ) -> None:
        """Write the matte to its file, or to stdout."""
        from .. import images

        metadata = metadata | {"note": notes and notes.of("alpha", self.matte, self)}
        data = images.encode_for(self.matte, alpha, depth=self.bits(self.matte), **metadata)
        if self.alpha:
            images.write_bytes(self.alpha, data)
        else:
            sys.stdout.buffer.write(data)


@dataclass(frozen=True)
class _Notes:
    """What both results are made of, told as those of a batch tell it."""

    hint: Hint
    finish: "Finish"
    inputs: "tuple[Input, ...]"
    matter: "Runtime"

    def of(self, kind: str, path: Path, files: _Files) -> str:
        """Give the note of one of them."""
        from ..images import output_format
        from ..jobs.options import Options
        from ..jobs.provenance import Origin, note_of

        hint = self.hint
        options = Options(
            save=(kind,),
            depth=files.bits(path),
            strict=hint.strict,
            band=hint.inside,
            invert=hint.invert,
            finish=self.finish,
            format=output_format(path, channels=1),
            premultiplied=files.is_premultiplied,
        )
        sides = hint.shaping if hint.inside != hint.outside else {}
        return note_of(kind, options.by(self.matter), Origin(self.inputs, shaping=sides)).text
