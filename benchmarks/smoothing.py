"""Try to steady what A2U's kernels depend on, beside steadying mattes: each by itself, and both.

    a2u render runs/clips --clips 5 --frames 24 --size 320
    python -m benchmarks.smoothing runs/clips

The kernels of a frame depend on the means of its planes, and on moments of their encodings. Here
they are averaged over as many frames to either side as mattes are (`matting.steadying`), within a
shot. A row of each clip: MAD x 1e3 and dtSSD (RVM's protocol) over whole frames, of four ways.
"""

import csv
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Annotated
from unittest import mock

import numpy as np
import torch
import typer
from torch import Tensor

from a2u_cli.images import quantise, read_image
from a2u_cli.matting import inference
from a2u_cli.matting.matter import Matter
from a2u_cli.matting.steadying import REACH, measure_step, steady
from a2u_cli.matting.streaming import Plane, WindowedPlanes
from a2u_cli.operators.affinity import KernelGenerator
from a2u_cli.operators.steady import Moments
from a2u_cli.trimap import read_trimap
from a2u_cli.units import FloatArray, Trimap

from . import describe_machine
from .sequences import change, eight_bits, find_cuts, mad

RESULTS = Path(__file__).resolve().parent / "results" / "smoothing.csv"
WAYS = ("alone", "blended", "descriptors", "both")
HEADER = ["clip", "frames", *(f"{what} {way}" for what in ("MAD", "dtSSD") for way in WAYS)]
HEADER += ["dtSSD descriptors / alone", "dtSSD both / blended", "machine"]
Facts = list[tuple[Tensor, ...]]  # of a frame: what its kernels depend on, call after call


def run(
    clips: Annotated[Path, typer.Argument(help="Rendered by a2u render --clips.")],
    weights: Annotated[str, typer.Option(help="As a2u takes them.")] = "a2u-open",
    results: Annotated[Path, typer.Option(help="The CSV.")] = RESULTS,
) -> None:
    """Print and write a row of each clip."""
    matter = Matter(weights, device="cpu")
    with results.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for clip in sorted(path for path in clips.iterdir() if (path / "image").is_dir()):
            row = score(clip, matter)
            print("  ".join(row), flush=True)
            writer.writerow([*row, describe_machine()])


def score(clip: Path, matter: Matter) -> list[str]:
    """Matte a clip in four ways, and give its row."""
    names = sorted(path.name for path in (clip / "image").iterdir())
    images = [read_image(clip / "image" / name).image for name in names]
    trimaps = [read_trimap(clip / "trimap" / name) for name in names]
    truth = [eight_bits(clip / "alpha" / name) for name in names]
    shots = find_cuts(clip)
    ends = [*shots[1:], len(names)]
    mattes: dict[str, list[FloatArray]] = {way: [] for way in WAYS}
    for start, end in zip(shots, ends, strict=True):
        shot = images[start:end], trimaps[start:end]
        alone, facts = _matte_all(matter, *shot)
        smoothed, _ = _matte_all(matter, *shot, told=_smooth(facts))
        mattes["alone"] += alone
        mattes["descriptors"] += smoothed
        mattes["blended"] += _blend(alone, shot[1])
        mattes["both"] += _blend(smoothed, shot[1])
    found = {way: [quantise(m, 8).astype(np.uint8) for m in mattes[way]] for way in WAYS}
    mads = [1e3 * mad(found[way], truth) for way in WAYS]
    changes = [change(found[way], truth, shots) for way in WAYS]
    ratios = changes[2] / changes[0], changes[3] / changes[1]
    figures = [f"{value:.3f}" for value in (*mads, *changes)] + [f"{r:.4f}" for r in ratios]
    return [clip.name, str(len(names)), *figures]


def _matte_all(
    matter: Matter, images: list[FloatArray], trimaps: list[Trimap], told: list[Facts] | None = None
) -> tuple[list[FloatArray], list[Facts]]:
    """Matte frames, and give what their kernels depend on; what is `told` takes its place."""
    mattes, every = [], []
    for at, (image, trimap) in enumerate(zip(images, trimaps, strict=True)):
        with _watching(told[at] if told else None) as facts:
            mattes.append(matter.matte(image, trimap))
        every.append(facts)
    return mattes, every


class _watching:  # noqa: N801 - a context
    """Note what the kernels of one frame depend on, or replace it by what is told."""

    def __init__(self, told: Facts | None) -> None:
        self.facts: Facts = []
        self.told = iter(told) if told else None
        describe, moments = WindowedPlanes._describe, WindowedPlanes._moments

        def describing(planes: WindowedPlanes, generator: KernelGenerator, x: Plane) -> object:
            return self._note(describe(planes, generator, x))

        def measuring(planes: WindowedPlanes, *of: object) -> object:
            own = moments(planes, *of)  # type: ignore[arg-type]
            flat = self._note(tuple(t for m in own for t in (m.mean, m.variance)))
            return Moments(*flat[:2]), Moments(*flat[2:])

        patch: Callable[..., object] = mock.patch.object
        self.patches = [
            patch(WindowedPlanes, "_describe", describing),
            patch(WindowedPlanes, "_moments", measuring),
            patch(inference, "_in_one_piece", lambda *_: False),
        ]

    def _note(self, own: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        self.facts.append(own)
        return next(self.told) if self.told else own

    def __enter__(self) -> Facts:
        for patch in self.patches:
            patch.__enter__()  # type: ignore[attr-defined]
        return self.facts

    def __exit__(self, *_: object) -> None:
        for patch in self.patches[::-1]:
            patch.__exit__(None, None, None)  # type: ignore[attr-defined]


def _smooth(facts: list[Facts]) -> list[Facts]:
    """Average each frame's facts with those of the frames around it."""
    smoothed = []
    for at in range(len(facts)):
        near = facts[max(0, at - REACH) : at + REACH + 1]
        calls = zip(*near, strict=True)
        smoothed.append([_average(call) for call in calls])
    return smoothed


def _average(call: tuple[tuple[Tensor, ...], ...]) -> tuple[Tensor, ...]:
    return tuple(torch.stack(same).mean(0) for same in zip(*call, strict=True))


def _blend(mattes: list[FloatArray], trimaps: list[Trimap]) -> list[FloatArray]:
    """Steady a shot's mattes as `a2u sequence` does."""
    steps = [measure_step(*pair) for pair in pairwise(mattes)]
    made = []
    for at in range(len(mattes)):
        first, last = max(0, at - REACH), min(len(mattes), at + REACH + 1)
        window = mattes[first:last], steps[first : last - 1]
        made.append(steady(*window, at - first, trimaps[at]))
    return made


if __name__ == "__main__":
    typer.run(run)
