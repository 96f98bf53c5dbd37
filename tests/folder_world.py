"""What lies where in the folder campaign, in words: a tree of contents, and a command for it.

Paths are words, relative to a root. A content is a word, "photo#3.png", or "-> where a link leads",
or what a result is made of: (kind, of what ...). Pictures of the words are made by `data_of`.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Content = Any
RESULTS = {"alpha": "soft", "cutout": "cutout", "foreground": "photo", "composite": "photo"}
FORMATS = {"jpg": "JPEG", "tif": "TIFF"}  # Pillow's names, where they are not the extension's
SIZE = (48, 64)
EMPTY = "empty#0."
AMBIGUOUS = "more than one |would have one result"  # words of those lines
READ = ["png", "jpg", "jpeg", "jpe", "jfif", "tif", "tiff", "webp", "bmp", "gif", "avif"]
UNREAD = ["nef", "psd", "jxl"]


def stem(path: str) -> str:
    return path.rpartition(".")[0]


def is_read(path: str) -> bool:
    return path.rpartition(".")[2].lower() in READ


@dataclass(frozen=True)
class Command:
    """A command in parts; "" is an option that is not given.

    `shaping` are options that change the pixels of every result, `of_masks` those that change what
    is made of a mask. `gt` and `reports` (options with their files) are those of `eval`.
    """

    name: str
    folder: str
    out: str
    trimaps: str = ""
    masks: str = ""
    alpha: str = ""
    gt: str = ""
    reports: tuple[tuple[str, str], ...] = ()
    save: tuple[str, ...] = ()
    background: str = ""
    shaping: tuple[str, ...] = ()
    of_masks: tuple[str, ...] = ()
    force: bool = False

    def arguments(self) -> list[str]:
        """Give the command line, without what is so by default."""
        if self.name == "eval":
            given = dict([*self.reports, ("--trimap", self.trimaps)])
            words = [word for option, value in given.items() if value for word in (option, value)]
            words += [*self.shaping, *(["--force"] if self.force else [])]
            return ["eval", self.folder, "--gt", self.gt, *words]
        default = f"{self.folder}/a2u_output"
        own = default if self.name == "batch" else f"{default}/{self.name}"
        given = {
            "--output": self.out if self.out != own else "",
            "--trimaps": self.trimaps,
            "--masks": self.masks,
            "--alpha": self.alpha if self.alpha != f"{default}/alpha" else "",
            "--save": ",".join(self.save),
            "--background": self.background,
        }
        words = [word for option, value in given.items() if value for word in (option, value)]
        words += [*self.shaping, *self.of_masks, *(["--force"] if self.force else [])]
        return [self.name, self.folder, *words]


class Refused(Exception):
    """The command must do nothing, say why in a line with these words, and end with 2."""

    def __init__(self, words: str = AMBIGUOUS) -> None:
        super().__init__(words)


def first(found: dict[str, list[str]], *wanted: list[str]) -> str:
    """Find a file by the first of these lists of names that has one; never guess between two."""
    for names in wanted:
        hits = [path for name in names for path in found.get(name, ())]
        if len(hits) > 1:
            raise Refused
        if hits:
            return hits[0]
    return ""


@dataclass
class World:
    """What lies where, and what the journals of output folders say was written at their places."""

    files: dict[str, Content] = field(default_factory=dict)
    known: dict[str, dict[str, set[Content]]] = field(default_factory=dict)

    def real(self, path: str) -> str:
        """Follow the links on the way to a path."""
        parts = os.path.normpath(path).split("/")
        for number in range(1, len(parts) + 1):
            content = self.files.get("/".join(parts[:number]), "")
            if content[:3] == "-> ":
                return self.real("/".join([content[3:], *parts[number:]]))
        return "/".join(parts)

    def place(self, path: str) -> str:
        """Follow the links on the way to a file's folder, and leave its own."""
        folder, _, name = path.rpartition("/")
        return os.path.normpath(f"{self.real(folder)}/{name}")

    def there(self, path: str) -> Content:
        """Tell what is at a path, behind links; None for nothing."""
        return self.files.get(self.real(path))

    def is_folder(self, path: str) -> bool:
        return any(other.startswith(self.real(path) + "/") for other in self.files)

    def folder(self, above: str, *names: str) -> str:
        """Find the first of these folders that there is in another; "" for none."""
        return next((path for n in names if self.is_folder(path := f"{above}/{n}")), "")

    def could_be_picture(self, path: str, where: str) -> bool:
        """Tell that of a file by its name, or by what it begins with."""
        content = self.there(where)  # None: a link that leads nowhere
        begins = not isinstance(content, str) or content.endswith((".png", ".jpg"))
        return begins or is_read(path) or path.rpartition(".")[2].lower() in UNREAD

    def kind(self, path: str) -> str:
        """Tell what a file is: photo, trimap, mask, soft, cutout, wide, raw, text, bad."""
        content = self.there(path) or "bad"
        if isinstance(content, tuple):
            return RESULTS.get(content[0], "trimap")
        return content.split("#")[0]

    def state(self, out: str, place: str) -> str:
        """Tell what lies at a result's place: "free", "ours", "foreign"; "blocked" is no file."""
        parts = place.split("/")
        above = ("/".join(parts[:number]) for number in range(1, len(parts)))
        if self.is_folder(place) or any(path in self.files for path in above):
            return "blocked"
        if place not in self.files:
            return "free"
        known = self.known.get(out, {}).get(place, set())
        content = self.there(place)
        emptied = bool(known) and content == EMPTY
        return "ours" if content in known or emptied else "foreign"

    def below(self, folder: str) -> dict[str, str]:
        """List a folder's files by their path in it; links are followed, each folder once."""
        found: dict[str, str] = {}
        seen: set[str] = set()
        queue = [("", self.real(folder))]
        while queue:
            name, top = queue.pop(0)
            now = {top}
            for path in sorted(p for p in self.files if p.startswith(top + "/")):
                parts = path[len(top) + 1 :].split("/")
                folders = {"/".join([top, *parts[:n]]) for n in range(len(parts))}
                if folders & seen or any(p[0] == "." or p == "a2u_output" for p in parts):
                    continue
                now |= folders
                inner = name + "/".join(parts)
                if self.is_folder(path):
                    queue.append((inner + "/", self.real(path)))
                else:
                    found[inner] = path
            seen |= now
        return found

    def made(self, command: Command) -> set[str]:
        """List what runs into a command's output folder have put where it puts its own."""
        places = self.known.get(self.real(command.out), {}).items()
        own = {place for place, made in places for of in made if of[1] == bool(command.save)}
        return own | {self.real(place) for place in own}

    def stems(self, folder: str | None, apart: set[str]) -> dict[str, list[str]]:
        """List a folder's pictures by their path in it without extension."""
        below = self.below(folder) if folder else {}
        return self.by_stem({p: where for p, where in below.items() if where not in apart})

    def by_stem(self, files: dict[str, str]) -> dict[str, list[str]]:
        """Sort the pictures among files by their path without extension."""
        found: dict[str, list[str]] = {}
        for path, where in files.items():
            if is_read(path):
                found.setdefault(stem(path), []).append(where)
        return found


@dataclass
class Expected:
    """What must become of each picture; what is in none of these belongs to one that is."""

    writes: dict[str, Content] = field(default_factory=dict)  # by place
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    named: list[str] = field(default_factory=list)  # without a hint, or left out
    states: Counter[str] = field(default_factory=Counter)  # of what `eval` scores
    told: list[str] = field(default_factory=list)  # the beginnings of its lines on what it does not
    code: int = 0
    refused: str = ""  # words of the line that says why


@cache
def data_of(content: str) -> bytes:
    """Make the bytes of a content: small pictures, random but for their meaning."""
    kind, _, rest = content.partition("#")
    number, _, extension = rest.partition(".")
    rng = np.random.default_rng(int(number))
    height, width = (SIZE[0] + 1, SIZE[1]) if kind == "wide" else SIZE
    levels = np.zeros(SIZE, np.uint8)
    levels[:, 48:] = 255
    if kind == "trimap":
        levels[:, 16:48] = 128
    elif kind == "soft":
        levels[:, 16:48] = rng.integers(60, 200, (SIZE[0], 32))
    elif kind == "mask":
        levels[:, 24 + int(number) % 7 :] = 255
    elif kind in ("photo", "wide", "cutout", "bad"):
        levels = rng.integers(0, 256, (height, width, 3), np.uint8)
    if kind in ("trimap", "soft", "mask"):
        levels[:8, :8] = 255 * np.array([*f"{int(number):08b}"], np.uint8)
    if kind in ("text", "raw", "empty"):
        return f"{kind} {number}".encode() if number != "0" else b""
    if kind == "cutout":
        alpha = rng.integers(0, 256, (*SIZE, 1), np.uint8)
        alpha[:, :16], alpha[:, 48:] = 0, 255
        levels = np.concatenate([levels, alpha], 2)
    stream = BytesIO()
    form = FORMATS.get(extension, extension.upper())
    Image.fromarray(levels).save(stream, form, **({"lossless": True} if form == "WEBP" else {}))
    data = stream.getvalue()
    return data[: len(data) // 2] if kind == "bad" else data


def lay(root: Path, path: str, content: str) -> None:
    """Put a content at its path below a root, in place of what is there."""
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    if content[:3] == "-> ":
        place.symlink_to(os.path.relpath(root / content[3:], place.parent))
    else:
        place.write_bytes(data_of(content))
