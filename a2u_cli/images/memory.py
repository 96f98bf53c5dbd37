"""Find out how much memory is free, and bound what a picture may take of it."""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import OutOfMemory

CONTAINER = Path("/sys/fs/cgroup")
MUCH = 100 << 20  # bytes; only then is asked how much memory is free
READING = 24  # bytes a pixel that reading takes at most, beside the file: levels twice, float32


@dataclass(frozen=True)
class Bound:
    """How many bytes a picture may take, and how many the work on it does.

    most: None is what is free; a_pixel: of what is made of the picture, too; process: beside it.
    """

    most: int | None = None
    a_pixel: int = READING
    process: int = 0

    def beside(self, *held: int) -> int | None:
        """Give how many bytes are left beside the process and what is held; None for any."""
        return None if self.most is None else max(0, self.most - self.process - sum(held))

    def require(self, size: tuple[int, int], name: str, *, a_pixel: int = 0) -> None:
        """Raise OutOfMemory where a picture of (width, height) takes more than it may.

        `a_pixel` is what its file takes to unpack, where that is more.
        """
        width, height = size
        most, takes = self.most, max(self.a_pixel, a_pixel) * width * height
        if most is None and takes > MUCH:
            most = free_memory()
        takes += self.process
        if most is not None and takes > most:
            work = "to read" if self == Bound(self.most) else "to work on"
            raise OutOfMemory(
                f"{name} is {width}x{height} and takes about {takes / 1e9:.1f} GB {work}, "
                f"expected at most {most / 1e9:.1f} GB; allow more, or make it smaller"
            )


def bounded(max_memory: int | Bound | None) -> Bound:
    """Take a number of bytes as what reading alone may take."""
    return max_memory if isinstance(max_memory, Bound) else Bound(max_memory)


def free_memory() -> int:
    """Find out how much memory this process may still take, in bytes, where the system tells."""
    free = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable"))
        free.append(int(line.split()[1]) << 10)
    with contextlib.suppress(OSError, ValueError):  # a container's own limit
        limit, used = (
            int((CONTAINER / name).read_text()) for name in ("memory.max", "memory.current")
        )
        # what files have left in memory is given up when it is asked for
        cache = re.search(r"^inactive_file (\d+)$", (CONTAINER / "memory.stat").read_text(), re.M)
        free.append(limit - used + (int(cache[1]) if cache else 0))
    if not free:
        with contextlib.suppress(AttributeError, OSError, ValueError):  # neither Linux nor told
            free.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return min(free, default=4 << 30)
