"""How far an exported file is from torch, size by size: measured, kept beside it, checked again."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np

from ..errors import A2UError, WeightsError
from ..images.writing import write_bytes
from ..units import BACKGROUND, FOREGROUND, UNKNOWN, FloatArray, Size, Trimap
from ..weights.cache import sha256_of as digest

TOLERANCE = {"float32": 1e-4, "float16": 2e-2}  # the largest difference of alpha
# From one pixel on; odd ones and thin ones, of which few divide by 6 or by 16.
SIZES: tuple[Size, ...] = (
    *((16, 16), (1, 7), (34, 50), (80, 112), (101, 37)),
    *((17, 301), (150, 90), (97, 193), (233, 181), (320, 480)),
)
TIMED: Size = (480, 640)
RUNS = 3


class Mattes(Protocol):
    """What is compared: whatever mattes a picture."""

    def matte(self, image: FloatArray, trimap: Trimap) -> FloatArray: ...


Make = Callable[[], Mattes]


class ParityError(A2UError):
    """An exported file does not give what torch gives."""

    exit_code = 3


@dataclass(frozen=True)
class Row:
    """The differences of alpha at one size, (height, width), of float32 in [0, 1]."""

    height: int
    width: int
    largest: float
    mean: float


@dataclass(frozen=True)
class Cost:
    """What one matte of 640x480 takes: median seconds, and its process's most memory in bytes."""

    name: str
    seconds: float
    memory: int


@dataclass(frozen=True)
class Certificate:
    """What was compared with what, and what came out."""

    file_sha256: str
    weights_sha256: str
    dtype: str
    opset: int
    runtime: str
    torch: str
    processor: str
    rows: tuple[Row, ...]
    costs: tuple[Cost, ...] = ()

    @property
    def largest(self) -> float:
        return max(row.largest for row in self.rows)

    @property
    def tolerance(self) -> float:
        return TOLERANCE[self.dtype]

    def __str__(self) -> str:
        """Say it in lines: a table of sizes, and what a matte takes."""
        lines = [f"{self.runtime} against torch {self.torch} on {self.processor}"]
        lines += [f"{'size':>10} {'largest':>9} {'mean':>9}   (alpha, 0 to 1)"]
        for row in self.rows:
            size = f"{row.width}x{row.height}"
            lines.append(f"{size:>10} {row.largest:9.1e} {row.mean:9.1e}")
        size = f"{TIMED[1]}x{TIMED[0]}"
        for cost in self.costs:
            taken = f"{cost.seconds:.2f} s and {cost.memory / 1e9:.2f} GB"
            lines.append(f"{size}, all unknown: {cost.name} takes {taken}")
        return "\n".join(lines)


def certify(
    file: Path,
    facts: dict[str, str],
    *,
    exported: Make,
    original: Make,
    runtime: str,
    sizes: Sequence[Size] | None = None,
    costs: bool = True,
) -> Certificate:
    """Compare an exported file with torch at `sizes`, each (height, width); by default `SIZES`.

    `facts` are the file's own; `exported` and `original` load the two, as one pass. Raises
    ParityError where a difference is larger than `TOLERANCE`.
    """
    import torch

    one, other = exported(), original()
    rows = []
    for height, width in sizes or SIZES:
        picture = draw((height, width))
        apart = np.abs(one.matte(*picture) - other.matte(*picture)).astype(np.float64)
        rows.append(Row(height, width, float(apart.max()), float(apart.mean())))
    certificate = Certificate(
        digest(file),
        facts["weights_sha256"],
        facts["dtype"],
        int(facts["opset"]),
        runtime,
        torch.__version__,
        processor(),
        tuple(rows),
        tuple(_take_costs({runtime: exported, "torch": original})) if costs else (),
    )
    worst = max(rows, key=lambda row: row.largest)
    if not worst.largest <= certificate.tolerance:  # NaN fails too
        raise ParityError(
            f"{file} differs from torch by {worst.largest:.2g} at {worst.width}x{worst.height}, "
            f"expected at most {certificate.tolerance:g}; it is not to be used: report this with "
            f"the versions, {runtime} and torch {torch.__version__}"
        )
    return certificate


def draw(size: Size) -> tuple[FloatArray, Trimap]:
    """Draw a picture and a trimap of a size, always the same: noise over a slope, all kinds."""
    height, width = size
    rng = np.random.default_rng([height, width])
    slope = np.linspace(0, 1, height * width, dtype=np.float32).reshape(height, width, 1)
    image = 0.5 * slope + 0.5 * rng.random((height, width, 3), np.float32)
    trimap = np.full(size, UNKNOWN, np.uint8)
    trimap[: height // 4] = BACKGROUND
    trimap[:, width - width // 4 :] = FOREGROUND
    return image, trimap


def processor() -> str:
    """Name the processor and count the cores that there are."""
    name = platform.processor() or platform.machine()
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        models = [line for line in facts.read_text().splitlines() if line.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    return f"{name}, {os.cpu_count()} cores"


def _take_costs(makes: dict[str, Make]) -> Iterator[Cost]:
    """Measure each in a process of its own: memory is a process's."""
    for name, make in makes.items():
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            yield Cost(name, *pool.submit(_measure, make).result())


def _measure(make: Make) -> tuple[float, int]:
    """Time mattes, and give the largest memory that this process had, in bytes."""
    matter = make()
    image, _ = draw(TIMED)
    trimap = np.full(TIMED, UNKNOWN, np.uint8)
    seconds = []
    for _ in range(1 + RUNS):
        start = time.perf_counter()
        matter.matte(image, trimap)
        seconds.append(time.perf_counter() - start)
    return round(median(seconds[1:]), 3), peak_memory()


def peak_memory() -> int:
    """Give the most memory that this process had, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what its parent held when it was started, too
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) << 10
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def place(file: Path) -> Path:
    """Say where the certificate of a file lies."""
    return file.with_name(f"{file.name}.json")


def write(certificate: Certificate, file: Path) -> None:
    """Write a certificate beside its file; raises ImageError where that cannot be."""
    write_bytes(place(file), json.dumps(asdict(certificate), indent=2).encode() + b"\n")


def read(file: Path) -> Certificate:
    """Read the certificate beside a file; raises WeightsError where there is no sound one."""
    path = place(file)
    try:
        told: dict[str, Any] = json.loads(path.read_text())
        rows = tuple(Row(**row) for row in told.pop("rows"))
        costs = tuple(Cost(**cost) for cost in told.pop("costs"))
        return Certificate(rows=rows, costs=costs, **told)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(
            f"{path} is no certificate of {file.name}, expected the one written beside it; export "
            "it again"
        ) from error


def require_same(certificate: Certificate, file: Path, facts: dict[str, str]) -> None:
    """Refuse a file that is not the one that was certified; raises ParityError."""
    if digest(file) != certificate.file_sha256:
        raise ParityError(
            f"{file} was changed since it was certified: its sha256 is another; export it again"
        )
    told = {"opset": str(certificate.opset), "dtype": certificate.dtype}
    told["weights_sha256"] = certificate.weights_sha256
    for name, value in told.items():
        if facts.get(name) != value:
            raise ParityError(
                f"{file} has {name} {facts.get(name)}, its certificate {value}; export it again"
            )
