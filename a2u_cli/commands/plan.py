"""`--dry-run`: what a run would take, before it begins."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .process import prepare_process
from .progress import count_sources
from .terminal import show, show_json

if TYPE_CHECKING:
    from ..jobs.options import Options
    from ..jobs.spreading import Team
    from ..matting.runtime import Runtime
    from ..pairing import Pair

LONG = 90  # of a unit are told in the next larger one


def show_plan(
    pairs: Sequence["Pair"],
    out: Path,
    matter: "Runtime",
    options: "Options",
    team: "Team",
    facts: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Show how many pictures there are, and how long and how much memory the rest takes."""
    from ..images import picture_size
    from ..jobs.outlook import look_ahead

    sizes = [size for pair in pairs if (size := picture_size(pair.image))]
    largest = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    pixels = sum(height * width for height, width in sizes)
    look = look_ahead(pairs, out, matter, options, team, prepare_process)
    unknown = sum(look.unknown) / len(look.unknown) if look.unknown else None
    walk = matter.plan(largest, max_memory=2**62) if largest[0] else None
    memory = walk.memory if walk else 0
    if as_json:
        plan = {"pictures": len(pairs), "pixels": pixels, "largest": largest, "unknown": unknown}
        plan |= {"done": look.done, "seconds": look.seconds, "hours": look.seconds / 3600}
        plan |= {"workers": len(team.places) or 1, "memory": memory} | facts
        show_json(plan | {"sources": count_sources(pairs)})
        return
    there = f", results of {look.done} are there" if look.done else ""
    show(f"pictures:   {len(pairs)}, {pixels / 1e6:.1f} megapixels{there}")
    show(f"largest:    {largest[1]}x{largest[0]}")
    if unknown is not None:
        show(f"unknown:    {unknown:.1%} on average")
    show(f"time:       about {in_time(look.seconds)}")
    if walk:
        less = "" if walk.whole else ", less if bounded"
        show(f"memory:     about {memory / 1e9:.1f} GB for the largest{less}")


def in_time(seconds: float) -> str:
    """Say a time in the unit that suits it."""
    for unit in ("seconds", "minutes"):
        if seconds < LONG:
            return f"{max(1, round(seconds))} {unit}"
        seconds /= 60
    return f"{seconds:.1f} hours"
