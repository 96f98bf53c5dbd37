"""The one object to hold: weights on a device, ready to matte one picture or a million."""

from pathlib import Path
from typing import Any, Literal

import torch

from ..network.folding import fold_norms
from ..units import FloatArray, Mask, Size, Trimap
from ..weights import registry
from ..weights.cache import sha256_of
from ..weights.format import load_model
from ..weights.header import read_header
from .devices import DtypeName, describe_device, pick_device, pick_dtype
from .inference import decoded_share, matte, memory_budget, plan_memory
from .planning import Plan, parse_bytes
from .quality import Quality, Watch, require_quality
from .runtime import Runtime
from .streaming import streams


class Matter(Runtime):
    """Load weights once, fold them for a device and a precision, then matte picture after picture.

    `weights` is a name, a file or hf://owner/repo[@revision]; `device` "auto", "cpu", "cuda",
    "cuda:1" or "mps", never replaced by another; `dtype` that of the convolutions, where "auto" is
    bfloat16 if the device computes in it, and float32 means exact; `quality` as in `matte`, where
    "auto" is what the weights are best used with;
    `max_memory` bounds what the process takes, in bytes or as "2GB" (None: most of what is free).

    It may be called from several threads at once, and several of them, on one device or on more,
    may live in one process. Nothing process-wide is changed.

    Raises WeightsError where weights are missing, damaged or do not fit, A2UError for a device that
    is not there or an unknown word.
    """

    def __init__(
        self,
        weights: str | Path = registry.DEFAULT,
        *,
        device: str | torch.device = "auto",
        dtype: DtypeName | torch.dtype = "float32",
        quality: Quality | Literal["auto"] = "auto",
        max_memory: int | str | None = None,
    ) -> None:
        self.weights = str(weights)
        if quality != "auto":
            quality = require_quality(quality)
        self.max_memory = parse_bytes(max_memory) if isinstance(max_memory, str) else max_memory
        self._device = pick_device(str(device))
        self.dtype = (
            dtype if isinstance(dtype, torch.dtype) else pick_dtype(dtype, device=self.device)
        )
        self.path = registry.locate(weights)
        self.sha256 = sha256_of(self.path)
        header = read_header(self.path)
        self.licence = header.licence
        self.suited = header.quality  # what they are best used with, or nothing
        self.quality = require_quality(self.suited or "fast") if quality == "auto" else quality
        with torch.inference_mode():
            self.network = fold_norms(load_model(self.path, device=self.device), self.dtype)

    def __str__(self) -> str:
        return f"{describe_device(self.device)}, {self.dtype_name}"

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._device

    @property
    def dtype_name(self) -> str:
        """The dtype's name, such as "float32", for journals and reports."""
        return str(self.dtype).removeprefix("torch.")

    def _matte(
        self, image: FloatArray, trimap: Trimap, quality: Quality, watch: Watch | None
    ) -> FloatArray:
        bound = self.max_memory
        how: dict[str, Any] = {"dtype": self.dtype, "max_memory": bound, "quality": quality}
        return matte(self.network, image, trimap, watch=watch, **how)

    def plan(self, size: Size, *, max_memory: int | None = None) -> Plan:
        """Tell how a picture of (height, width) would be walked, and in how much memory.

        `max_memory` is another bound than the matter's. Raises OutOfMemory where it does not fit.
        """
        bound = self.max_memory if max_memory is None else max_memory
        how: dict[str, Any] = {"device": self.device, "dtype": self.dtype, "max_memory": bound}
        return plan_memory(size, windows=streams(self.network), **how)

    def decoded_share(self, unknown: Mask) -> float:
        """Tell how much of a picture is decoded where only some pixels, bool (H, W), are unknown.

        Raises OutOfMemory where it does not fit.
        """
        plan = self.plan(unknown.shape)
        return decoded_share(plan, unknown) if streams(self.network) else 1.0

    @property
    def threads(self) -> int:
        """How many threads it computes in on a CPU."""
        return torch.get_num_threads()

    def budget(self) -> int:
        """Tell how many bytes it may take at present."""
        return memory_budget(self.device, self.max_memory)
