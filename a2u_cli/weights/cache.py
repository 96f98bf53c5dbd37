"""The folder of weights on this machine, and files of it that are whole, or refused in words."""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from ..errors import A2UError, OutOfMemory, WeightsError, is_memory
from ..images.files import replacing, require_regular

SUFFIX = ".safetensors"
MAX_FILE = 1 << 30  # bytes of a checkpoint; the authors' are thirty times smaller
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def cache_folder() -> Path:
    """Give the folder for fetched and imported weights: A2U_CACHE or the platform's place."""
    return Path(os.environ.get("A2U_CACHE") or platformdirs.user_cache_path("a2u"))


def cached(name: str) -> Path:
    """Give the place of a name in the cache, there or not; WeightsError for an unfit name."""
    if not NAME.fullmatch(name):
        raise WeightsError(f"{name!r} is no name; use letters, digits, '.', '_' and '-'")
    return cache_folder() / f"{name}{SUFFIX}"


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Write as `files.replacing` does; WeightsError where the file cannot be written."""
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise WeightsError(f"cannot write {path} ({reason(error)})") from error


def sha256_of(path: Path) -> str:
    """Give the sha256 of a file in hexadecimal; WeightsError where it cannot be read."""
    try:
        require_regular(path)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"cannot read {path} ({reason(error)})") from error


@contextmanager
def memory_for(path: Path) -> Iterator[None]:
    """Raise OutOfMemory where reading a file takes more memory than there is: no fault of it."""
    try:
        yield
    except Exception as error:  # each library has a kind of its own
        if isinstance(error, A2UError) or not is_memory(error):
            raise
        raise OutOfMemory(
            f"reading {path} takes more memory than is free; close other programs, or get the "
            "file anew where it should be small"
        ) from error


def reason(cause: Exception | str) -> str:
    """Say a cause in one short line."""
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return " ".join(str(cause).split())[:200] or type(cause).__name__
