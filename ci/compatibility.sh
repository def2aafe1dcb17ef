#!/usr/bin/env bash
# Run the runner's tests beside older libraries, on the oldest PostgreSQL that is supported (see ci/postgres.sh):
#
#   ci/compatibility.sh [PYTHON]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${1:-python3}

# provide NAME: print the interpreter of an environment with the packages of ci/compatibility/NAME.txt.
provide() {
    local requirements=ci/compatibility/$1.txt key venv
    key=$({ cat "$requirements" runner/pyproject.toml && "$python" --version && pwd; } | sha256sum | cut -c1-16)
    venv="${SAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sage-migrate}/$1-$key"
    if [[ ! -f $venv/made ]]; then
        rm -rf "$venv"
        "$python" -m venv "$venv"
        "$venv/bin/pip" install --disable-pip-version-check --quiet --require-hashes --requirement "$requirements" >&2
        "$venv/bin/pip" install --disable-pip-version-check --quiet --no-deps --no-build-isolation --no-index --editable runner >&2
        touch "$venv/made"
    fi
    echo "$venv/bin/python"
}

# Older libraries warn of themselves: `error` for warnings is for the current ones.
read -ra reruns <<<"${RERUNS-}"
pytest=(-m pytest -n 2 -W default -p no:cacheprovider --disable-warnings "${reruns[@]}")

SAGE_TEST_PG_BIN=$(ci/postgres.sh 14)
export SAGE_TEST_PG_BIN
echo "== SQLAlchemy 2.0"
# The review-time path stays out of other people's images: it may ask for newer ones.
"$(provide sqlalchemy-2.0)" "${pytest[@]}" runner/tests \
    --ignore-glob "runner/tests/*lint*" --ignore-glob "runner/tests/*doctor*" --ignore-glob "runner/tests/tracing" \
    --ignore-glob "runner/tests/*review*" --ignore-glob "runner/tests/*scaffold*" --ignore-glob "runner/tests/*stats*"
# Except for lint --import, which inspects the mappers of whichever SQLAlchemy the project has.
"$(provide sqlalchemy-2.0)" "${pytest[@]}" runner/tests/lint/test_models_imported.py
# SQLAlchemy 1.4 has no dialect for psycopg 3, and the env.py files of the other tests are written for 2.0.
echo "== SQLAlchemy 1.4, Alembic 1.8, asyncpg 0.27"
"$(provide sqlalchemy-1.4)" "${pytest[@]}" runner/tests/test_upgrade.py \
    runner/tests/test_version_row.py runner/tests/test_async_guard.py -k "not psycopg-"
