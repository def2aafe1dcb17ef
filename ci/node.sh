#!/usr/bin/env bash
# A Kubernetes node from upstream's own binaries, for machines without a Docker engine:
# ci/node.sh up | is-up | down | exec COMMAND... (Linux, root).
#
# Everything runs in network, mount, PID and IPC namespaces of its own: no port is opened outside, what the node writes
# (etcd, images, volumes, PostgreSQL's data) is on file systems in memory that only it sees, and when the first process
# of the namespaces ends, the kernel ends containerd, its shims, the pods and PostgreSQL with it. Outside remain, in
# $SAGE_NODE, of which a second node needs another one:
#   kubeconfig   for kubectl and helm, to be run with: nsenter --target "$(cat "$SAGE_NODE/pid")" --net
#   pid          of the process that holds the namespaces, and network, the number of its network namespace
#   log/         one file a component
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export SAGE_NODE="${SAGE_NODE:-${SAGE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sage-migrate}/node}"
export KUBECONFIG=$SAGE_NODE/kubeconfig
address=10.123.0.1 pods=10.124.0.0/24 services=10.125.0.0/16

# Print the process that holds the namespaces. The file may have survived a reboot, or name one that only waits to be
# reaped: so its network namespace must be the one that the node wrote down.
holder() {
    local pid
    [[ -s $SAGE_NODE/pid && -s $SAGE_NODE/network ]] || return 1
    pid=$(<"$SAGE_NODE/pid")
    [[ $(stat -Lc %i "/proc/$pid/ns/net" 2>/dev/null) == "$(<"$SAGE_NODE/network")" ]] && echo "$pid"
}

first_process() {
    local pid
    pid=$(holder) && tr -d ' ' <"/proc/$pid/task/$pid/children"
}

is_up() {
    holder >/dev/null && [[ -f $SAGE_NODE/ready ]]
}

up() {
    if is_up; then return; fi
    if [[ $(uname -s) != Linux || $EUID -ne 0 ]]; then
        echo "A node without Docker needs Linux and root. Start Docker, or name a cluster with SAGE_E2E_KUBECONFIG." >&2
        exit 1
    fi
    "$here/debian.sh" containerd runc containernetworking-plugins iptables conntrack socat ethtool iproute2 util-linux
    PATH=$("$here/tools.sh" kubectl kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy etcd coredns pause):$PATH
    down
    mkdir -p "$SAGE_NODE/log"
    # --kill-child: the node ends with the unshare process, whatever ends that one.
    setsid unshare --net --mount --pid --ipc --mount-proc --fork --kill-child \
        "$here/node.sh" inside </dev/null &>"$SAGE_NODE/log/node.log" &
    echo $! >"$SAGE_NODE/pid"
    wait_for "The node" 180 is_up
}

down() {
    local first network
    if first=$(first_process); then
        # It ends only when every other process of the namespaces has.
        kill -KILL "$first"
        while holder >/dev/null; do sleep 0.1; done
    fi
    # The cgroups of the pods are the one thing that no namespace owns.
    if network=$(cat "$SAGE_NODE/network" 2>/dev/null); then
        find /sys/fs/cgroup -depth -type d -path "*/sage-node-$network*" -exec rmdir {} + 2>/dev/null || true
    fi
    rm -rf "$SAGE_NODE"
}

# Run a command as a process of the node: in all of its namespaces, to end with it.
exec_inside() {
    local first
    first=$(first_process)
    exec nsenter --target "$first" --net --mount --pid --ipc "$@"
}

# wait_for WHAT SECONDS COMMAND...: poll until COMMAND succeeds.
wait_for() {
    local what=$1 deadline=$((SECONDS + $2))
    shift 2
    until "$@" &>/dev/null; do
        if ((SECONDS >= deadline)) || ! { [[ $$ == 1 ]] || jobs -r | grep -q .; }; then
            echo "$what did not start; see $SAGE_NODE/log" >&2
            exit 1
        fi
        sleep 0.2
    done
}

# start NAME COMMAND...: run a component of the node in the background.
start() {
    local name=$1
    shift
    "$@" &>"$SAGE_NODE/log/$name.log" &
}

# The rest runs inside the namespaces.

prepare_file_systems() {
    mount --make-rshared / # volumes that ask for mount propagation
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /dev/shm
    mkdir /run/{var,work,cni,kubernetes}
    mount -t overlay overlay -o lowerdir=/var,upperdir=/run/var,workdir=/run/work /var
    mkdir -p /var/lib/containerd
    mount -t tmpfs tmpfs /var/lib/containerd # its own overlays cannot stand on an overlay
}

prepare_network() {
    ip link set lo up
    ip link add node type bridge # stands for the node's network card; not every kernel has "dummy"
    ip address add $address/24 dev node
    ip link set node up
    ip route add default dev node # leads nowhere, but a service's address must have a route before it can be rewritten
    sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
}

write_configuration() {
    cd /run/kubernetes
    openssl genrsa -out service-accounts.key 2048
    # One administrator's token for all components: this cluster tests releases, not Kubernetes' own roles.
    token=$(openssl rand -hex 16)
    echo "$token,admin,admin,system:masters" >tokens.csv
    touch "$KUBECONFIG" && chmod 600 "$KUBECONFIG"
    cat >"$KUBECONFIG" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: sage, cluster: {server: "https://$address:6443", certificate-authority-data: CERTIFICATE}}]
users: [{name: admin, user: {token: $token}}]
contexts: [{name: sage, context: {cluster: sage, user: admin}}]
current-context: sage
YAML
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc cannot lower a sandbox's score, and no pod starts.
    cat >containerd.toml <<TOML
version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:local"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "/run/cni"
TOML
    cat >/run/cni/pods.conflist <<JSON
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "pods", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pods"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
    echo "nameserver $address" >resolv.conf
    # failCgroupV1: machines with the old cgroup hierarchy are refused by default since 1.35.
    # imageGCHighThresholdPercent: an image that is collected could not be pulled again.
    cat >kubelet.yaml <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
resolvConf: /run/kubernetes/resolv.conf
clusterDNS: [$address]
clusterDomain: cluster.local
volumePluginDir: /run/kubernetes/volume-plugins
imageGCHighThresholdPercent: 100
YAML
    # Names outside of the cluster do not exist, rather than time out.
    cat >Corefile <<COREDNS
cluster.local in-addr.arpa {
    errors
    kubernetes {
        kubeconfig $KUBECONFIG
    }
}
. {
    template ANY ANY {
        rcode NXDOMAIN
    }
}
COREDNS
}

import_pause_image() {
    local directory=/run/kubernetes/pause digest
    mkdir $directory
    tar -C "$(dirname "$(command -v pause)")" -cf $directory/layer.tar pause
    digest=$(sha256sum $directory/layer.tar | cut -d' ' -f1)
    cat >$directory/config.json <<JSON
{"architecture": "$(dpkg --print-architecture)", "os": "linux", "config": {"Entrypoint": ["/pause"]},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$digest"]}}
JSON
    echo '[{"Config": "config.json", "RepoTags": ["localhost/pause:local"], "Layers": ["layer.tar"]}]' >$directory/manifest.json
    tar -C $directory -c manifest.json config.json layer.tar | ctr --namespace k8s.io images import -
}

inside() {
    local network cgroup hierarchy
    network=$(stat -Lc %i /proc/self/ns/net)
    echo "$network" >"$SAGE_NODE/network"
    cgroup=sage-node-$network # a kubelet ends every pod below its cgroup that it does not know
    prepare_file_systems
    prepare_network
    write_configuration
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*/; do
        if [[ -f $hierarchy/cgroup.procs ]]; then mkdir -p "$hierarchy/$cgroup"; fi
    done

    start containerd containerd --config containerd.toml
    start etcd etcd --data-dir /run/etcd --unsafe-no-fsync --log-level warn
    # Its own certificate is made by the API server itself, in --cert-dir.
    start kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --cert-dir=/run/kubernetes \
        --advertise-address=$address --service-cluster-ip-range=$services --allow-privileged \
        --token-auth-file=tokens.csv --authorization-mode=Node,RBAC --kubelet-preferred-address-types=InternalIP \
        --service-account-issuer=https://kubernetes.default.svc \
        --service-account-key-file=service-accounts.key --service-account-signing-key-file=service-accounts.key
    wait_for "The API server's certificate" 30 test -s apiserver.crt
    sed -i "s/CERTIFICATE/$(base64 -w0 apiserver.crt)/" "$KUBECONFIG"
    wait_for "The API server" 60 kubectl get --raw /readyz
    start kube-controller-manager kube-controller-manager --kubeconfig="$KUBECONFIG" --leader-elect=false \
        --service-account-private-key-file=service-accounts.key --root-ca-file=apiserver.crt \
        --flex-volume-plugin-dir=/run/kubernetes/volume-plugins
    start kube-scheduler kube-scheduler --kubeconfig="$KUBECONFIG" --leader-elect=false
    wait_for containerd 30 ctr version
    import_pause_image
    start kubelet kubelet --config=kubelet.yaml --kubeconfig="$KUBECONFIG" --hostname-override=node --node-ip=$address
    # Without the two zeros, kube-proxy sets kernel limits that no namespace contains.
    start kube-proxy kube-proxy --kubeconfig="$KUBECONFIG" --proxy-mode=iptables --cluster-cidr=$pods \
        --hostname-override=node --conntrack-max-per-core=0 --conntrack-min=0
    start coredns coredns -conf Corefile
    wait_for "The node" 60 kubectl wait --for=condition=Ready node/node --timeout=1s
    wait_for "The default service account" 30 kubectl get serviceaccount default
    touch "$SAGE_NODE/ready"
    wait # as the first process of its PID namespace it also reaps orphans
}

case ${1-} in
up | down | inside) "$1" ;;
is-up) is_up ;;
exec) shift && exec_inside "$@" ;;
*) echo "usage: ${0##*/} up | is-up | down | exec COMMAND..." >&2 && exit 2 ;;
esac
