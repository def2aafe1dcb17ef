"""Add the gate to an existing service: files that are missing are written, for the others it is said what to add."""

import os
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from sage_migrate import __version__
from sage_migrate.errors import UsageError
from sage_migrate.scaffold.render import render, template_repository

_CYCLE = "docs/cycles/TEMPLATE.md"
_HOOKS = ".pre-commit-config.yaml"
_CHART = """\
dependencies:
  - name: migration-gate
    alias: migration
    version: {version}
    repository: file://../migration-gate # or where your charts are published
"""


def add_gate(directory: Path, answers: Mapping[str, str]) -> str:
    """Write the gate's files that ``directory`` lacks, and return what was done and what is left to do by hand.

    Raises:
        UsageError: no Alembic project is there.
    """
    migrations = _migrations(directory)
    ci = answers.get("ci") or ("gitlab" if (directory / ".gitlab-ci.yml").exists() else "github")
    with template_repository() as repository, tempfile.TemporaryDirectory(prefix="sage-migrate-") as temporary:
        rendered = Path(temporary) / "service"
        unused = {"name": "service", "created": "2000-01-01", "first_revision": "0" * 12}
        render(
            repository, rendered, {**unused, **answers, "ci": ci, "repository": "true", "gate_only": "true"}, ask=False
        )
        pipeline = ".gitlab/migrations.yml" if ci == "gitlab" else ".github/workflows/migrations.yml"
        said = [
            _add(directory, pipeline, (rendered / pipeline).read_text(encoding="utf-8"), "sage-migrate lint"),
            _add(directory, _CYCLE, (rendered / _CYCLE).read_text(encoding="utf-8"), "Migration review"),
            _add(directory, _HOOKS, (rendered / _HOOKS).read_text(encoding="utf-8"), "sage-migrate lint"),
        ]
        # Of a template for revisions, which every project has, only what a review asks for.
        header = "".join(
            (rendered / "migrations" / "script.py.mako").read_text(encoding="utf-8").partition("Rollback:\n")[:2]
        )
        said.append(_by_hand(directory, f"{migrations}/script.py.mako", f'{header}"""\n', "Rollback:"))
    if ci == "gitlab":
        said.append(
            _by_hand(directory, ".gitlab-ci.yml", "include:\n  - local: .gitlab/migrations.yml\n", "migrations.yml")
        )
    said += [
        _by_hand(
            directory, chart.relative_to(directory).as_posix(), _CHART.format(version=__version__), "migration-gate"
        )
        for chart in sorted(directory.glob("**/Chart.yaml"))
        if "charts" not in chart.relative_to(directory).parts[1:-2]
    ]
    said.append("The image has to hold sage-migrate beside the migrations: docs/guide.md says how.\n")
    return "".join(said)


def _migrations(directory: Path) -> str:
    """Return where the project's migrations are, relative to it."""
    ini = directory / "alembic.ini"
    try:
        if not ini.is_file():
            raise CommandError(f"there is no {ini}")  # noqa: TRY301  reported like Alembic's own
        script = Path(ScriptDirectory.from_config(Config(str(ini))).dir)
    except CommandError as error:
        raise UsageError(
            f"{directory} is no Alembic project: {error}. Nothing was written.",
            remedy="`sage-migrate init DIR` makes a new service.",
        ) from error
    # A relative location is meant from where Alembic is run, which is the project.
    found = script if script.is_absolute() else directory / script
    return Path(os.path.relpath(found.resolve(), directory.resolve())).as_posix()


def _add(directory: Path, name: str, text: str, words: str) -> str:
    """Write a file that is missing; one that is there has the gate already where it has its ``words``."""
    target = directory / name
    if target.exists():
        return _by_hand(directory, name, text, words)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return f"{name}: written.\n"


def _by_hand(directory: Path, name: str, text: str, words: str) -> str:
    target = directory / name
    if target.exists() and words in target.read_text(encoding="utf-8"):
        return f"{name}: has it.\n"
    return f"{name}: is yours; add by hand what it lacks of\n\n{textwrap.indent(text, '    ')}\n"
