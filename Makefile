# The verbs; each sets up what it needs first.
PYTHON ?= $(shell command -v python3.11 || echo python3)
CONFIG ?= release.yaml
WORKERS ?= $(shell awk -v cores=$$(nproc 2>/dev/null || echo 1) '/^MemAvailable/ {room = int($$2 / 6291456)} END {most = cores < 4 ? cores : 4; print room < 1 ? 1 : room < most ? room : most}' /proc/meminfo 2>/dev/null || echo 1)# each may hold 6 GiB
BIN = .venv/bin
BESIDE = $(if $(filter-out 1,$(WORKERS)),OMP_NUM_THREADS=1)# two processes of two threads each would wait for one another
.DEFAULT_GOAL := help
MAKEOVERRIDES = # what is given to this make is not meant for one that a test or a workflow starts
unexport ARGS CONFIG
unexport PYTHONDONTWRITEBYTECODE # as images of Python set it, each process would compile torch and transformers anew
.PHONY: bench build candidate clean faults help hub lint lock mutants pilot publish release reproduce setup setup-dev setup-publish setup-sign test

help: ## list the verbs
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

release: setup ## train, evaluate and publish what CONFIG says (CONFIG=release.yaml ARGS="--set training.max_steps=20")
	@$(BIN)/adapter-release release $(CONFIG) $(ARGS)

candidate: setup ## train and evaluate into the folder dist, without a token (CONFIG=release.yaml)
	@$(BIN)/adapter-release candidate $(CONFIG) $(ARGS)

publish: setup-publish ## check the candidate in dist again and publish it (CONFIG=release.yaml)
	@$(BIN)/adapter-release publish dist --config $(CONFIG) $(ARGS)

reproduce: setup ## train TAG again and compare (TAG=local/elements@v0.1.0 ARGS="--level answers")
	@test -n "$(TAG)" || { echo "make reproduce TAG=REPO@TAG: name the release to make again." >&2; exit 2; }
	@$(BIN)/adapter-release reproduce $(TAG) $(ARGS)

pilot: setup ## take ten rows through the whole pipeline first (CONFIG=release.yaml)
	@$(BIN)/adapter-release pilot $(CONFIG) $(ARGS)

test: setup-dev ## run the tests, in a process for each of up to four cores (ARGS="-m 'not slow'" WORKERS=1)
	$(BESIDE) $(BIN)/python -m pytest $(if $(BESIDE),--numprocesses $(WORKERS) --dist loadfile) $(ARGS)

lint: setup-dev ## check style, types, who imports whom, workflows and the Dockerfile
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
	$(BIN)/actionlint && $(BIN)/zizmor --offline --persona=auditor --no-progress --quiet .github
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(if $(wildcard Dockerfile),$(BIN)/hadolint Dockerfile)

bench: setup-dev ## measure against a plain script with the same settings
	$(BIN)/python bench/bench.py $(ARGS)
	$(BIN)/python bench/answering.py
	$(BIN)/python bench/gates.py

faults: setup-dev ## kill a small release N times in every way and at any moment, and start it again (N=16)
	$(BIN)/python bench/faults.py $(or $(N),16)

mutants: setup-dev ## change gates/ in thousands of small ways, and list what no test notices
	$(BIN)/uv pip install --quiet --no-deps --require-hashes --only-binary :all: --requirement locks/mutants.txt
	$(BIN)/mutmut run --max-children 2
	$(BIN)/mutmut results

build: setup-dev ## the tool itself as wheel and sdist, into the folder build
	@$(BIN)/python -m hatchling build --clean --directory build

hub: setup ## serve the folder hub as a Hub on this machine (ARGS="--port 8080")
	@$(BIN)/adapter-release hub serve $(ARGS)

lock: setup-dev ## write the locks again from pyproject.toml (LOCK_DAY=2026-11-20)
	locks/lock.sh

clean: ## remove the environment and the caches; runs and the Hub stay
	rm -rf .venv .cache build dist mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

setup:
	@$(PYTHON) setup_environment.py

setup-dev:
	@$(PYTHON) setup_environment.py --dev

setup-publish:
	@$(PYTHON) setup_environment.py --publish

setup-sign:
	@$(PYTHON) setup_environment.py --sign
