"""A clone, a build and a package: the same objects from each, without a network."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.chart.helm import (
    APP,
    APP_VALUES,
    MINIMAL,
    REPOSITORY,
    Helm,
    container,
    each_chart,
    each_values_file,
    of_kind,
    the,
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return the charts as Git lays them out, links as links."""
    return Path(shutil.copytree(REPOSITORY / "charts", tmp_path / "charts", symlinks=True))


def content(directory: Path) -> dict[str, bytes]:
    """Return each file below a directory, links not followed."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_clone_renders_without_a_build(helm: Helm, clone: Path) -> None:
    """The neighbouring chart is reached by a link; nothing was packaged into charts/."""
    assert [path.name for path in (clone / "sage-app" / "charts").iterdir()] == ["migration-gate"]
    assert len(of_kind(helm.render(clone / "sage-app", APP_VALUES), "Job")) == 1


def test_dependency_build_changes_nothing(helm: Helm, clone: Path) -> None:
    """What chart-testing does first leaves no second copy of the hook, and a clean work tree."""
    before = content(clone)
    for _ in range(2):
        done = helm.run("dependency", "build", clone / "sage-app")
        assert done.returncode == 0, done.stderr
    assert content(clone) == before
    assert helm.render(clone / "sage-app", APP_VALUES) == helm.render(APP, APP_VALUES)


@each_chart
def test_package_renders_the_same(helm: Helm, chart: Path, tmp_path: Path) -> None:
    """The link's content is in the package, once, and nothing that only a clone needs."""
    done = helm.run("package", chart, "--destination", tmp_path)
    assert done.returncode == 0, done.stderr
    (package,) = tmp_path.glob("*.tgz")
    with tarfile.open(package) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))
    assert not [name for name in names if "/ci/" in name or name.endswith(".gotmpl")]
    assert helm.render(package, MINIMAL[chart]) == helm.render(chart, MINIMAL[chart])


def test_published_chart_runs_the_image_of_its_release(helm: Helm, tmp_path: Path) -> None:
    """By its digest, so that nobody can put another image under the tag; Artifact Hub scans the same one."""
    image = f"registry.example/team/sage-app@sha256:{'0' * 64}"
    prefix, digest = "registry.example/team", image.partition("@")[2]
    subprocess.run([REPOSITORY / "ci" / "package-charts.sh", prefix, digest, tmp_path], check=True, capture_output=True)
    (package,) = tmp_path.glob("sage-app-*.tgz")
    rendered = helm.render(package, APP_VALUES)
    assert [container(the(rendered, kind))["image"] for kind in ("Deployment", "Job")] == [image, image]
    annotations = yaml.safe_load(helm.run("show", "chart", package).stdout)["annotations"]
    assert yaml.safe_load(annotations["artifacthub.io/images"]) == [{"name": "sage-app", "image": image}]
    assert [path.name for path in tmp_path.glob("migration-gate-*.tgz")] != []


@each_values_file
def test_lint_has_nothing_to_say(helm: Helm, values: Path) -> None:
    """With warnings as errors, for each values file that is installed in a test."""
    done = helm.run("lint", "--strict", "--kube-version", "1.31.0", "--values", values, values.parents[1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


def test_chart_testing_has_nothing_to_say(helm: Helm, tools: dict[str, Path], tmp_path: Path) -> None:
    """`ct lint` calls whatever is named `helm`, and yamllint and yamale of this environment."""
    (tmp_path / "helm").symlink_to(helm.binary)
    path = os.pathsep.join([str(tmp_path), str(Path(sys.executable).parent), os.environ["PATH"]])
    command: list[str | Path] = [tools["ct"], "lint", "--config", "ci/ct.yaml"]
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
