"""Objects of a store as paths: what `s3://`, `gs://`, `abfs://` and `hf://` name, by fsspec.

A store has no folders, no links and no renaming; what is asked of it is a request each, but a list
of a thousand objects is one, too. So what lies below a folder is listed once, when it is first
asked for, and every other question is answered by that. An object is there whole or not at all.
"""

import base64
import errno
import hashlib
import os
import re
import shutil
import stat
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import cached_property
from importlib.util import find_spec
from io import BufferedReader, BytesIO, RawIOBase
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import IO, Any, cast

from ..errors import A2UError

LIBRARIES: dict[
    str, tuple[str, dict[str, Any]]
] = {  # by which fsspec knows a store, and what it is told
    "s3": ("s3fs", {"max_concurrency": 1, "use_listings_cache": False}),  # else a request more each
    "gs": ("gcsfs", {"use_listings_cache": False}),
    "abfs": ("adlfs", {"use_listings_cache": False}),
    "hf": ("huggingface_hub", {"use_listings_cache": False}),
    "memory": ("fsspec", {}),  # of this process: for tests
}
READ_ONLY = ("hf",)  # each file would be a commit
MD5 = re.compile(r"[0-9a-f]{32}")
HEAD = 1 << 16  # bytes that tell a picture's size
FETCHERS = 16  # objects that are read at once
UNKNOWN = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}


@dataclass(frozen=True, slots=True)
class Object:
    """What a list tells of an object: its size, what changes with its content, its MD5 if told."""

    size: int
    version: str = ""
    md5: str = ""


@dataclass
class _Listing:
    """What lies below a folder, by key."""

    objects: dict[str, Object] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)

    def put(self, key: str, found: Object) -> None:
        self.objects[key] = found
        while key := key.rpartition("/")[0]:
            if key in self.folders:
                return
            self.folders.add(key)


class Store:
    """A store that is listed once; raises OSError in one line for what its library raises."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        self._listings: dict[str, _Listing] = {}
        self._fetching: dict[str, Future[bytes]] = {}
        self._lock = threading.Lock()

    @cached_property
    def files(self) -> Any:
        """Connect to it; raises A2UError where its library is not installed."""
        library, options = LIBRARIES[self.scheme]
        if find_spec(library) is None:
            name = "'a2u-cli[stores]'" if self.scheme == "s3" else library
            raise A2UError(
                f"{self.scheme}:// needs {library}, which is not here; pip install {name}"
            )
        import fsspec

        with _in_words(f"{self.scheme}://"):
            return fsspec.filesystem(self.scheme, **options)

    @cached_property
    def disk(self) -> Path:
        """Make a folder on a disk for copies; it goes with the store."""
        folder = mkdtemp(prefix="a2u-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    @cached_property
    def fetchers(self) -> ThreadPoolExecutor:
        """Start the threads that read ahead."""
        return ThreadPoolExecutor(FETCHERS)

    def below(self, key: str) -> _Listing:
        """List what lies below a folder, unless that was done, also for one above it."""
        with self._lock:
            known = self._known(key)
            if known is None:
                known = self._listings[key] = self._list(key)
            return known

    def forget_list(self, key: str) -> None:
        """Drop what is known of what lies below a folder."""
        with self._lock:
            for root in [root for root in self._listings if _is_below(key, root)]:
                del self._listings[root]

    def find(self, key: str) -> Object | None:
        """Tell of an object by the lists there are, or else ask."""
        known = self._known(key.rpartition("/")[0])
        return self.ask(key) if known is None else known.objects.get(key)

    def ask(self, key: str) -> Object | None:
        """Ask for what an object is now."""
        with _in_words(self.name(key)):
            try:
                info = self.files.info(self.name(key))
            except FileNotFoundError:
                return None
        return _read_info(info) if info["type"] == "file" else None

    def note(self, key: str, found: Object | None) -> None:
        """Put down what an object is now."""
        for root, listing in self._listings.items():
            if _is_below(key, root):
                if found:
                    listing.put(key, found)
                else:
                    listing.objects.pop(key, None)

    def name(self, key: str) -> str:
        """Name an object in full."""
        return f"{self.scheme}://{key}"

    def fetch(self, key: str) -> None:
        """Begin to read an object that will be read."""
        with self._lock:
            if key not in self._fetching:
                self._fetching[key] = self.fetchers.submit(self._get, key)

    def read(self, key: str, *, keep: bool = False) -> bytes | None:
        """Give what is fetched, once, unless it is to be kept; None where that was not begun."""
        with self._lock:
            future = self._fetching.get(key) if keep else self._fetching.pop(key, None)
        return future.result() if future else None

    def get(self, key: str) -> bytes:
        """Read an object whole."""
        fetched = self.read(key)
        return self._get(key) if fetched is None else fetched

    def forget(self) -> None:
        """Drop what was fetched and is not read."""
        with self._lock:
            for future in self._fetching.values():
                future.cancel()
            self._fetching.clear()

    def _get(self, key: str) -> bytes:
        with _in_words(self.name(key)):
            return bytes(self.files.cat_file(self.name(key)))

    def _known(self, key: str) -> _Listing | None:
        while key:
            if key in self._listings:
                return self._listings[key]
            key = key.rpartition("/")[0]
        return None

    def _list(self, key: str) -> _Listing:
        with _in_words(self.name(key)):
            found = self.files.find(self.name(key), detail=True)
        listing, root = _Listing(), str(self.files._strip_protocol(self.name(key))).strip("/")
        for name, info in found.items():
            if info["type"] == "file" and not name.endswith("/"):  # else it stands for a folder
                listing.put(key + name.strip("/").removeprefix(root), _read_info(info))
        listing.objects.pop(key, None)  # an object itself, and no folder
        return listing


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
        with _in_words(str(self)):
            found = self.store.files.ls(str(self), detail=True, refresh=True)
        files = (info for info in found if info["type"] == "file")
        return {info["name"].rpartition("/")[2]: _read_info(info) for info in files}

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
        with _in_words(str(self)):
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
        with _in_words(str(self)):
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
        with _in_words(str(self.path)):
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


def _is_below(key: str, root: str) -> bool:
    return key == root or key.startswith(f"{root}/")


def _read_info(info: dict[str, Any]) -> Object:
    """Read what a store's library tells of an object: each has names of its own."""
    tag = str(info.get("ETag") or info.get("etag") or info.get("blob_id") or "").strip('"')
    told = info.get("md5Hash") or (info.get("content_settings") or {}).get("content_md5") or b""
    md5 = (base64.b64decode(told) if isinstance(told, str) else bytes(told)).hex()
    if "ETag" in info and MD5.fullmatch(tag):
        md5 = tag  # of an object that was put in one go, unless it is encrypted by a key of its own
    times = (info.get(name) for name in ("LastModified", "last_modified", "mtime", "created"))
    version = md5 or tag or str(next(filter(None, times), ""))
    return Object(int(info["size"] or 0), version, md5)


@contextmanager
def _in_words(name: str) -> Iterator[None]:
    """Say as an OSError of one line what a library raises, and nothing that is secret."""
    try:
        yield
    except (MemoryError, A2UError):
        raise
    except Exception as error:
        raise _translate(error, name) from error


def _translate(error: Exception, name: str) -> OSError:
    answer = getattr(error.__cause__, "response", None) or {}
    code = answer.get("Error", {}).get("Code", "")
    said = getattr(error, "strerror", None) or str(error)
    said = " ".join(re.sub(r"(?<=//)[^/@\s]*@|\?[^\s\"']*", "", said).split())
    if isinstance(error, FileExistsError) or code == "PreconditionFailed":
        return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
    if isinstance(error, FileNotFoundError):
        bucket = "the bucket" if code == "NoSuchBucket" else "it"
        return FileNotFoundError(errno.ENOENT, f"{bucket} does not exist", name)
    if type(error).__name__ in UNKNOWN:
        text = "no credentials were found where its library looks for them"
        return PermissionError(errno.EACCES, text, name)
    if isinstance(error, PermissionError):
        return PermissionError(errno.EACCES, said or os.strerror(errno.EACCES), name)
    number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
    return OSError(number, said or type(error).__name__, name)
