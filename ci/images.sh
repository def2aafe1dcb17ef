#!/usr/bin/env bash
# Build images and take them to the cluster's node:
#
#   ci/images.sh build --tag NAME [--target TARGET] ... CONTEXT    arguments as for docker build
#   ci/images.sh archive NAME FILE                                 a tar archive that containerd and kind import
#   ci/images.sh all [VERSION]                                     sage-migrate:VERSION and sage-app:VERSION, with sizes
#
# By Docker where an engine answers, else by buildah without any image registry: then the Dockerfile's base image is a
# stand-in made from Debian packages. It has the real one's name, so buildah gets a store of its own: no other tool of
# the machine shall take it for the real one.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
store="${SAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sage-migrate}/images"

buildah() {
    command buildah --root "$store" --runroot "$store-run" "$@"
}

# The stand-in is made anew when this function changes: the store knows it by the hash of its text.
make_base_image() {
    local name=$1 archive container
    archive=$(mktemp --suffix .tar)
    # The path-excludes are those of Debian's "slim" images.
    # shellcheck disable=SC2016 # mmdebstrap's hooks get the directory as their own $1
    mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates,netbase,tzdata \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --customize-hook='rm -rf "$1"/var/log/* "$1"/var/cache/*' \
        --customize-hook='ln -s /usr/bin/python3 "$1/usr/local/bin/python3"' "${name##*-}" "$archive"
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$archive" / >/dev/null
    buildah config --cmd python3 --env PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin "$container"
    buildah commit --quiet --rm "$container" "$name" >/dev/null
    rm "$archive"
}

provide_base_image() {
    local name stamp
    name=$(sed -n 's/^ARG PYTHON_IMAGE=//p' "$root/Dockerfile")
    stamp=localhost/stand-in:$({ echo "$name" && declare -f make_base_image; } | sha256sum | cut -c1-16)
    if ! buildah inspect --type image "$stamp" &>/dev/null; then
        "$root/ci/debian.sh" mmdebstrap
        echo "making a stand-in for $name" >&2
        make_base_image "$name"
        buildah tag "$name" "$stamp"
    fi
}

build() {
    local settings=() file log
    if docker info &>/dev/null; then
        docker build --quiet "$@" >/dev/null
        return
    fi
    "$root/ci/debian.sh" buildah
    provide_base_image
    # The machine's own pip settings and certificates, so that no address has to stand in the Dockerfile.
    for file in /etc/pip.conf /etc/ssl/certs; do
        if [[ -e $file ]]; then settings+=(--volume "$file:$file:ro"); fi
    done
    # --quiet would hide what a failed step printed.
    if ! log=$(buildah build --layers --pull-never --isolation chroot --network host "${settings[@]}" "$@" 2>&1); then
        echo "$log" >&2
        exit 1
    fi
}

archive() {
    rm -f "$2"
    if docker info &>/dev/null; then
        docker save --output "$2" "$1"
    else
        buildah push --quiet "$1" "docker-archive:$2:$1"
    fi
}

size() {
    if docker info &>/dev/null; then
        docker image inspect --format '{{.Size}}' "$1"
    else
        buildah images --json "$1" | sed -n 's/.*"size": "\(.*\)".*/\1/p'
    fi
}

all() {
    local version=${1:-dev} revision image
    revision=$(git -C "$root" rev-parse HEAD)
    for image in sage-migrate:runner sage-app:app; do
        build --tag "${image%:*}:$version" --target "${image#*:}" --build-arg VERSION="$version" \
            --build-arg REVISION="$revision" "$root"
        echo "${image%:*}:$version $(size "${image%:*}:$version")"
    done
}

case ${1-} in
build | archive | all) "$@" ;;
*) sed -n '2,6p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
esac
