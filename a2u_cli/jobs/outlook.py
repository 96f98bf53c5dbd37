"""What lies before a run: what is there already, and how long the rest will take."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from ..errors import A2UError, ImageError
from ..images.reading import Picture, read_bytes
from ..pairing import Pair
from ..units import UNKNOWN, Trimap
from .crew import Crew
from .folder import (
    Job,
    Loaded,
    Matte,
    are_there,
    encode,
    find_missing,
    is_held,
    outputs,
    read_hint,
    share_of_free,
    size_in_head,
)
from .journal import Journal
from .options import Options
from .places import Places, hash_file
from .spreading import Team, hired, setups

if TYPE_CHECKING:
    from ..matting.runtime import Runtime

LEAST_SIDE, MOST_SIDE = 64, 512  # pixels of a sample
STRIPES = 32  # pixels from one to the next, of which an eighth is unknown
Cost = tuple[float, float, float]  # see `_count`


@dataclass(frozen=True)
class Outlook:
    """How long a run will take, of how many pictures the results are there, what is unknown."""

    seconds: float
    done: int
    unknown: tuple[float, ...]  # of each picture whose trimap can be read


def look_ahead(
    pairs: Iterable[Pair],
    folder: Path,
    matter: "Runtime",
    options: Options,
    team: Team,
    prepare: Callable[[], object],
) -> Outlook:
    """Count what each picture costs, and time samples where and as the run would be.

    A picture costs something for each of its pixels, for each that is decoded, since an unknown one
    depends on it, and for each unknown one, which colours settle: how much is what the samples
    tell. Where workers would run, they do now, all at once, and their start counts.
    """
    shares, done = [], 0
    small, large = list[Cost](), list[Cost]()
    for pair in pairs:
        if are_there(pair, folder, options):
            done += 1
            continue
        try:
            trimap = read_hint(pair, read_bytes(pair.hint, str(pair.hint)), options)
            cost = _count(trimap, matter)
            shares.append(cost[2] / trimap.size)
        except A2UError:  # the run will name it; until then it costs what a whole picture does
            height, width = size_in_head(pair.image) or (0, 0)
            cost = (height * width,) * 3
        (small if pair in team.pairs else large).append(cost)
    seconds = 0.0
    if small:
        begin = time.perf_counter()
        crew = Crew(setups(matter, team, prepare))
        measure = partial(crew.call, measure_here, options, _side(small))
        speeds = np.array(list(crew.each(lambda _: measure(), team.places)))  # (workers, 3)
        start = time.perf_counter() - begin - float(speeds[:, 3].max())
        seconds += start + float((np.array(small) @ speeds[:, :3].T).sum(0).mean()) / crew.size
    if large:
        speed = _measure(matter, options, _side(large))[:3]
        seconds += float(np.array(large).sum(0) @ speed)
    return Outlook(seconds, done, tuple(shares))


def _count(trimap: Trimap, matter: "Runtime") -> Cost:
    """Count a picture's pixels, those that are decoded, and the unknown ones."""
    unknown = trimap == UNKNOWN
    decoded = matter.decoded_share(unknown) if unknown.any() else 0.0
    return trimap.size, decoded * trimap.size, float(np.count_nonzero(unknown))


def _side(costs: list[Cost]) -> int:
    """Choose a sample's side: the usual picture's, as far as that is quickly done."""
    return int(min(MOST_SIDE, max(LEAST_SIDE, median(pixels for pixels, _, _ in costs) ** 0.5)))


def measure_here(options: Options, side: int) -> tuple[float, ...]:
    """Measure in a worker's process."""
    return _measure(hired(), options, side)


def _measure(matter: "Runtime", options: Options, side: int) -> tuple[float, ...]:
    """Tell the seconds that a pixel of each kind costs, and how long it took to find out.

    All unknown, stripes and a small square cost alike for each pixel, but not for each that is
    decoded or unknown.
    """
    begin = time.perf_counter()
    whole = np.full((side, side), UNKNOWN, np.uint8)
    stripes, square = np.zeros_like(whole), np.zeros_like(whole)
    stripes[:, np.arange(side) % STRIPES < STRIPES // 8] = UNKNOWN
    edge = slice(side // 2 - side // 8, side // 2 + side // 8)
    square[:, side // 2 :], square[edge, edge] = 255, UNKNOWN
    rng = np.random.default_rng(0)
    slope = np.linspace(0.2, 0.8, side, dtype=np.float32)
    image = slope[:, None, None] + rng.normal(0, 0.02, (side, side, 3))
    colours = np.clip(image, 0, 1).astype(np.float32)
    picture = Picture(colours, None, 8, None, None, 1)
    costs, seconds = [], []
    for trimap in (square, square, stripes, whole):  # the first one warms up
        start = time.perf_counter()
        alpha = matter.matte(picture.image, trimap)
        loaded = Loaded(
            Pair("sample", Path(), Path()), dict.fromkeys(options.save, ""), picture, trimap
        )
        for _ in encode(loaded, alpha, options, matter.max_memory):
            pass
        costs.append(_count(trimap, matter))
        seconds.append(time.perf_counter() - start)
    speeds = np.maximum(np.linalg.lstsq(np.array(costs[1:]), np.array(seconds[1:]))[0], 0.0)
    return *map(float, speeds), time.perf_counter() - begin


def was_made_by(
    options: Options, pairs: Iterable[Pair], folder: Path, matte: Matte, journal: Journal
) -> bool:
    """Tell whether the first result there is was made by these options, as the journal knows it."""
    job = Job(folder, matte, options, Places(journal), share_of_free, None)
    for pair in pairs:
        if not any(path.exists() for path in outputs(pair, folder, options).values()):
            continue
        try:
            hashes = [bytes.fromhex(hash_file(path)) for path in (pair.image, pair.hint)]
            return is_held(pair, hashes, job) or not find_missing(pair, hashes, job)
        except ImageError:  # not read, or not ours: the next may tell
            continue
    return False
