"""HTTP load on a release: a client in a pod, through the Service."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.release import Release
from tests.e2e.services import BASE, HERE, Service
from tests.e2e.waiting import until

POD = "load"
# How a request fails that found no pod, or one that had stopped listening, is the client's to say.
CLIENT = (HERE / "load_client.py").read_text(encoding="utf-8")


@contextmanager
def no_failed_request(release: Release) -> Iterator[dict[str, Any]]:
    """Use the application all along, and see to it that every single request is answered; in the end give the account."""
    account: dict[str, Any] = {}
    release.apply(_pod(release.service))
    until(lambda: '"started"' in _log(release), "the load's first request was answered")
    yield account
    release.settle()  # the last pods that were replaced have gone
    # The pod ends with its first process, and may take this one with it: what counts is how the pod ended.
    end = ("exec", POD, "--", "python", "-c", "import os; os.kill(1, 15)")
    release.cluster.run("kubectl", "--namespace", release.namespace, *end, check=False)
    release.kubectl("wait", f"pod/{POD}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
    account.update(json.loads(_log(release).splitlines()[-1])["ended"])
    print(f"load: {account['requests']} requests, the longest took {account['longest_seconds']} s")  # noqa: T201  for the report
    assert account["requests"] > 100, account
    assert account["failures"] == [], account


def _log(release: Release) -> str:
    # Before the container runs there is nothing to print, which kubectl calls an error.
    command = ("kubectl", "--namespace", release.namespace, "logs", POD)
    return release.cluster.run(*command, check=False).stdout


def _pod(service: Service) -> dict[str, object]:
    container = {
        "name": POD,
        "image": f"sage-app:{BASE}",
        "imagePullPolicy": "Never",
        "command": ["python", "-c", CLIENT, service.fullname, service.owners, service.things],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        },
    }
