# `make` prints what there is. Needs make and a python3 of 3.11 or newer with venv and pip; the rest is installed
# into .venv from the hash-pinned locks in requirements/. Another interpreter: `make demo PYTHON=python3.13`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 3
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
INSTALL := $(PIP) install --require-hashes
# What is checked: the packages that exist, and the scripts.
PACKAGES := $(patsubst %/__init__.py,%,$(wildcard */__init__.py proto/*/__init__.py))
CODE := $(PACKAGES) tools
# One lock for Python 3.11 and newer on every platform; it names packages and hashes, no index.
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-header --no-config --system-certs --quiet $(LOCK_OPTIONS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install install-dev demo test check check-format check-lint check-types check-imports \
	check-proto format proto lock bench fuzz console-fuzz faults simulate sizes units clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.node ## the node and its console with their locked dependencies, in .venv

install-dev: $(VENV)/.dev ## the same with what tests and checks need

demo: $(VENV)/.node ## both parties on this machine, on synthetic data
	$(BIN)/veiljoin demo $(DEMO_OPTIONS)

# Many tests wait, so that three at once keep two processors busy. A file's tests share data and nodes and stay
# together. PYTEST_OPTIONS=-n0 runs one test after the other, as does pytest itself.
test: $(VENV)/.dev ## run the tests, WORKERS=3 at once; PYTEST_OPTIONS="tests/psi -x" for some of them
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_OPTIONS)

check: check-format check-lint check-types check-imports check-proto ## format, lint, types, import direction, drift of generated code: what CI runs

check-format: $(VENV)/.dev
	$(BIN)/ruff format --check .

check-lint: $(VENV)/.dev
	$(BIN)/ruff check .

check-types: $(VENV)/.dev
	$(BIN)/mypy $(CODE)

check-imports: $(VENV)/.dev
	PYTHONPATH=.:proto $(BIN)/lint-imports --no-logo

check-proto: $(VENV)/.dev
	$(BIN)/python tools/generate_proto.py --check

format: $(VENV)/.dev ## format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: $(VENV)/.dev ## write the stubs of the .proto files
	$(BIN)/python tools/generate_proto.py

# Each lock takes the versions of the one before, so that all of them install side by side.
lock: $(VENV)/.dev ## write requirements/*.lock anew (LOCK_OPTIONS=--upgrade takes newer versions)
	$(LOCK) pyproject.toml --output-file requirements/base.lock
	$(LOCK) pyproject.toml --extra node -c requirements/base.lock --output-file requirements/node.lock
	$(LOCK) pyproject.toml --extra node --extra console -c requirements/node.lock --output-file requirements/console.lock
	$(LOCK) pyproject.toml --extra accel -c requirements/node.lock --output-file requirements/accel.lock
	$(LOCK) pyproject.toml --extra node --extra console --extra dev -c requirements/console.lock --output-file requirements/dev.lock
	$(LOCK) --group build -c requirements/dev.lock --output-file requirements/build.lock

bench: $(VENV)/.node ## the project's benchmarks
	$(BIN)/veiljoin bench $(BENCH_OPTIONS)

# SEED=n repeats one, LIST=1 only prints what would go wrong. SIGKILL at a flush needs Debian's strace, a full disk root.
faults: $(VENV)/.dev ## SEEDS=10 random faults against two standing nodes, from seed FIRST=0 on
	PYTHONPATH=.:proto $(BIN)/python -m tests.faults $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),10) --first $(or $(FIRST),0)) $(if $(LIST),--list)

fuzz: $(VENV)/.dev ## fuzz what parses a partner's bytes: TARGET=token RUNS=1000000 SEED=1, ENGINE=plain without atheris
	PYTHONPATH=.:proto $(BIN)/python -m tests.fuzz $(TARGET) $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(ENGINE),--engine $(ENGINE)) $(FUZZ_OPTIONS)

console-fuzz: $(VENV)/.dev ## ask the console's API EXAMPLES=5000 things, made from its own description; SEED=1
	VEILJOIN_FUZZ_EXAMPLES=$(or $(EXAMPLES),5000) VEILJOIN_FUZZ_SEED=$(or $(SEED),1) \
		$(BIN)/python -m pytest -q --timeout 0 tests/console/test_openapi.py

simulate: $(VENV)/.dev ## SEEDS=1000 simulated schedules from seed FIRST=0 on; KIND=protocol | nodes, SEED=n repeats one
	PYTHONPATH=.:proto $(BIN)/python -m tests.simulate --kind $(or $(KIND),protocol) \
		$(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000) --first $(or $(FIRST),0))

sizes: $(VENV)/.python ## installed size of the base, of the node and with the console, against their bars
	$(BIN)/python tools/sizes.py

units: $(VENV)/.python ## as root on a Debian with debootstrap and systemd-container: the units of deploy/ under a live systemd
	$(BIN)/python tools/units.py $(or $(FOLDER),build/units)

clean: ## remove .venv, caches and builds
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: a step is skipped while its stamp is newer than the locks it installed from.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Veiljoin needs Python 3.11 or newer; $(PYTHON) is older or not there. Hint: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The lock of the console has all that the node's has.
$(VENV)/.node: $(VENV)/.python requirements/build.lock requirements/console.lock requirements/accel.lock pyproject.toml
	$(INSTALL) -r requirements/build.lock -r requirements/console.lock
	@$(INSTALL) -r requirements/accel.lock 2> $(VENV)/accel.log || \
		echo "The packages of requirements/accel.lock cannot be installed (why: $(VENV)/accel.log); the portable engine is used."
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.node requirements/dev.lock
	$(INSTALL) -r requirements/dev.lock
	@touch $@
