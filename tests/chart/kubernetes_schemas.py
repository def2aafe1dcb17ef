"""JSON schemas of Kubernetes, made from the API server's own OpenAPI document, for kubeconform."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.chart.helm import REPOSITORY

# How the API server takes what its OpenAPI calls a string.
_SCALARS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
}


def openapi_of_pinned_kubernetes() -> dict[str, Any]:
    """Return the OpenAPI document of the Kubernetes that ci/tools builds; its Go module holds it."""
    module = REPOSITORY / "ci" / "tools" / "node"
    command = ["go", "mod", "download", "-json", "k8s.io/kubernetes"]
    done = subprocess.run(command, cwd=module, capture_output=True, check=True, text=True)
    document = Path(json.loads(done.stdout)["Dir"]) / "api" / "openapi-spec" / "swagger.json"
    return dict(json.loads(document.read_text()))


def write_schemas(openapi: dict[str, Any], directory: Path, kinds: Iterable[str]) -> None:
    """Write one file a kind, named as kubeconform asks for it; a field that Kubernetes lacks is refused."""
    definitions = {name: _strict(name, definition) for name, definition in openapi["definitions"].items()}
    for name, definition in openapi["definitions"].items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            if kind["kind"] in kinds:
                group = [kind["group"].split(".")[0]] if kind["group"] else []
                file = "-".join([kind["kind"], *group, kind["version"]]).lower() + ".json"
                schema = {"$ref": f"#/definitions/{name}", "definitions": definitions}
                (directory / file).write_text(json.dumps(schema))


def _strict(name: str, definition: dict[str, Any]) -> dict[str, Any]:
    if name in _SCALARS:
        return _SCALARS[name]
    return {**definition, "additionalProperties": False} if "properties" in definition else definition
