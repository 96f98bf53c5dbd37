"""The rows of the reconstruction experiment, and the tables that are made of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import fmean, stdev

from scipy.stats import ttest_1samp

from . import append, cells_of, read_records
from .autoencoder import READINGS, cost, same_network
from .eval_dev import markdown_table

OURS = "a2u-dynamic-shared"
BEATEN = ("transposed", "carafe", "bilinear")  # by A2U, in the paper


@dataclass(frozen=True)
class Job:
    """What a run is known by."""

    reading: str
    operator: str
    seed: int
    steps: int

    def __str__(self) -> str:
        return f"{self.reading}-{self.operator}-{self.seed}-{self.steps}"


@dataclass(frozen=True)
class Row:
    """What came of a run."""

    reading: str
    operator: str
    seed: int
    steps: int
    batch: int  # pictures of a step
    psnr: float  # dB
    ssim: float
    mse: float  # times 1,000
    mae: float  # times 1,000
    gain: float  # dB, over the last fifth of the steps
    seconds: float  # of processor time, for one step
    tested: int  # pictures
    precision: str
    machine: str

    @property
    def job(self) -> Job:
        return Job(self.reading, self.operator, self.seed, self.steps)


def add_row(row: Row, path: Path) -> None:
    """Append a finished run's row, in one write."""
    append(path, [field.name for field in fields(Row)], [cells_of(row)])


def read_rows(path: Path) -> list[Row]:
    """Read what `add_row` wrote; nothing where there is no file."""
    return read_records(path, Row)


def ranked(rows: Iterable[Row]) -> list[str]:
    """Order the operators, the highest mean PSNR first."""
    ratios: dict[str, list[float]] = {}
    for row in rows:
        ratios.setdefault(row.operator, []).append(row.psnr)
    return sorted(ratios, key=lambda name: -fmean(ratios[name]))


def table(rows: Sequence[Row]) -> str:
    """Rank the operators of one reading: mean and deviation over seeds, and what each costs."""
    lines = []
    for name in ranked(rows):
        runs = [row for row in rows if row.operator == name]
        cells = [
            _spread([run.psnr for run in runs], 2),
            _spread([run.ssim for run in runs], 4),
            _spread([run.mse for run in runs], 2),
            _spread([run.mae for run in runs], 2),
        ]
        parameters, operations = cost(READINGS[runs[0].reading], name)
        lines.append([name, *cells, f"{parameters:,}", f"{operations / 1e6:.2f}", str(len(runs))])
    names = ["operator", "PSNR", "SSIM", "MSE x 1e3", "MAE x 1e3"]
    return markdown_table([*names, "parameters", "M multiply-adds", "seeds"], lines)


def summary(rows: Sequence[Row]) -> str:
    """Say whether bilinear has settled, where A2U stands, and what of the paper's order holds."""
    sentences = []
    settled = [row for row in rows if row.operator == "bilinear"]
    if settled:
        gain, steps = fmean(row.gain for row in settled), settled[0].steps
        sentences.append(f"Bilinear gained {gain:.2f} dB over the last fifth of {steps:,} steps.")
    order = ranked(rows)
    if OURS in order:
        sentences.append(f"{OURS} is number {order.index(OURS) + 1} of {len(order)} by PSNR.")
    return "\n".join([*sentences, f"Of the paper's order: {order_of_paper(rows)}."])


def differences(rows: Sequence[Row]) -> str:
    """Lay out A2U's mean lead in PSNR where seeds repeat, with Student's interval over pairs."""
    by_seed: dict[str, dict[int, float]] = {}
    for row in rows:
        by_seed.setdefault(row.operator, {})[row.seed] = row.psnr
    repeated = [name for name in ranked(rows) if len(by_seed[name]) > 1]
    lines = []
    for ours in (name for name in repeated if name.startswith("a2u")):
        for other in repeated:
            seeds = by_seed[ours].keys() & by_seed[other].keys()
            leads = [by_seed[ours][seed] - by_seed[other][seed] for seed in seeds]
            if other.startswith("a2u") or len(leads) < 2:
                continue
            low, high = ttest_1samp(leads, 0.0).confidence_interval(0.95)
            word = "ahead" if low > 0 else "behind" if high < 0 else "undecided"
            span = f"{low:+.2f} to {high:+.2f}"
            lines.append([ours, other, f"{fmean(leads):+.2f}", span, str(len(leads)), word])
    names = ["PSNR in dB", "less that of", "mean", "95 %", "seeds", "word"]
    return markdown_table(names, lines) if lines else ""


def order_of_paper(rows: Iterable[Row]) -> str:
    """Say what of the paper's order these rows have: IndexNet first, A2U ahead of three."""
    order = ranked(rows)
    said = []
    if "indexnet" in order:
        said.append(f"IndexNet first: {'yes' if order[0] == 'indexnet' else 'no'}")
    ahead: dict[str, list[str]] = {}
    for place, name in enumerate(order):
        if name.startswith("a2u"):
            beaten = [other for other in BEATEN if other in order[place:]]
            ahead.setdefault(", ".join(beaten) or "none", []).append(name)
    said += [f"ahead of {beaten}: {', '.join(names)}" for beaten, names in ahead.items()]
    return "; ".join(said) or "not run"


def study_table(rows: Sequence[Row]) -> str:
    """Lay PSNR out by operator and reading, and under it what of the paper's order each has."""
    lines = []
    made = {(row.operator, row.reading): row for row in rows}
    order = ranked(rows)
    columns = {
        reading: {n: made[key] for n in order if (key := (n, same_network(reading, n))) in made}
        for reading in READINGS
    }
    columns = {reading: column for reading, column in columns.items() if column}
    for name in order:
        cells = (column.get(name) for column in columns.values())
        lines.append([name, *(f"{cell.psnr:.2f}" if cell else "" for cell in cells)])
    orders = [f"- {name}: {order_of_paper(c.values())}" for name, c in columns.items()]
    return "\n".join([markdown_table(["PSNR", *columns], lines), "", *orders])


def _spread(values: list[float], digits: int) -> str:
    mean = f"{fmean(values):.{digits}f}"
    return f"{mean} ± {stdev(values):.{digits}f}" if len(values) > 1 else mean
