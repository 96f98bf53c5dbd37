"""Time exported graphs in onnxruntime beside torch, and take their memory: the CPU alone.

    python -m benchmarks.export [--graph a2u-open.onnx]
    python -m benchmarks.export --environments

One pass in float32, all unknown. Each measurement has a process of its own, and the two take turns;
what counts are ratios of medians, of time by the clock and of the processors'. The second way makes
two environments, without torch and with it, and takes their size on disk and how soon they start:
it downloads both.
"""

import csv
import os
import platform
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Annotated, NamedTuple

import typer

from a2u_cli.export.certificate import Mattes, peak_memory
from a2u_cli.matting.onnx_matter import PIXEL, OnnxMatter
from a2u_cli.matting.planning import PICTURE, PROCESS

from . import Timing, describe_machine, interleave
from .cases import Case, Size, picture
from .goals import at_most

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks/results"
WEIGHTS = ROOT / "weights/a2u-open.safetensors"
SIZES: tuple[Size, ...] = ((240, 320), (480, 640), (768, 1024))
RUNS, STARTS = 3, 7
MIB = 1 << 20
HEADER = ["runtime", "width", "height", "median (s)", "lowest (s)", "highest (s)", "of torch"]
HEADER += ["processor (s)", "of torch's", "peak (MiB)", "bytes a pixel", "runs", "machine"]
STARTING = ["environment", "on disk (MB)", "what", "median (s)", "lowest (s)", "highest (s)"]
STARTING += ["of torch", "runs", "machine"]
EXAMPLE = ROOT / "examples/plush.png"


class Measured(NamedTuple):
    """A pass's seconds, by the clock and of processors; its process's peak and before it, bytes."""

    seconds: float
    processor: float
    peak: int
    before: int


def run(results: Path, graph: Path | None = None) -> None:
    """Print the times and the memory; write `export.csv`. Without a graph one is exported."""
    with tempfile.TemporaryDirectory() as folder:
        if graph is None:
            graph = Path(folder) / "a2u-open.onnx"
            code = "import sys; from a2u_cli.export.onnx_files import *; from pathlib import Path; "
            code += "write_onnx(*map(Path, sys.argv[1:]))"
            subprocess.run([sys.executable, "-c", code, WEIGHTS, graph], cwd=ROOT, check=True)
        rows = [row for size in SIZES for row in compare(graph, size)]
    write(results / "export.csv", HEADER, rows)


def compare(graph: Path, size: Size) -> list[list[str]]:
    """Measure both by turns, and give a row of each; print how far the plan is from the memory."""
    makes = {"torch": partial(open_torch, WEIGHTS), "onnxruntime": partial(open_graph, graph)}
    measured: dict[str, list[Measured]] = {name: [] for name in makes}
    for _ in range(RUNS):
        for name, make in makes.items():
            measured[name].append(in_fresh_process(make, size))
    pixels = size[0] * size[1]
    times = {name: Timing.of([one.seconds for one in found]) for name, found in measured.items()}
    taken = {name: median(one.processor for one in found) for name, found in measured.items()}
    rows = []
    for name, timing in times.items():
        ratio, of_processors = timing.median / times["torch"].median, taken[name] / taken["torch"]
        peak = max(one.peak for one in measured[name])
        each = max(one.peak - one.before for one in measured[name]) / pixels
        spread = [f"{value:.3f}" for value in (timing.median, timing.lowest, timing.highest)]
        row = [name, str(size[1]), str(size[0]), *spread, f"{ratio:.2f}"]
        row += [f"{taken[name]:.3f}", f"{of_processors:.2f}", f"{peak / MIB:.0f}", f"{each:.0f}"]
        rows.append([*row, str(timing.runs), machine()])
        typer.echo(f"{size[1]}x{size[0]}, {name}: {timing.median:.2f} s, {ratio:.2f} of torch's")
    planned = (PROCESS + (PIXEL + PICTURE) * pixels) / MIB
    typer.echo(at_most(f"onnxruntime at {size[1]}x{size[0]}, peak in MiB", peak / MIB, planned))
    return rows


def open_torch(weights: Path) -> Mattes:
    from a2u_cli.matting.matter import Matter

    return Matter(weights, quality="fast", device="cpu", dtype="float32")


def open_graph(graph: Path) -> Mattes:
    return OnnxMatter(graph, quality="fast", device="cpu")


def in_fresh_process(make: Callable[[], Mattes], size: Size) -> Measured:
    """Measure where nothing ran before, so that its peak memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, make, size).result()


def measure(make: Callable[[], Mattes], size: Size) -> Measured:
    """Load, matte once to warm up, and time the second."""
    image, trimap = picture(Case("", "float32", size))
    matter = make()
    before = peak_memory()
    matter.matte(image, trimap)
    start, used = time.perf_counter(), time.process_time()
    matter.matte(image, trimap)
    taken = time.perf_counter() - start, time.process_time() - used
    return Measured(*taken, peak_memory(), before)


def environments(results: Path, graph: Path) -> None:
    """Make both environments, print their size and starts; write `export_environments.csv`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        crop(folder)
        build = ["-m", "build", "--wheel", "--outdir", str(folder / "dist"), str(ROOT)]
        subprocess.run([sys.executable, *build], check=True, stdout=subprocess.DEVNULL)
        (wheel,) = (folder / "dist").glob("*.whl")
        needed = {
            "torch": [[str(wheel), "-c", str(ROOT / "constraints-cpu.txt")]],
            "onnxruntime": [["--no-deps", str(wheel)], ["-r", str(ROOT / "requirements-onnx.txt")]],
        }
        weights = {"torch": WEIGHTS, "onnxruntime": graph.resolve()}
        rows = []
        for which, lists in needed.items():
            install(folder / which, lists)
        sizes = {which: megabytes(folder / which) for which in needed}
        for what, words in commands(folder).items():
            measures = {
                which: partial(seconds_of, folder / which, *words(weights[which]))
                for which in needed
            }
            for which, timing in (found := interleave(measures, STARTS)).items():
                ratio = timing.median / found["torch"].median
                typer.echo(f"{which}, {sizes[which]:.0f} MB: {what} {timing.median:.2f} s")
                spread = [
                    f"{value:.3f}" for value in (timing.median, timing.lowest, timing.highest)
                ]
                row = [which, f"{sizes[which]:.0f}", what, *spread, f"{ratio:.2f}"]
                rows.append([*row, str(timing.runs), machine()])
    write(results / "export_environments.csv", STARTING, rows)


def crop(folder: Path) -> None:
    """Cut a small picture and its trimap from the example."""
    from a2u_cli.images import read_image, write_image
    from a2u_cli.trimap import read_trimap

    part = slice(200, 296), slice(180, 308)
    write_image(folder / "small.png", read_image(EXAMPLE).image[part])
    trimap = read_trimap(EXAMPLE.with_name("plush_trimap.png"))
    write_image(folder / "small_trimap.png", trimap[part])


def commands(folder: Path) -> dict[str, Callable[[Path], list[str]]]:
    """Name what is timed, each a command's words for some weights."""
    given = ["matte", str(folder / "small.png"), "-t", str(folder / "small_trimap.png")]
    given += ["-o", str(folder / "alpha.png"), "--force", "--quality", "fast", "--weights"]
    return {
        "a2u --version": lambda _: ["--version"],
        "a2u matte, 128x96": lambda weights: [*given, str(weights)],
    }


def install(environment: Path, lists: list[list[str]]) -> None:
    """Make an environment with what pip installs, list after list."""
    venv.create(environment, with_pip=True)
    for words in lists:
        python = str(environment / "bin" / "python")
        pip: list[str] = [python, "-m", "pip", "install", "--quiet", *words]
        subprocess.run(pip, check=True, env=alone())


def megabytes(environment: Path) -> float:
    """Add up an environment's files, without pip."""
    files = [path for path in environment.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(path.stat().st_size for path in files if "pip" not in path.parts) / 1e6


def seconds_of(environment: Path, *words: str) -> float:
    """Time an environment's `a2u`, which must succeed."""
    start = time.perf_counter()
    command = [str(environment / "bin" / "a2u"), *words]
    subprocess.run(command, check=True, capture_output=True, env=alone())
    return time.perf_counter() - start


def alone() -> dict[str, str]:
    """Give the environment's variables without the checkout, which pip would take for installed."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def machine() -> str:
    """Name processor and versions."""
    versions = f"onnxruntime {version('onnxruntime')}, torch {version('torch')}"
    return f"{describe_machine()}, Python {platform.python_version()}, {versions}"


def write(path: Path, header: list[str], rows: list[list[str]]) -> None:
    """Write rows as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def main(
    *,
    graph: Annotated[
        Path | None, typer.Option(help="What a2u export onnx made of a2u-open.")
    ] = None,
    both: Annotated[
        bool, typer.Option("--environments", help="Their size and how soon they start.")
    ] = False,
    results: Annotated[Path, typer.Option(help="The CSVs' folder.")] = RESULTS,
) -> None:
    """Measure onnxruntime beside torch."""
    if not both:
        run(results, graph)
    elif graph is None:
        raise typer.BadParameter("--environments needs --graph: make one with a2u export onnx")
    else:
        environments(results, graph)


if __name__ == "__main__":
    typer.run(main)
