"""Choose where and how exactly to compute: devices, dtypes, float32 that means it."""

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, get_args

import torch

from ..errors import A2UError

CPU = torch.device("cpu")
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]


def pick_device(name: str = "auto") -> torch.device:
    """Turn `auto`, `cpu`, `cuda`, `cuda:1` or `mps` into a device that is there.

    Raises A2UError where it is not: what was asked for is never replaced in silence.
    """
    if name == "auto":
        found = "cuda" if torch.cuda.is_available() else "cpu"
        if found == "cpu" and torch.backends.mps.is_available():
            found = "mps"
        return torch.device(found)
    kind, _, number = name.partition(":")
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    if kind not in there or (number and not number.isdecimal()) or (number and kind != "cuda"):
        raise A2UError(f"device {name!r} is unknown; expected auto, cpu, cuda, cuda:N or mps")
    if int(number or 0) >= there[kind]:
        found = f"{there[kind]} CUDA device(s)" if kind == "cuda" else "none"
        raise A2UError(f"device {name} is not there (found: {found}); use --device auto or cpu")
    return torch.device(name)


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

    `auto` is bfloat16 where the device has matrix units for it (AMX, or CUDA from capability 8.0
    on) and the result has 8 bits, float32 elsewhere.

    Raises A2UError for a name that is not one of them.
    """
    if name not in get_args(DtypeName):
        raise A2UError(f"dtype {name!r} is unknown; expected {', '.join(get_args(DtypeName))}")
    if name == "auto":
        name = "bfloat16" if depth == 8 and _half_in_hardware(device) else "float32"
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _half_in_hardware(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", None)  # no public name in every version
    return device.type == "cpu" and has_amx is not None and bool(has_amx())


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Keep float32 convolutions at full precision on CUDA, where TF32 is the default."""
    cudnn: Any = torch.backends.cudnn
    new = hasattr(cudnn, "conv")  # torch >= 2.9: a program that sets these may not touch the others
    name, exact = ("fp32_precision", "ieee") if new else ("allow_tf32", False)
    switches = (cudnn.conv if new else cudnn, torch.backends.cuda.matmul)
    before = [getattr(switch, name) for switch in switches]
    try:
        for switch in switches:
            setattr(switch, name, exact)
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            setattr(switch, name, value)
