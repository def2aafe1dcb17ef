#!/usr/bin/env bash
# Package the charts as a release publishes them: sage-app runs that release's image, by its digest.
#
#   ci/package-charts.sh PREFIX DIGEST DIRECTORY    the image is PREFIX/sage-app@DIGEST; PREFIX begins with a registry
set -euo pipefail

if (($# != 3)); then
    sed -n '4p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
prefix=$1 digest=$2 directory=$3
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -R "$root/charts/." "$copy"

sed -i "/^image:/,/^[^ #]/ {
    s|^  registry: .*|  registry: ${prefix%%/*}|
    s|^  repository: .*|  repository: ${prefix#*/}/sage-app|
    s|^  digest: .*|  digest: $digest|
}" "$copy/sage-app/values.yaml"
# Its last mapping is that of the annotations. Artifact Hub scans the images that are named here.
cat >>"$copy/sage-app/Chart.yaml" <<YAML
  artifacthub.io/images: |
    - name: sage-app
      image: $prefix/sage-app@$digest
YAML

PATH=$("$root/ci/tools.sh" helm4):$PATH
for chart in migration-gate sage-app; do
    helm4 package "$copy/$chart" --destination "$directory"
done
