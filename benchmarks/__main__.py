"""Run every benchmark: python -m benchmarks."""

from pathlib import Path

from . import colours, folder_memory, startup, whole_pass

RESULTS = Path(__file__).resolve().parent / "results"
BENCHMARKS = (startup, colours, folder_memory, whole_pass)

if __name__ == "__main__":
    for benchmark in BENCHMARKS:
        benchmark.run(RESULTS)
