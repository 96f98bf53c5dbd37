"""What shapes the results of a folder run."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ..backgrounds import Fit
from ..errors import A2UError
from ..foreground import Method, require_method
from ..images.formats import Format, Target, choose_depth
from ..matting.finishing import UNFINISHED, Finish, padding_pixels
from ..trimap import band_pixels

if TYPE_CHECKING:
    from ..matting.runtime import Runtime

OUTPUTS = ("alpha", "cutout", "foreground", "composite")
FRAMED = ("cutout", "composite")  # what is cropped; the others are used beside the picture
# Not there when the first journals were written:
LATE = ("invert", "finish", "crop", "format", "premultiplied", "provenance")


@dataclass(frozen=True)
class Options:
    """What shapes the results: it is part of what the journal compares.

    Raises A2UError for what no picture can be made with.
    """

    save: tuple[str, ...] = ("alpha",)
    depth: int = 8
    strict: bool = False
    band: str = "1.5%"
    background: str = "white"
    fit: Fit = "cover"
    linear: bool = False
    colours: Method = "multilevel"
    dtype: str = "float32"
    weights: str = ""  # sha256 of the file
    quality: str = "fast"
    invert: bool = False  # masks whose object is black
    finish: Finish = UNFINISHED
    crop: str | None = None  # the padding around what is seen
    format: Format = "png"
    premultiplied: bool = False  # cut-outs; those of OpenEXR are in any case
    provenance: bool = True  # a note in each file of what it was made of
    licence: str = ""  # of the weights, for that note: it shapes no pixel

    def __post_init__(self) -> None:
        if strange := [name for name in self.save if name not in OUTPUTS]:
            raise A2UError(f"cannot save {', '.join(strange)}; expected {', '.join(OUTPUTS)}")
        channels = 4 if "cutout" in self.save else 3
        choose_depth(self.format, self.depth, channels=channels, name="the outputs")
        require_method(self.colours)
        band_pixels(self.band, (1, 1))
        if self.crop is not None:
            padding_pixels(self.crop, (1, 1))

    @property
    def saves_colours(self) -> bool:
        """Tell whether anything but the matte is saved."""
        return bool(set(self.save) - {"alpha"})

    @property
    def saves_framed(self) -> bool:
        """Tell whether anything is saved that may be cropped."""
        return bool({*self.save} & {*FRAMED})

    @property
    def saves_matte(self) -> bool:
        """Tell whether anything is saved that shows the matte; a foreground is colours alone."""
        return bool({*self.save} - {"foreground"})

    def suiting(self, target: Target | None, depth: int | None = None) -> "Options":
        """Give the options with a target's format, and a depth that was asked for.

        Raises ImageError where the format cannot hold it.
        """
        if target is None:
            return replace(self, depth=depth or self.depth)
        facts: dict[str, Any] = target._asdict()
        return replace(self, **(facts | {"depth": depth or target.depth}))

    def with_own(self, own: tuple[tuple[str, Any], ...]) -> "Options":
        """Give the options with those that a picture has of its own, by their names."""
        return replace(self, **dict(own)) if own else self

    def by(self, matter: "Runtime") -> "Options":
        """Give the options with what a matter adds to them."""
        made = {"dtype": matter.dtype_name, "quality": matter.quality}
        return replace(self, weights=matter.sha256, licence=matter.licence, **made)  # type: ignore[arg-type]

    def of_picture(self, *, is_mask: bool) -> "Options":
        """Give the options that shape a picture's outputs; the others are as if not given.

        So a background that is never seen does not make a run start afresh. Options that were
        never given keep their digest, and so do the journals of earlier versions.
        """
        idle = ["strict"] if is_mask else ["band", "invert"]
        if not self.saves_colours:
            idle.append("colours")
        if "composite" not in self.save:
            idle += ["background", "fit", "linear"]
        if not self.saves_matte:
            idle.append("finish")
        if not self.saves_framed:
            idle.append("crop")
        if "cutout" not in self.save or self.format == "exr":
            idle.append("premultiplied")
        unset: dict[str, Any] = {name: getattr(Options, name) for name in idle}
        return replace(self, save=tuple(kind for kind in OUTPUTS if kind in self.save), **unset)

    def of_output(self, kind: str, *, is_mask: bool) -> "Options":
        """Give the options that shape one kind of output: what else is saved does not matter."""
        return replace(self, save=(kind,)).of_picture(is_mask=is_mask)

    @property
    def digest(self) -> str:
        """A short name for all options together: of late ones only those that were given."""
        default = [name for name in LATE if getattr(self, name) == getattr(Options, name)]
        untold = [*default, "licence"]
        facts = {name: value for name, value in asdict(self).items() if name not in untold}
        if self.quality == "fast":
            facts["quality"] = "standard"  # as it was called, so that old journals hold
        text = json.dumps(facts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
