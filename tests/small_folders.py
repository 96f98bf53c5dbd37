"""Folders of small pictures, trimaps and masks, and what a run has made of them."""

from pathlib import Path

import numpy as np
from conftest import Run

from a2u_cli.images import write_image


def photo(path: Path, seed: int = 1) -> None:
    write_image(path, np.random.default_rng(seed).random((12, 16, 3), np.float32))


def trimap(path: Path) -> None:
    levels = np.full((12, 16), 128, np.uint8)
    levels[:, :4], levels[:, 12:] = 0, 255
    write_image(path, levels)


def mask(path: Path) -> None:
    write_image(path, np.where(np.arange(16) < 8, 0, 255).astype(np.uint8)[None].repeat(12, 0))


def put(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        photo(folder / f"{name}.png", number)
        trimap(folder / f"{name}_trimap.png")


def held(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}


def last(found: Run) -> str:
    return found.stderr.splitlines()[-1]
