"""A folder of rendered foregrounds, or of composites of them: each file whole or not at all."""

import json
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..backgrounds import choose_background, make_background
from ..errors import A2UError
from ..foreground import composite
from ..images import encode_image, quantise, write_bytes
from ..images.files import replacing, words
from ..jobs.crew import Crew
from ..jobs.lines import read_lines
from ..trimap import make_trimap
from ..units import FloatArray
from .scenes import KINDS, render_scene

Format = Literal["webp", "png"]
JOURNAL = "journal.jsonl"
QUALITY = 90  # of WebP's colours; its alpha is kept as it is
BANDS = (2.0, 26.0)  # pixels of 768: how far a trimap's unknown reaches from what is soft


class Ordered(Protocol):
    """What a folder is rendered from: a name, and files that the order alone decides."""

    @property
    def name(self) -> str: ...

    def render(self) -> "Rendered": ...


Kind = TypeVar("Kind", bound=Ordered)


@dataclass(frozen=True)
class Order:
    """One picture to render; `backgrounds` is a folder, or a picture, to lay it over, if any.

    `bands` is between what numbers of pixels of 768 its trimap's unknown reaches from what is soft.
    """

    kind: str
    seed: int
    size: int
    format: Format = "webp"
    detail: float = 1.0
    backgrounds: str | None = None
    bands: tuple[float, float] = BANDS

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.seed:06d}"

    def render(self) -> "Rendered":
        return render_order(self)


@dataclass(frozen=True)
class Rendered:
    """What became of an order: its record and its files' bytes by path, or why there is none."""

    order: Ordered
    record: dict[str, Any]
    files: dict[str, bytes]
    failure: str = ""


def plan_set(
    count: int,
    seed: int = 0,
    *,
    kinds: Sequence[str] = tuple(KINDS),
    size: int = 768,
    format: Format = "webp",
    backgrounds: str | None = None,
) -> list[Order]:
    """Order pictures of all kinds in turn, each kind's from the same first seed on."""
    return [
        Order(kinds[i % len(kinds)], seed + i // len(kinds), size, format, backgrounds=backgrounds)
        for i in range(count)
    ]


def orders_of(folder: Path, count: int | None = None) -> list[Order]:
    """List what a folder holds, or `count` orders that begin as those that it was rendered by.

    Raises A2UError where there is nothing, or it is not known what would come next.
    """
    held = list(read_orders(folder, Order).values())
    if not held:
        raise A2UError(f"{folder}: no rendered pictures; write some with a2u render {folder}")
    if count is None or count <= len(held):
        return held[:count]
    first = held[0]
    plan = plan_set(count, first.seed, size=first.size, format=first.format)
    if not set(held) <= set(plan):
        raise A2UError(
            f"{folder} holds {len(held)} pictures that are not of all kinds in turn, so {count} "
            "cannot be gone on to; render them first, or ask for those there"
        )
    return plan


def render_set(
    folder: Path, orders: Iterable[Ordered], *, workers: int = 1
) -> Generator[Rendered, None, None]:
    """Render into a folder what its journal does not hold yet, and give each when it is on disk.

    A picture's files come first, its line in the journal last; an interrupt leaves neither half.
    The files are the same for any number of `workers`, which are processes. A file that the journal
    does not name is kept, unless it is what would be written.

    Raises A2UError where something cannot or may not be written; what is done is kept.
    """
    _require_own(folder)
    orders = list(orders)
    done = {kind: read_orders(folder, kind) for kind in {type(order) for order in orders}}
    coming = [order for order in orders if done[type(order)].get(order.name) != order]
    ours = _list_files(folder)
    for rendered in _render_all(coming, workers):
        for path in rendered.files.keys() - ours:
            _require_free(folder / path, rendered.files[path])
        for path, data in rendered.files.items():
            write_bytes(folder / path, data)
        if not rendered.failure:
            _add_line(folder / JOURNAL, rendered)
        yield rendered


def _render_all(orders: list[Ordered], workers: int) -> Iterator[Rendered]:
    """Render in order, here or in processes that end with the loop."""
    if workers == 1 or len(orders) < 2:
        yield from (order.render() for order in orders)
        return
    crew = Crew([None] * workers)
    yield from crew.each(lambda order: crew.call(order.render), orders)


def render_order(order: Order) -> Rendered:
    """Render one picture and encode its files; a seed without a good picture is a failure."""
    try:
        colour, alpha, record = render_scene(
            order.kind, order.seed, order.size, detail=order.detail
        )
        files = _encode(order, colour, alpha)
    except A2UError as error:
        return Rendered(order, {}, {}, str(error))
    return Rendered(order, record, files)


def _encode(order: Order, colour: FloatArray, alpha: FloatArray) -> dict[str, bytes]:
    if order.backgrounds is not None:
        return _composite(order, colour, alpha)
    levels = quantise(np.dstack([colour, alpha]), 8)
    name = f"{order.name}.{order.format}"
    if order.format == "png":
        return {name: encode_image(levels, "png")}
    return {name: encode_webp(levels.astype(np.uint8, copy=False), QUALITY)}


def encode_webp(levels: npt.NDArray[np.uint8], quality: int) -> bytes:
    """Encode RGB or RGBA, (H, W, C): alpha exactly, colours nearly, also where alpha is 0."""
    stream = BytesIO()
    Image.fromarray(levels).save(stream, "WEBP", quality=quality, alpha_quality=100, exact=True)
    return stream.getvalue()


def _composite(order: Order, colour: FloatArray, alpha: FloatArray) -> dict[str, bytes]:
    """Lay a foreground over one of the backgrounds, in the layout of Composition-1k."""
    chosen = choose_background(str(order.backgrounds), order.name)
    behind = make_background(chosen, colour)
    # from what the files hold: so the composite is exactly theirs
    levels = (quantise(plane, 8).astype(np.float32) for plane in (colour, alpha, behind))
    colour, alpha, behind = (plane / np.float32(255) for plane in levels)
    rng = np.random.default_rng([order.seed, *order.kind.encode()])
    low, high = np.log(order.bands)
    inside, outside = np.exp(rng.uniform(low, high, 2)) * order.size / 768
    pictures: dict[str, npt.NDArray[Any]] = {
        "fg": colour,
        "alpha": alpha,
        "bg": behind,
        "merged": composite(colour, alpha, behind),
        "trimaps": make_trimap(alpha, inside=inside, outside=outside),
    }
    return {f"{at}/{order.name}.png": encode_image(pictures[at], "png") for at in pictures}


def read_orders(folder: Path, kind: type[Kind]) -> dict[str, Kind]:
    """Give the orders of a kind whose line and files are there, by name.

    Other lines are passed over.
    """
    orders = dict[str, Kind]()
    for entry in _entries(folder):
        try:
            if all((folder / file).is_file() for file in entry["files"]):
                order = entry["order"].items()
                words = {key: tuple(v) if isinstance(v, list) else v for key, v in order}
                orders[entry["name"]] = kind(**words)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return orders


def _list_files(folder: Path) -> set[str]:
    """List what the journal names as written, whether it is there or not."""
    return {
        file
        for entry in _entries(folder)
        if isinstance(entry, dict) and isinstance(files := entry.get("files"), list)
        for file in files
        if isinstance(file, str)
    }


def _entries(folder: Path) -> Iterator[Any]:
    for _, line in read_lines(folder / JOURNAL):
        with suppress(ValueError, RecursionError):
            yield json.loads(line)


def _require_own(folder: Path) -> None:
    """Refuse to go on with another's journal, as that of a batch; raises A2UError."""
    known = (isinstance(entry, dict) and "order" in entry for entry in _entries(folder))
    if any(True for _ in read_lines(folder / JOURNAL)) and not any(known):
        raise A2UError(
            f"{folder / JOURNAL} is no journal of a render, expected none or that of one; move it "
            "away, or choose another folder"
        )


def _require_free(path: Path, data: bytes) -> None:
    """Refuse a place where something else lies; what a kill left without its line is the same."""
    if os.path.lexists(path) and not (path.is_file() and path.read_bytes() == data):
        raise A2UError(
            f"{path} is there and was not rendered by a run in this folder; move it away, or "
            "choose another folder"
        )


def _add_line(path: Path, rendered: Rendered) -> None:
    """Write the journal anew with one more line, so that it never ends in half of one.

    Raises A2UError where it cannot be written.
    """
    entry = {
        "name": rendered.order.name,
        "files": sorted(rendered.files),
        "order": vars(rendered.order),
        "record": rendered.record,
    }
    try:
        before = path.read_bytes() if path.is_file() else b""
        before += b"\n" * (before != b"" and not before.endswith(b"\n"))
        with replacing(path) as temporary:
            temporary.write_bytes(before + json.dumps(entry).encode() + b"\n")
    except OSError as error:
        raise A2UError(
            f"{path} cannot be written ({words(error)}); what is done is kept: mend that and run "
            "the same command again"
        ) from error
