"""Find a data set's files and pair them with predictions."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path, PurePosixPath

from ..errors import A2UError, listed
from ..images.listing import LeftOut, instead, list_files, shut, unread
from ..pairing import (
    IMAGE_FOLDERS,
    MATTE_ROLES,
    TRIMAP_FOLDERS,
    TRIMAP_ROLES,
    by_picture,
    first_folder,
    index,
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
TRUTH_FOLDERS = ("alpha", "alphas", "pha", "matte", "mattes", "gt")  # of any other data set
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

    def whole(self) -> "Set":
        """Give the same pictures without their trimaps, to be scored all over."""
        items = tuple(replace(item, trimap=None) for item in self.items)
        return replace(self, has_trimaps=False, items=items)

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


def find_items(
    predictions: Path | None,
    truth: Path,
    trimap: Path | None = None,
    images: Path | None = None,
) -> Set:
    """Find a data set's files and pair them with the predictions, if any, by `pairing.match`.

    `truth` is a folder of alphas or the root of a data set. Trimaps that are not given are those of
    its layout, or in a folder `trimap` beside the truth, or `x_trimap.png` beside the truth `x.png`
    or in the folder above it. Of a data set that has several folders of trimaps the first counts;
    each does where `trimap` is ALL, or where the predictions have folders of the same names.

    Raises A2UError where a folder is missing or empty, names are ambiguous, or both are one folder.
    """
    given = None if trimap == ALL and not trimap.is_dir() else trimap
    for what, folder in (("predictions", predictions), ("truth", truth), ("trimaps", given)):
        if folder is not None and not folder.is_dir():
            raise A2UError(f"{folder} is no folder, expected the {what}; check the name")
    places = _locate(truth, images)
    if predictions and predictions.resolve() == places.truth.resolve():
        raise A2UError(f"{predictions} is both predictions and truth; give two folders")
    own = _named_alike(predictions, places.truth)
    truths = _mattes(places.truth, own)
    predicted = _mattes(predictions, own) if predictions else {}
    left_out = _left_out([place for place in (predictions, places.truth) if place])
    rest = instead(left_out)
    if not truths:
        raise A2UError(
            f"{places.truth} has no pictures, expected the true alphas{rest}; check --gt"
        )
    if predictions and not predicted:
        raise A2UError(
            f"{predictions} has no pictures, expected mattes to score{rest}; check the folder"
        )
    every = trimap == ALL and given is None
    if every and not places.trimaps:
        raise A2UError(f"{truth} has no folders of trimaps, expected some for all; name a folder")
    folders = [given] if given else places.trimaps
    parts = {folder.name for folder in folders} if len(folders) > 1 else set()
    several = every or any(PurePosixPath(name).parts[0] in parts for name in predicted)
    if len(folders) > 1 and several:
        items = [
            item for folder in folders for item in _items(predicted, truths, folder, places, parts)
        ]
    else:
        items = _items(predicted, truths, folders[0] if folders else None, places, set())
    sources = {
        "predictions": str(predictions),
        "truth": str(places.truth),
        "trimaps": _say_trimaps(items, folders, several=several),
    }
    left_out = tuple(dict([*left_out, *shut(folders)]).items())
    return Set(places.layout, any(item.trimap for item in items), tuple(items), sources, left_out)


def _left_out(folders: Iterable[Path]) -> LeftOut:
    """Find what could be a matte in folders, or could hold some, and is not read."""
    listed = [list_files(folder) for folder in folders]
    return tuple(found for each in listed for found in (*each.left_out, *unread(each.files)))


def _items(
    predicted: dict[str, Path],
    truths: dict[str, Path],
    folder: Path | None,
    places: _Places,
    parts: set[str],
) -> list[Item]:
    """Pair truths and predictions with the trimaps of a folder, or those beside the truth.

    Where there are several `parts`, predictions of this folder's name come before plain ones.
    """
    part = folder.name if folder and parts else ""
    if parts:
        own = {
            name.removeprefix(f"{part}/"): path
            for name, path in predicted.items()
            if name.startswith(f"{part}/")
        }
        plain = {n: p for n, p in predicted.items() if PurePosixPath(n).parts[0] not in parts}
        predicted = plain | own
    copies = set()
    if folder:
        drawn = by_picture(folder, TRIMAP_ROLES, suffixed=False)
        copies = {name for name in drawn if name not in truths and _truth_of(name, truths)}
    copied = {_truth_name(copy) for copy in copies}
    names = {name for name in truths if name not in copied} | copies | set(predicted)
    trimaps = _trimaps(names | set(truths), folder, places.truth)
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


def _trimaps(names: Iterable[str], folder: Path | None, truth: Path) -> dict[str, Path]:
    """Find the trimaps of pictures in their folder, or else beside the truth and right above it."""
    names = list(names)
    if folder:
        return match(names, folder, TRIMAP_ROLES, suffixed=False)
    found = match(names, truth, TRIMAP_ROLES, suffixed=True)
    rest = [name for name in names if name not in found]
    below = {str(PurePosixPath(name).parent) for name in rest}
    above = _above(truth)
    return match(rest, above, TRIMAP_ROLES, suffixed=True, below=below) | found


def _pictures(names: set[str], places: _Places) -> dict[str, Path]:
    """Find the pictures to show; two of one name do no harm."""
    if places.images:
        files = index(places.images)
    else:
        files = index(_above(places.truth), {str(PurePosixPath(n).parent) for n in names})
    return {name: files[name][0] for name in names if name in files}


def _say_trimaps(items: list[Item], folders: list[Path], *, several: bool) -> str:
    """Say which trimaps there are, and which of a data set's others are left."""
    used = sorted({str(item.trimap.parent) for item in items if item.trimap})
    if not used:
        return "none found; --trimap DIR names them"
    text = listed(used)
    if len(folders) > 1 and not several:
        others = listed([folder.name for folder in folders[1:]])
        text += f"; there is also {others}: --trimap all scores with each"
    return text


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
    beside = _above(truth)
    trimap_folder = first_folder(beside, TRIMAP_FOLDERS)
    return _Places(
        "folders",
        truth,
        [trimap_folder] if trimap_folder else [],
        images or first_folder(beside, IMAGE_FOLDERS),
    )


def _named_alike(predictions: Path | None, truth: Path) -> set[str]:
    """Find the names like `x_alpha` that are a picture's own: both folders have them, and `x`."""
    common = set(index(truth)) & set(index(predictions) if predictions else ())
    return {n for n in common for r in MATTE_ROLES if n.endswith(r) and n.removesuffix(r) in common}


def _mattes(folder: Path, own: set[str]) -> dict[str, Path]:
    """List a folder's mattes by the name of their picture, without the trimaps among them."""
    files = by_picture(folder, MATTE_ROLES, suffixed=False, pictures=own)
    return {
        name: path
        for name, path in files.items()
        if not any(
            name.endswith(role) and name.removesuffix(role) in files for role in TRIMAP_ROLES
        )
    }


def _above(folder: Path) -> Path:
    """Give the folder that a folder lies in, in the words it was named with where they tell."""
    return folder.parent if folder.name not in ("", "..") else folder.absolute().parent


def _truth_name(name: str) -> str:
    copy = COPY.fullmatch(name)
    return copy[1] if copy else name


def _truth_of(name: str, files: dict[str, Path]) -> Path | None:
    """Find a picture's file, or that of the picture which it is a copy of."""
    return files.get(name) or files.get(_truth_name(name))
