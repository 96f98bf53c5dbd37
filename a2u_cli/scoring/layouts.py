"""Find a data set's files and pair them with predictions."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path, PurePosixPath

from ..errors import A2UError, listed
from ..images.listing import LeftOut, instead, list_files, shut, unread
from ..pairing import (
    IMAGE_FOLDERS,
    MATTE_ROLES,
    TRIMAP_FOLDERS,
    TRIMAP_ROLES,
    TRUTH_FOLDERS,
    Results,
    by_picture,
    first_folder,
    folder_above,
    index,
    list_places,
    match,
)

COPY = re.compile(r"(.+)_\d{1,2}")  # Composition-1k: 20 composites NAME_0 .. NAME_19 of one truth


@dataclass(frozen=True)
class Layout:
    """Where a data set keeps truth, trimaps and pictures, below its root."""

    name: str
    truth: str
    trimaps: tuple[str, ...]
    images: tuple[str, ...] = ()


LAYOUTS = (
    Layout(
        "Composition-1k, truth copied to every composite", "alpha_copy", ("trimaps",), ("merged",)
    ),
    Layout(
        "Composition-1k as published",
        "Adobe-licensed images/alpha",
        ("Adobe-licensed images/trimaps",),
        ("merged",),
    ),
    Layout("Composition-1k", "alpha", ("trimaps",), ("merged",)),
    Layout(
        "alphamatting.com",
        "gt_lowres",
        ("trimap_lowres/Trimap1", "trimap_lowres/Trimap2", "trimap_lowres/Trimap3"),
        ("input_lowres",),
    ),
    Layout(
        "AM-2k, P3M or AIM-500",
        "mask",
        ("trimap",),
        ("original", "blurred_image", "original_image"),
    ),
)
ROOTS = ("", "Test_set", "validation")  # of the layouts, below the folder that is given
ALL = Path("all")  # for trimaps: all the folders that a data set has of them


@dataclass(frozen=True)
class Item:
    """A picture's files by its name; None where there is none.

    `part` names the folder of its trimap where a data set is scored with several.
    """

    name: str
    prediction: Path | None
    truth: Path | None
    trimap: Path | None = None
    image: Path | None = None
    part: str = ""


@dataclass(frozen=True)
class Set:
    """What was found: the layout in words, whether there are trimaps, the items by name.

    `sources` says in words where predictions, truth and trimaps were found; `left_out` are files
    that could be mattes, and folders that could hold some, each with the reason.
    """

    layout: str
    has_trimaps: bool
    items: tuple[Item, ...]
    sources: dict[str, str]
    left_out: LeftOut = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """List all files that are read: no report may replace one."""
        return tuple(
            path
            for item in self.items
            for path in (item.prediction, item.truth, item.trimap, item.image)
            if path
        )


@dataclass(frozen=True)
class _Places:
    """Where a data set's files lie: a layout's name, and its folders."""

    layout: str
    truth: Path
    trimaps: list[Path]
    images: Path | None


@dataclass(frozen=True)
class _Mattes:
    """The predictions and the true alphas by the names of their pictures, and what is left out."""

    predicted: dict[str, Path]
    truths: dict[str, Path]
    left_out: LeftOut


Hints = list[tuple[Path, bool]]  # where trimaps are looked for, and if that is among mattes


def find_items(
    predictions: Path | None,
    truth: Path,
    trimap: Path | None = None,
    images: Path | None = None,
    *,
    whole: bool = False,
    results: Results = frozenset,
) -> Set:
    """Find a data set's files and pair them with the predictions, if any, by `pairing.match`.

    `truth` is a folder of alphas or the root of a data set; `results` of earlier runs are none.
    Trimaps that are not given are those of its layout, or where those of any pictures are looked
    for, or right above the truth; to score the `whole` none are. Of several folders of trimaps the
    first counts; each does where `trimap` is ALL, or where the predictions have such folders, too.

    Raises A2UError where a folder is missing or empty, names are ambiguous, or both are one folder.
    """
    given = None if trimap == ALL and not trimap.is_dir() else trimap
    require_folders(predictions=predictions, truth=truth, trimaps=given)
    places = _locate(truth, images)
    if predictions and predictions.resolve() == places.truth.resolve():
        raise A2UError(f"{predictions} is both predictions and truth; give two folders")
    hints = [(folder, False) for folder in ([given] if given else places.trimaps)]
    hints = hints or list(list_places(places.truth, places.truth, None, TRIMAP_FOLDERS))
    mattes = _find_mattes(predictions, places.truth, hints, results)
    turns = _take_turns(hints, mattes.predicted, every=trimap == ALL)
    parts = {turn[0][0].name for turn in turns} if len(turns) > 1 else set()
    items = [item for turn in turns for item in _items(mattes, turn, places, parts, whole=whole)]
    if trimap and not any(item.trimap for item in items):
        where = given or places.truth
        raise A2UError(f"{where} has no trimap of these pictures, expected some; check --trimap")
    said = "none are used" if whole else _say_trimaps(items, hints, turns)
    sources = {"predictions": str(predictions), "truth": str(places.truth), "trimaps": said}
    left_out = tuple(dict([*mattes.left_out, *shut(place for place, _ in hints)]).items())
    return Set(places.layout, any(item.trimap for item in items), tuple(items), sources, left_out)


def require_folders(**folders: Path | None) -> None:
    """Refuse what is no folder, by A2UError; None was not given."""
    for what, folder in folders.items():
        if folder is not None and not folder.is_dir():
            raise A2UError(f"{folder} is no folder, expected the {what}; check the name")


def _find_mattes(predictions: Path | None, truth: Path, hints: Hints, results: Results) -> _Mattes:
    """Find predictions and truths: where one folder lies in another it holds its own alone.

    Raises A2UError where there are none.
    """
    folders = [place for place in (predictions, truth) if place]
    hinting = [place for place, among in hints if not among]
    others = {place.resolve() for place in (*folders, *hinting)}
    apart = {predictions: others, truth: {*others, *results()}}
    listed = [list_files(folder, apart[folder]) for folder in folders]
    left_out = tuple(found for each in listed for found in (*each.left_out, *unread(each.files)))
    for folder, what, where in (
        (truth, "the true alphas", "--gt"),
        (predictions, "mattes to score", "the folder"),
    ):
        if folder and not index(folder, apart=apart[folder]):
            raise A2UError(
                f"{folder} has no pictures, expected {what}{instead(left_out)}; check {where}"
            )
    own = _named_alike(*(index(p, apart=apart[p]) if p else {} for p in (predictions, truth)))
    predicted = _mattes(predictions, own, others) if predictions else {}
    return _Mattes(predicted, _mattes(truth, own, apart[truth]), left_out)


def _take_turns(hints: Hints, predicted: Iterable[str], *, every: bool) -> list[Hints]:
    """Tell with which places of trimaps all is scored, and then with which once more."""
    if any(among for _, among in hints):  # of these each picture has its own
        return [hints]
    folders = {place.name for place, _ in hints}
    named = any(PurePosixPath(name).parts[0] in folders for name in predicted)
    several = len(hints) > 1 and (every or named)
    return [[hint] for hint in hints] if several else [hints[:1]]


def _items(
    mattes: _Mattes, hints: Hints, places: _Places, parts: set[str], *, whole: bool
) -> list[Item]:
    """Pair truths and predictions with the trimaps of a folder, or those beside the truth.

    Where there are several `parts`, predictions of this folder's name come before plain ones.
    """
    predicted, truths = mattes.predicted, mattes.truths
    part = hints[0][0].name if parts else ""
    if parts:
        own = {
            name.removeprefix(f"{part}/"): path
            for name, path in predicted.items()
            if name.startswith(f"{part}/")
        }
        plain = {n: p for n, p in predicted.items() if PurePosixPath(n).parts[0] not in parts}
        predicted = plain | own
    drawn = [by_picture(place, TRIMAP_ROLES, suffixed=False) for place, among in hints if not among]
    copies = {n for each in drawn for n in each if n not in truths and _truth_of(n, truths)}
    copied = {_truth_name(copy) for copy in copies}
    names = {name for name in truths if name not in copied} | copies | set(predicted)
    trimaps = {} if whole else _trimaps(names | set(truths), hints, places.truth)
    pictures = _pictures(names | set(truths), places)
    return [
        Item(
            f"{part}/{name}" if part else name,
            predicted.get(name),
            _truth_of(name, truths),
            _truth_of(name, trimaps),
            _truth_of(name, pictures),
            part,
        )
        for name in sorted(names)
    ]


def _trimaps(names: Iterable[str], hints: Hints, truth: Path) -> dict[str, Path]:
    """Find each picture's trimap in the first place that has it, or else right above the truth."""
    found: dict[str, Path] = {}
    for place, among in hints:
        rest = [name for name in names if name not in found]
        found |= match(rest, place, TRIMAP_ROLES, suffixed=among)
    if not any(among for _, among in hints):
        return found
    rest = [name for name in names if name not in found]
    below = {str(PurePosixPath(name).parent) for name in rest}
    return match(rest, folder_above(truth), TRIMAP_ROLES, suffixed=True, below=below) | found


def _pictures(names: set[str], places: _Places) -> dict[str, Path]:
    """Find the pictures to show; two of one name do no harm."""
    if places.images:
        files = index(places.images)
    else:
        files = index(folder_above(places.truth), {str(PurePosixPath(n).parent) for n in names})
    return {name: files[name][0] for name in names if name in files}


def _say_trimaps(items: list[Item], hints: Hints, turns: list[Hints]) -> str:
    """Say which trimaps there are, and which of a data set's others are left."""
    used = sorted({str(item.trimap.parent) for item in items if item.trimap})
    if not used:
        return "none found; --trimap DIR names them"
    taken = [hint for turn in turns for hint in turn]
    others = [hint[0].name for hint in hints if hint not in taken]
    more = f"; there is also {listed(others)}: --trimap all scores with each" if others else ""
    return listed(used) + more


def _locate(truth: Path, images: Path | None) -> _Places:
    """Recognise a layout: its name, and the folders of truth, trimaps and pictures."""
    for layout, (base, below) in product(
        LAYOUTS, [*((truth, r) for r in ROOTS), (truth.parent, "")]
    ):
        root = base / below
        folder = root / layout.truth
        trimaps = [root / name for name in layout.trimaps if (root / name).is_dir()]
        fits = base == truth or folder.resolve() == truth.resolve()
        if fits and folder.is_dir() and trimaps:
            pictures = [root / name for name in layout.images if (root / name).is_dir()]
            return _Places(layout.name, folder, trimaps, images or next(iter(pictures), None))
    inner = first_folder(truth, TRUTH_FOLDERS)
    if inner and (first_folder(truth, TRIMAP_FOLDERS) or first_folder(truth, IMAGE_FOLDERS)):
        truth = inner
    images = images or first_folder(folder_above(truth), IMAGE_FOLDERS)
    return _Places("folders", truth, [], images)


def _named_alike(ours: Iterable[str], theirs: Iterable[str]) -> set[str]:
    """Find the names like `x_alpha` that are a picture's own: both have them, and `x`."""
    common = {*ours} & {*theirs}
    return {n for n in common for r in MATTE_ROLES if n.endswith(r) and n.removesuffix(r) in common}


def _mattes(folder: Path, own: set[str], apart: set[Path]) -> dict[str, Path]:
    """List a folder's mattes by the name of their picture, without the trimaps among them."""
    files = by_picture(folder, MATTE_ROLES, suffixed=False, pictures=own, apart=apart)
    return {
        name: path
        for name, path in files.items()
        if not any(
            name.endswith(role) and name.removesuffix(role) in files for role in TRIMAP_ROLES
        )
    }


def _truth_name(name: str) -> str:
    copy = COPY.fullmatch(name)
    return copy[1] if copy else name


def _truth_of(name: str, files: dict[str, Path]) -> Path | None:
    """Find a picture's file, or that of the picture which it is a copy of."""
    return files.get(name) or files.get(_truth_name(name))
