# `make help` lists the targets.  All paths are relative, so the clone may lie anywhere.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: help check test record bench clean
.DELETE_ON_ERROR:

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*##  *\(.*\)/make \1\t\2/p' Makefile | expand -t 14

check: $(READY)  ## judge every claim, and compare with the recorded verdicts
	@$(BIN)/adamproof check

test: $(READY)  ## lint, types, arrows between the folders, then the tests
	@echo "== ruff"
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@echo "== mypy"
	@$(BIN)/mypy
	@echo "== import-linter"
	@$(BIN)/lint-imports
	@echo "== pytest"
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

record: $(READY)  ## after a change that is meant: write the ledger and every generated page anew
	@$(BIN)/adamproof check --update-ledger > /dev/null
	@$(BIN)/python tests/test_docs.py
	@$(BIN)/python tests/test_readme.py
	@$(BIN)/python tests/mutation.py

bench: $(READY)  ## run every script of benchmarks/
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

clean:  ## remove the environment, builds and caches
	@rm -rf .venv build dist out src/*.egg-info .hypothesis .*_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# -qq hides pip's progress and warnings, never its errors.
$(READY): pyproject.toml constraints.txt
	@echo "== environment: $(PYTHON) -m venv .venv"
	@"$(PYTHON)" -m venv .venv
	@echo "== environment: packages (some minutes the first time)"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
