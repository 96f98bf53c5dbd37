"""Files as they lie on disk: what may be read at all."""

import errno
import stat
from pathlib import Path


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
