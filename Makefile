# `make demo` and `make test` are all a newcomer needs; both set up .venv first, and a second run starts in seconds.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEEDS ?= 1000
MINUTES ?= 10

.PHONY: demo test lint setup lock audit bench simulate simulate-mutants soak fuzz fuzz-leaks container-check clean

demo: setup
	$(BIN)/voice-gateway demo

# Calls in real time wait more than they work: they come late, six at a time, beside nothing heavy; whole processes with many calls come last, alone.
test: lint
	$(BIN)/python -m pytest -n 2 --ignore tests/end_to_end --ignore tests/reliability
	$(BIN)/python -m tests.simulation --seeds 1000 --by-code
	$(BIN)/python -m pytest -n 6 tests/end_to_end
	$(BIN)/python -m pytest tests/reliability

lint: setup
	$(BIN)/ruff format --check --quiet gateway audio tests tools benchmarks
	$(BIN)/ruff check --quiet gateway audio tests tools benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

# Lints the Dockerfile and runs its steps without a Docker engine: needs root and minutes, says so where it can't.
container-check: setup
	tools/container-check.sh

# Whole gateways in virtual time against a modelled carrier, API and store with faults: SEEDS=n fresh seeds, or SEED=n with its log.
simulate: setup
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

# Bugs planted one at a time, each of which the simulation must find within a thousand seeds.
simulate-mutants: setup
	$(BIN)/python -m tests.simulation.mutants

# Two gateways, Redis, an API with faults and callers as processes of their own, for MINUTES=n; all of them but the API get hurt. SEED=n repeats the troubles.
soak: setup
	$(BIN)/python -m tests.reliability --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# Inputs nobody meant, a million or RUNS=n over all parsers of outside text; ONLY="target ..." for some of them.
fuzz: setup
	$(BIN)/python -m tests.fuzz $(if $(RUNS),--runs $(RUNS)) $(ONLY)

fuzz-leaks: setup
	$(BIN)/python -m tests.fuzz.leaks $(if $(RUNS),--runs $(RUNS)) $(ONLY)

bench: setup
	$(BIN)/python -m benchmarks

setup: $(VENV)/.ready
	@tools/redis-server.sh

# The stamp is newer than what it was made from, so a second run does nothing.
$(VENV)/.ready: pyproject.toml locks/dev.txt tools/setup.sh
	tools/setup.sh "$(PYTHON)" "$(VENV)"

lock:
	tools/lock.sh

# Known faults in the locked packages, asked of osv.dev: says so where that cannot be reached.
audit: setup
	$(BIN)/python -m tools.audit

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
