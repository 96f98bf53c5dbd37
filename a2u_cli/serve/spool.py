"""Files of the server's own: in a private folder, each gone when nobody holds it any more."""

import tempfile
import threading
import weakref
from pathlib import Path

from .refusals import Refused

MOST = 8 << 30  # bytes of all files


class Spooled:
    """A file that is removed when this is forgotten: whoever may still read it holds it."""

    def __init__(self, path: Path, spool: "Spool", size: int) -> None:
        self.path, self.size = path, size
        weakref.finalize(self, spool.remove, path, size)

    def __fspath__(self) -> str:
        return str(self.path)


class Spool:
    """A folder that only its owner can read, bounded in bytes, and gone when it is closed."""

    def __init__(self, most: int = MOST) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="a2u-serve-", ignore_cleanup_errors=True)
        self.most, self.held = most, 0
        self._count, self._lock = 0, threading.RLock()

    def name(self) -> Path:
        """Name a file that is not there yet."""
        with self._lock:
            self._count += 1
            return Path(self._folder.name) / str(self._count)

    def add(self, path: Path) -> Spooled:
        """Take a file that was written; raises Refused where all of them would be too large."""
        size = path.stat().st_size
        with self._lock:
            if self.held + size > self.most:
                path.unlink()
                raise Refused(
                    507,
                    f"all uploads together would take {(self.held + size) / 1e9:.1f} GB, expected "
                    f"at most {self.most / 1e9:.1f} GB; delete jobs, or ask again in an hour",
                )
            self.held += size
        return Spooled(path, self, size)

    def write(self, data: bytes) -> Spooled:
        """Write a file."""
        path = self.name()
        path.write_bytes(data)
        return self.add(path)

    def remove(self, path: Path, size: int) -> None:
        """Remove a file that nobody holds."""
        with self._lock:
            self.held -= size
        path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()
