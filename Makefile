# Every target makes what it needs, from a machine that has only Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_DIR ?= kinet-demo

.PHONY: venv demo test lint bench clean

venv: $(VENV)/.ready

$(VENV)/.ready: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: venv
	$(BIN)/kinet-pipeline demo --workspace $(DEMO_DIR)

# Two test processes, see tests/conftest.py; more threads for torch would only be in each other's way.
test: venv
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 $(PYTEST_ARGS)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg

# With VIDEOS=DIR also those that need videos of yours.
bench: venv
	@for name in manifest scale storage decoding orchestration step views; do \
		echo "== bench_$$name"; $(BIN)/python benchmarks/bench_$$name.py || exit 1; done
	@for name in $(if $(VIDEOS),efficiency peers); do \
		echo "== bench_$$name"; $(BIN)/python benchmarks/bench_$$name.py --videos $(VIDEOS) || exit 1; done

clean:
	rm -rf $(VENV) $(DEMO_DIR) build *.egg-info
