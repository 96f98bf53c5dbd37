"""Choose where and how exactly to compute: devices, dtypes, float32 that means it."""

import functools
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import cv2
import torch

from ..errors import A2UError
from ..images import memory
from ..operators.fused import convolution

CPU = torch.device("cpu")
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]


def pick_device(name: str = "auto") -> torch.device:
    """Turn `auto`, `cpu`, `cuda`, `cuda:1` or `mps` into a device that is there.

    Raises A2UError where it is not: what was asked for is never replaced in silence.
    """
    if name == "auto":
        present = "cuda" if torch.cuda.is_available() else "cpu"
        if present == "cpu" and torch.backends.mps.is_available():
            present = "mps"
        return torch.device(present)
    kind, _, number = name.partition(":")
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    if kind not in there or (number and not number.isdecimal()) or (number and kind != "cuda"):
        raise A2UError(f"device {name!r} is unknown; expected auto, cpu, cuda, cuda:N or mps")
    if int(number or 0) >= there[kind]:
        present = f"{there[kind]} CUDA device(s)" if kind == "cuda" else "none"
        raise A2UError(f"device {name} is not there (found: {present}); use --device auto or cpu")
    return torch.device(name)


def use_threads(count: int) -> None:
    """Let this whole process compute in so many threads."""
    torch.set_num_threads(count)
    cv2.setNumThreads(count)


def describe_device(device: torch.device) -> str:
    """Say in a few words what the network will run on."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)


def pick_dtype(
    name: str,
    *,
    device: torch.device = CPU,
    depth: int = 8,  # of the result, in bits a channel
) -> torch.dtype:
    """Turn a name into a dtype.

    `auto` is bfloat16 where that is faster and the result has 8 bits: on CUDA from capability 8.0
    on, and on a CPU with AMX where the compiled convolutions are missing, which beat it in float32.

    Raises A2UError for a name that is not one of them.
    """
    if name not in get_args(DtypeName):
        raise A2UError(f"dtype {name!r} is unknown; expected {', '.join(get_args(DtypeName))}")
    if name == "auto":
        name = "bfloat16" if depth == 8 and _half_is_faster(device) else "float32"
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _half_is_faster(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", None)  # no public name in every version
    slow = device.type == "cpu" and not convolution.available()
    return slow and has_amx is not None and bool(has_amx())


class ExactFloat32:
    """Keep float32 at full precision while any computation in it is under way.

    The switches are the process's: the first of overlapping calls sets them, the last puts them
    back, and calls in half precision need not care. CUDA takes TF32 for float32 by default, and a
    CPU bfloat16 where `torch.set_float32_matmul_precision` says so.
    """

    def __init__(self, switches: list[tuple[Any, str, object]]) -> None:
        self.switches = switches  # each with its name, and the value that means exact
        self.lock, self.calls = threading.Lock(), 0
        self.before: list[object] = []

    def __enter__(self) -> None:
        with self.lock:
            if not self.calls:
                self.before = [getattr(owner, name) for owner, name, _ in self.switches]
                for owner, name, exact in self.switches:
                    setattr(owner, name, exact)
            self.calls += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.calls -= 1
            if not self.calls:
                for (owner, name, _exact), value in zip(self.switches, self.before, strict=True):
                    setattr(owner, name, value)


@functools.cache
def _guard() -> ExactFloat32:
    """Give the process's one guard; torch before 2.9 has older names, for CUDA alone."""
    backends: Any = torch.backends
    if not hasattr(backends.cudnn, "conv"):
        older = (backends.cudnn, backends.cuda.matmul)
        return ExactFloat32([(owner, "allow_tf32", False) for owner in older])
    owners = (backends.cudnn.conv, backends.cuda.matmul, backends.mkldnn.conv)
    return ExactFloat32(
        [(owner, "fp32_precision", "ieee") for owner in (*owners, backends.mkldnn.matmul)]
    )


def exactly(dtype: torch.dtype) -> AbstractContextManager[None]:
    """Make float32 mean float32 for a computation; other dtypes are left as they are."""
    return _guard() if dtype == torch.float32 else nullcontext()


def free_memory(device: torch.device) -> int:
    """Find out how many bytes a device has left, what torch holds in reserve included."""
    if device.type != "cuda":
        return memory.free_memory()
    reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + reserve
