"""Files as they lie on disk: what may be read at all, and writing whole or not at all."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        return
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "a pipe or a device, no file")
    if most is not None and found.st_size > most:
        raise OSError(errno.EFBIG, f"{found.st_size / 1e9:.1f} GB, more than {most / 1e9:.1f} GB")
