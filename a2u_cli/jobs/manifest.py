"""A manifest: which pictures a run mattes, with which trimaps or masks, a row each.

A row that cannot be followed is one failed picture; the others go on. The rows of a million
pictures are kept as text, and become `Pair`s one at a time.
"""

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from ..backgrounds import DRAWN, list_backgrounds, require_background
from ..errors import A2UError, ImageError
from ..images.files import require_regular, words
from ..images.listing import LeftOut
from ..images.stores import Stores, list_beside
from ..pairing import Pair, Pairs
from ..trimap import band_pixels
from .journal import Outcome
from .lines import as_bytes, as_text
from .rows import read_rows
from .table import in_parts

TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
Own = tuple[tuple[str, str | bool], ...]  # of a row: options by their names


class Rows(Sequence[Pair]):
    """Pairs that are kept as text, and made when asked for; parts of them share it."""

    def __init__(
        self, folder: Path, stores: Stores, source: str, text: bytearray, ends: NDArray[np.uint64]
    ) -> None:
        self.folder, self.stores, self.source = folder, stores, source
        self._text, self._ends = text, ends  # ends: (N + 1,), the first is 0
        self.numbers: NDArray[np.int64] = np.arange(ends.size - 1)

    @overload
    def __getitem__(self, place: int) -> Pair: ...
    @overload
    def __getitem__(self, place: slice) -> "Rows": ...
    def __getitem__(self, place: int | slice) -> "Pair | Rows":
        if isinstance(place, slice):
            return self.only(self.numbers[place])
        return self._make(int(self.numbers[place]))

    def __len__(self) -> int:
        return self.numbers.size

    def __iter__(self) -> Iterator[Pair]:
        return map(self._make, map(int, self.numbers))

    def only(self, numbers: NDArray[np.int64]) -> "Rows":
        """Give some of the rows, by their numbers."""
        part = Rows(self.folder, self.stores, self.source, self._text, self._ends)
        part.numbers = numbers
        return part

    def cells(self, number: int) -> list[str]:
        """Give a row's picture, trimap, mask, name, options, and where it stands."""
        begin, end = (int(end) for end in self._ends[number : number + 2])
        return as_text(bytes(self._text[begin:end])).split("\0")

    def _make(self, number: int) -> Pair:
        picture, trimap, mask, name, own, _ = self.cells(number)
        hint = self.stores.path(self.folder, trimap or mask)
        facts: Own = tuple(json.loads(own).items()) if own else ()
        image = self.stores.path(self.folder, picture)
        return Pair(name, image, hint, bool(mask), self.source, facts)


@dataclass(frozen=True)
class Inputs:
    """The files that a run reads, which no output may replace: as often as they are asked for."""

    found: Sequence[Pair]
    others: tuple[Path, ...]

    def __iter__(self) -> Iterator[Path]:
        for pair in self.found:
            yield pair.image
            yield pair.hint
        yield from self.others


@dataclass(frozen=True)
class Manifest:
    """What a run is of: its pairs, the rows that failed, and what of a folder is in no pair.

    `backgrounds` are those that rows set for themselves.
    """

    found: Sequence[Pair]
    failed: tuple[Outcome, ...] = ()
    backgrounds: frozenset[str] = frozenset()
    unpaired: tuple[Path, ...] = ()
    left_out: LeftOut = ()

    @classmethod
    def of_folder(cls, pairs: Pairs) -> "Manifest":
        """Take what was found in a folder."""
        return cls(pairs.found, unpaired=pairs.unpaired, left_out=pairs.left_out)

    def inputs(self, background: str) -> Inputs:
        """Give the files that a run with a background reads, and those that it names."""
        behind = [p for what in (background, *self.backgrounds) for p in list_backgrounds(what)]
        return Inputs(self.found, (*self.unpaired, *(path for path, _ in self.left_out), *behind))


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; what its rows name is relative to its folder.

    Raises A2UError where it cannot be read, has a column that means nothing, or no rows.
    """
    failed: list[tuple[int, Outcome]] = []
    text, ends, stores = bytearray(), array("Q", [0]), Stores()
    backgrounds = set[str]()

    def fail(where: str, name: str, why: str) -> None:
        place = f"{path} {where}"
        outcome = Outcome(name or place, "failed", f"{place}: {why}" if name else why)
        failed.append((int(where.split()[1]), outcome))

    for where, row in read_rows(path):
        if isinstance(row, str):
            fail(where, "", row)
            continue
        name = str(row.get("name") or "")
        try:
            cells, own = _check(row, path.parent, stores)
        except A2UError as error:
            fail(where, name or str(row.get("picture") or ""), str(error))
            continue
        backgrounds |= {str(own[option]) for option in ("background",) if option in own}
        text += as_bytes("\0".join((*cells, json.dumps(own) if own else "", where)))
        ends.append(len(text))
    if not failed and len(ends) == 1:
        raise A2UError(f"{path} has no rows, expected one for each picture; see a2u plan --help")
    rows = Rows(path.parent, stores, f"from {path}", text, np.array(ends, "u8"))
    kept = np.ones(len(rows), bool)
    for first, second in _find_twice(rows):
        kept[second] = False
        *_, name, _, where = rows.cells(second)
        fail(where, name, f"{rows.cells(first)[-1]} has this name, too; give another")
    in_order = tuple(outcome for _, outcome in sorted(failed, key=lambda row: row[0]))
    return Manifest(rows.only(np.flatnonzero(kept)), in_order, frozenset(backgrounds))


def _find_twice(rows: Rows) -> Iterator[tuple[int, int]]:
    """Find rows that would have one result: the first of a name, and each later one."""
    names = (as_bytes(rows.cells(number)[3].casefold()) for number in range(len(rows)))
    keys = np.concatenate([np.empty(0, "<u8"), *in_parts(names)])
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    firsts: dict[str, int] = {}
    for number in sorted({int(order[place + step]) for place in same for step in (0, 1)}):
        first = firsts.setdefault(rows.cells(number)[3].casefold(), number)
        if first != number:
            yield first, number


def _check(
    row: dict[str, Any], folder: Path, stores: Stores
) -> tuple[tuple[str, ...], dict[str, str | bool]]:
    """Take a row's picture, trimap, mask and name, and its options; raises A2UError."""
    row = {column: value for column, value in row.items() if value not in (None, "")}
    for column in {"picture", "trimap", "mask", "name"} & {*row}:
        if not isinstance(row[column], str) or "\0" in row[column]:
            raise A2UError(f"{column} {row[column]!r} is no text, expected a path")
    picture, trimap, mask = (row.get(column, "") for column in ("picture", "trimap", "mask"))
    if not picture:
        raise A2UError("it has no picture, expected a path")
    if bool(trimap) == bool(mask):
        found = "both trimap and mask" if trimap else "neither trimap nor mask"
        raise A2UError(f"it has {found}, expected one of them")
    paths = [stores.path(folder, file) for file in (picture, trimap or mask)]
    name = _take_name(row.get("name"), paths[0], folder)
    for path in paths:
        try:
            list_beside(path)
            require_regular(path)
        except (OSError, ValueError) as error:
            raise ImageError(f"{path} cannot be read ({words(error)})") from error
    return (picture, trimap, mask, name), _take_own(row, folder, is_mask=bool(mask))


def _take_name(name: str | None, picture: Path, folder: Path) -> str:
    """Give a row's name, or its picture's below the folder; raises A2UError where it leads out."""
    if name is None:
        if not picture.is_relative_to(folder):
            raise A2UError(f"{picture} is not below {folder}, expected a name for it")
        name = picture.relative_to(folder).with_suffix("").as_posix()
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or not place.parts:
        raise A2UError(f"name {name!r} is no place below the output folder; give another")
    return place.as_posix()


def _take_own(row: dict[str, Any], folder: Path, *, is_mask: bool) -> dict[str, str | bool]:
    """Take the options that a row sets for itself; raises A2UError."""
    readers: dict[str, Callable[[Any], str | bool]] = {
        "band": _read_band,
        "invert": _read_truth,
        "strict": _read_truth,
        "background": lambda what: _read_background(what, folder),
    }
    own: dict[str, str | bool] = {}
    for option in readers.keys() & row.keys():
        try:
            own[option] = readers[option](row[option])
        except A2UError as error:
            raise A2UError(f"{option}: {error}") from error
    idle = {"strict"} if is_mask else {"band", "invert"}
    if given := sorted(option for option in idle if own.get(option)):
        hint = "mask" if is_mask else "trimap"
        raise A2UError(f"{given[0]} would do nothing for a {hint}; leave it empty")
    return dict(sorted(own.items()))


def _read_band(value: Any) -> str:
    band_pixels(str(value), (1, 1))
    return str(value)


def _read_truth(value: Any) -> bool:
    truth = TRUTHS.get(str(value).lower())
    if truth is None:
        raise A2UError(f"{value!r} is neither true nor false")
    return truth


def _read_background(value: Any, folder: Path) -> str:
    what = str(value)
    if what not in DRAWN and (folder / what).exists():
        what = str(folder / what)
    require_background(what)
    return what


def plan_rows(pairs: Iterable[Pair]) -> Iterator[dict[str, str]]:
    """Give pairs as rows of a manifest."""
    for pair in pairs:
        hint = {"trimap": "", "mask": ""} | {"mask" if pair.is_mask else "trimap": str(pair.hint)}
        yield {"picture": str(pair.image), **hint, "name": pair.name}
