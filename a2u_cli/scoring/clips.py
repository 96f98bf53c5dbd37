"""Find clips, which are folders of numbered frames, and pair their frames by number."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ..errors import A2UError, listed
from ..images.listing import LeftOut, instead, list_files, shut, unread
from ..pairing import (
    MATTE_ROLES,
    ROLE_FOLDERS,
    ROLES,
    TRIMAP_FOLDERS,
    TRIMAP_ROLES,
    TRUTH_FOLDERS,
    Results,
    first_folder,
    folder_above,
)
from .flow import FLOW_SUFFIXES
from .layouts import Item, Set, require_folders

NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")  # the last number of a name, what is before and behind it
FROM_TO = re.compile(r"flow_(\d+)_(\d+)")  # VideoMatting108's flow: its first frame counts
FLOW_FOLDERS = ("flow", "flows", "flow_png")
OF_ROLES = {*ROLE_FOLDERS, *FLOW_FOLDERS, "foreground", "background"}

Numbered = dict[int, Path]  # a clip's files by frame


@dataclass(frozen=True)
class Frame:
    """A frame's files; the frames beside it where both of their mattes are there; its flow.

    A frame beside it is one step away: the step is the smallest between two numbers of the truth.
    """

    item: Item
    before: Item | None = None
    after: Item | None = None
    flow: Path | None = None


@dataclass(frozen=True)
class Clip:
    """A clip's frames in the order of their numbers; `notes` name gaps in the truth."""

    name: str
    frames: tuple[Frame, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Clips:
    """The clips that were found, and all their files as a data set."""

    clips: tuple[Clip, ...]
    data_set: Set

    @property
    def files(self) -> tuple[Path, ...]:
        """List all files that are read: no report may replace one."""
        flows = (frame.flow for clip in self.clips for frame in clip.frames if frame.flow)
        return (*self.data_set.files, *flows)


@dataclass(frozen=True)
class _Rest:
    """What is not scored: files with the reason, and the names of folders beside mattes."""

    left_out: LeftOut
    passed: set[str]


def find_clips(
    predictions: Path,
    truth: Path,
    trimaps: Path | None = None,
    flow: Path | None = None,
    *,
    whole: bool = False,
    results: Results = frozenset,
) -> Clips:
    """Find the clips below two folders, and pair their frames by number.

    A folder that holds numbered frames is a clip, by its path; one named like a role (`alpha`,
    `pha`) belongs to the clip that it lies in. Clips belong together by name, or where there is but
    one. Trimaps that are not given are looked for in and beside the truth; to score the `whole`
    none are. `results` of earlier runs are no truth.

    Raises A2UError where a folder is missing or has no frames, holds several sequences, or both are
    one folder.
    """
    require_folders(predictions=predictions, truth=truth, trimaps=trimaps, flow=flow)
    if predictions.resolve() == truth.resolve():
        raise A2UError(f"{predictions} is both predictions and truth; give two folders")
    others = {place.resolve() for place in (predictions, truth, trimaps, flow) if place}
    truths, rest = _find_mattes(truth, {*others, *results()}, "true alphas", "--gt")
    predicted, more = _find_mattes(predictions, others, "mattes to score", "the folder")
    predicted = _name_alike(predicted, truths)
    names = {**truths, **predicted}
    drawn, source = ({}, "none are used") if whole else _find_trimaps(trimaps, truth, names)
    flows = _find_flow(flow, names) if flow else {}
    clips = tuple(
        _pair(
            truth.resolve().name if name == "." else name,
            *(kind.get(name, {}) for kind in (truths, predicted, drawn, flows)),
        )
        for name in sorted(names)
    )
    sources = {"predictions": str(predictions), "truth": str(truth), "trimaps": source}
    sources |= {"flow": str(flow)} if flow else {}
    passed = sorted({*rest.passed, *more.passed})
    sources |= {"passed": f"what lies in {listed(passed)} beside mattes"} if passed else {}
    items = tuple(frame.item for clip in clips for frame in clip.frames)
    left_out = [*rest.left_out, *more.left_out, *shut(p for p in (trimaps, flow) if p)]
    has_trimaps = any(item.trimap for item in items)
    return Clips(clips, Set("clips", has_trimaps, items, sources, tuple(dict(left_out).items())))


def _find_mattes(
    root: Path, others: Collection[Path], what: str, where: str
) -> tuple[dict[str, Numbered], _Rest]:
    """Find the mattes below a folder, by clip and frame, and what is none.

    Raises A2UError where there are none.
    """
    listing = list_files(root, {*others} - {root.resolve()})
    unnumbered: list[tuple[Path, str]] = []
    clips: dict[str, Numbered] = {}
    by_clip = _by_clip(listing.pictures, root, TRUTH_FOLDERS)
    for name, (files, _) in by_clip.items():
        numbered, rest = _number(files, MATTE_ROLES)
        unnumbered += [(path, "its name has no number of a frame") for path in rest]
        clips |= {name: numbered} if numbered else {}
    without: LeftOut = (*listing.left_out, *unread(listing.files), *unnumbered)
    if not clips:
        raise A2UError(
            f"{root} has no numbered frames, expected {what}{instead(without)}; check {where}"
        )
    sorted_in = {path.parent for files, _ in by_clip.values() for path in files}
    passed = {path.parent for path in listing.pictures} - sorted_in
    return clips, _Rest(without, {folder.name for folder in passed})


def _find_trimaps(
    given: Path | None, truth: Path, names: Collection[str]
) -> tuple[dict[str, Numbered], str]:
    """Find trimaps by clip and frame, where they are given, or else in or beside the truth.

    Raises A2UError where those that are given fit no clip.
    """
    beside = first_folder(folder_above(truth), TRIMAP_FOLDERS)
    for root in [given] if given else [truth, *([beside] if beside else [])]:
        clips: dict[str, Numbered] = {}
        by_clip = _by_clip(list_files(root).pictures, root, TRIMAP_FOLDERS)
        for name, (files, in_role) in by_clip.items():
            numbered, _ = _number(files, TRIMAP_ROLES, plain=in_role or root != truth)
            clips |= {name: numbered} if numbered else {}
        clips = _name_alike(clips, names)
        if {*clips} & {*names}:
            return clips, str(root)
    if given:
        raise A2UError(f"{given} has no trimap of these clips, expected some; check --trimap")
    return {}, "none found; --trimap DIR names them"


def _find_flow(root: Path, names: Collection[str]) -> dict[str, Numbered]:
    """Find the files of motion by clip and the number of the frame that it begins at.

    Raises A2UError where they fit no clip.
    """
    files = [path for path in list_files(root).files if path.suffix.lower() in FLOW_SUFFIXES]
    by_clip = _by_clip(files, root, FLOW_FOLDERS)
    clips = _name_alike({name: _number(own, ())[0] for name, (own, _) in by_clip.items()}, names)
    if not any(clips.get(name) for name in names):
        expected = f"{', '.join(FLOW_SUFFIXES)} numbered by the earlier frame"
        raise A2UError(f"{root} has no flow of these clips, expected {expected}; check --flow")
    return clips


def _name_alike(clips: dict[str, Numbered], names: Collection[str]) -> dict[str, Numbered]:
    """Give a folder's only clip the name of the only one there is, if one of them has no name."""
    if len(clips) == len(names) == 1 and "." in {*clips, *names}:
        return dict(zip(names, clips.values(), strict=True))
    return clips


def _by_clip(
    files: Iterable[Path], root: Path, own: tuple[str, ...]
) -> dict[str, tuple[list[Path], bool]]:
    """Sort files by clip: their folder's path, without a folder of their `own` role on the way.

    The first of these roles counts, as far as there are any: what lies beside it, or in folders of
    other roles there, is passed. Tells of each clip whether it has such a folder.

    Raises A2UError where a clip is there twice.
    """
    folders: dict[tuple[str, ...], list[Path]] = {}
    for path in files:
        folders.setdefault(path.parent.relative_to(root).parts, []).append(path)
    roles: dict[tuple[str, ...], str] = {}  # of the folders that have folders of the own role
    for parts in folders:
        for at, part in enumerate(parts):
            if part in own:
                first = min(part, roles.get(parts[:at], part), key=own.index)
                roles[parts[:at]] = first
    clips: dict[str, tuple[list[Path], bool]] = {}
    for parts, found in folders.items():
        ways = [at for at, part in enumerate(parts) if part in OF_ROLES and parts[:at] in roles]
        if all(roles[parts[:at]] == parts[at] for at in ways) and parts not in roles:
            name = "/".join(part for at, part in enumerate(parts) if at not in ways) or "."
            if name in clips:
                twice = listed([clips[name][0][0].parent, found[0].parent])
                raise A2UError(f"{twice} are both the clip {name}, expected one; name another")
            clips[name] = (found, bool(ways))
    return clips


def _number(
    files: list[Path], roles: tuple[str, ...], *, plain: bool = True
) -> tuple[Numbered, list[Path]]:
    """Sort one sequence's files by frame; give the rest, which has no number, beside them.

    The last number of a name is the frame's. Files whose names end in one of the `roles` go before
    others; those of another role are not counted, nor are, unless `plain`, those of none.

    Raises A2UError where these are several sequences, or a frame is there twice.
    """
    rest = []
    sequences: dict[tuple[str, str], list[tuple[int, Path]]] = {}
    for path in files:
        stem = path.stem
        if moved := FROM_TO.fullmatch(stem):
            sequences.setdefault(("flow_", ""), []).append((int(moved[1]), path))
        elif parts := NUMBERED.fullmatch(stem):
            sequences.setdefault((parts[1], parts[3]), []).append((int(parts[2]), path))
        else:
            rest.append(path)
    own = {names: found for names, found in sequences.items() if names[1].endswith(roles)}
    if not own and plain:
        own = {names: found for names, found in sequences.items() if not names[1].endswith(ROLES)}
    if len(own) > 1:
        patterns = listed([f"{before}#{behind}" for before, behind in sorted(own)])
        raise A2UError(
            f"{files[0].parent} holds the sequences {patterns}, expected one; give each a folder"
        )
    numbered: Numbered = {}
    for number, path in next(iter(own.values()), []):
        if number in numbered:
            twice = f"{numbered[number].name} and {path.name}"
            raise A2UError(f"{path.parent} has frame {number} twice ({twice}); keep one")
        numbered[number] = path
    return numbered, rest


def _pair(
    name: str, truths: Numbered, predicted: Numbered, drawn: Numbered, flow: Numbered
) -> Clip:
    """Pair a clip's frames by number, and tell each the frames beside it."""
    items = {
        number: Item(
            f"{name}/{_digits(truths.get(number) or predicted[number])}",
            predicted.get(number),
            truths.get(number),
            drawn.get(number),
            part=name,
        )
        for number in sorted({*truths, *predicted})
    }
    numbers = sorted(truths)
    step = min((b - a for a, b in pairwise(numbers)), default=1)
    whole = {number: item for number, item in items.items() if item.prediction and item.truth}
    frames = tuple(
        Frame(
            item,
            whole.get(number - step),
            whole.get(number + step),
            flow.get(number),
        )
        for number, item in items.items()
    )
    gaps = list(_say_gaps(numbers, step))
    note = f"the truth has a gap: there is no frame {listed(gaps)}"
    return Clip(name, frames, (note,) if gaps else ())


def _say_gaps(numbers: list[int], step: int) -> Iterator[str]:
    """Say which frames are not there, those in a row as one."""
    for before, behind in pairwise(numbers):
        first, last = before + step, behind - step
        if first <= last:
            yield str(first) if first == last else f"{first} to {last}"


def _digits(path: Path) -> str:
    """Give a frame's number as its file's name has it."""
    parts = NUMBERED.fullmatch(path.stem)
    assert parts  # else it was not found
    return parts[2]
