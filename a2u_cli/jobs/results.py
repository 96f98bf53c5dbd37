"""Make what is saved of a picture from its matte: finished, cut out, laid on a background."""

from ..foreground import composite, estimate_foreground
from ..images.memory import Bound
from ..matting.finishing import crop_to_content, finish, finish_cut
from ..units import FloatArray
from .options import Options

CROPPED = 80  # bytes a pixel of what is cropped with room around


def make_results(
    image: FloatArray, alpha: FloatArray, options: Options, *, name: str, max_memory: int | None
) -> dict[str, tuple[FloatArray, FloatArray | None]]:
    """Make what is to be saved, from an image (H, W, 3) and its alpha (H, W), by its kind.

    That is grey or colours, and the alpha that lies beside them in the file. Colours are estimated
    from the matte as it is, which says how they are mixed. What is used beside the picture, its
    matte and its foreground's colours, keeps its size; the others are cropped.

    Raises ImageError where there is nothing to crop to, OutOfMemory.
    """
    if not options.saves_colours:
        return {"alpha": (finish(alpha, options.finish), None)}
    colours = estimate_foreground(image, alpha, method=options.colours)
    foreground, finished = finish_cut(colours, alpha, options.finish)
    saved: dict[str, tuple[FloatArray, FloatArray | None]]
    saved = {"alpha": (finished, None), "foreground": (colours, None)}
    if options.crop is not None and options.saves_framed:
        bound, depth = Bound(max_memory, CROPPED), options.depth
        finished, foreground, image = crop_to_content(
            finished, foreground, image, padding=options.crop, depth=depth, bound=bound, name=name
        )
    saved["cutout"] = foreground, finished
    if "composite" in options.save:
        from ..backgrounds import choose_background, make_background

        chosen = choose_background(options.background, name)
        background = make_background(chosen, image, fit=options.fit, max_memory=max_memory)
        mixed = composite(foreground, finished, background, linear=options.linear)
        saved["composite"] = mixed, None
    return saved
