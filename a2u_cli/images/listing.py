"""List the files below a folder, those that could be pictures, and what cannot be looked into."""

import errno
import os
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .decoding import begins_as_picture
from .exr import is_exr
from .files import require_regular, words
from .optional_formats import is_heic
from .reading import SUFFIXES
from .stores import StorePath, in_store

OUTPUT_FOLDER = "a2u_output"
OTHER_SUFFIXES = {  # pictures that are not read
    *(".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"),
    *(".psd", ".psb", ".xcf", ".jxl", ".jp2", ".j2k", ".tga", ".hdr", ".dpx", ".svg", ".ico"),
    *(".ppm", ".pgm", ".pnm", ".pfm", ".qoi", ".jxr", ".dds"),
}
START = 16  # bytes that tell what a file is

LeftOut = tuple[tuple[Path, str], ...]  # files or folders, each with the reason


@dataclass(frozen=True)
class Listing:
    """The files below a folder, in order, and the folders there that cannot be looked into."""

    files: tuple[Path, ...]
    left_out: LeftOut

    @property
    def pictures(self) -> list[Path]:
        """Give what is named like a picture that is read."""
        return [path for path in self.files if is_named_as_picture(path.name)]

    def without(self, apart: Collection[Path]) -> "Listing":
        """Leave out files, given as they are without links to their folders."""
        real = {folder: folder.resolve() for folder in {path.parent for path in self.files}}
        kept = (path for path in self.files if real[path.parent] / path.name not in apart)
        return Listing(tuple(kept), self.left_out)


def list_files(folder: Path, apart: Collection[Path] = ()) -> Listing:
    """List the files below a folder; each folder once, also where links lead to it.

    Passed by are hidden files and folders, any `a2u_output` below, and what is in `apart`: folders
    and files as they are without links.
    """
    if stored := in_store(folder):
        return _list_stored(stored, apart)
    found: list[Path] = []
    left_out: list[tuple[Path, str]] = []
    seen: set[Path] = set()
    apart = {*apart, *folder.resolve().parents}

    def leave(error: OSError) -> None:
        left_out.append((Path(error.filename), f"the folder cannot be listed ({words(error)})"))

    links = [folder]
    while links:
        for directory, folders, files in os.walk(links.pop(0), onerror=leave):
            here = Path(directory)
            real = here.resolve()
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            inner = {name: (here / name).resolve() for name in folders if _is_shown(name)}
            folders[:] = sorted(name for name in inner if inner[name] not in apart)
            links += [here / name for name in folders if inner[name] != real / name]
            found += [
                here / name
                for name in sorted(files)
                if not name.startswith(".") and real / name not in apart
            ]
    return Listing(tuple(found), tuple(left_out))


def _list_stored(folder: StorePath, apart: Collection[Path]) -> Listing:
    """List the objects below what is a folder by their keys, in the order that a disk has."""
    found: list[Path] = []
    left_out: list[tuple[Path, str]] = []
    passed = {*filter(None, map(in_store, apart)), *folder.parents}
    shown = {folder: True}

    def is_listed(place: StorePath) -> bool:
        if place not in shown:
            above = is_listed(place.parent)
            shown[place] = above and _is_shown(place.name) and place not in passed
        return shown[place]

    for key in folder.objects():
        path = folder.of(key)
        if path.key != key:
            left_out.append((path.path, f"no path is called {key!r}, as the object is"))
        elif is_listed(path.parent) and not path.name.startswith(".") and path not in passed:
            found.append(path.path)
    return Listing(tuple(sorted(found, key=_in_turn)), tuple(left_out))


def _in_turn(path: Path) -> list[tuple[bool, str]]:
    """Order a folder's own files before those in folders below."""
    *folders, name = path.parts
    return [*((True, folder) for folder in folders), (False, name)]


def pictures_in(folders: Iterable[Path]) -> list[Path]:
    """List the pictures in folders and in none below; nothing where that cannot be done."""
    found = []
    for folder in folders:
        with suppress(OSError):
            found += [path for path in folder.iterdir() if is_named_as_picture(path.name)]
    return found


def _is_shown(name: str) -> bool:
    return not name.startswith(".") and name != OUTPUT_FOLDER


def shut(folders: Iterable[Path]) -> LeftOut:
    """Find the folders that cannot be looked into in and below these."""
    return tuple(found for folder in folders for found in list_files(folder).left_out)


def is_named_as_picture(name: str) -> bool:
    """Tell whether a file of this name is taken for a picture in a folder."""
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def unread(files: Iterable[Path]) -> LeftOut:
    """Find the files that could be pictures, or folders of them, and are not read as such."""
    return tuple((path, why) for path in files if (why := _why_unread(path)))


def instead(left_out: LeftOut) -> str:
    """Say what there is where no pictures are, to go on a sentence; nothing where nothing is."""
    if not left_out:
        return ""
    (path, why), *others = left_out
    return f"; left out are {path} ({why})" + (f" and {len(others)} more" if others else "")


def _why_unread(path: Path) -> str:
    """Say why a file is not read though it could be a picture; empty where it is, or is none."""
    if is_named_as_picture(path.name):
        return ""
    if path.suffix.lower() in OTHER_SUFFIXES:
        return "a2u reads no such files"
    if in_store(path):  # to look into it is a request
        return ""
    try:
        require_regular(path)
        with path.open("rb") as file:
            start = file.read(START)
    except OSError as error:
        return "its link leads nowhere" if error.errno in (errno.ENOENT, errno.ELOOP) else ""
    begins = is_exr(start) or is_heic(start) or begins_as_picture(start)
    text = start.startswith(b"BM") and start[6:10] != bytes(4)  # of a bitmap these are reserved
    return "a2u reads no such files" if begins and not text else ""
