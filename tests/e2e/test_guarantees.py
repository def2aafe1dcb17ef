"""What a release may count on in a namespace with rules of its own, and what it leaves behind."""

import json

from tests.e2e.release import NAME, WAIT, Release, succeeded
from tests.e2e.services import BASE
from tests.e2e.waiting import until

LONGEST = "r" * 53
# Whoever asks for more than a container may have, or all together for too much, is refused; and nothing may be reached that
# no policy allows. The local node's network does not enforce policies: there it is only shown that they are accepted.
RULES = [
    {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "limits"},
        "spec": {
            "limits": [
                {
                    "type": "Container",
                    "max": {"memory": "512Mi"},
                    "defaultRequest": {"cpu": "10m", "memory": "64Mi"},
                    "default": {"memory": "128Mi"},
                }
            ]
        },
    },
    {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "quota"},
        "spec": {"hard": {"requests.cpu": "2", "requests.memory": "2Gi", "limits.memory": "4Gi"}},
    },
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    },
]
POLICIES = ("--set", "networkPolicy.enabled=true,migration.networkPolicy.enabled=true")
# A mesh is told to keep out of the hook, or its proxy is a native sidecar, which ends with the migration.
PROXY = {
    "name": "proxy",
    "image": f"sage-app:{BASE}",
    "imagePullPolicy": "Never",
    "restartPolicy": "Always",
    "command": ["python", "-c", "import signal, sys; signal.signal(15, lambda *_: sys.exit()); signal.pause()"],
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}
MESH = {
    "podAnnotations": {"linkerd.io/inject": "disabled"},
    "podLabels": {"sidecar.istio.io/inject": "false"},
    "extraInitContainers": [PROXY],
}


def left(release: Release) -> set[str]:
    """Return what is in the namespace, but for what every namespace has and what the tests put there."""
    kinds = "deployments,replicasets,pods,services,jobs,secrets,configmaps,serviceaccounts,networkpolicies"
    found = {f"{each['kind']}/{each['metadata']['name']}" for each in release.get(kinds)}
    given = {"Secret/database", "ConfigMap/kube-root-ca.crt", "ServiceAccount/default", "NetworkPolicy/deny"}
    return {each for each in found - given if not each.startswith("Pod/load")}


def test_release_in_a_namespace_with_rules_leaves_nothing(release: Release) -> None:
    """Quota, limits, default deny, restricted pods, and a proxy beside the hook; installed, tested, uninstalled."""
    release.apply(*RULES)
    mesh = [f"--set-json=migration.{name}={json.dumps(value)}" for name, value in MESH.items()]
    install = release.start_install(BASE, *WAIT, *POLICIES, *mesh)
    (pod,) = until(release.migration_pods, "the hook's pod is made")
    assert pod["metadata"]["annotations"]["linkerd.io/inject"] == "disabled"
    assert pod["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
    succeeded(install.wait())
    succeeded(release.start("test", NAME, "--timeout", "60s").wait())
    succeeded(release.start("uninstall", NAME, "--wait", "--timeout", "60s").wait())
    until(lambda: not left(release), "nothing is left")


def test_uninstalled_release_leaves_only_the_failed_job(release: Release) -> None:
    """Its log is for a person to read; the documented command removes it."""
    assert release.start_install("mistake", *WAIT).wait().exit_status != 0
    succeeded(release.start("uninstall", NAME, "--wait", "--timeout", "60s").wait())
    (job,) = (each for each in left(release) if not each.startswith("Pod/"))
    assert job == "Job/shop-sage-app-migrate"
    selector = f"app.kubernetes.io/name=migration-gate,app.kubernetes.io/instance={NAME}"
    release.kubectl("delete", "job,serviceaccount,networkpolicy", "--selector", selector, "--wait")
    assert left(release) == set()


def test_two_releases_of_one_namespace_and_long_names(release: Release) -> None:
    """The longest name that Helm allows beside a usual one; the API server accepts both before anything is there."""
    values = ("--values", "values.yaml", "--set", f"image.tag={BASE},replicaCount=1")
    succeeded(release.start("install", LONGEST, release.chart, *values, "--dry-run=server").wait())
    template = (release.helm, "template", LONGEST, release.chart, "--namespace", release.namespace)
    # A pod is refused while its service account is not there; the test's is made when that is.
    settings = ("--set", "database.existingSecret=database", "--skip-tests")
    manifests = release.cluster.run(*template, *settings).stdout
    release.kubectl("apply", "--dry-run=server", "--filename=-", stdin=manifests)
    for name in (NAME, LONGEST):
        succeeded(release.start("install", name, release.chart, *values, *WAIT).wait())
