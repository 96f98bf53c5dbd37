"""Judge the whole-pass benchmark: ratios of medians against what the project promises."""

from collections.abc import Iterator, Mapping

from . import Timing
from .cases import VITMATTE, Case, Size
from .plan import DTYPES, FLOORS, Plan

Result = tuple[Timing, int] | str  # spread and peak bytes, or why there is none
GIB = 2**30


def judge(measured: Mapping[Case, Result], plan: Plan) -> Iterator[str]:
    """Give one line a goal: what was measured, what was promised, and whether it holds."""
    for dtype, speedup, overhead in zip(DTYPES, (6.0, 12.0), (2.0, 3.0), strict=True):
        ours = Case("ours", dtype, plan.screen)
        time, floor = seconds(measured, ours), _floor(measured, dtype, plan.screen)
        reference = seconds(measured, Case("unfold", "float32", plan.screen))
        yield at_least(f"1. unfold float32 / ours {dtype}", divide(reference, time), speedup)
        yield at_most(f"1. ours {dtype} / convolutions {dtype}", divide(time, floor), overhead)
        yield at_most(f"1. ours {dtype}, peak in GiB", gibibytes(measured, ours), 2.0)
    for size, aim in ((plan.small, 1.3), (plan.middle, 2.0)):
        for dtype in DTYPES:
            times = [seconds(measured, Case(m, dtype, size)) for m in (VITMATTE, "ours")]
            what = f"2. {VITMATTE} {dtype} / ours {dtype} at {size[1]}x{size[0]} (aim {aim})"
            yield at_least(what, divide(*times), 1.0)
    for dtype in DTYPES:
        yield from _partly_unknown(measured, plan, dtype)
    for case in plan.bounded():
        what = f"4. ours {case.dtype} at {case.size[1]}x{case.size[0]}, peak in GiB"
        yield at_most(what, gibibytes(measured, case), case.bound or 0.0)
    case = Case("our network alone", "bfloat16", plan.cuda[0], device=plan.accelerator)
    time = seconds(measured, case)
    where = f"{plan.accelerator}, ms"
    yield at_most(f"7. our network alone bfloat16 on {where}", time and 1000 * time, 10.0)


def _partly_unknown(measured: Mapping[Case, Result], plan: Plan, dtype: str) -> Iterator[str]:
    whole = seconds(measured, Case("ours", dtype, plan.screen))
    for region, limit in (("compact", 0.45), ("bands", 0.65)):
        part = seconds(measured, Case("ours", dtype, plan.screen, plan.share, region))
        rival = seconds(measured, Case("closed-form", "float64", plan.screen, plan.share, region))
        where = f"{plan.share:.0%} unknown, {region}"
        yield at_least(f"3. closed-form / ours {dtype}, {where}", divide(rival, part), 1.0)
        what = f"3. ours {dtype}, {where} / all unknown"
        yield at_most(what, divide(part, whole), limit)


def seconds(measured: Mapping[Case, Result], case: Case) -> float | None:
    """Give a case's median time; None where it was not measured."""
    result = measured.get(case)
    return result[0].median if isinstance(result, tuple) else None


def gibibytes(measured: Mapping[Case, Result], case: Case) -> float | None:
    """Give a case's peak memory; None where it was not measured."""
    result = measured.get(case)
    return result[1] / GIB if isinstance(result, tuple) else None


def divide(top: float | None, bottom: float | None) -> float | None:
    """Divide two times where both were measured."""
    return None if top is None or bottom is None else top / bottom


def at_least(what: str, value: float | None, limit: float) -> str:
    return report(what, value, f"at least {limit:g}", value is not None and value >= limit)


def at_most(what: str, value: float | None, limit: float) -> str:
    return report(what, value, f"at most {limit:g}", value is not None and value <= limit)


def report(what: str, value: float | None, promise: str = "no promise", holds: bool = True) -> str:
    if value is None:
        return f"{what}: not measured ({promise})"
    return f"{what}: {value:.2f} ({promise}){'' if holds else ' MISSED'}"


def _floor(measured: Mapping[Case, Result], dtype: str, size: Size) -> float | None:
    """Take the faster of the convolutions over the whole picture and in strips."""
    cases = [Case(method, dtype, size) for method in FLOORS]
    times = [time for case in cases if (time := seconds(measured, case)) is not None]
    return min(times, default=None)
