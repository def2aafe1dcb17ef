# One command each. Python >= 3.11 is enough for demo, test and docs; the others say what else they need.
.POSIX:
.PHONY: help demo test lint docs sample charts compat compatibility e2e kind bench clean

PYTHON = python3
VENV = .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet
# Arguments for pytest: make test PYTEST='-k stall -x'. The tests mostly wait, so two run beside each other on any machine.
PYTEST = -n 2

help:
	@sed -n 's/^\([a-z0-9]*\):.*## /\1	/p' Makefile | expand -t 15

demo: $(VENV)/made ## what the app feels while a migration runs, bare Alembic beside the gate
	$(BIN)/python -m demo

test: $(VENV)/made ## runner, sample service and documentation, on a PostgreSQL from a wheel
	$(BIN)/python -m pytest $(PYTEST) $(RERUNS) runner/tests tests/docs tests/scaffold
	cd backend && ../$(BIN)/python -m pytest $(PYTEST) $(RERUNS)

lint: $(VENV)/made ## style, types, shell scripts, YAML (workflows: Go)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=runner/src:runner/tests:runner/tests/lint $(BIN)/mypy --explicit-package-bases \
		runner/src runner/tests tests demo bench docs
	$(BIN)/sage-migrate -c backend/alembic.ini review check --all
	cd backend && ../$(BIN)/mypy --config-file ../pyproject.toml app migrations tests
	PATH="$$PWD/$(BIN):$$PATH" shellcheck ci/*.sh .ci/run
	$(BIN)/yamllint --strict --config-file ci/lintconf.yaml .github action.yml compose.yaml .pre-commit-config.yaml .pre-commit-hooks.yaml
	@if command -v go >/dev/null || test "$$CI"; then \
		PATH="$$PWD/$(BIN):$$PATH"; cd ci/tools/lint && echo go tool actionlint && go tool actionlint; \
	else echo "The workflows were not checked: actionlint needs Go."; fi

docs: $(VENV)/made ## write the generated pages anew
	$(BIN)/python docs/generate.py

sample: $(VENV)/made ## render backend/ anew from the template of init
	$(BIN)/python -m tests.scaffold.sample

charts: $(VENV)/made ## the charts as Helm 3 and 4 render them (Go)
	PATH="$$PWD/$(BIN):$$PATH" $(BIN)/python -m pytest $(PYTEST) $(RERUNS) tests/chart

compat: $(VENV)/made ## released projects under bare Alembic and under the gate (downloads gigabytes)
	$(BIN)/python -m tests.compat

compatibility: $(VENV)/made ## the runner in two released projects, and beside SQLAlchemy 2.0 and 1.4, on PostgreSQL 14 (npm, Linux on x86-64)
	$(BIN)/python -m pytest $(PYTEST) $(RERUNS) tests/compat
	ci/compatibility.sh $(PYTHON)

e2e: $(VENV)/made ## releases on a real cluster (Docker; or Linux, root and Go)
	PATH="$$PWD/$(BIN):$$PATH" $(BIN)/python -m pytest $(RERUNS) tests/e2e
	ci/ct.sh install

kind: ## a failed release to look at, on kind (Docker; or Linux, root and Go)
	ci/kind.sh

bench: $(VENV)/made ## side by side with bare Alembic and other tools; writes docs/bench (Go)
	$(BIN)/python -m bench.gate --check

clean: ## remove the environment; clusters and caches stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache

# Made anew when a pin changes. Every package is checked by its hash; our own needs no network.
$(VENV)/made: requirements-dev.txt runner/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed: make PYTHON=python3.13 names another one")'
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes --requirement requirements-dev.txt
	$(PIP) install --no-deps --no-build-isolation --no-index --editable runner
	touch $@
