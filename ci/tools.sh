#!/usr/bin/env bash
# Build the pinned Go tools that are asked for (all without arguments) and print where they are, in the form of PATH:
#
#   export PATH="$(ci/tools.sh helm3 helm4 kubeconform):$PATH"
#
# ci/tools/*/go.mod pins the versions and go.sum the content. Binaries live outside of the repository, in a directory
# named after the content of the module and the Go version: once built, a call compiles nothing and takes milliseconds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/tools"

cache="${SAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sage-migrate}/tools"
if ! command -v go >/dev/null; then
    echo "The cluster's tools are built by Go, 1.26 or later, and there is no 'go' on PATH: install it." >&2
    exit 1
fi
declare -A charts=(
    [helm3]=helm.sh/helm/v3/cmd/helm
    [helm4]=helm.sh/helm/v4/cmd/helm
    [ct]=github.com/helm/chart-testing/v3/ct
    [kind]=sigs.k8s.io/kind
    [kubeconform]=github.com/yannh/kubeconform/cmd/kubeconform
    [helm-docs]=github.com/norwoodj/helm-docs/cmd/helm-docs
)
declare -A node=(
    [kubectl]=k8s.io/kubernetes/cmd/kubectl
    [kube-apiserver]=k8s.io/kubernetes/cmd/kube-apiserver
    [kube-controller-manager]=k8s.io/kubernetes/cmd/kube-controller-manager
    [kube-scheduler]=k8s.io/kubernetes/cmd/kube-scheduler
    [kubelet]=k8s.io/kubernetes/cmd/kubelet
    [kube-proxy]=k8s.io/kubernetes/cmd/kube-proxy
    [etcd]=go.etcd.io/etcd/server/v3
    [coredns]=./coredns
    [pause]=./pause
)
declare -A gitops=(
    [source-controller]=github.com/fluxcd/source-controller
    [helm-controller]=github.com/fluxcd/helm-controller
    [argocd]=./argocd
)

# Binaries that do not know their version fail version checks (kubelet against API server, a chart's kubeVersion).
version_flags() {
    local helm kubernetes minor
    case $1 in
    charts)
        for helm in helm.sh/helm/v3 helm.sh/helm/v4; do
            echo "-X $helm/internal/version.version=$(go list -m -f '{{.Version}}' $helm)"
        done
        # Helm 3 takes itself for one of Kubernetes 1.20 otherwise, and `helm template` refuses our charts.
        minor=$(go list -m -f '{{.Version}}' k8s.io/client-go | cut -d. -f2)
        for package in helm.sh/helm/v3/pkg/chartutil helm.sh/helm/v3/pkg/lint/rules; do
            echo "-X $package.k8sVersionMajor=1 -X $package.k8sVersionMinor=$minor"
        done
        ;;
    node)
        kubernetes=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
        minor=${kubernetes#v1.}
        for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
            echo "-X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
        done
        ;;
    esac
}

# provide MODULE NAME...: print MODULE's directory of binaries, with NAMEs in it.
provide() (
    module=$1 bin=$cache/$1-$({ find "$1" -type f | LC_ALL=C sort | xargs cat; go env GOVERSION; } | sha256sum | cut -c1-16)
    declare -n packages=$module
    shift
    mkdir -p "$bin"
    exec 9>"$bin/.lock"
    flock 9 # two callers must not compile the same thing twice
    cd "$module"
    for name; do
        [[ -x $bin/$name ]] && continue
        echo "building $name" >&2
        CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w $(version_flags "$module" | xargs)" \
            -o "$bin/.$name" "${packages[$name]}" >&2
        mv "$bin/.$name" "$bin/$name"
    done
    echo "$bin"
)

(($#)) || set -- "${!charts[@]}" "${!node[@]}" "${!gitops[@]}"
declare -A wanted=()
for name; do
    for module in charts node gitops; do
        declare -n tools=$module
        if [[ ${tools[$name]-} ]]; then
            wanted[$module]+=" $name"
            continue 2
        fi
    done
    echo "${0##*/}: no tool is called '$name'; there are: ${!charts[*]} ${!node[*]} ${!gitops[*]}" >&2
    exit 2
done
directories=()
for module in charts node gitops; do
    # shellcheck disable=SC2086 # names have no spaces
    [[ ${wanted[$module]-} ]] && directories+=("$(provide "$module" ${wanted[$module]})")
done
(IFS=: && echo "${directories[*]}")
