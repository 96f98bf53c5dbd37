"""The frames of a sequence: numbered picture files, or a film, behind one face."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from fileseq.constants import PAD_STYLE_HASH1
from fileseq.exceptions import FileSeqException
from fileseq.filesequence import FileSequence
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import ImageError
from .decoding import DAMAGE, open_picture
from .film import Film, FilmReader, probe_film
from .listing import is_named_as_picture
from .reading import Picture, read_bytes, read_image
from .tiff import holds_floats

PATTERN = re.compile(r"#+|@+|%0?\d*d|\$F\d*")  # where the number stands
MOST_NAMED = 3


class Reader(Protocol):
    """Reads frames, cheapest in their order; None: what is free bounds the memory."""

    def read(self, number: int, max_memory: int | None = None) -> Picture: ...


class Frames(Protocol):
    """A sequence: its frames' numbers in order, and what they are called and lie in."""

    @property
    def numbers(self) -> tuple[int, ...]: ...

    @property
    def files(self) -> tuple[Path, ...]: ...

    def name(self, number: int) -> str: ...

    def file(self, number: int) -> Path: ...

    def digest(self, number: int) -> str:
        """Hash what a frame is read from; raises ImageError where it cannot be."""
        ...

    @property
    def in_light(self) -> bool:
        """Tell whether their files hold linear light: OpenEXR, and TIFFs of floats."""
        ...

    def reading(self) -> AbstractContextManager[Reader]: ...


@dataclass(frozen=True)
class FileFrames:
    """Picture files by their numbers."""

    by_number: dict[int, Path]

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(sorted(self.by_number))

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(self.by_number[number] for number in self.numbers)

    def name(self, number: int) -> str:
        return self.by_number[number].stem

    def file(self, number: int) -> Path:
        return self.by_number[number]

    def digest(self, number: int) -> str:
        path = self.by_number[number]
        return hashlib.sha256(read_bytes(path, str(path))).hexdigest()

    @property
    def in_light(self) -> bool:
        told = (_holds_light(path) for path in self.files)
        return next((light for light in told if light is not None), False)

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        yield self

    def read(self, number: int, max_memory: int | None = None) -> Picture:
        return read_image(self.by_number[number], max_memory=max_memory)


@dataclass(frozen=True)
class FilmFrames:
    """A film's frames, numbered from 1."""

    film: Film
    sha256: str

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(range(1, self.film.count + 1))

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.film.path,)

    def name(self, number: int) -> str:
        return f"{self.film.path.stem}.{number:06d}"

    def file(self, number: int) -> Path:
        return self.film.path

    def digest(self, number: int) -> str:
        return f"{self.sha256}:{number}"

    @property
    def in_light(self) -> bool:
        return False

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        reader = FilmReader(self.film)
        try:
            yield reader
        finally:
            reader.close()


def find_frames(source: Path) -> FileFrames | FilmFrames:
    """Find a sequence by a pattern, as plate.####.png or plate.%04d.exr, a folder, or a film.

    A folder must hold one sequence. Raises ImageError where there is none, or several.
    """
    if source.is_dir():
        return FileFrames(_in_folder(source))
    if PATTERN.search(source.name) and not source.exists():
        return FileFrames(_by_pattern(source))
    if not source.exists():
        raise ImageError(
            f"{source} does not exist, expected a folder of numbered pictures, a film, or a "
            "pattern as plate.####.png; check the name"
        )
    if is_named_as_picture(source.name):
        raise ImageError(
            f"{source} is one picture, expected a sequence; give its folder, or its pattern as "
            f"{FileSequence(str(source)).basename()}####{source.suffix}"
        )
    film = probe_film(source)
    digest = hashlib.sha256()
    with source.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return FilmFrames(film, digest.hexdigest())


def find_keys(source: Path) -> FileFrames:
    """Find the trimaps, or masks, of some frames, as `find_frames` does; one file is one key.

    Raises ImageError.
    """
    if is_named_as_picture(source.name) and source.is_file():
        found = _numbered(FileSequence(str(source), pad_style=PAD_STYLE_HASH1))
        if not found:
            raise ImageError(
                f"{source} has no frame number, expected one as key.0001.png; name it by its frame"
            )
        return FileFrames(found)
    keys = find_frames(source)
    if isinstance(keys, FilmFrames):
        raise ImageError(f"{source} is a film, expected numbered pictures; export it as these")
    return keys


def gaps(numbers: tuple[int, ...]) -> list[str]:
    """Name what is missing between the first and the last number, as 7 or 9-12."""
    found = []
    for before, after in pairwise(numbers):
        if after > before + 1:
            found.append(f"{before + 1}" + (f"-{after - 1}" if after > before + 2 else ""))
    return found


def _holds_light(path: Path) -> bool | None:
    """Tell whether a picture's file holds light; None where it cannot be opened."""
    if path.suffix.lower() == ".exr":
        return True
    try:
        with path.open("rb") as file, open_picture(file) as picture:
            return isinstance(picture, TiffImageFile) and holds_floats(picture)
    except DAMAGE:
        return None


def _by_pattern(source: Path) -> dict[int, Path]:
    try:
        found = FileSequence.findSequenceOnDisk(
            str(source), strictPadding=True, pad_style=PAD_STYLE_HASH1
        )
    except (FileSeqException, OSError) as error:
        raise ImageError(
            f"{source} matches no file, expected numbered pictures; check the folder, and how many "
            "digits the numbers have"
        ) from error
    return _numbered(found)


def _in_folder(folder: Path) -> dict[int, Path]:
    every = FileSequence.findSequencesOnDisk(str(folder), pad_style=PAD_STYLE_HASH1)
    found = [
        sequence
        for sequence in every
        if sequence.frameSet() and is_named_as_picture(f"x{sequence.extension()}")
    ]
    if not found:
        raise ImageError(
            f"{folder} has no numbered pictures, expected frames as plate.0001.png; check the "
            "folder, or give a pattern"
        )
    if len(found) > 1:
        names = [f"{s.basename()}{'#' * s.zfill()}{s.extension()}" for s in found]
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        raise ImageError(
            f"{folder} holds {len(names)} sequences ({', '.join(names[:MOST_NAMED])}{more}), "
            f"expected one; give the pattern of one, as {folder / names[0]}"
        )
    return _numbered(found[0])


def _numbered(sequence: FileSequence) -> dict[int, Path]:
    numbers = sequence.frameSet() or ()
    return {int(number): Path(sequence.frame(number)) for number in numbers}
