"""Score clips frame by frame and over time, two frames at once; a failure is a row."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean

from ..errors import A2UError, TrimapError
from ..images.meaning import Looks, look_at_all
from ..images.memory import Bound
from .clips import Clip, Clips, Frame
from .evaluation import (
    COLUMNS,
    OVER_TIME,
    Levels,
    Planes,
    Row,
    left_out,
    read_levels,
    score_item,
    value_of,
)
from .flow import read_flow
from .layouts import Item
from .metrics import Scores
from .temporal import (
    Pair,
    Protocol,
    average_changes,
    dtssd_dvm,
    dtssd_rvm,
    dtssd_tcvom,
    messddt_tcvom,
)


@dataclass(frozen=True)
class MovingScores(Scores):
    """Hold the scores of a frame, or the means of a clip's; None where there is nothing to compare.

    A frame's are those of its pair: with the frame before it by rvm, else with the one after it.
    """

    dtssd: float | None = None  # in the protocol's own unit
    messddt: float | None = None  # in thousands of pixels


def score_clips(
    clips: Clips,
    protocol: Protocol,
    *,
    workers: int = 1,
    max_memory: int | Bound | None = None,
    report: Callable[[Row], None] = lambda _: None,
) -> list[Row]:
    """Score every clip, in order, with the rows of its frames; `report` each frame as it is done.

    What the trimaps of a clip mean is decided for all of them together, as of a sequence's keys. A
    frame that fails is a row, and what is compared with it has nothing to compare. A worker holds
    two frames, and the motion between them. At last comes what is left out, by its path.
    """
    has_flow = any(frame.flow for clip in clips.clips for frame in clip.frames)
    whole = not clips.data_set.has_trimaps

    def look(clip: Clip) -> Looks:
        drawn = (frame.item.trimap for frame in clip.frames if frame.item.trimap)
        return look_at_all(drawn, drawn=True)

    def score_one(frame: Frame, looks: Looks) -> Row:
        def extend(scores: Scores, planes: Planes) -> Scores:
            if has_flow and frame.after and not frame.flow:
                raise A2UError("there is no flow from it to the next frame, and others have one")
            other = _read_pair(frame.before if protocol == "rvm" else frame.after, max_memory)
            drawn = None if whole else planes[2]
            if other is None:
                return MovingScores(**vars(scores))
            dtssd, messddt = _compare(planes[:2], other, drawn, frame.flow, protocol)
            return MovingScores(**vars(scores), dtssd=dtssd, messddt=messddt)

        return score_item(
            frame.item, whole=whole, max_memory=max_memory, extend=extend, of_clip=looks
        )

    rows = []
    with ThreadPoolExecutor(workers) as executor:
        looks = zip(clips.clips, executor.map(look, clips.clips), strict=True)
        of_frames = [together for clip, together in looks for _ in clip.frames]
        frames = (frame for clip in clips.clips for frame in clip.frames)
        for row in executor.map(score_one, frames, of_frames):
            rows.append(row)
            report(row)
    own = iter(rows)
    summed = [_sum_up(clip, tuple(islice(own, len(clip.frames))), protocol) for clip in clips.clips]
    return [*summed, *left_out(clips.data_set)]


def _read_pair(item: Item | None, max_memory: int | Bound | None) -> Pair | None:
    """Read the mattes of a frame beside one; None where they fail, which that frame's row says."""
    if item is None or item.prediction is None or item.truth is None:
        return None
    try:
        return (
            read_levels(item.prediction, "prediction", [], max_memory, guess=False),
            read_levels(item.truth, "truth", [], max_memory, guess=False),
        )
    except A2UError:
        return None


def _compare(
    frame: Pair, other: Pair, trimap: Levels | None, flow: Path | None, protocol: Protocol
) -> tuple[float, float | None]:
    """Compare a frame with the one beside it: dtSSD, and MESSDdt where there is a flow for it."""
    if protocol == "rvm":
        return dtssd_rvm(frame, other), None
    if protocol == "dvm":
        return dtssd_dvm(frame, other, trimap), None
    if trimap is None:
        raise TrimapError("tcvom compares what trimaps leave unknown, and there are none")
    along = messddt_tcvom(frame, other, trimap, read_flow(flow)) if flow else None
    return dtssd_tcvom(frame, other, trimap), along


def _sum_up(clip: Clip, frames: tuple[Row, ...], protocol: Protocol) -> Row:
    """Average a clip's frames, and note what is not in the average."""
    item = Item(clip.name, None, None)
    scored = [row.scores for row in frames if row.scores]
    if not scored:
        state = frames[0].state if len({row.state for row in frames}) == 1 else "failed"
        return Row(item, state, "no frame of it was scored", notes=clip.notes, frames=frames)
    dtssd, messddt = (
        average_changes(protocol, [v for row in frames if (v := value_of(row, name)) is not None])
        for name in OVER_TIME
    )
    means = {name: fmean(getattr(scores, name) for scores in scored) for name in COLUMNS}
    pixels = sum(scores.pixels for scores in scored)
    known = sum(not scores.pixels for scores in scored)
    average = MovingScores(**means, pixels=pixels, dtssd=dtssd, messddt=messddt)
    due = sum(row.state != "extra" for row in frames)
    pairs = sum(value_of(row, "dtssd") is not None for row in frames)
    notes = (
        *clip.notes,
        *([f"{known} frames have nothing unknown and count as 0"] if known else []),
        *([f"{len(scored)} of {due} frames are in the mean"] if len(scored) < due else []),
        *(
            [f"{pairs} of {due - 1} pairs of frames are compared"]
            if pairs < max(1, due - 1)
            else []
        ),
    )
    strays = [row.strays for row in frames if row.strays is not None]
    share = fmean(strays) if strays else None
    return Row(item, "scored", scores=average, strays=share, notes=notes, frames=frames)
