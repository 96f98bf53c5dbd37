"""Where training pictures come from: drawn, rendered, or of folders; made once, kept on disk.

What is slow to make is kept as a WebP file in the cache: colours nearly, alpha exactly as made.
What is read is always what was kept, so that the first time gives what every other gives.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from ...errors import ImageError
from ...images import reading as images
from ...images import write_bytes
from ...rendering import foregrounds as drawing
from ...rendering.held_out import FIRST_SEED, is_held_out_render
from ...rendering.sets import Order, encode_webp, render_order
from .atlas import Picture
from .folders import Foreground, list_foregrounds, list_pictures, read_foreground, read_photograph
from .planes import Pixels, scaled, to_floats, to_pixels

SIDE = 1024  # pixels of the longer side, at most
DRAWN_SIDE = 512
STAND_IN = 300_000  # seeds from one to that in its place
FOREGROUND_QUALITY, SCENE_QUALITY = 92, 90  # of WebP's colours; alpha is kept without loss


def drawn_foregrounds(
    count: int, seed: int, cache: Path, *, side: int = DRAWN_SIDE
) -> list[Picture]:
    """Give flat drawings of all kinds (`rendering/foregrounds`), (side, side, 4)."""

    def draw(number: int) -> Pixels:
        colour, alpha = drawing.render_foreground(side, np.random.default_rng((seed, 3, number)))
        return to_pixels(np.dstack([colour, alpha]))

    return [
        _kept(f"drawn-{side}-{seed}-{number}", partial(draw, number), cache)
        for number in range(count)
    ]


def drawn_scenes(count: int, seed: int, cache: Path, *, side: int = DRAWN_SIDE) -> list[Picture]:
    """Give drawn backgrounds, (side, side, 3)."""

    def draw(number: int) -> Pixels:
        return to_pixels(drawing.render_background(side, np.random.default_rng((seed, 4, number))))

    return [
        _kept(f"scene-{side}-{seed}-{number}", partial(draw, number), cache)
        for number in range(count)
    ]


def rendered_foregrounds(folder: Path, orders: Sequence[Order]) -> list[Picture]:
    """Give foregrounds rendered in three dimensions, in the order of their seeds.

    Those that `a2u render` has not written into the folder yet are rendered when they are due.
    """

    def read(order: Order) -> Pixels:
        path = folder / f"{order.name}.{order.format}"
        if not path.is_file():
            rendered = render_order(order)
            if rendered.failure:  # this seed gives nothing: another stands in for it, always
                return read(replace(order, seed=order.seed + STAND_IN))
            for name, data in rendered.files.items():
                write_bytes(folder / name, data)
        return decode(path.read_bytes())

    return [Picture(order.name, partial(read, order)) for order in orders]


def foregrounds_of(folder: Path | None, cache: Path, *, side: int = SIDE) -> list[Picture]:
    """Give the foregrounds of a folder, as `list_foregrounds` finds them, at most `side` large."""

    def read(paths: Foreground) -> Pixels:
        return _at_most(read_foreground(*paths), side)

    return [
        _kept(f"cut-out-{side}-{_stamp(*paths)}", partial(read, paths), cache, paths[0].name)
        for paths in list_foregrounds(folder)
    ]


def photographs_of(folder: Path | None, *, side: int = SIDE) -> list[Picture]:
    """Give the photographs of a folder at most `side` large, (H, W, 3)."""

    def read(path: Path) -> Pixels:
        return _at_most(read_photograph(path), side)

    return [Picture(path.name, partial(read, path)) for path in list_pictures(folder)]


def refuse_held_out(names: Iterable[str]) -> None:
    """Refuse what is rendered from seeds kept to measure with: raises ImageError."""
    for name in names:
        if is_held_out_render(name):
            raise ImageError(
                f"{name} is rendered from a seed that is kept to measure with (from {FIRST_SEED} "
                "on), so that nothing trains on it; take it away, or render others"
            )


def shuffled(pictures: list[Picture], seed: int) -> list[Picture]:
    """Mix pictures, since a folder's order may be by kind."""
    return [pictures[i] for i in np.random.default_rng((seed, 6)).permutation(len(pictures))]


def build_pack(source: Path, target: Path, *, side: int = SIDE) -> int:
    """Copy `fg` and `bg` of a folder small enough to travel; gives the bytes of all.

    Foregrounds as WebP, photographs as JPEG, at most `side` pixels a side.
    """
    for paths in list_foregrounds(source / "fg"):
        levels = _at_most(read_foreground(*paths), side)
        write_bytes(
            target / "fg" / f"{paths[0].stem}.webp", encode_webp(levels, FOREGROUND_QUALITY)
        )
    for path in list_pictures(source / "bg"):
        levels = _at_most(read_photograph(path), side)[..., ::-1]
        data = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, SCENE_QUALITY])[1]
        write_bytes(target / "bg" / f"{path.stem}.jpg", bytes(data))
    return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def decode(data: bytes) -> Pixels:
    """Decode a picture of 8 bits to uint8 (H, W, 3 or 4)."""
    picture = images.read_image(data)
    planes = picture.image if picture.alpha is None else np.dstack([picture.image, picture.alpha])
    return to_pixels(planes)


def _kept(name: str, make: Callable[[], Pixels], cache: Path, shown: str | None = None) -> Picture:
    """Keep what `make` gives as a file in the cache, and read it from there."""
    path = cache / f"{name}.webp"

    def read() -> Pixels:
        if not path.is_file():
            write_bytes(path, encode_webp(make(), FOREGROUND_QUALITY))
        return decode(path.read_bytes())

    return Picture(shown or name, read)


def _at_most(pixels: Pixels, side: int) -> Pixels:
    longest = max(pixels.shape[:2])
    return pixels if longest <= side else to_pixels(scaled(to_floats(pixels), side / longest))


def _stamp(*paths: Path | None) -> str:
    """Tell one state of files from another."""
    states = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in paths if p]
    return hashlib.sha256(repr(states).encode()).hexdigest()[:16]
