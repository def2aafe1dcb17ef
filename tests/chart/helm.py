"""Run one Helm and read what it renders."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
GATE = REPOSITORY / "charts" / "migration-gate"
APP = REPOSITORY / "charts" / "sage-app"
CHARTS = (GATE, APP)

# The least that each chart needs to be rendered.
GATE_VALUES = {"image": {"repository": "orders", "tag": "1.4.2"}, "database": {"existingSecret": "orders-db"}}
APP_VALUES = {"database": {"existingSecret": "orders-db"}}
MINIMAL = {GATE: GATE_VALUES, APP: APP_VALUES}

each_chart = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.name)
# What chart-testing installs: one file an axis of features.
each_values_file = pytest.mark.parametrize(
    "values",
    [values for chart in CHARTS for values in sorted((chart / "ci").glob("*-values.yaml"))],
    ids=lambda values: f"{values.parts[-3]}-{values.name}",
)

Manifest = dict[str, Any]
Values = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Helm:
    """One major version of Helm, away from whatever the person at this machine has configured."""

    binary: Path
    home: Path

    def run(self, *arguments: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run Helm with ``given`` on its standard input; the caller judges how it ended."""
        homes = {f"HELM_{kind}_HOME": str(self.home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        return subprocess.run(
            [str(self.binary), *map(str, arguments)],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, **homes, "KUBECONFIG": os.devnull},
        )

    def template(self, chart: Path, values: Values, *arguments: str, release: str = "orders") -> str:
        """Return what ``helm template`` prints."""
        done = self._template(chart, values, *arguments, release=release)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def render(self, chart: Path, values: Values, *arguments: str, release: str = "orders") -> list[Manifest]:
        """Return the objects that ``helm template`` prints."""
        return [m for m in yaml.safe_load_all(self.template(chart, values, *arguments, release=release)) if m]

    def refusal(self, chart: Path, values: Values, *, release: str = "orders") -> str:
        """Return the message with which Helm refuses to render."""
        done = self._template(chart, values, release=release)
        assert done.returncode != 0, f"rendered all the same:\n{done.stdout}"
        error = done.stderr[done.stderr.index("Error: ") :]
        return error.split("\n\nUse --debug flag")[0].rstrip()

    def _template(self, chart: Path, values: Values, *arguments: str, release: str) -> subprocess.CompletedProcess[str]:
        # The oldest Kubernetes that the charts are for.
        fixed = ("--namespace", "shop", "--kube-version", "1.31.0", "--values", "-")
        return self.run("template", release, chart, *fixed, *arguments, given=json.dumps(values))


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """Return the objects of one kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def the(manifests: list[Manifest], kind: str) -> Manifest:
    """Return the only object of a kind."""
    (manifest,) = of_kind(manifests, kind)
    return manifest


def is_hook(manifest: Manifest) -> bool:
    """Tell whether Helm makes the object before the others: it is a hook, and not of `helm test`."""
    return bool(manifest["metadata"].get("annotations", {}).get("helm.sh/hook", "test") != "test")


def pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Yield the pod template of each workload."""
    for manifest in manifests:
        if manifest["kind"] in ("Deployment", "Job"):
            yield manifest["spec"]["template"]
        elif manifest["kind"] == "Pod":
            yield manifest


def container(workload: Manifest) -> Manifest:
    """Return the only container of a workload."""
    (only,) = workload["spec"]["template"]["spec"]["containers"]
    return dict(only)


def environment(workload: Manifest) -> dict[str, Any]:
    """Return the container's variables: the value, or the ``valueFrom`` of each; none is there twice."""
    variables = container(workload)["env"]
    by_name = {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in variables}
    assert len(by_name) == len(variables), "server-side apply refuses a variable that is there twice"
    return by_name


def overlay(base: Values, path: str, value: object) -> dict[str, Any]:
    """Return ``base`` with the value at a dotted path replaced."""
    key, _, rest = path.partition(".")
    return {**base, key: overlay(base.get(key) or {}, rest, value) if rest else value}
