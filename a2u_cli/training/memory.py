"""Memory of a training process: kept from step to step, and in huge pages."""

import contextlib
import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's malloc.h
MADV_HUGEPAGE = 14
HUGE_PAGE = 2 << 20
HEAP = 8 << 30  # addresses alone: what is never touched takes no memory


def keep_memory() -> None:
    """Let glibc keep all that a step has freed for the next one, and ask for huge pages there.

    A step frees gigabytes: to get them again, page by page, took a tenth of it. Holds for the
    whole process, which stays as large as its largest step. Elsewhere than on Linux: nothing.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        mallopt, malloc, free, madvise = libc.mallopt, libc.malloc, libc.free, libc.madvise
        malloc.argtypes, malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
        free.argtypes = [ctypes.c_void_p]
        madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        mallopt(M_TRIM_THRESHOLD, -1)  # no size is too large to keep
        mallopt(M_MMAP_MAX, 0)  # all in the heap
        if heap := malloc(HEAP):
            start = -(-heap // HUGE_PAGE) * HUGE_PAGE
            madvise(start, heap + HEAP - start, MADV_HUGEPAGE)
            free(heap)
