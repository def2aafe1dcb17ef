"""The Helm binaries: pinned, built once by ci/tools.sh, and never skipped when they are missing."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.chart.helm import REPOSITORY, Helm


@pytest.fixture(scope="session")
def tools() -> dict[str, Path]:
    """Where each tool is, by its name."""
    names = ("ct", "helm3", "helm4", "helm-docs", "kubeconform")
    done = subprocess.run([REPOSITORY / "ci" / "tools.sh", *names], stdout=subprocess.PIPE, text=True, check=True)
    directories = [Path(directory) for directory in done.stdout.strip().split(os.pathsep)]
    return {name: next(d / name for d in directories if (d / name).exists()) for name in names}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Helm home with no repositories, so that nothing asks a network."""
    return tmp_path_factory.mktemp("helm-home")


@pytest.fixture(scope="session", params=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest, tools: dict[str, Path], home: Path) -> Helm:
    """Each major version of Helm."""
    return Helm(binary=tools[request.param], home=home)


@pytest.fixture(scope="session")
def helm4(tools: dict[str, Path], home: Path) -> Helm:
    """Helm 4 alone, where both were shown to print the same."""
    return Helm(binary=tools["helm4"], home=home)


@pytest.fixture(scope="session")
def helm3(tools: dict[str, Path], home: Path) -> Helm:
    """Helm 3 alone, to compare with the other."""
    return Helm(binary=tools["helm3"], home=home)
