"""Matte by an exported graph, in onnxruntime: torch is not needed, nor looked for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import A2UError, OutOfMemory, WeightsError, is_memory
from ..images import memory
from ..operators.fused.library import threads as cores
from ..units import STRIDE, FloatArray, Mask, Size, Trimap
from ..weights.cache import sha256_of
from .pacing import Tell
from .planning import PICTURE, PROCESS, Plan, parse_bytes
from .quality import Quality, Watch, compose, require_inputs, require_quality
from .runtime import Runtime

SUFFIX = ".onnx"
FORMAT, FORMAT_VERSION = "a2u-onnx", "1"
SHARE = 0.8  # of the free memory is taken
PIXEL = 4100  # bytes that a pass takes for each, at most: measured by `benchmarks.export`
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True)
class Device:
    """Where a session computes."""

    type: str
    number: int = 0

    def __str__(self) -> str:
        return self.type if self.type == "cpu" else f"{self.type}:{self.number}"


class OnnxMatter(Runtime):
    """Hold an exported graph as `Matter` holds weights: the same mattes, to 1e-4.

    `file` is what `a2u export onnx` has written; `device` "auto", "cpu", or "cuda" where the
    runtime has it; on a CPU it computes in so many `threads`, by default one a core. A picture is
    walked in one piece.

    Raises WeightsError where the file is missing, damaged, changed, or of another kind, A2UError
    where onnxruntime or the device is not there.
    """

    def __init__(
        self,
        file: str | Path,
        *,
        device: str = "auto",
        quality: Quality | Literal["auto"] = "auto",
        max_memory: int | str | None = None,
        threads: int | None = None,
    ) -> None:
        self.weights, self.path = str(file), Path(file)
        if quality != "auto":
            quality = require_quality(quality)
        self.max_memory = parse_bytes(max_memory) if isinstance(max_memory, str) else max_memory
        self._place, self._threads = _pick_device(device), threads or cores()
        self.session = _open_session(self.path, self._place, self._threads)
        self._giving_back = _give_back_memory(self._place)
        facts: dict[str, str] = self.session.get_modelmeta().custom_metadata_map
        _require_own(self.path, facts)
        self.sha256, self._dtype = sha256_of(self.path), facts["dtype"]
        self.licence, self.suited = facts.get("licence", ""), facts.get("quality", "")
        self.quality = require_quality(self.suited or "fast") if quality == "auto" else quality

    def __str__(self) -> str:
        where = f"cpu ({self.threads} threads)" if self._place.type == "cpu" else str(self._place)
        return f"onnxruntime on {where}, {self.dtype_name}"

    @property
    def device(self) -> Device:
        """Where it computes."""
        return self._place

    @property
    def dtype_name(self) -> str:
        """The dtype's name, such as "float32", for journals and reports."""
        return self._dtype

    @property
    def threads(self) -> int:
        """How many threads it computes in on a CPU."""
        return self._threads

    def _matte(
        self, image: FloatArray, trimap: Trimap, quality: Quality, watch: Watch | None
    ) -> FloatArray:
        require_inputs(image, trimap)
        self.plan((trimap.shape[0], trimap.shape[1]))
        return compose(self._view, image, trimap, quality, watch=watch)

    def _view(self, image: FloatArray, trimap: Trimap, tell: Tell) -> FloatArray:
        """Run the graph once; it can say nothing on the way."""
        tell(0.0)
        inputs = {
            "image": np.ascontiguousarray(image.transpose(2, 0, 1)[None]),
            "trimap": np.float32(trimap[None, None]) / 255,
        }
        try:
            found = self.session.run(["alpha"], inputs, self._giving_back)
            alpha = np.asarray(found[0][0, 0], np.float32)
        except Exception as error:  # onnxruntime has kinds of its own
            if not is_memory(error):
                raise A2UError(f"onnxruntime ended with: {' '.join(str(error).split())}") from error
            raise OutOfMemory(
                f"a picture of {trimap.shape[1]}x{trimap.shape[0]} does not fit into memory; "
                "make it smaller, or take the weights that torch runs"
            ) from error
        if not np.isfinite(alpha).all():
            raise A2UError(f"{self.path} gave values that are not finite; export it again")
        return alpha

    def plan(self, size: Size, *, max_memory: int | None = None) -> Plan:
        """Tell in how much memory a picture of (height, width) is walked: in one piece.

        `max_memory` is another bound than its own. Raises OutOfMemory where it does not fit.
        """
        height, width = (-(-side // STRIDE) * STRIDE for side in size)
        needed = PROCESS + (PIXEL + PICTURE) * height * width
        bound = self.max_memory if max_memory is None else max_memory
        budget = self.budget() if bound is None else bound
        if needed > budget:
            raise OutOfMemory(
                f"a picture of {size[1]}x{size[0]} needs {needed / 1e9:.1f} GB of memory in "
                f"onnxruntime, which walks it in one piece, {budget / 1e9:.1f} GB may be used; "
                "raise --max-memory, make it smaller, or take the weights that torch runs"
            )
        return Plan((height, width), memory=needed, whole=True)

    def decoded_share(self, unknown: Mask) -> float:
        """Tell how much of a picture is decoded: all of it."""
        return 1.0

    def budget(self) -> int:
        """Tell how many bytes it may take at present."""
        if self.max_memory is not None:
            return self.max_memory
        return int(SHARE * memory.free_memory())


def _pick_device(name: str) -> Device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:1` into a device that onnxruntime has."""
    kind, _, number = name.partition(":")
    kind = "cpu" if kind == "auto" else kind
    there = _runtime().get_available_providers()
    if kind not in PROVIDERS or (number and not number.isdecimal()):
        raise A2UError(f"device {name!r} is none of onnxruntime's; expected auto, cpu or cuda:N")
    if PROVIDERS[kind] not in there:
        raise A2UError(
            f"device {name} is not there (onnxruntime has {', '.join(there)}); use --device cpu, "
            "or install onnxruntime-gpu"
        )
    return Device(kind, int(number or 0))


def _runtime() -> Any:
    """Import onnxruntime; raises A2UError where it is missing."""
    try:
        import onnxruntime
    except ImportError:
        raise A2UError(
            "--runtime onnx needs onnxruntime; run: pip install 'a2u-cli[ort]'"
        ) from None
    return onnxruntime


def _open_session(path: Path, device: Device, threads: int) -> Any:
    """Load a graph; raises WeightsError where that cannot be."""
    runtime = _runtime()
    if path.suffix != SUFFIX:
        raise WeightsError(
            f"{path} is no {SUFFIX} file, which --runtime onnx takes; where torch is, run: "
            f"a2u export onnx a2u-open{SUFFIX}"
        )
    if not path.is_file():
        raise WeightsError(
            f"{path} is not there; where torch is, make it with: a2u export onnx {path}"
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # else a size's second pass takes twice the memory
    own = {"device_id": device.number} if device.type == "cuda" else {}
    try:
        return runtime.InferenceSession(
            str(path), options, providers=[(PROVIDERS[device.type], own)]
        )
    except Exception as error:  # onnxruntime has kinds of its own
        raise WeightsError(
            f"{path} cannot be loaded by onnxruntime {runtime.__version__} "
            f"({' '.join(str(error).split())[:200]}); export it again"
        ) from error


def _give_back_memory(device: Device) -> Any:
    """Have each pass on a CPU end by giving its memory back: what is free then tells the truth."""
    options = _runtime().RunOptions()
    if device.type == "cpu":
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def _require_own(path: Path, facts: dict[str, str]) -> None:
    """Refuse a graph of others; raises WeightsError."""
    if (facts.get("format"), facts.get("version")) != (FORMAT, FORMAT_VERSION):
        raise WeightsError(
            f"{path} is a graph of another kind, expected one of a2u export onnx; other graphs "
            "have other inputs"
        )
