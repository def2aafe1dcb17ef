#!/usr/bin/env bash
# Run chart-testing with each of Helm's majors:
#
#   ci/ct.sh lint       needs no cluster, but yamllint and yamale on PATH
#   ci/ct.sh install    on a cluster, with the image and the database that charts/*/ci/*-values.yaml name
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ${1-} != lint && ${1-} != install ]]; then
    sed -n '4,5p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
links=$(mktemp -d)
trap 'rm -rf "$links"' EXIT
PATH=$links:$(ci/tools.sh ct):$PATH

lint() {
    ct lint --config ci/ct.yaml
}

install() {
    ci/database.sh sql "DROP DATABASE IF EXISTS sage"
    ci/database.sh sql "DROP ROLE IF EXISTS sage"
    ci/database.sh sql "CREATE ROLE sage LOGIN PASSWORD 'sage'"
    ci/database.sh sql "CREATE DATABASE sage OWNER sage"
    ci/cluster.sh run ct install --config ci/ct.yaml
}

if [[ $1 == install ]]; then
    version=$(sed -n 's/^appVersion: *"\?\([^"]*\)"\?$/\1/p' charts/sage-app/Chart.yaml)
    # As it was found: a cluster that was up before stays.
    ci/cluster.sh is-up || trap 'rm -rf "$links"; ci/cluster.sh down' EXIT
    ci/cluster.sh up
    ci/database.sh start
    ci/images.sh all "$version"
    ci/cluster.sh load "sage-app:$version"
fi
for helm in helm3 helm4; do
    ln -sf "$(ci/tools.sh $helm)/$helm" "$links/helm" # ct calls whatever has that name
    "$1"
done
