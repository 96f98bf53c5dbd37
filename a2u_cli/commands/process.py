"""What holds for a whole process, which no library call touches: set here alone."""

import contextlib
import ctypes
import logging
import os
import sys
import warnings

from .terminal import Told

# GNU OpenMP's threads that wait for one without a processor of its own keep it from working: beside
# a busy program a matte takes 11 s with its 300,000 and 4 s with this, alone this takes 3 % more.
SPINS = "30000"
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # glibc's malloc.h


def prepare_process() -> None:
    """Set what holds for the whole process, which no library call touches: here alone."""
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # damage is told in our own words
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("a2u_cli").handlers = [Told()]
    reuse_memory()


def quiet_ray() -> None:
    """Keep Ray from sending anything, and from speaking beside us; before it is imported."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_DATA_LOG_LEVEL"] = "CRITICAL"
    os.environ["RAY_BACKEND_LOG_LEVEL"] = "fatal"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # it would warn of that at length


def reuse_memory() -> None:
    """Let glibc hand out again the memory of tiles, instead of fresh pages that cost more to touch.

    Of what is freed, up to half a gigabyte then stays with the process. Elsewhere: nothing.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(M_TRIM_THRESHOLD, 512 << 20)
            mallopt(M_TOP_PAD, 64 << 20)
            mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the most that older versions take
            mallopt(M_MMAP_THRESHOLD, 256 << 20)
