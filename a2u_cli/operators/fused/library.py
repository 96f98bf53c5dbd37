"""The compiled library and its threads."""

import ctypes
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch


class _Team(ctypes.Structure):
    """The argument of `a2u_take`, field by field as in `team.c`."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("function", "jobs")),
        *((name, ctypes.c_int64) for name in ("size", "count", "next")),
    ]


@functools.cache
def _library() -> ctypes.CDLL | None:
    """Load the compiled library that lies beside this module, whatever suffix its build gave it."""
    for path in sorted(Path(__file__).parent.glob("_compiled*")):
        if path.suffix in {".so", ".pyd", ".dll", ".dylib"}:
            try:
                library = ctypes.CDLL(str(path))
                library.a2u_has_avx2.restype = ctypes.c_int
            except (OSError, AttributeError):  # built for another machine: the torch form serves
                continue
            return library
    return None


def available() -> bool:
    """Tell whether the compiled library was found and loads."""
    return _library() is not None


def compiled() -> bool:
    """Tell whether the compiled library may be called now, from wherever torch is."""
    return not traced_or_off() and available()


def library() -> ctypes.CDLL:
    """Give the compiled library, which `available` has found."""
    found = _library()
    assert found is not None
    return found


def has_avx2() -> bool:
    """Tell whether the library and the processor have the AVX2 forms."""
    return bool(library().a2u_has_avx2())


def spread(function: Any, jobs: list[Any]) -> None:
    """Call a function of the library once for each job, each in a thread.

    In torch's own threads where they can be had: after their work they spin for a while, and would
    take the processor from any others.
    """
    if len(jobs) == 1:
        function(ctypes.byref(jobs[0]))
    elif openmp := _openmp():
        array = (type(jobs[0]) * len(jobs))(*jobs)
        pointer = ctypes.cast(function, ctypes.c_void_p)
        team = _Team(pointer, ctypes.addressof(array), ctypes.sizeof(jobs[0]), len(jobs))
        take = ctypes.cast(library().a2u_take, ctypes.c_void_p)
        openmp.GOMP_parallel(take, ctypes.byref(team), len(jobs), 0)
    else:
        list(_pool(len(jobs), os.getpid()).map(function, map(ctypes.byref, jobs)))


@functools.cache
def _openmp() -> ctypes.CDLL | None:
    """Find the OpenMP of gcc that torch runs on, where it does."""
    try:
        library = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD)
        library.GOMP_parallel.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_uint] * 2
        library.GOMP_parallel.restype = None
    except (AttributeError, OSError):  # another system, or another OpenMP
        return None
    return library


def traced_or_off() -> bool:
    """A traced or exported graph needs nothing from here."""
    tracing = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return tracing or switched_off()


def switched_off() -> bool:
    return os.environ.get("A2U_NATIVE") == "0"


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Keep one pool a process: a forked child has none of its parent's threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"a2u-{process}")
