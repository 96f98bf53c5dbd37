"""Files as they lie on disk: what may be read at all, and writing whole or not at all."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import A2UError, ImageError


def words(error: BaseException) -> str:
    """Give what the system, or a decoder, said of a failure: one line."""
    said = getattr(error, "strerror", None) or str(error)
    return " ".join(said.split()) or type(error).__name__


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Hand out a place that takes `path`'s name when all went well and the disk has it.

    Otherwise the old file stays and nothing else. Missing folders are made. Raises OSError.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")  # same folder: renaming is atomic
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def require_regular(path: Path, *, most: int | None = None) -> None:
    """Refuse what could be read for ever: pipes, devices, files of more than `most` bytes.

    Folders pass, since opening them fails in better words. Raises OSError.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        return
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "a pipe or a device, no file")
    if most is not None and status.st_size > most:
        raise OSError(errno.EFBIG, f"{status.st_size / 1e9:.1f} GB, more than {most / 1e9:.1f} GB")


@contextmanager
def locked(folder: Path, name: str, *, sweep: bool = True) -> Iterator[None]:
    """Keep a second run out of an output folder while one works there, by a lock of that name.

    What a killed run left of files under way is removed, unless others may be at work beside this.
    Raises A2UError where a run is at work, ImageError where the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / f".{name}.lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        for part in folder.rglob(".*.part") if sweep else ():
            part.unlink(missing_ok=True)
    except Timeout:
        raise A2UError(
            f"another run is at work in {folder}; wait for it, or choose another output folder"
        ) from None
    except OSError as error:
        raise ImageError(f"{folder} cannot be written ({words(error)}); choose another") from error
    try:
        yield
    finally:
        lock.release()
