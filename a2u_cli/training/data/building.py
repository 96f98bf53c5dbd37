"""From folders and counts to a data engine."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ...errors import A2UError
from ...rendering.sets import Order, orders_of
from ...weights.cache import cache_folder
from .atlas import Source
from .engine import HELD, WHOLE, DataEngine, Recipe
from .pictures import (
    DRAWN_SIDE,
    SIDE,
    drawn_foregrounds,
    drawn_scenes,
    foregrounds_of,
    photographs_of,
    refuse_held_out,
    rendered_foregrounds,
    shuffled,
)

DRAWN, SCENES = 1024, 128  # different ones of each
PHOTOGRAPHS = 0.66  # of the backgrounds, where there are any


def build_engine(
    *,
    seed: int = 0,
    foregrounds: Path | None = None,
    picture_share: float = 0.0,
    renders: Path | None = None,
    render_count: int | None = None,
    orders: Sequence[Order] | None = None,
    render_share: tuple[float, float] = (0.0, 0.0),
    backgrounds: Path | None = None,
    drawn: int = DRAWN,
    scenes: int = SCENES,
    drawn_side: int = DRAWN_SIDE,
    side: int = SIDE,
    held: int = HELD,
    recipe: Recipe = WHOLE,
    cache: Path | None = None,
    measures: bool = False,
    device: torch.device | str = "cpu",
) -> DataEngine:
    """Gather pictures: of folders, rendered in three dimensions, and drawn, which are the rest.

    `foregrounds` and `backgrounds` are folders of pictures, `renders` one of `a2u render`, of which
    `orders` are used, or `render_count`, or what is there; shares are of the samples,
    `render_share` at the start and at the end of the run. What is drawn is kept
    in `cache`, unless told in the cache folder of a2u.

    Raises A2UError where shares do not add up, a folder holds nothing of its kind, or a foreground
    is one that is kept to measure with; an engine that `measures` may have those.
    """
    cache = cache or cache_folder() / "training"
    shares = [(picture_share,) * 2 if foregrounds else (0.0,) * 2]
    shares.append(render_share if renders else (0.0, 0.0))
    rest = tuple(1.0 - sum(share[end] for share in shares) for end in range(2))
    if min(rest) < -1e-9:
        raise A2UError(
            f"shares of {picture_share:g} for pictures and {max(render_share):g} for renders are "
            "over 1 together; lower one"
        )
    files = shuffled(foregrounds_of(foregrounds, cache, side=side), seed)
    if renders and orders is None:
        orders = orders_of(renders, render_count)
    rendered = rendered_foregrounds(renders, orders) if renders and orders else []
    if not measures:
        refuse_held_out(picture.name for picture in (*files, *rendered))
    drawings = drawn_foregrounds(drawn, seed, cache, side=drawn_side) if max(rest) > 1e-9 else []
    photographs = shuffled(photographs_of(backgrounds, side=side), seed)
    share = PHOTOGRAPHS if photographs else 0.0
    return DataEngine(
        [
            Source("pictures", files, shares[0]),
            Source("renders", rendered, shares[1]),
            Source("drawings", drawings, (rest[0], rest[1])),
        ],
        [
            Source("photographs", photographs, (share, share)),
            Source("scenes", drawn_scenes(scenes, seed, cache, side=drawn_side), (1 - share,) * 2),
        ],
        seed=seed,
        recipe=recipe,
        held=held,
        side=side,
        device=device,
    )
