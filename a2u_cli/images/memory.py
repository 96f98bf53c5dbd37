"""Find out how much memory is free, for reading and for planning."""

import contextlib
import os
import re
from pathlib import Path

CONTAINER = Path("/sys/fs/cgroup")


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
