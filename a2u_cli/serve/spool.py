"""Files of the server's own: in a private folder, each gone when nobody holds it any more."""

import tempfile
import threading
import weakref
from pathlib import Path

from .refusals import Refused

MOST = 8 << 30  # bytes of all files


class Spooled:
    """A file that is removed when this is forgotten: whoever may still read it holds it."""

    def __init__(self, path: Path, spool: "Spool") -> None:
        self.path, self.spool = path, spool
        weakref.finalize(self, spool.remove, path)

    def __fspath__(self) -> str:
        return str(self.path)

    def add(self, data: bytes) -> None:
        """Write more of it; raises Refused where all files together would be too large, OSError."""
        self.spool.require_room(self.path, len(data))
        with self.path.open("ab") as file:
            file.write(data)


class Spool:
    """A folder that only its owner can read, bounded in bytes, and gone when it is closed."""

    def __init__(self, most: int = MOST) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="a2u-serve-", ignore_cleanup_errors=True)
        self.most = most
        self._sizes: dict[Path, int] = {}
        self._count, self._lock = 0, threading.RLock()  # a file may be forgotten at any moment

    @property
    def path(self) -> Path:
        """Return the folder."""
        return Path(self._folder.name)

    @property
    def held(self) -> int:
        """Count the bytes of all files."""
        with self._lock:
            return sum(self._sizes.values())

    def begin(self) -> Spooled:
        """Begin an empty file; raises OSError."""
        with self._lock:
            self._count += 1
            path = self.path / str(self._count)
            self._sizes[path] = 0
        path.touch()
        return Spooled(path, self)

    def require_room(self, path: Path, size: int) -> None:
        """Take account of more bytes of a file; raises Refused where there would be too many."""
        with self._lock:
            if (would := self.held + size) > self.most:
                raise Refused(
                    507,
                    f"all uploads together would take {would / 1e9:.1f} GB, expected at most "
                    f"{self.most / 1e9:.1f} GB; delete jobs, or ask again in an hour",
                )
            self._sizes[path] += size

    def remove(self, path: Path) -> None:
        """Remove a file that nobody holds."""
        with self._lock:
            self._sizes.pop(path, None)
        path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()
