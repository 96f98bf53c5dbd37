"""Run every benchmark: python -m benchmarks."""

from pathlib import Path

from . import startup

RESULTS = Path(__file__).resolve().parent / "results"
BENCHMARKS = (startup,)

if __name__ == "__main__":
    for benchmark in BENCHMARKS:
        benchmark.run(RESULTS)
