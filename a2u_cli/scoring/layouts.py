"""Find a data set's files and pair them with predictions."""

import re
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ..errors import A2UError
from ..images.reading import SUFFIXES
from ..pairing import (
    IMAGE_FOLDERS,
    MATTE_ROLES,
    TRIMAP_FOLDERS,
    TRIMAP_ROLES,
    first_folder,
    suffixed,
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


@dataclass(frozen=True)
class Item:
    """A picture's files by its name; None where there is none."""

    name: str
    prediction: Path | None
    truth: Path | None
    trimap: Path | None = None
    image: Path | None = None


@dataclass(frozen=True)
class Set:
    """What was found: the layout in words, whether there are trimaps, the items by name."""

    layout: str
    has_trimaps: bool
    items: tuple[Item, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """List all files that are read: no report may replace one."""
        return tuple(
            path
            for item in self.items
            for path in (item.prediction, item.truth, item.trimap, item.image)
            if path
        )


def find_items(
    predictions: Path | None,
    truth: Path,
    trimap: Path | None = None,
    images: Path | None = None,
) -> Set:
    """Find a data set's files and pair them with the predictions, if any, by path and stem.

    `truth` is a folder of alphas or the root of a known data set; trimaps are looked for beside it
    where none are given (a folder of them, or `x_trimap.png`), and so are the pictures.

    Raises A2UError where a folder is missing or empty, stems are ambiguous, or both are one folder.
    """
    for what, folder in (("predictions", predictions), ("truth", truth), ("trimaps", trimap)):
        if folder is not None and not folder.is_dir():
            raise A2UError(f"{folder} is no folder, expected the {what}; check the name")
    layout, truth_folder, trimap_folder, image_folder = _locate(truth, trimap, images)
    if predictions and predictions.resolve() == truth_folder.resolve():
        raise A2UError(f"{predictions} is both predictions and truth; give two folders")
    truths = _by_name(truth_folder)
    predicted = _by_name(predictions, MATTE_ROLES) if predictions else {}
    if not truths:
        raise A2UError(f"{truth_folder} has no pictures, expected the true alphas; check --gt")
    if predictions and not predicted:
        raise A2UError(f"{predictions} has no pictures, expected mattes to score; check the folder")
    beside = truth_folder.resolve().parent
    trimaps = (
        _by_name(trimap_folder, TRIMAP_ROLES) if trimap_folder else suffixed(beside, TRIMAP_ROLES)
    )
    pictures = _by_name(image_folder) if image_folder else _beside(beside)
    copies = {name for name in trimaps if name not in truths and _truth_of(name, truths)}
    copied = {_truth_name(copy) for copy in copies}
    expected = {name for name in truths if name not in copied} | copies
    items = [
        Item(
            name,
            predicted.get(name),
            _truth_of(name, truths),
            _truth_of(name, trimaps),
            _truth_of(name, pictures),
        )
        for name in sorted(expected | set(predicted))
    ]
    return Set(layout, bool(trimaps), tuple(items))


def _locate(
    truth: Path, trimap: Path | None, images: Path | None
) -> tuple[str, Path, Path | None, Path | None]:
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
            return layout.name, folder, trimap or trimaps[0], images or next(iter(pictures), None)
    beside = truth.resolve().parent
    return (
        "folders",
        truth,
        trimap or first_folder(beside, TRIMAP_FOLDERS),
        images or first_folder(beside, IMAGE_FOLDERS),
    )


def _by_name(folder: Path, roles: tuple[str, ...] = ()) -> dict[str, Path]:
    """List a folder's pictures by relative path without extension, and without a role's suffix.

    Raises A2UError where two files have one name.
    """
    names: dict[str, Path] = {}
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    exact = {path.relative_to(folder).with_suffix("").as_posix() for path in files}
    for path in files:
        name = path.relative_to(folder).with_suffix("").as_posix()
        bare = next((name.removesuffix(r) for r in roles if name.endswith(r)), name)
        name = name if bare in exact else bare
        if name in names:
            raise A2UError(f"{names[name]} and {path} have one name; remove one")
        names[name] = path
    return names


def _beside(folder: Path) -> dict[str, Path]:
    """List what lies in a folder by stem: to be shown at most, so two of one name do no harm."""
    return {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in SUFFIXES}


def _truth_name(name: str) -> str:
    copy = COPY.fullmatch(name)
    return copy[1] if copy else name


def _truth_of(name: str, files: dict[str, Path]) -> Path | None:
    """Find a picture's file, or that of the picture which it is a copy of."""
    return files.get(name) or files.get(_truth_name(name))
