#!/usr/bin/env bash
# Lint the charts and install them, with each of their ci/*-values.yaml, on a cluster, by both of Helm's majors. Those
# files name the image and the database that are provided here. yamllint and yamale are the development environment's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=$(sed -n 's/^appVersion: *"\?\([^"]*\)"\?$/\1/p' charts/sage-app/Chart.yaml)
found_up=$(if ci/cluster.sh is-up; then echo yes; fi)
links=$(mktemp -d)
trap 'rm -rf "$links"; [[ $found_up ]] || ci/cluster.sh down' EXIT

ci/cluster.sh up
ci/images.sh all "$version"
ci/cluster.sh load "sage-app:$version"
ci/database.sh start

PATH=$links:$(ci/tools.sh ct):$PATH
for helm in helm3 helm4; do
    ln -sf "$(ci/tools.sh $helm)/$helm" "$links/helm" # ct calls whatever has that name
    ci/database.sh sql "DROP DATABASE IF EXISTS sage"
    ci/database.sh sql "DROP ROLE IF EXISTS sage"
    ci/database.sh sql "CREATE ROLE sage LOGIN PASSWORD 'sage'"
    ci/database.sh sql "CREATE DATABASE sage OWNER sage"
    ct lint --config ci/ct.yaml
    ci/cluster.sh run ct install --config ci/ct.yaml
done
