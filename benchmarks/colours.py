"""Compare foreground colours and the time they take with pymatting's: python -m benchmarks.colours.

Scenes are rendered, so that the true colours are known; an error is the mean absolute difference,
weighted by alpha (1 - alpha).
"""

import time
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt

from a2u_cli.foreground import METHODS, estimate_colours
from a2u_cli.images import read_grey, read_image
from a2u_cli.rendering.foregrounds import render_foreground
from a2u_cli.rendering.textures import render_texture

from . import interleave, report
from .eval_dev import DEV

Array = npt.NDArray[np.float32]
Estimate = Callable[[Array, Array], tuple[Array, Array]]
RESULTS = Path(__file__).resolve().parent / "results"
KINDS = ("hair", "fur", "defocus", "spikes", "smoke", "glass", "wisps", "leaves")
SMOOTHNESS = (1.0, 0.5)
SIDE = 256  # pixels of a scene
SCREEN = (1088, 1920)
RUNS = 5
PYMATTING = 0.02573707  # mean error of its estimate_foreground_ml, 1.1.15, over the scenes


def run(results: Path) -> None:
    """Print errors and times; write `colours.csv`."""
    methods: dict[str, Estimate] = {m: partial(estimate_colours, method=m) for m in METHODS}
    if find_spec("pymatting"):
        methods["pymatting multilevel"] = pymatting_colours
    for name, estimate in methods.items():
        print(f"{name}: mean error {mean_error(estimate):.4f} over {len(scenes())} scenes")
    if DEV.is_dir():
        for name, estimate in methods.items():
            print(f"{name}: re-composition error {recomposition_error(estimate):.5f} on dev")
    rng = np.random.default_rng(0)
    image, alpha = rng.random((*SCREEN, 3), np.float32), rng.random(SCREEN, np.float32)
    measures = {
        name: partial(seconds, estimate, image, alpha) for name, estimate in methods.items()
    }
    title = f"Foreground and background colours, {SCREEN[1]}x{SCREEN[0]}"
    report(title, interleave(measures, RUNS), results / "colours.csv")


@cache
def scenes() -> tuple[tuple[Array, Array, Array], ...]:
    """Render an image (H, W, 3), its alpha (H, W) and its foreground colours (H, W, 3), by kind."""
    drawn = []
    for seed, kind in enumerate(KINDS):
        for smooth in SMOOTHNESS:
            rng = np.random.default_rng(seed)
            foreground, alpha = render_foreground(SIDE, rng, kind=kind, smooth=smooth)
            background = render_texture(SIDE, rng, smooth=smooth)
            share = alpha[..., None]
            image = foreground * share + background * (1 - share)
            drawn.append((image.astype(np.float32), alpha, foreground))
    return tuple(drawn)


def mean_error(estimate: Estimate) -> float:
    """Average the weighted error of the foreground's colours over the scenes."""
    errors = []
    for image, alpha, truth in scenes():
        weight = alpha * (1 - alpha)
        off = np.abs(estimate(image, alpha)[0] - truth).mean(2)
        errors.append(float((off * weight).sum() / weight.sum()))
    return fmean(errors)


def recomposition_error(estimate: Estimate) -> float:
    """Average |alpha F + (1 - alpha) B - image| over the soft pixels of the real photographs."""
    errors = []
    for path in sorted((DEV / "alpha").glob("*.png")):
        image, alpha = read_image(DEV / "image" / path.name).image, read_grey(path)
        foreground, background = estimate(image, alpha)
        again = background + (foreground - background) * alpha[..., None]
        errors.append(float(np.abs(again - image)[(alpha > 0) & (alpha < 1)].mean()))
    return fmean(errors)


def pymatting_colours(image: Array, alpha: Array) -> tuple[Array, Array]:
    import pymatting  # late: compiling it takes half a minute

    colours = pymatting.estimate_foreground_ml(image, alpha, return_background=True)
    return colours[0], colours[1]


def seconds(estimate: Estimate, image: Array, alpha: Array) -> float:
    start = time.perf_counter()
    estimate(image, alpha)
    return time.perf_counter() - start


if __name__ == "__main__":
    run(RESULTS)
