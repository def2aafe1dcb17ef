# One command each. Python >= 3.11 is enough for demo, test, docs and lint; the rest says what else it needs.
.POSIX:
.PHONY: help demo test lint docs charts e2e kind bench clean

PYTHON = python3
VENV = .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet
# More arguments for pytest: make test PYTEST='-k stall -x'
PYTEST = -n 2

help:
	@sed -n 's/^\([a-z0-9]*\):.*## /\1	/p' Makefile

demo: $(VENV)/made ## what the app feels while a migration runs, bare Alembic beside the gate
	$(BIN)/python -m demo

test: $(VENV)/made ## runner, sample service and docs, on an embedded PostgreSQL
	$(BIN)/python -m pytest $(PYTEST) runner/tests tests/docs
	cd backend && ../$(BIN)/python -m pytest $(PYTEST)

lint: $(VENV)/made ## style, types, shell scripts, YAML; workflows too, where Go is
	ci/lint.sh $(BIN)

docs: $(VENV)/made ## write the generated pages anew
	$(BIN)/python docs/generate.py

charts: $(VENV)/made ## render and check the charts with Helm 3 and 4 (Go)
	$(BIN)/python -m pytest $(PYTEST) tests/chart

e2e: $(VENV)/made ## releases on a real cluster (Docker; or Linux, root and Go)
	$(BIN)/python -m pytest tests/e2e

kind: ## the release flow, by hand to look at, on kind (Docker)
	ci/kind.sh

bench: $(VENV)/made ## side by side with bare Alembic and other tools
	$(BIN)/python -m bench

clean: ## remove the environment; clusters and caches are left alone
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache

# Made anew when a pin changes. Every package is checked by its hash; our own needs no network.
$(VENV)/made: requirements-dev.txt runner/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed: make PYTHON=python3.13 names another one")'
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes --requirement requirements-dev.txt
	$(PIP) install --no-deps --no-build-isolation --no-index --editable runner
	touch $@
