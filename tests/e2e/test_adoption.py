"""Another service goes through the gate, with an image made in each of the ways that the guide shows."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, REPOSITORY, fences
from tests.e2e.release import CHARTS, HERE, Release, succeeded

FROM_THE_RUNNER, WITH_THE_PACKAGE = fences(DOCS / "guide.md", "dockerfile")


def from_the_runner(context: Path) -> str:
    """Return the Dockerfile of the guide's first way: the runner's image, and the migrations."""
    shutil.rmtree(context / "ledger")
    return FROM_THE_RUNNER


def with_the_package(context: Path) -> str:
    """Return that of the second way: the service's own image, whose env.py imports the service."""
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*wheel, "--wheel-dir", context, REPOSITORY / "runner"], check=True)
    env = context / "migrations" / "env.py"
    text = env.read_text(encoding="utf-8").replace("target_metadata=None", "target_metadata=Base.metadata")
    env.write_text(
        text.replace("import asyncio\n", "import asyncio\n\nfrom ledger.models import Base\n"), encoding="utf-8"
    )
    # The Python that this repository's own images are made of.
    dockerfile = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    (python,) = re.findall(r"^ARG PYTHON_IMAGE=(.+)$", dockerfile, re.MULTILINE)
    own, count = re.subn(r"^FROM python:3\.13-slim$", f"FROM {python}", WITH_THE_PACKAGE, flags=re.MULTILINE)
    assert count == 1
    return own


@pytest.mark.parametrize("way", [from_the_runner, with_the_package])
def test_another_service_is_migrated(way: Callable[[Path], str], release: Release, tmp_path: Path) -> None:
    """The image of the guide is all that the chart needs: it runs read-only, without rights, under any user."""
    context = tmp_path / "ledger"
    shutil.copytree(HERE / "ledger", context, ignore=shutil.ignore_patterns("__pycache__"))
    (context / "Dockerfile").write_text(way(context), encoding="utf-8")
    tag = way.__name__.replace("_", "-")
    release.cluster.build_image(f"ledger:{tag}", context)
    image = f"image.repository=ledger,image.tag={tag},image.pullPolicy=Never"
    values = f"{image},database.existingSecret=database,deadline=30"
    succeeded(release.start("install", "ledger", CHARTS / "migration-gate", "--set", values).wait())
    assert release.database.versions() == ["1ed6e0000002"]
    assert release.database.has_table("entries")
