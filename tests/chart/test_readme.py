"""The READMEs are generated: `helm-docs --chart-search-root charts --sort-values-order file`."""

import shutil
import subprocess
from pathlib import Path

from tests.chart.helm import CHARTS, REPOSITORY


def test_readmes_are_up_to_date(tools: dict[str, Path], tmp_path: Path) -> None:
    """A value that was added or changed is in the README of the same commit."""
    charts = Path(shutil.copytree(REPOSITORY / "charts", tmp_path / "charts", symlinks=True))
    command: list[str | Path] = [tools["helm-docs"], "--chart-search-root", charts, "--sort-values-order", "file"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    for chart in CHARTS:
        assert (chart / "README.md").read_text() == (charts / chart.name / "README.md").read_text()
