"""What lies in an object store, by fsspec: listed once, read ahead, and failures in words.

What is asked of a store is a request each, but a list of a thousand objects is one, too. So what
lies below a folder is listed once, when it is first asked for, and every other question is answered
by that.
"""

import base64
import errno
import os
import re
import shutil
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from ..errors import A2UError

# By which fsspec knows a store; memory is of this process, for tests.
LIBRARIES = {"s3": "s3fs", "gs": "gcsfs", "abfs": "adlfs", "hf": "huggingface_hub"}
LIBRARIES |= {"memory": "fsspec"}
MD5 = re.compile(r"[0-9a-f]{32}")
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
        library = LIBRARIES[self.scheme]
        if find_spec(library) is None:
            name = "'a2u-cli[stores]'" if self.scheme == "s3" else library
            raise A2UError(
                f"{self.scheme}:// needs {library}, which is not here; pip install {name}"
            )
        import fsspec

        options: dict[str, Any] = {"use_listings_cache": False}
        if self.scheme == "s3":
            options["max_concurrency"] = 1  # else it asks for a size before it reads
        with in_words(f"{self.scheme}://"):
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
        with in_words(self.name(key)):
            try:
                info = self.files.info(self.name(key))
            except FileNotFoundError:
                return None
        return read_info(info) if info["type"] == "file" else None

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
        with in_words(self.name(key)):
            return bytes(self.files.cat_file(self.name(key)))

    def _known(self, key: str) -> _Listing | None:
        while key:
            if key in self._listings:
                return self._listings[key]
            key = key.rpartition("/")[0]
        return None

    def _list(self, key: str) -> _Listing:
        with in_words(self.name(key)):
            found = self.files.find(self.name(key), detail=True)
        listing, root = _Listing(), str(self.files._strip_protocol(self.name(key))).strip("/")
        for name, info in found.items():
            if info["type"] == "file" and not name.endswith("/"):  # else it stands for a folder
                listing.put(key + name.strip("/").removeprefix(root), read_info(info))
        listing.objects.pop(key, None)  # an object itself, and no folder
        return listing


def _is_below(key: str, root: str) -> bool:
    return key == root or key.startswith(f"{root}/")


def read_info(info: dict[str, Any]) -> Object:
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
def in_words(name: str) -> Iterator[None]:
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
