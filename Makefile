# One command does it all: every target makes the virtual environment when it is missing.
PYTHON ?= python3
BIN := .venv/bin
# Without an NVIDIA GPU a pinned torch is installed, which has a CPU build; with one, the newest.
CONSTRAINTS := $(shell command -v nvidia-smi >/dev/null 2>&1 || echo -c constraints-cpu.txt)

# Tests of programs and packages that a2u does without: `make test-extras` installs them.
NEEDED := -e '.[ray,stores]' 'moto[server]>=5.1'
EXTRAS := requires_ffmpeg or requires_chromium or requires_s3 or requires_ray or exports

.PHONY: demo test test-extras test-cuda check lint wheel-test container-test campaign bench eval-dev reconstruct clean

demo: .venv/ready
	$(BIN)/python examples/demo.py

test: .venv/dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not ($(EXTRAS))'

check: lint test test-extras wheel-test container-test

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# What needs extras, or programs beside Python: those are installed first, by Debian's apt where they
# are missing.
test-extras: .venv/dev
	missing=; for it in ffmpeg chromium npm; do command -v $$it >/dev/null || missing="$$missing $$it"; done; \
	test -z "$$missing" || { apt-get -qq update; apt-get -qq install -y $$missing; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) $(NEEDED)
	$(BIN)/python -m pytest -m '$(EXTRAS)' -ra

# Install the built wheel into an empty environment outside the checkout, and matte there.
wheel-test: .venv/dev
	$(BIN)/python tests/wheel_check.py

# Lint the Dockerfile, and build it; where no daemon is, run its steps in an empty environment.
container-test: .venv/dev
	$(BIN)/python tests/container_check.py

# What is too long for every day; the seeds and what was found are in docs/reliability.md.
campaign: .venv/dev
	$(BIN)/python tests/campaign.py
	$(BIN)/python tests/folder_campaign.py --folders 2100
	$(BIN)/python tests/graph_campaign.py --sizes 20
	$(BIN)/python tests/kills.py
	$(BIN)/python tests/kills.py sequence --kills 5
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) $(NEEDED)
	$(BIN)/python tests/kills.py ray --kills 1
	$(BIN)/python tests/kills.py bucket --kills 1
	$(BIN)/python -m benchmarks.soak --pictures 10000

# The tests that need a CUDA device, alone.
test-cuda: .venv/dev
	$(BIN)/python -m pytest -m requires_cuda -ra

bench: .venv/bench
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.quality
	$(BIN)/python -m benchmarks.small_pictures --pictures 300 --side 96 --revision a9b2af1

eval-dev: .venv/bench
	$(BIN)/python -m benchmarks.eval_dev --quality fast --quality auto --quality best

# The paper's toy experiment; QUICK=--quick takes under half an hour on two slow cores.
reconstruct: .venv/bench
	$(BIN)/python -m benchmarks.reconstruction $(FASHION) $(QUICK)

.venv/ready: pyproject.toml setup.py $(wildcard a2u_cli/operators/fused/*.[ch])
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
