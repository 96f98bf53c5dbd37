"""What a run saves of each picture and how it looks, from the words of the command line."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .options import BACKGROUND, choose, choose_finish, choose_fit, refuse_idle

if TYPE_CHECKING:
    from ..jobs.options import Options


def choose_results(
    save: str,
    *,
    background: str | None,
    fit: str | None,
    linear: bool,
    colours: str | None,
    max_memory: str | None,
) -> "Options":
    """Take what is to be saved and how it looks; raises A2UError for what nothing saved shows."""
    from ..foreground import METHODS
    from ..jobs.options import Options

    kinds = tuple(kind.strip() for kind in save.split(","))
    if "composite" not in kinds:
        unseen = {"background": background, "fit": fit, "linear": linear}
        refuse_idle("no composite is saved; --save composite", **unseen)
    options = Options(
        save=kinds,
        background=background or BACKGROUND,
        fit=choose_fit(fit, background or BACKGROUND),
        linear=linear,
        colours=choose("colours", colours, METHODS),
    )
    if not options.saves_colours:
        refuse_idle("an alpha has no colours; --save more", colours=colours)
    if "composite" in kinds:
        _try_background(options, max_memory)
    return options


def choose_finishing(options: "Options", crop: str | None, **finish: Any) -> "Options":
    """Take how mattes are finished and cut-outs cropped; raises A2UError where nothing shows it."""
    if not options.saves_matte:
        refuse_idle("foregrounds are colours alone; --save more", **finish)
    if not options.saves_framed:
        why = "mattes and foregrounds keep their pictures' size; --save cutout or composite"
        refuse_idle(why, crop=crop)
    return replace(options, finish=choose_finish(**finish), crop=crop)


def _try_background(options: "Options", max_memory: str | None) -> None:
    """Refuse what is no background before any work is done; raises ImageError, OutOfMemory."""
    import numpy as np

    from ..backgrounds import choose_background, make_background
    from ..matting.planning import parse_bytes

    chosen = choose_background(options.background, "any")
    pixel, bound = np.zeros((1, 1, 3), np.float32), parse_bytes(max_memory)
    make_background(chosen, pixel, fit=options.fit, max_memory=bound)
