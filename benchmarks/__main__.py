"""Run every benchmark: python -m benchmarks."""

from pathlib import Path

from . import colours, dry_run, export, journal, small_pictures, soak, startup, vectors, whole_pass

RESULTS = Path(__file__).resolve().parent / "results"
BENCHMARKS = (
    *(startup, colours, soak, vectors, small_pictures, dry_run, journal, export),
    whole_pass,
)

if __name__ == "__main__":
    for benchmark in BENCHMARKS:
        benchmark.run(RESULTS)
