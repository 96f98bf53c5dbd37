"""Draw how the whole pass's cost grows with the picture and with its unknown part."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .cases import VITMATTE, Case
from .goals import Result, seconds
from .plan import DTYPES, Plan

MILLION = 1e6


def draw(measured: Mapping[Case, Result], plan: Plan, path: Path) -> None:
    """Write a PNG of two charts: seconds over megapixels, and over the unknown share."""
    from matplotlib.figure import Figure  # late: a dependency of benchmarks alone

    figure = Figure(figsize=(11, 4.5), dpi=120, layout="constrained")
    pixels, share = figure.subplots(1, 2)
    _by_pixels(pixels, measured, plan)
    _by_share(share, measured, plan)
    for axes in (pixels, share):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _by_pixels(axes: Any, measured: Mapping[Case, Result], plan: Plan) -> None:
    passes = [("unfold", "float32"), *((m, d) for m in (VITMATTE, "ours") for d in DTYPES)]
    for one in passes:
        cases = [c for c in measured if (c.method, c.dtype) == one and c.device == "cpu"]
        whole = [case for case in cases if case.region == "all"]
        part = [c for c in cases if c.region == "compact" and c.share == plan.share]
        colour = _line(axes, " ".join(one), measured, whole, _megapixels)
        _line(axes, f"  {plan.share:.0%} unknown", measured, part, _megapixels, dashes=colour)
    axes.set(xscale="log", yscale="log", xlabel="megapixels", ylabel="seconds")
    axes.set_title("All unknown, and a compact part")


def _by_share(axes: Any, measured: Mapping[Case, Result], plan: Plan) -> None:
    for region in ("compact", "bands"):
        for method, dtype in (*(("ours", dtype) for dtype in DTYPES), ("closed-form", "float64")):
            cases = [Case(method, dtype, plan.screen)]
            cases += [c for c in measured if replace(c, share=1.0, region="all") == cases[0]]
            cases = [case for case in cases if case.region in ("all", region)]
            _line(axes, f"{method} {dtype}, {region}", measured, cases, _percent)
    axes.set(xlabel="unknown (%)", ylabel="seconds", ylim=(0, None))
    axes.set_title(f"{plan.screen[1]}x{plan.screen[0]}")


def _line(
    axes: Any,
    name: str,
    measured: Mapping[Case, Result],
    cases: list[Case],
    place: Callable[[Case], float],
    *,
    dashes: Any = None,
) -> Any:
    """Draw what was measured of the cases, dashed in a given colour or solid; give the colour."""
    times = [(place(case), seconds(measured, case)) for case in cases]
    points = sorted({(x, time) for x, time in times if time is not None})
    if not points:
        return None
    style = "--o" if dashes else "-o"
    (line,) = axes.plot(*zip(*points, strict=True), style, label=name, markersize=4, color=dashes)
    return line.get_color()


def _megapixels(case: Case) -> float:
    return case.size[0] * case.size[1] / MILLION


def _percent(case: Case) -> float:
    return 100 * case.share
