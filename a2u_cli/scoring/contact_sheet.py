"""Lay out checked pictures, the worst first, as pages that need nothing else: no server, no folder.

The pictures are small WebPs inside the page, so that it can be moved, sent and written as a whole.
A browser lays out and decodes only what is near the window, and nothing here holds more than one
picture.
"""

import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain, repeat
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import quote

import numpy as np

from ..foreground import composite, estimate_foreground
from ..images.previews import encode_thumbnail, shrink
from ..trimap import shrink_trimap
from ..units import BACKGROUND, UNKNOWN, FloatArray, Trimap
from .suspicion import Reason, Suspicion

PER_PAGE = 10_000  # pictures
SIDE = 240  # pixels of a small picture's longer side
CHECK = 12  # pixels of the checker's squares
CHECKER = (0.62, 0.86)
TITLES = ("picture", "trimap", "matte", "cut-out")
MARK, HEAD = "a2u contact sheet", 400  # stands in these first bytes of a page
BLUE, TINT, DIM = (0.15, 0.5, 1.0), 0.6, 0.3  # over the unknown, and how dark the background is


@dataclass(frozen=True)
class Entry:
    """A picture on the sheet: what is suspected of its matte, or why that could not be checked.

    `score` is that of a `Suspicion`, None where it could not be checked: then the reason is why.
    `files` are the picture, its trimap or mask, and its matte; `pictures` the addresses of small
    ones, as in `TITLES`, which hold them.
    """

    name: str
    score: float | None
    reasons: tuple[Reason, ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, suspicion: Suspicion, **facts: Any) -> Self:
        """Enter what is suspected of a matte."""
        measures = asdict(suspicion.measures)
        return cls(name, suspicion.score, suspicion.reasons, measures, **facts)

    @classmethod
    def unchecked(cls, name: str, why: str, *, kind: str = "not checked", **facts: Any) -> Self:
        """Enter a picture whose matte could not be checked."""
        return cls(name, None, (Reason(kind, why),), **facts)

    @property
    def facts(self) -> dict[str, Any]:
        """Give all but the small pictures, for machines."""
        return {key: value for key, value in asdict(self).items() if key != "pictures"}

    def figures(self, folder: Path) -> list[tuple[str, str, str]]:
        """Give each small picture's title, its address, and that of its file from a folder."""
        links = (address(file, folder) for file in self.files)
        return list(zip(TITLES, self.pictures, chain(links, repeat("")), strict=False))


def address(file: str, folder: Path) -> str:
    """Give the address of a file from a page in a folder: a relative one, where there is one."""
    if "://" in file:  # in a store
        return quote(file, safe="/:")
    try:
        return quote(os.fsencode(Path(os.path.relpath(file, folder)).as_posix()))
    except ValueError:  # on another drive of Windows
        return Path(file).absolute().as_uri()


def draw_thumbnails(image: FloatArray, trimap: Trimap, alpha: FloatArray) -> tuple[str, ...]:
    """Draw the small pictures of an `Entry`, and give the addresses that hold them.

    `image` is float32 (H, W, 3) in [0, 1], `trimap` uint8 (H, W) in {0, 128, 255}, `alpha` float32
    (H, W) in [0, 1].
    """
    image, alpha = (np.clip(shrink(plane, SIDE), 0, 1) for plane in (image, alpha))
    height, width = alpha.shape
    if trimap.shape != alpha.shape:
        trimap = shrink_trimap(trimap, (height, width))
    rows, columns = np.indices((height, width)) // CHECK
    checker = np.asarray(np.choose((rows + columns) % 2, CHECKER), np.float32)
    behind = np.repeat(checker[..., None], 3, axis=2)  # (h, w, 3)
    foreground = estimate_foreground(image, alpha, method="blur-fusion")
    shown = image, lay_over(image, trimap), alpha, composite(foreground, alpha, behind)
    data = (base64.b64encode(encode_thumbnail(array)).decode() for array in shown)
    return tuple(f"data:image/webp;base64,{picture}" for picture in data)


def lay_over(image: FloatArray, trimap: Trimap) -> FloatArray:
    """Lay a trimap over its image: the unknown blue, the background dark."""
    tinted = image * np.float32(1 - TINT) + np.float32(TINT) * np.asarray(BLUE, np.float32)
    shown = np.where((trimap == UNKNOWN)[..., None], tinted, image)
    return np.where((trimap == BACKGROUND)[..., None], image * np.float32(DIM), shown)


def page_paths(path: Path, count: int) -> list[Path]:
    """Name the pages of so many pictures: `x.html`, then `x-2.html` and so on."""
    pages = max(1, -(-count // PER_PAGE))
    return [path, *(path.with_stem(f"{path.stem}-{number}") for number in range(2, pages + 1))]


@dataclass(frozen=True)
class Page:
    """One page among all: `first` is the rank of its first picture, from 1, of `total`."""

    path: Path
    paths: Sequence[Path]
    first: int
    total: int

    @property
    def last(self) -> int:
        """Give the rank of its last picture."""
        return min(self.first + PER_PAGE - 1, self.total)

    @property
    def links(self) -> list[tuple[str, bool]]:
        """Give the addresses of all pages, and whether it is this one."""
        return [(quote(os.fsencode(path.name)), path == self.path) for path in self.paths]


def write_page(file: IO[bytes], page: Page, entries: Iterable[Entry]) -> None:
    """Write a page with these entries, one after the other."""
    import jinja2

    template = jinja2.Environment(
        loader=jinja2.PackageLoader("a2u_cli.scoring", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template("contact_sheet.html.j2")
    index: list[Any] = []  # of a page alone, without its pictures

    def remember(entry: Entry) -> list[tuple[str, str, str]]:
        reasons = [(reason.kind, reason.text) for reason in entry.reasons]
        index.append((entry.name, entry.score, reasons))
        return entry.figures(page.path.parent)

    facts = {"page": page, "mark": MARK, "index": index, "remember": remember}
    for piece in template.generate(entries=entries, **facts):
        file.write(piece.encode(errors="backslashreplace"))  # names that are not UTF-8


def is_sheet(path: Path) -> bool:
    """Tell whether a file is a page of ours, which another may replace."""
    with path.open("rb") as file:
        return MARK.encode() in file.read(HEAD)
