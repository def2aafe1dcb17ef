#!/usr/bin/env bash
# A release to look at, on kind or whichever cluster ci/cluster.sh finds: the sample service is installed; its next
# release meets a report that keeps a table, and is aborted; the same command works when the report is gone.
# All of it stays, for a look around: ci/cluster.sh down removes it where the cluster was made here.
#
#   HELM=helm3 ci/kind.sh    with Helm 3, which prints the failed hook's log line by line; the default is Helm 4
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

namespace=sage-demo
database=postgresql://sage_demo:demo@postgres.database.svc/sage_demo
images=$(mktemp -d)
trap 'rm -rf "$images"' EXIT

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }

# Print a command as a person would type it, and run it.
show() {
    printf '$ %s\n' "$*"
    ci/cluster.sh run "$@"
}

kubectl() { ci/cluster.sh run kubectl --namespace "$namespace" "$@"; }

release() {
    show "${HELM:-helm4}" upgrade --install shop charts/sage-app --namespace "$namespace" --set image.tag="$1" \
        --set database.existingSecret=database --set migration.deadline=20 --hide-notes --wait
}

if [[ $(ci/cluster.sh kind-of) != kind ]]; then echo "No Docker engine answers: this goes to the cluster that ci/cluster.sh finds." >&2; fi

say "A cluster, a PostgreSQL beside it, the images of this working tree, and a next release with one more revision"
ci/cluster.sh up
ci/database.sh start
ci/images.sh all dev
mkdir "$images/next"
cat >"$images/next/Dockerfile" <<'DOCKERFILE'
FROM sage-app:dev
COPY add_a_summary.py migrations/versions/
DOCKERFILE
cp tests/e2e/revisions/add_a_summary.py "$images/next"
ci/images.sh build --tag sage-app:next "$images/next"
ci/cluster.sh load sage-app:dev sage-app:next

say "A database, and the secret that names it"
kubectl delete namespace "$namespace" --ignore-not-found
for statement in "DROP DATABASE IF EXISTS sage_demo WITH (FORCE)" "DROP ROLE IF EXISTS sage_demo" \
    "CREATE ROLE sage_demo LOGIN PASSWORD 'demo' IN ROLE pg_read_all_stats" "CREATE DATABASE sage_demo OWNER sage_demo"; do
    ci/database.sh sql "$statement"
done
kubectl create namespace "$namespace"
kubectl create secret generic database --from-literal=DATABASE_URL="$database"

say "The first release: the hook migrates, then the pods start"
release dev

say "A report reads conversations, and keeps its transaction open"
kubectl run nightly-report --image=sage-app:dev --restart=Never --env=DATABASE_URL="$database" --command -- python3 -uc '
import asyncio, os, asyncpg

async def report():
    connection = await asyncpg.connect(os.environ["DATABASE_URL"], server_settings={"application_name": "nightly-report"})
    async with connection.transaction():
        await connection.fetchval("SELECT count(*) FROM conversations")
        print("reading")
        await asyncio.sleep(3600)

asyncio.run(report())'
until kubectl logs nightly-report 2>/dev/null | grep -q reading; do sleep 1; done

say "The next release adds a column to conversations: it does not get its lock, and is aborted"
if release next; then
    echo "It was not aborted, which is a bug." >&2
    exit 1
fi
show kubectl --namespace "$namespace" get pods --selector app.kubernetes.io/name=sage-app

say "The report ends; the same command again"
kubectl delete pod nightly-report --now
release next
show kubectl --namespace "$namespace" get pods --selector app.kubernetes.io/name=sage-app
