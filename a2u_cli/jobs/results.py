"""Make what is saved of a picture from its matte: finished, cut out, laid on a background."""

from typing import NamedTuple

from ..foreground import composite, estimate_foreground
from ..images.memory import Bound
from ..matting.finishing import crop_to_content, finish, finish_cut
from ..units import Box, FloatArray
from .options import Options

CROPPED = 80  # bytes a pixel of what is cropped with room around


class Result(NamedTuple):
    """Grey or colours, the alpha that lies beside them in the file, and the box they are cut to."""

    array: FloatArray
    alpha: FloatArray | None = None
    box: Box | None = None


def make_results(
    image: FloatArray,
    alpha: FloatArray,
    options: Options,
    *,
    name: str,
    max_memory: int | None,
    light: bool = False,
) -> dict[str, Result]:
    """Make what is to be saved, from an image (H, W, 3) and its alpha (H, W), by its kind.

    With `light` the image is linear light, and so are the results. Colours are estimated from the
    matte as it is, which says how they are mixed. What is used beside the picture, its matte and
    its foreground's colours, keeps its size; the others are cropped.

    Raises ImageError where there is nothing to crop to, OutOfMemory.
    """
    if not options.saves_colours:
        return {"alpha": Result(finish(alpha, options.finish))}
    colours = estimate_foreground(image, alpha, method=options.colours, light=light)
    foreground, finished = finish_cut(colours, alpha, options.finish)
    saved, box = {"alpha": Result(finished), "foreground": Result(colours)}, None
    if options.crop is not None and options.saves_framed:
        bound, depth = Bound(max_memory, CROPPED), options.depth
        box, (finished, foreground, image) = crop_to_content(
            finished, foreground, image, padding=options.crop, depth=depth, bound=bound, name=name
        )
    saved["cutout"] = Result(foreground, finished, box)
    if "composite" in options.save:
        from ..backgrounds import choose_background, make_background

        chosen = choose_background(options.background, name)
        mixing: dict[str, bool] = {"linear": options.linear, "light": light}
        background = make_background(
            chosen, image, fit=options.fit, max_memory=max_memory, light=light
        )
        mixed = composite(foreground, finished, background, **mixing)
        saved["composite"] = Result(mixed, box=box)
    return saved
