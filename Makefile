# One command does it all: every target makes the virtual environment when it is missing.
PYTHON ?= python3
BIN := .venv/bin
# Without an NVIDIA GPU a pinned torch is installed, which has a CPU build; with one, the newest.
CONSTRAINTS := $(shell command -v nvidia-smi >/dev/null 2>&1 || echo -c constraints-cpu.txt)

.PHONY: demo test test-cuda check lint wheel-test bench eval-dev reconstruct clean

demo: .venv/ready
	$(BIN)/python examples/demo.py

test: .venv/dev
	$(BIN)/python -m pytest

check: lint test wheel-test

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Install the built wheel into an empty environment outside the checkout, and matte there.
wheel-test: .venv/dev
	$(BIN)/python tests/wheel_check.py

# The tests that need a CUDA device, alone.
test-cuda: .venv/dev
	$(BIN)/python -m pytest -m requires_cuda -ra

bench: .venv/bench
	$(BIN)/python -m benchmarks

eval-dev: .venv/bench
	$(BIN)/python -m benchmarks.eval_dev

# The paper's toy experiment; QUICK=--quick takes under half an hour on two slow cores.
reconstruct: .venv/bench
	$(BIN)/python -m benchmarks.reconstruction $(FASHION) $(QUICK)

.venv/ready: pyproject.toml setup.py $(wildcard a2u_cli/_*.c)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e .
	touch $@

.venv/dev: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e '.[dev]'
	touch $@

.venv/bench: .venv/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) -e '.[dev,bench]'
	touch $@

clean:
	rm -rf .venv build dist demo *.egg-info
