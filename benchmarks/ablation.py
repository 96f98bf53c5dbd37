"""Train variants at one equal budget, and judge each on rendered pictures and on real ones.

The CSV holds a row for every picture, each with its run's budget and machine; the tables are made
from it. A stopped ablation goes on from it too, on another machine if need be: a run whose rows it
holds is not done again, and one that was killed goes on from its checkpoint. What each run learned,
the average of its weights, is kept beside its curve.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import torch
from filelock import FileLock

from a2u_cli.images.files import locked
from a2u_cli.matting.inference import matte
from a2u_cli.network.model import MattingNetwork
from a2u_cli.scoring.metrics import Scores, score
from a2u_cli.training.data.building import build_engine
from a2u_cli.training.data.engine import DataEngine, Request
from a2u_cli.training.options import TrainOptions
from a2u_cli.training.trainer import CURVE, StepReport, Trainer, export
from a2u_cli.trimap import restore_known

from . import describe_machine, read_records, write_records
from .eval_dev import APART, DEV, METRICS, Case, markdown_table, read_cases, to_u8

RENDERED = 24  # pictures of the fixed validation set, from a seed that no training uses
RENDERED_SIZE = 320
RENDERED_SEED = 999_983
GROWTH = (0.5, 0.75)  # the shares of a run at which crops of several sizes grow
SETS = ("rendered", "narrow", "wide")  # the last two: the real photographs, by trimap
HALF = "half "  # before a set's name: its pictures at half their size
COMPOSITES = "composites"  # the validation composites; their groups are sets of their own


@dataclass(frozen=True)
class Variant:
    """Something to train: how its network is made, and where its samples come from, by seed."""

    name: str
    network: Callable[[], MattingNetwork]
    source: Callable[[int], DataEngine]


Judge = Callable[[MattingNetwork], Iterable[tuple[tuple[str, str], Scores]]]


@dataclass(frozen=True)
class Judged:
    """One picture's scores by one run."""

    variant: str
    seed: int
    set: str  # one of SETS, one at half size, or "composites, hair" and the other groups
    picture: str
    sad: float
    mse: float
    grad: float
    conn: float
    budget: str
    machine: str


@dataclass(frozen=True)
class Budget:
    """What every run gets: so many `crops`, at first `batch` a step, of one size or growing.

    They grow unless told: crops of 64 px alone cannot tell a wide band's two sides.
    """

    crops: int = 20_000
    sizes: tuple[int, ...] = (64, 128, 192)
    batch: int = 32
    bfloat16: bool = False
    growth: tuple[float, ...] = GROWTH
    samples: str = ""  # what is special about them, so that no other run is taken for this one

    def options(self, seed: int) -> TrainOptions:
        """Give the options with the fewest steps that take all the crops."""

        def trial(steps: int) -> TrainOptions:
            return TrainOptions(
                steps=steps,
                batch=self.batch,
                sizes=self.sizes,
                growth=self.growth[: len(self.sizes) - 1],
                seed=seed,
                bfloat16=self.bfloat16,
            )

        def takes(steps: int) -> int:
            options = trial(steps)
            return sum(len(options.request(s, s / steps).numbers) for s in range(steps))

        fewest = range(1, self.crops + 1)
        return trial(fewest[bisect_left(fewest, self.crops, key=takes)])

    def __str__(self) -> str:
        dtype = "bfloat16" if self.bfloat16 else "float32"
        sizes = ", ".join(map(str, self.sizes))
        text = f"{self.crops:,} crops of {sizes} px, {self.batch} a step, {dtype}"
        return f"{text}, {self.samples}" if self.samples else text


def judge(network: MattingNetwork) -> Iterator[tuple[tuple[str, str], Scores]]:
    """Score a network on the rendered set, and on the real photographs where they are at hand.

    Gives (set, picture) and its scores.
    """
    for case in (*rendered_set(), *photographs()):
        yield (case.width, case.picture), score_case(network, case)


def photographs() -> Iterator[Case]:
    """Read the real photographs that means are over, where they are at hand."""
    yield from (case for case in (read_cases() if DEV.is_dir() else ()) if case.picture != APART)


def score_case(network: MattingNetwork, case: Case) -> Scores:
    """Score one pass of a network on a picture."""
    alpha = restore_known(matte(network, case.image, case.trimap), case.trimap)
    return score(to_u8(alpha), case.truth, case.trimap)


def run(
    variants: Sequence[Variant],
    seeds: Sequence[int],
    budget: Budget,
    folder: Path,
    results: Path,
    *,
    device: torch.device,
    judge: Judge = judge,
    say: Callable[[str], None] = print,
) -> list[Judged]:
    """Train and judge every variant with every seed, but those whose rows are in `results`.

    Gives the rows of these runs; all others stay in the file, those too that another process has
    written meanwhile.
    """
    done = {(row.variant, row.seed, row.budget) for row in read_csv(results)}
    for seed in seeds:  # seed by seed, so that a stopped ablation has compared all variants
        for variant in variants:
            if (variant.name, seed, str(budget)) in done:
                continue
            place = folder / f"{variant.name.replace(' ', '-')}-{seed}"
            with locked(place, CURVE, whole=True):
                trainer = _train(variant, budget.options(seed), place, device, say)
                told = str(budget), describe_machine()
                rows = [
                    Judged(variant.name, seed, *case, s.sad, s.mse, s.grad, s.conn, *told)
                    for case, s in judge(trainer.averaged.eval())
                ]
                with FileLock(folder / "rows.lock"):
                    write_csv(read_csv(results) + rows, results)
                trainer.checkpoint.unlink()  # 130 MB that nothing needs any more
    return chosen(read_csv(results), [variant.name for variant in variants], seeds, budget)


def chosen(
    judged: Iterable[Judged], names: Iterable[str], seeds: Iterable[int], budget: Budget
) -> list[Judged]:
    """Give the rows of these variants and seeds at a budget."""
    wanted = {(name, seed, str(budget)) for seed in seeds for name in names}
    return [row for row in judged if (row.variant, row.seed, row.budget) in wanted]


def _train(
    variant: Variant,
    options: TrainOptions,
    place: Path,
    device: torch.device,
    say: Callable[[str], None],
) -> Trainer:
    """Train a run to its end, from its checkpoint if it has one, and keep its average."""
    torch.manual_seed(options.seed)
    network, source = variant.network(), variant.source(options.seed)
    trainer = Trainer(network, source, options, place, device=device)

    def report(line: StepReport) -> None:
        if line.validation is not None:
            of = f"step {line.step} of {options.steps}"
            say(f"{place.name}: {of}, {line.seconds:.2f} s, {line.validation}")

    trainer.run(report)
    say(f"{place.name}: trained in {trainer.seconds:.0f} s; {export(trainer)}")
    return trainer


@cache
def rendered_set() -> list[Case]:
    """Compose the fixed validation set: drawn pictures alone, every kind of object."""
    engine = build_engine(seed=RENDERED_SEED, drawn=RENDERED, scenes=RENDERED, held=3 * RENDERED)
    batch = engine.batch(Request(0, range(RENDERED), RENDERED_SIZE))
    planes = {name: value.permute(0, 2, 3, 1).numpy() for name, value in batch.items()}
    return [
        Case(
            f"{n:02}",
            "rendered",
            planes["image"][n],
            np.rint(255 * planes["trimap"][n, ..., 0]).astype(np.uint8),
            to_u8(planes["alpha"][n, ..., 0]),
        )
        for n in range(RENDERED)
    ]


def means(judged: Iterable[Judged], set_: str) -> dict[str, list[dict[str, float]]]:
    """Average over the pictures of a set: for each variant, the metrics of each seed."""
    runs: dict[tuple[str, int], list[Judged]] = {}
    for row in judged:
        if is_of(row, set_):
            runs.setdefault((row.variant, row.seed), []).append(row)
    table: dict[str, list[dict[str, float]]] = {}
    for (variant, _), rows in runs.items():
        metrics = {name: fmean(map(scaled(name), rows)) for name in METRICS}
        table.setdefault(variant, []).append(metrics)
    return table


def is_of(row: Judged, set_: str) -> bool:
    """Tell whether a row is of a set, or of one of its groups."""
    return row.set == set_ or row.set.startswith(f"{set_}, ")


def scaled(metric: str) -> Callable[[Judged], float]:
    """Read a metric off a row, at the scale at which it is printed."""
    field, scale = metric.split()[0].lower(), 1000.0 if "1e3" in metric else 1.0
    return lambda row: scale * float(getattr(row, field))


def tables(judged: list[Judged], sets: Iterable[str] = SETS) -> str:
    """Lay out a table for every set: means over the pictures, with their deviation over seeds."""
    sections = []
    for set_ in sets:
        rows = [
            [
                variant,
                *(_spread([seed[name] for seed in seeds]) for name in METRICS),
                f"{len(seeds)}",
            ]
            for variant, seeds in means(judged, set_).items()
        ]
        if rows:
            title = f"real, {set_} trimaps" if set_.endswith(("narrow", "wide")) else set_
            sections.append(markdown_table([title, *METRICS, "seeds"], rows))
    return "\n\n".join(sections)


def _spread(values: list[float]) -> str:
    return f"{fmean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def paired_change(
    judged: list[Judged], variant: str, reference: str, set_: str, *, draws: int = 10_000
) -> tuple[float, float, float]:
    """Give the relative change of mean SAD against a reference, and its 95 % interval.

    Of the seeds that both were trained with; they were judged on the same pictures. The interval is
    a bootstrap over seeds and over pictures, drawn alike for both.
    """
    found = [
        {(r.seed, r.picture): r.sad for r in judged if r.variant == name and is_of(r, set_)}
        for name in (variant, reference)
    ]
    both = found[0].keys() & found[1].keys()
    seeds, pictures = sorted({seed for seed, _ in both}), sorted({name for _, name in both})
    ours, theirs = (np.array([[sads[s, p] for p in pictures] for s in seeds]) for sads in found)
    rng = np.random.default_rng(0)
    count, width = ours.shape
    changes = []
    for _ in range(draws):
        at = np.ix_(rng.integers(count, size=count), rng.integers(width, size=width))
        changes.append(ours[at].mean() / theirs[at].mean() - 1)
    low, high = np.quantile(changes, (0.025, 0.975))
    return float(ours.mean() / theirs.mean() - 1), float(low), float(high)


def write_csv(judged: list[Judged], path: Path) -> None:
    """Write every picture's row, whole or not at all."""
    write_records(path, Judged, judged)


def read_csv(path: Path) -> list[Judged]:
    """Read what `write_csv` wrote; nothing where there is no file."""
    return read_records(path, Judged)
