#!/usr/bin/env bash
# Run chart-testing with each of Helm's majors:
#
#   ci/ct.sh lint       needs no cluster, but yamllint and yamale on PATH
#   ci/ct.sh install    on a cluster, with the image and the database that charts/*/ci/*-values.yaml name; where the clone
#                       has the tag of an earlier release, upgrades from that one too
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ${1-} != lint && ${1-} != install ]]; then
    sed -n '4,6p' "${BASH_SOURCE[0]}" >&2
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
    ci/cluster.sh run ct install --config ci/ct.yaml "${from_previous[@]}" | tee "$links/log"
    # To ct it is no failure that the earlier release could not be installed.
    if grep --quiet 'skipped because of previous revision' "$links/log"; then
        echo "The upgrade from $previous was not tested; why stands above." >&2
        exit 1
    fi
}

version_of() {
    sed -n 's/^appVersion: *"\?\([^"]*\)"\?$/\1/p' "$1/charts/sage-app/Chart.yaml"
}

# Build the images of the earlier release from its own sources; where the version is still the same, so is the image.
load_previous() {
    local sources=$links/previous was
    git -c advice.detachedHead=false clone --quiet --branch "$previous" . "$sources"
    was=$(version_of "$sources")
    if [[ $was != "$version" ]]; then
        "$sources/ci/images.sh" all "$was"
        ci/cluster.sh load "sage-app:$was"
    fi
}

if [[ $1 == install ]]; then
    version=$(version_of .)
    from_previous=()
    if previous=$(git describe --tags --match 'v*' --abbrev=0 HEAD^ 2>/dev/null); then
        from_previous=(--upgrade --remote refs/tags --target-branch "$previous") # "$remote/$branch" is what ct asks Git for
    else
        echo "No earlier release is tagged in this clone: upgrades from one are not tested." >&2
    fi
    # As it was found: a cluster that was up before stays.
    ci/cluster.sh is-up || trap 'rm -rf "$links"; ci/cluster.sh down' EXIT
    ci/cluster.sh up
    ci/database.sh start
    ci/images.sh all "$version"
    ci/cluster.sh load "sage-app:$version"
    if [[ $previous ]]; then load_previous; fi
fi
for helm in helm3 helm4; do
    ln -sf "$(ci/tools.sh $helm)/$helm" "$links/helm" # ct calls whatever has that name
    "$1"
done
