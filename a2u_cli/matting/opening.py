"""Open weights on the runtime that they are for: torch, or onnxruntime for an exported graph."""

from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import A2UError, WeightsError
from .onnx_matter import SUFFIX, OnnxMatter
from .quality import Quality
from .runtime import Runtime

RuntimeName = Literal["torch", "onnx"]


def open_runtime(
    weights: str | Path,
    *,
    runtime: RuntimeName | None = None,
    device: str = "auto",
    dtype: str = "auto",
    quality: Quality | Literal["auto"] = "auto",
    max_memory: int | str | None = None,
    depth: int = 8,
    threads: int | None = None,
) -> Runtime:
    """Load weights as `Matter` does, or a graph as `OnnxMatter` does; by its suffix where not told.

    `depth` is that of the result, in bits a channel: an "auto" `dtype` goes by it. With `threads`
    this whole process computes in so many.

    Raises what these do, WeightsError where the runtime takes no such file, A2UError where torch is
    needed and missing, and for a dtype that a graph has not.
    """
    name = runtime or ("onnx" if Path(weights).suffix == SUFFIX else "torch")
    if name not in get_args(RuntimeName):
        raise A2UError(
            f"runtime {name!r} is unknown; expected {' or '.join(get_args(RuntimeName))}"
        )
    more: dict[str, Any] = {"quality": quality, "max_memory": max_memory}
    if name == "onnx":
        matter = OnnxMatter(weights, device=device, threads=threads, **more)
        if dtype not in ("auto", matter.dtype_name):
            raise A2UError(
                f"dtype {dtype} was asked for, but {weights} has {matter.dtype_name}; "
                "leave --dtype out"
            )
        return matter
    if Path(weights).suffix == SUFFIX:
        raise WeightsError(f"{weights} is a graph, which torch does not run; give --runtime onnx")
    try:
        from .devices import pick_device, pick_dtype, use_threads
        from .matter import Matter
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise A2UError(
            "torch is not installed, and these weights need it; run: pip install torch, or give a "
            "graph: --runtime onnx --weights a2u-open.onnx"
        ) from None
    if threads:
        use_threads(threads)
    place = pick_device(device)
    chosen = pick_dtype(dtype, device=place, depth=depth)
    return Matter(weights, device=place, dtype=chosen, **more)
