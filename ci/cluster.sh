#!/usr/bin/env bash
# A cluster for tests, the first of: the one that SAGE_E2E_KUBECONFIG names; kind, where a Docker engine answers; a node
# from upstream's binaries (ci/node.sh: Linux, root).
#
#   ci/cluster.sh up | is-up | down
#   ci/cluster.sh run COMMAND...      in the cluster's network, with KUBECONFIG, kubectl, helm3 and helm4
#   ci/cluster.sh load IMAGE...       from the local image store into the cluster
#   ci/cluster.sh environment         the variables that "run" sets
#   ci/cluster.sh network             the network namespace that "run" enters; nothing where it enters none
#   ci/cluster.sh kind-of             named, kind or node
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
state="${SAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sage-migrate}"
export SAGE_NODE="${SAGE_NODE:-$state/node}"

kind_of() {
    if [[ ${SAGE_E2E_KUBECONFIG-} ]]; then
        echo named
    elif docker info &>/dev/null; then
        echo kind
    else
        echo node
    fi
}

kubeconfig() {
    case $(kind_of) in
    named) echo "$SAGE_E2E_KUBECONFIG" ;;
    kind) echo "$state/kind.kubeconfig" ;;
    node) echo "$SAGE_NODE/kubeconfig" ;;
    esac
}

up() {
    case $(kind_of) in
    kind)
        PATH=$("$here/tools.sh" kind):$PATH
        is_up || kind create cluster --name sage-migrate --wait 120s --kubeconfig "$(kubeconfig)" >&2
        ;;
    node) "$here/node.sh" up ;;
    esac
}

down() {
    case $(kind_of) in
    kind) PATH=$("$here/tools.sh" kind):$PATH kind delete cluster --name sage-migrate --kubeconfig "$(kubeconfig)" ;;
    node) "$here/node.sh" down ;;
    esac
}

is_up() {
    case $(kind_of) in
    named) true ;;
    kind) PATH=$("$here/tools.sh" kind):$PATH kind get clusters 2>/dev/null | grep -qx sage-migrate ;;
    node) "$here/node.sh" is-up ;;
    esac
}

network() {
    if [[ $(kind_of) == node ]]; then echo "/proc/$(<"$SAGE_NODE/pid")/ns/net"; fi
}

environment() {
    echo "PATH=$("$here/tools.sh" kubectl helm3 helm4):$PATH"
    echo "KUBECONFIG=$(kubeconfig)"
}

run() {
    local network enter=() settings
    network=$(network)
    if [[ $network ]]; then enter=(nsenter "--net=$network"); fi
    mapfile -t settings < <(environment)
    exec env "${settings[@]}" "${enter[@]}" "$@"
}

load() {
    local image
    archive=$(mktemp --suffix .tar)
    trap 'rm -f "$archive"' EXIT
    for image; do
        "$here/images.sh" archive "$image" "$archive"
        case $(kind_of) in
        # Such as "minikube image load" or "k3d image import"; nothing where the nodes can pull the images.
        named) ${SAGE_E2E_LOAD_IMAGE:-true} "$archive" ;;
        kind) PATH=$("$here/tools.sh" kind):$PATH kind load image-archive --name sage-migrate "$archive" ;;
        node) "$here/node.sh" exec ctr --namespace k8s.io images import "$archive" >/dev/null ;;
        esac
    done
}

case ${1-} in
up | down | run | load | environment | network) "$@" ;;
is-up) is_up ;;
kind-of) kind_of ;;
*) sed -n '5,10p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
esac
