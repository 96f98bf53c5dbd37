"""Paths of object stores, with the face of a `Path`: `s3://`, `gs://`, `abfs://` and `hf://`.

A store has no folders, no links and no renaming. What has a disk's path and asks for no more than a
store can tell goes on as it is; an object is there whole or not at all.
"""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from io import BufferedReader, BytesIO, RawIOBase
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from ..errors import A2UError
from .objects import LIBRARIES, MD5, Object, Store, in_words, read_info

READ_ONLY = ("hf",)  # each file would be a commit
HEAD = 1 << 16  # bytes that tell a picture's size


@dataclass(frozen=True)
class StorePath:
    """An object of a store, or what its keys have for a folder, with the face of a `Path`.

    What a disk has and a store has not, it lacks: nothing of it goes to a disk by mistake.
    """

    pure: PurePosixPath
    scheme: str
    store: Store = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.pure}"

    def __fspath__(self) -> str:
        raise TypeError(f"{self} lies in a store, and on no disk")

    def __reduce__(self) -> tuple[Callable[[str], Path], tuple[str]]:
        return place, (str(self),)

    def __lt__(self, other: "StorePath") -> bool:
        return (self.scheme, self.pure) < (other.scheme, other.pure)

    def __truediv__(self, below: str | PurePosixPath) -> "StorePath":
        return self._with(self.pure / below)

    def _with(self, pure: PurePosixPath) -> "StorePath":
        return StorePath(pure, self.scheme, self.store)

    # What its name says

    @property
    def key(self) -> str:
        """Name it in its store, the bucket first."""
        return str(self.pure)

    @property
    def name(self) -> str:
        return self.pure.name

    @property
    def stem(self) -> str:
        return self.pure.stem

    @property
    def suffix(self) -> str:
        return self.pure.suffix

    @property
    def parts(self) -> tuple[str, ...]:
        return self.pure.parts

    @property
    def parent(self) -> "StorePath":
        return self._with(self.pure.parent)

    @property
    def parents(self) -> Sequence["StorePath"]:
        return [self._with(pure) for pure in self.pure.parents]

    @property
    def path(self) -> Path:
        """Give it as what it has the face of."""
        return cast(Path, self)

    def of(self, key: str) -> "StorePath":
        """Give another object of the store."""
        return self._with(PurePosixPath(key))

    def with_name(self, name: str) -> "StorePath":
        return self._with(self.pure.with_name(name))

    def with_suffix(self, suffix: str) -> "StorePath":
        return self._with(self.pure.with_suffix(suffix))

    def relative_to(self, folder: object) -> PurePosixPath:
        """Give the way from a folder of the same store; raises ValueError for another."""
        if not isinstance(folder, StorePath) or folder.scheme != self.scheme:
            raise ValueError(f"{self} does not lie below {folder}")
        return self.pure.relative_to(folder.pure)

    def is_relative_to(self, folder: object) -> bool:
        same = isinstance(folder, StorePath) and folder.scheme == self.scheme
        return same and self.pure.is_relative_to(cast(StorePath, folder).pure)

    def resolve(self) -> "StorePath":
        return self

    def absolute(self) -> "StorePath":
        return self

    # What lies there

    def find(self) -> Object | None:
        """Tell of the object as it was listed; None where there is none."""
        return self.store.find(self.key)

    def refresh(self) -> Object | None:
        """Tell of the object as it is now."""
        found = self.store.ask(self.key)
        self.store.note(self.key, found)
        return found

    def objects(self) -> dict[str, Object]:
        """List all objects below, by keys."""
        start = f"{self.key}/"
        listed = self.store.below(self.key).objects.items()
        return {key: found for key, found in listed if key.startswith(start)}

    def is_dir(self) -> bool:
        return bool(self.pure.parts) and self.key in self.store.below(self.key).folders

    def is_file(self) -> bool:
        return self.find() is not None

    def exists(self) -> bool:
        return self.is_file() or self.is_dir()

    def is_symlink(self) -> bool:
        return False

    def samefile(self, other: object) -> bool:
        return self == other

    def stat(self) -> os.stat_result:
        """Tell its kind and its size; raises FileNotFoundError."""
        found = self.find()
        if found is None and not self.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        mode, size = (stat.S_IFREG, found.size) if found else (stat.S_IFDIR, 0)
        return os.stat_result((mode, 0, 0, 1, 0, 0, size, 0, 0, 0))

    lstat = stat

    def iterdir(self) -> Iterator["StorePath"]:
        """List the objects in it and in no folder below."""
        paths = map(self.of, sorted(self.objects()))
        return (path for path in paths if path.parent == self)

    def list_now(self) -> dict[str, Object]:
        """List by name the objects in it as they are now, and in no folder below."""
        with in_words(str(self)):
            found = self.store.files.ls(str(self), detail=True, refresh=True)
        files = (info for info in found if info["type"] == "file")
        return {info["name"].rpartition("/")[2]: read_info(info) for info in files}

    def list_anew(self) -> None:
        """List what lies below it when that is asked for again."""
        self.store.forget_list(self.key)

    def glob(self, pattern: str) -> Iterator["StorePath"]:
        """List the objects in it whose names are of a pattern."""
        return (path for path in self.iterdir() if fnmatch(path.name, pattern))

    # Reading and writing

    def fetch(self) -> None:
        """Begin to read it: soon it will be."""
        self.store.fetch(self.key)

    def read_bytes(self) -> bytes:
        return self.store.get(self.key)

    @property
    def copy(self) -> Path:
        """Name the file on a disk that is a copy of the object as it was listed."""
        facts = f"{self.key} {self.find()}"
        return self.store.disk / hashlib.sha256(facts.encode()).hexdigest()

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Open it to read its head: what was fetched, or pieces as they are asked for."""
        assert mode == "rb"
        fetched = self.store.read(self.key, keep=True)
        return BytesIO(fetched) if fetched is not None else BufferedReader(_Pieces(self), HEAD)

    def write_bytes(self, data: bytes, *, new: bool = False) -> str:
        """Put an object whole; a `new` one where none is, else FileExistsError is raised.

        Where a store cannot promise that, it is asked before. Give what the store calls the
        content, if it says so.
        """
        if self.scheme in READ_ONLY:
            raise OSError(errno.EROFS, f"{self.scheme}:// is read only here", str(self))
        with in_words(str(self)):
            try:
                told = self._put(data, new=new)
            except OSError as error:
                if error.errno != errno.ENOSYS or not new:
                    raise
                if self.store.ask(self.key):
                    raise FileExistsError(errno.EEXIST, "it is there", str(self)) from None
                told = self._put(data, new=False)
        md5 = told or hashlib.md5(data, usedforsecurity=False).hexdigest()
        self.store.note(self.key, Object(len(data), md5, md5))
        return told

    def _put(self, data: bytes, *, new: bool) -> str:
        mode = "create" if new else "overwrite"
        told = self.store.files.pipe_file(str(self), data, mode=mode)
        tag = str(told.get("ETag", "")).strip('"') if isinstance(told, dict) else ""
        return tag if MD5.fullmatch(tag) else ""

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove an object."""
        with in_words(str(self)):
            try:
                self.store.files.rm_file(str(self))
            except FileNotFoundError:
                if not missing_ok:
                    raise
        self.store.note(self.key, None)

    def mkdir(self, **_: object) -> None:
        """Do nothing: a folder is there with the first object in it."""


class _Pieces(RawIOBase):
    """An object that is read in pieces, each a request."""

    def __init__(self, path: StorePath) -> None:
        self.path, self.size, self.at = path, path.stat().st_size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.size}[whence]
        self.at = max(0, start + offset)
        return self.at

    def readinto(self, buffer: Any) -> int:
        end = min(self.at + len(buffer), self.size)
        if self.at >= end:
            return 0
        with in_words(str(self.path)):
            name = str(self.path)
            data = self.path.store.files.cat_file(name, start=self.at, end=end)
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)


def place(text: str) -> Path:
    """Give the path of a file or folder, on a disk or in a store: the one door.

    What lies in a store has a `Path`'s face as far as a store has what that asks for.

    Raises A2UError for a store that is unknown.
    """
    scheme, slashes, key = text.partition("://")
    if not slashes or not re.fullmatch("[a-z][a-z0-9+.-]+", scheme):
        return Path(text)
    if scheme not in LIBRARIES:
        *others, last = (f"{name}://" for name in LIBRARIES if name != "memory")
        raise A2UError(
            f"{scheme}:// is no store that a2u reads, expected {', '.join(others)} or {last}; "
            "copy what it holds to one of these, or to a disk"
        )
    if {"", ".", ".."} & {*key.rstrip("/").split("/")} or re.match("[^/]*:[^/]*@", key):
        raise A2UError(
            f"a path of {scheme}:// was given that names no bucket, has empty parts or holds "
            f"credentials; expected one as {scheme}://bucket/folder"
        )
    return cast(Path, StorePath(PurePosixPath(key), scheme, Store(scheme)))


class Stores:
    """The stores that many paths lead to, each folder listed once for them all."""

    def __init__(self) -> None:
        self._stores: dict[str, Store] = {}

    def path(self, folder: Path, text: str) -> Path:
        """Give a path below a folder, or in a store; raises A2UError as `place` does."""
        if "://" not in text:
            return folder / text
        found = in_store(place(text))
        if found is None:
            return folder / text
        return replace(found, store=self._stores.setdefault(found.scheme, found.store)).path


def list_beside(path: Path) -> None:
    """List the folder of an object in a store, since others of it will be asked for.

    Raises OSError.
    """
    if stored := in_store(path):
        stored.store.below(stored.parent.key)


def as_path(path: str | os.PathLike[str]) -> Path:
    """Give a path as one of a disk, unless it is one in a store; words are a disk's."""
    return path.path if isinstance(path, StorePath) else Path(path)


def in_store(path: object) -> StorePath | None:
    """Give a path as one in a store; None where it is on a disk."""
    return path if isinstance(path, StorePath) else None


def is_there(path: Path) -> bool:
    """Tell whether anything lies at a place, also a link to nothing."""
    return path.exists() if in_store(path) else os.path.lexists(path)
