"""Time the C forms with vectors of 32 and of 64 bytes, by turns: python -m benchmarks.vectors

AVX2 and AVX-512, in one thread, float32: the minimal filtering of the network's 3x3 convolutions,
the operator, and a whole pass; beside them the pass in bfloat16, and its convolutions alone by
torch. `ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16` makes of a processor with AMX one without. On a
processor without AVX-512 it says so.
"""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from a2u_cli.cli import reuse_memory
from a2u_cli.matting.inference import matte
from a2u_cli.matting.plane_statistics import Sums
from a2u_cli.network.folding import fold_norms
from a2u_cli.operators.affinity import KernelGenerator, downsample, upsample
from a2u_cli.operators.fused import convolution, encodings, library
from a2u_cli.weights import load_model

from . import floor, interleave, report
from .cases import Case

RESULTS = Path(__file__).resolve().parent / "results"
FORMS = {"AVX2": 32, "AVX-512": 64}
BAR = 1.25  # times as fast: each part, with AVX-512
SIDE, RUNS = 768, 9  # of 64 channels below 256 MB, which glibc hands out again
STAGES = ((64, 1), (64, 2), (128, 4), (256, 8))  # channels, and how much smaller than the picture


def run(results: Path) -> None:
    """Print times and ratios; write `vectors.csv`."""
    if library.vectors() != "AVX-512":
        print(f"vectors: not measured, this processor has {library.vectors() or 'neither form'}")
        return
    reuse_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    parts = {"minimal filtering": filtering(), "operator": operator(), "whole pass": whole_pass()}
    measures = {
        f"{part}, {form}": partial(seconds, work, FORMS[form])
        for part, work in parts.items()
        for form in FORMS
    }
    half = {
        "whole pass, bfloat16": whole_pass(torch.bfloat16),
        "convolutions alone by torch, bfloat16": floor.convolutions(
            Case("", "bfloat16", (SIDE, SIDE))
        ),
    }
    if convolution.computes_in(torch.bfloat16):
        widest = max(FORMS.values())
        measures |= {name: partial(seconds, work, widest) for name, work in half.items()}
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    name = f"vectors-{isa.lower()}.csv" if isa else "vectors.csv"
    with torch.inference_mode():
        timings = interleave(measures, RUNS)
    library.use_at_most(max(FORMS.values()))
    torch.set_num_threads(threads)
    report(f"C forms, one thread, {SIDE}x{SIDE} {isa}".strip(), timings, results / name)
    for part in parts:
        narrow, wide = (timings[f"{part}, {form}"].median for form in FORMS)
        missed = "" if part == "whole pass" or narrow / wide >= BAR else " MISSED"
        print(f"{part}: AVX2 / AVX-512 {narrow / wide:.2f} (at least {BAR} of a part){missed}")


def seconds(work: Callable[[], object], size: int) -> float:
    """Time some work with vectors of so many bytes."""
    library.use_at_most(size)
    start = time.process_time()
    work()
    return time.process_time() - start


def picture(channels: int, smaller: int) -> torch.Tensor:
    """Make a stage's features: noise, channels last."""
    size = (1, channels, SIDE // smaller, SIDE // smaller)
    return torch.randn(size).contiguous(memory_format=torch.channels_last)


def filtering() -> Callable[[], object]:
    """Prepare a convolution of each stage."""
    layers = []
    for channels, smaller in STAGES:
        filter = convolution.transform(torch.randn(channels, channels, 3, 3))
        layers.append((picture(channels, smaller), filter, torch.zeros(channels)))
    return lambda: [convolution.convolve(*layer) for layer in layers]


def operator() -> Callable[[], object]:
    """Prepare the operator at each stage: encodings, kernels, down and up, for given means."""
    stages = []
    for channels, smaller in STAGES:
        generator, x = KernelGenerator(channels).eval(), picture(channels, smaller)
        with torch.inference_mode():
            filters = generator.filters(F.adaptive_avg_pool2d(x, generator.encode_size))
        stages.append((generator, x, filters, x.mean((2, 3), keepdim=True)))

    def work() -> None:
        for generator, x, (u, v), mean in stages:
            rows, columns = (slice(0, side // 2) for side in x.shape[2:])
            moments = [Sums(), Sums()]
            parts = encodings.sums(x, u, v, rows, columns)
            for sums, part in zip(moments, parts, strict=True):
                sums.add_up(rows.stop * columns.stop, *part)
            of_u, of_v = (sums.moments(generator.norm_u.num_groups) for sums in moments)
            affinity = generator.affinity_of(x, (u, v), (of_u, of_v))
            half = downsample(x, generator.down_kernels(affinity, mean))
            upsample(half, generator.up_kernels(affinity, mean))

    return work


def whole_pass(dtype: torch.dtype = torch.float32) -> Callable[[], object]:
    """Prepare a matte by the weights that ship, of a picture that is unknown all over."""
    image = np.random.default_rng(0).random((SIDE, SIDE, 3), np.float32)
    trimap = np.full((SIDE, SIDE), 128, np.uint8)
    trimap[0], trimap[-1] = 0, 255
    return partial(matte, fold_norms(load_model(), dtype), image, trimap, dtype=dtype)


if __name__ == "__main__":
    run(RESULTS)
