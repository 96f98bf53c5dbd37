"""Score weights on real photographs with measured alphas, beside methods that need no weights.

The pictures (from the training set of http://www.alphamatting.com) are no part of this repository:
where they are missing, nothing is scored. Every picture's scores go to `results/eval_dev.csv`.
"""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Literal, cast

import cv2
import numpy as np
import numpy.typing as npt
import typer

from a2u_cli.images import quantise, read_grey, read_image, write_image
from a2u_cli.images.files import replacing
from a2u_cli.scoring.metrics import Scores, score
from a2u_cli.trimap import parse_trimap, restore_known
from a2u_cli.weights import DEFAULT

from . import describe_machine

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "eval_dev.csv"
DEV = Path(os.environ.get("A2U_DEV", ROOT.parent / "shared" / "data" / "dev"))
CACHE = ROOT / "runs" / "baselines"
TRIMAPS = {"narrow": "trimap", "wide": "trimap_wide"}
APART = "lemur"  # easy, and with one trimap only: scored, but in no mean
OURS = "ours"
REFERENCE = "closed-form"
RIVALS = (REFERENCE, "knn")
SHEET_COLUMN = 400  # pixels

FloatArray = npt.NDArray[np.float32]
Results = dict[str, dict[tuple[str, str], Scores]]  # method -> (trimap width, picture) -> scores

METRICS: dict[str, Callable[[Scores], float]] = {
    "SAD": lambda scores: scores.sad,
    "MSE x 1e3": lambda scores: scores.mse * 1000,
    "Grad": lambda scores: scores.grad,
    "Conn": lambda scores: scores.conn,
}
BAR = {"SAD": 0.8, "MSE x 1e3": 0.8, "Grad": 1.0}  # of the better rival, means over both widths


@dataclass(frozen=True)
class Case:
    """One picture with one of its trimaps."""

    picture: str
    width: str  # narrow or wide
    image: FloatArray  # (H, W, 3) in [0, 1]
    trimap: npt.NDArray[np.uint8]  # (H, W) in {0, 128, 255}
    truth: npt.NDArray[np.uint8]  # (H, W)


Method = Callable[[Case], FloatArray]


def read_cases() -> Iterator[Case]:
    """Read the pictures one after the other, first with the narrow trimaps."""
    for width, folder in TRIMAPS.items():
        for path in sorted((DEV / folder).glob("*.png")):
            yield Case(
                picture=path.stem,
                width=width,
                image=read_image(DEV / "image" / path.name).image,
                trimap=parse_trimap(read_grey(path), name=str(path)),
                truth=to_u8(read_grey(DEV / "alpha" / path.name)),
            )


def to_u8(alpha: FloatArray) -> npt.NDArray[np.uint8]:
    return quantise(alpha, 8).astype(np.uint8, copy=False)


def network_method(weights: str, quality: str = "auto") -> Method:
    """Load weights, by name or path, on the best device there is."""
    from a2u_cli.matting.matter import Matter

    matter = Matter(weights, quality=cast(Literal["auto"], quality))
    return lambda case: matter.matte(case.image, case.trimap)


def network_methods(weights: list[str], qualities: list[str]) -> dict[str, Method]:
    """Load weights, by names or paths, with every quality; name each method after its weights."""
    labels = ["/".join(Path(name).parts[-2:]).removesuffix(".safetensors") for name in weights]
    if len(set(labels)) < len(labels):
        raise typer.BadParameter(f"found {', '.join(labels)}, expected weights of different names")
    return {
        label if how == "fast" else f"{label}, {how}": network_method(name, how)
        for label, name in zip(labels, weights, strict=True)
        for how in qualities
    }


def fill(case: Case) -> FloatArray:
    """Call every unknown pixel half transparent."""
    return np.full(case.trimap.shape, 0.5, np.float32)


def cached(name: str, estimator: str) -> Method:
    """Run one of pymatting's estimators untuned, or take what it gave before: it never varies."""

    def estimate(case: Case) -> FloatArray:
        path = CACHE / name / case.width / f"{case.picture}.png"
        if not path.exists():
            import pymatting  # late: compiling it takes half a minute

            image, trimap = case.image.astype(np.float64), case.trimap / 255.0
            alpha = getattr(pymatting, estimator)(image, trimap).astype(np.float32)
            write_image(path, restore_known(alpha, case.trimap))
        return read_grey(path)

    return estimate


BASELINES: dict[str, Method] = {
    "fill": fill,
    "closed-form": cached("closed-form", "estimate_alpha_cf"),
    "knn": cached("knn", "estimate_alpha_knn"),
}


def means(results: Results, method: str, width: str | None = None) -> tuple[dict[str, float], int]:
    """Average each metric over the pictures of one trimap width, or of both; give their count."""
    scores = [
        one
        for (trimap_width, picture), one in results[method].items()
        if picture != APART and width in (None, trimap_width)
    ]
    return {name: fmean(map(metric, scores)) for name, metric in METRICS.items()}, len(scores)


def ratios(results: Results, method: str, width: str | None = None) -> dict[str, float]:
    """Divide a method's means by those of the better rival, each metric by itself."""
    rivals = [means(results, rival, width)[0] for rival in RIVALS if rival in results]
    ours, _ = means(results, method, width)
    return {name: ours[name] / min(rival[name] for rival in rivals) for name in METRICS}


def worst(results: Results, method: str, width: str | None = None) -> tuple[str, float, float]:
    """Find the picture whose SAD is worst against closed-form's: its name, our SAD, its limit.

    The limit is 1.5 times closed-form's SAD, or 0.5 more where that allows more.
    """
    against = [
        (f"{picture} ({trimap_width})", scores.sad, max(1.5 * other, other + 0.5))
        for (trimap_width, picture), scores in results[method].items()
        if picture != APART and width in (None, trimap_width)
        for other in [results[REFERENCE][trimap_width, picture].sad]
    ]
    return max(against, key=lambda entry: entry[1] / entry[2])


def write_rows(results: Results, path: Path, *, at: str = "width") -> None:
    """Write every picture's scores, in place of the same methods' former ones; others stay.

    `at` names what a picture is listed by: the width of its trimap, or the like.
    """
    header = ["picture", at, "method", *METRICS, "machine"]
    former: list[list[str]] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            former = [row for row in list(csv.reader(file))[1:] if row[2] not in results]
    machine = describe_machine()
    scored = [
        [picture, width, method, *(f"{metric(scores):.6g}" for metric in METRICS.values()), machine]
        for method, pictures in results.items()
        for (width, picture), scores in pictures.items()
    ]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *former, *scored])


def report(results: Results) -> str:
    """Write all tables as Markdown."""
    sections = []
    for width in TRIMAPS:
        sections += [f"## {width.capitalize()} trimaps", picture_table(results, width)]
        sections += [mean_table(results, width), *verdicts(results, width)]
    sections += ["## Both widths", mean_table(results, None), *verdicts(results, None)]
    return "\n\n".join(sections) + "\n"


def picture_table(results: Results, width: str) -> str:
    """Tabulate the SAD of every picture by every method."""
    pictures = {picture for scores in results.values() for at, picture in scores if at == width}
    rows = [
        [picture, *(f"{results[method][width, picture].sad:.2f}" for method in results)]
        for picture in sorted(pictures, key=lambda picture: (picture == APART, picture))
    ]
    averages = [means(results, method, width) for method in results]
    mean_row = [f"mean of {averages[0][1]}", *(f"{average['SAD']:.2f}" for average, _ in averages)]
    rows.insert(len(pictures - {APART}), mean_row)
    return markdown_table(["SAD", *results], rows)


def mean_table(results: Results, width: str | None) -> str:
    """Tabulate the means of every metric, and what they are of the better rival's."""
    averages = {method: means(results, method, width) for method in results}
    rows = [
        [method, *(f"{value:.2f}" for value in average.values()), str(count)]
        for method, (average, count) in averages.items()
    ]
    rivals = [rival for rival in RIVALS if rival in results]
    for method in _ours(results) if rivals else ():
        shares = ratios(results, method, width)
        label = f"{method} / better of {' and '.join(rivals)}"
        rows.append([label, *(f"{share:.2f}" for share in shares.values()), ""])
    return markdown_table(["mean", *METRICS, "pictures"], rows)


def verdicts(results: Results, width: str | None) -> list[str]:
    """Name the worst picture of each of our weights; over both widths, judge them by the bar."""
    lines = []
    for method in _ours(results) if REFERENCE in results else ():
        picture, sad, limit = worst(results, method, width)
        line = f"{method}: worst against {REFERENCE} is {picture}, SAD {sad:.2f}, limit {limit:.2f}"
        if width is None:
            shares = ratios(results, method)
            missed = [f"{name} <= {most}" for name, most in BAR.items() if shares[name] > most]
            missed += ["every picture within its limit"] if sad > limit else []
            line += f"; bar: {'missed (' + ', '.join(missed) + ')' if missed else 'holds'}"
        lines.append(line)
    return lines


def _ours(results: Results) -> list[str]:
    return [method for method in results if method not in BASELINES]


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Lay out a table whose first column is text and whose others are numbers."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *rows])


def sheet_row(case: Case, alphas: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """Lay image, trimap, our alphas and truth side by side: uint8 (h, columns * 400, 3)."""
    height = round(SHEET_COLUMN * case.trimap.shape[0] / case.trimap.shape[1])
    greys = [np.repeat(grey[..., None], 3, axis=2) for grey in (case.trimap, *alphas, case.truth)]
    columns = [
        cv2.resize(column, (SHEET_COLUMN, height), interpolation=cv2.INTER_AREA)
        for column in (np.asarray(quantise(case.image, 8), np.uint8), *greys)
    ]
    return np.concatenate(columns, axis=1).astype(np.uint8, copy=False)


def evaluate(
    methods: Mapping[str, Method], cases: Iterable[Case]
) -> tuple[Results, list[npt.NDArray[np.uint8]]]:
    """Score every method on every picture; also give the contact sheet's rows."""
    results: Results = {name: {} for name in methods}
    strips = []
    for case in cases:
        typer.echo(f"{case.width} {case.picture}", err=True)
        ours = []
        for name, method in methods.items():
            alpha = to_u8(restore_known(method(case), case.trimap))
            results[name][case.width, case.picture] = score(alpha, case.truth, case.trimap)
            if name not in BASELINES:
                ours.append(alpha)
        strips.append(sheet_row(case, ours))
    return results, strips


def main(
    *,
    weights: Annotated[list[str] | None, typer.Option(help="Names or paths; repeatable.")] = None,
    quality: Annotated[
        list[str] | None, typer.Option(help="auto, fast, refined, best; repeatable.")
    ] = None,
    methods: Annotated[str, typer.Option(help="Which to score.")] = ",".join((OURS, *BASELINES)),
    markdown: Annotated[Path | None, typer.Option(help="Also write the tables here.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Write a contact sheet here, PNG.")] = None,
    rows: Annotated[
        Path | None,
        typer.Option(help="Write the CSV here. [default: the committed one, unless --weights]"),
    ] = None,
) -> None:
    """Print Markdown tables of how weights and baselines score on ../shared/data/dev."""
    if not DEV.is_dir():
        typer.echo("nothing scored: the photographs lie in ../shared/data/dev, which is not here")
        return
    names = methods.split(",")
    if strangers := set(names) - {OURS, *BASELINES}:
        known = ", ".join((OURS, *BASELINES))
        raise typer.BadParameter(f"found {', '.join(sorted(strangers))}, expected some of {known}")
    ours = (weights or [DEFAULT]) if OURS in names else []
    chosen = network_methods(ours, quality or ["auto"])
    chosen |= {name: method for name, method in BASELINES.items() if name in names}
    results, strips = evaluate(chosen, read_cases())
    if rows or not weights:
        write_rows(results, rows or RESULTS)
    text = report(results)
    typer.echo(text)
    if markdown:
        markdown.write_text(text, encoding="utf-8")
    if sheet:
        write_image(sheet, np.concatenate(strips))


if __name__ == "__main__":
    typer.run(main)
