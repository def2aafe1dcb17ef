#!/usr/bin/env bash
# The PostgreSQL server that tests use from inside and outside of the cluster (superuser and password: postgres):
#
#   ci/database.sh start            makes it at first use
#   ci/database.sh stop [MODE]      pg_ctl's mode, fast if none is given; the data stays
#   ci/database.sh sql SQL          runs SQL as the superuser
#   ci/database.sh where            prints HOST PORT for what ci/cluster.sh runs; pods use postgres.database.svc 5432
#
# On the local node it is a process beside the cluster, as an external database is to a chart: of the version whose
# directory of programs SAGE_E2E_POSTGRES_BIN names, else Debian's. Elsewhere it is a pod, SAGE_E2E_POSTGRES_IMAGE.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

kubectl() {
    "$here/cluster.sh" run kubectl "$@"
}

# Runs as PostgreSQL's user where the server is; nothing but this function is there.
control() {
    local data=/var/tmp/database action=$1
    cd /
    if [[ $action == start && ! -d $data ]]; then
        initdb --pgdata=$data --username=postgres --pwfile=<(echo postgres) --auth-host=scram-sha-256 \
            --auth-local=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync >/dev/null
        echo "host all all all scram-sha-256" >>$data/pg_hba.conf
        # The data ends with the tests: fsync would only make them slow.
        printf '%s\n' "listen_addresses = '*'" "unix_socket_directories = '$data'" "max_connections = 200" \
            "fsync = off" "log_lock_waits = on" >>$data/postgresql.conf
    fi
    case $action in
    start) pg_ctl status --pgdata=$data >/dev/null || pg_ctl start --pgdata=$data --wait --silent --log=$data/log ;;
    sql) psql --no-psqlrc --quiet --no-align --tuples-only --set=ON_ERROR_STOP=1 --host=$data --username=postgres --command="$2" ;;
    stop) pg_ctl stop --pgdata=$data --mode="${2-fast}" --wait --silent ;;
    esac
}

on_the_node() {
    local bin=${SAGE_E2E_POSTGRES_BIN-}
    if [[ ! $bin ]]; then
        if ! compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; then "$here/debian.sh" postgresql; fi
        bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort --version-sort | tail -n 1)
    fi
    # PostgreSQL refuses to be root. The capability lets it read programs below a private home directory; access(2)
    # heeds it only with that secure bit: https://man7.org/linux/man-pages/man7/capabilities.7.html
    "$here/node.sh" exec setpriv --reuid=nobody --regid=nogroup --clear-groups --securebits=+no_setuid_fixup \
        --inh-caps=+dac_read_search --ambient-caps=+dac_read_search env PATH="$bin:$PATH" "$@"
}

in_a_pod() {
    kubectl --namespace database exec postgres -- "$@"
}

# What pods call postgres.database.svc.
provide_service() {
    kubectl apply --filename - >/dev/null <<YAML
apiVersion: v1
kind: Namespace
metadata: {name: database}
YAML
    if [[ $at == on_the_node ]]; then
        kubectl apply --filename - >/dev/null <<YAML
apiVersion: v1
kind: Service
metadata: {name: postgres, namespace: database}
spec: {ports: [{port: 5432}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: postgres, namespace: database, labels: {kubernetes.io/service-name: postgres}}
addressType: IPv4
endpoints: [{addresses: ["$(node_address)"]}]
ports: [{port: 5432}]
YAML
    else
        # The server is not the container's first process, so that it can stop and start while the pod stays.
        kubectl apply --filename - >/dev/null <<YAML
apiVersion: v1
kind: Pod
metadata: {name: postgres, namespace: database, labels: {app: postgres}}
spec:
  securityContext: {runAsUser: 999}
  containers: [{name: postgres, image: "${SAGE_E2E_POSTGRES_IMAGE:-postgres:17}", command: [sleep, infinity]}]
---
apiVersion: v1
kind: Service
metadata: {name: postgres, namespace: database}
spec: {type: NodePort, selector: {app: postgres}, ports: [{port: 5432}]}
YAML
        kubectl --namespace database wait pod/postgres --for=condition=Ready --timeout=180s >/dev/null
    fi
}

node_address() {
    kubectl get nodes --output 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}'
}

at=in_a_pod
if [[ $("$here/cluster.sh" kind-of) == node ]]; then at=on_the_node; fi
case ${1-} in
start | stop | sql)
    if [[ $1 == start ]]; then provide_service; fi
    "$at" bash -euo pipefail -c "$(declare -f control) && control \"\$@\"" control "$@"
    ;;
where)
    port=5432
    if [[ $at == in_a_pod ]]; then
        port=$(kubectl --namespace database get service postgres --output 'jsonpath={.spec.ports[0].nodePort}')
    fi
    echo "$(node_address) $port"
    ;;
*) sed -n '4,7p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
esac
