"""The compiled library: found, checked, and called in threads."""

import ctypes
import functools
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import arguments

_SUFFIXES = {".so", ".pyd", ".dll", ".dylib"}


def load(folder: Path) -> ctypes.CDLL | str:
    """Load the compiled library of a folder, whatever suffix its build gave it.

    One that was built from other sources would be called with the wrong arguments: it is refused.
    Returns the library, or says why there is none.
    """
    reasons = []
    for path in sorted(folder.glob("_compiled*")):
        if path.suffix not in _SUFFIXES:
            continue
        try:
            library = ctypes.CDLL(str(path))
        except OSError as error:  # of another machine, or damaged
            reasons.append(f"{path.name} does not load ({error})")
            continue
        if misfit := _misfit(library):
            reasons.append(f"{path.name} does not fit this version ({misfit}): install again")
        else:
            return library
    return "; ".join(reasons) or "not built"


def _misfit(library: ctypes.CDLL) -> str:
    """Say how the library's arguments differ from `arguments.py`; nothing where they don't."""
    try:
        abi = library.a2u_abi
    except AttributeError:
        return "it tells no ABI"
    abi.argtypes, abi.restype = [ctypes.c_int64], ctypes.c_int64
    structures = (
        arguments.Resampling,
        arguments.Picture,
        arguments.Convolution,
        arguments.Encoding,
        arguments.Kernels,
        arguments.Strip,
        arguments.Team,
    )
    expected = [arguments.ABI, *map(ctypes.sizeof, structures), -1]
    told = [abi(number) for number in range(len(expected))]
    return "" if told == expected else f"ABI and sizes {told}, expected {expected}"


@functools.cache
def _loaded() -> ctypes.CDLL | str:
    return load(Path(__file__).parent)


def available() -> bool:
    """Tell whether there is a compiled library that fits."""
    return not isinstance(_loaded(), str)


def absence() -> str:
    """Say why there is no compiled library; nothing where there is one."""
    loaded = _loaded()
    return loaded if isinstance(loaded, str) else ""


def compiled() -> bool:
    """Tell whether the compiled library may be called now: a traced graph needs nothing from it."""
    return not _tracing() and not switched_off() and available()


def _tracing() -> bool:
    """Tell whether torch records what is computed; where it is not at hand it does not."""
    torch = sys.modules.get("torch")
    return torch is not None and (torch.compiler.is_compiling() or torch.jit.is_tracing())


def threads() -> int:
    """Tell how many threads to compute in: torch's number where it is at hand, else all cores."""
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None else available_cores()


def available_cores() -> int:
    """Count the processor's cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def library() -> ctypes.CDLL:
    """Give the compiled library, which is `available`."""
    loaded = _loaded()
    assert not isinstance(loaded, str), loaded
    return loaded


def has_avx2() -> bool:
    """Tell whether the library and the processor have the AVX2 forms."""
    return bool(library().a2u_has_avx2())


def vectors() -> str:
    """Name the widest vectors that the library's forms use on this processor; "" for none."""
    wide = bool(library().a2u_has_avx512())
    return "AVX-512" if wide else "AVX2" if has_avx2() else ""


def use_at_most(size: int) -> None:
    """Keep this process's forms to vectors of so many bytes, 16, 32 or 64: to compare them."""
    library().a2u_use_at_most(size)


def spread(function: Any, jobs: Sequence[ctypes.Structure], *, threads: int | None = None) -> None:
    """Call a function of the library for every job, each in a thread, or in so many threads.

    In torch's own threads where they can be had: when they are done they spin for a while, and
    would take the processor from any others.
    """
    threads = min(threads or len(jobs), len(jobs))
    if threads == 1:
        for job in jobs:
            function(ctypes.byref(job))
    elif openmp := _openmp():
        array = (type(jobs[0]) * len(jobs))(*jobs)
        pointer = ctypes.cast(function, ctypes.c_void_p)
        size = ctypes.sizeof(jobs[0])
        team = arguments.Team(pointer, ctypes.addressof(array), size, len(jobs))
        take = ctypes.cast(library().a2u_take, ctypes.c_void_p)
        openmp.GOMP_parallel(take, ctypes.byref(team), threads, 0)
    else:
        list(_pool(threads, os.getpid()).map(function, map(ctypes.byref, jobs)))


@functools.cache
def _openmp() -> ctypes.CDLL | None:
    """Find the OpenMP of gcc that torch runs on, where it does."""
    try:
        openmp = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD)
        openmp.GOMP_parallel.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_uint] * 2
        openmp.GOMP_parallel.restype = None
    except (AttributeError, OSError):  # another system, or another OpenMP
        return None
    return openmp


def switched_off() -> bool:
    """Tell whether the environment wants plain torch."""
    return os.environ.get("A2U_NATIVE") == "0"


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Keep one pool a process: a forked child has none of its parent's threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"a2u-{process}")
