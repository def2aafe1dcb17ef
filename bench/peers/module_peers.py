"""What each peer says of the labelled applications and models, by case."""

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from labelled_models import read_models
from labelled_modules import read_corpus, write_files
from measure_modules import violations
from sage_migrate.lint.check import check_module
from sage_migrate.lint.project import Project
from sage_migrate.lint.project.files import find_files

from bench.peers.environments import HERE, ROOT, provide

ANYTHING = "anything"
"""What a tool says that has no rule of such a kind: it counts for whatever is wrong."""
RESERVED = frozenset(("SM201", "SM202", "SM203", "SM204"))
"""What becomes of reserved names when models are imported."""


def labels_of(corpus: str) -> dict[str, frozenset[str]]:
    """Return the codes of each application."""
    return {case.name: case.codes for case in read_corpus(corpus)}


def ask_us(corpus: str, family: str, directory: Path) -> dict[str, set[str]]:
    """Lint each application, written below ``directory``."""
    return {
        case.name: {each.code for each in violations(case, directory / case.name, family)}
        for case in read_corpus(corpus)
    }


def ask_ruff(directory: Path) -> dict[str, set[str]]:
    """Ask ruff about the applications below ``directory``: of its rules on async code those on calls that block (2xx)."""
    arguments = ("check", "--isolated", "--no-cache", "--select", "ASYNC2", "--output-format", "json", directory)
    found = json.loads(_print(provide("ruff") / "ruff", *arguments))
    return _by_case((each["filename"] for each in found), directory)


def ask_flake8_async(directory: Path) -> dict[str, set[str]]:
    """Ask flake8-async about the applications below ``directory``: those of its rules that are on calls that block (2xx)."""
    printed = _print(provide("flake8-async") / "flake8", "--isolated", "--select", "ASYNC2", directory)
    return _by_case(re.findall(r"^(.+?):\d+:\d+: ASYNC", printed, re.MULTILINE), directory)


def ask_blockbuster(url: str) -> dict[str, set[str]]:
    """Drive the applications that can run, over ASGI, while blockbuster watches."""
    printed = _print(
        *(provide("blockbuster") / "python", HERE / "drive_blockbuster.py", url), environment={"PGSSLMODE": "disable"}
    )
    return {name: {ANYTHING} for name in json.loads(printed)}


def reserved_labels() -> dict[str, frozenset[str]]:
    """Return the codes of each project of models, those of reserved names alone."""
    return {case.name: case.codes & RESERVED for case in read_models()}


def ask_us_about_models(directory: Path) -> dict[str, set[str]]:
    """Lint the source of each project of models."""
    found = {}
    for case in read_models():
        write_files(case.files, directory / case.name)
        project = Project(find_files([directory / case.name]), [directory / case.name])
        said = {each.code for module in project.modules for each in check_module(module, project)}
        found[case.name] = said & RESERVED
    return found


def import_models(version: str) -> tuple[str, dict[str, set[str]]]:
    """Import each project of models, with SQLAlchemy 2.0 or the current one; return its version and what it objects to."""
    old = provide("sqlalchemy-2.0", ROOT / "ci/compatibility/sqlalchemy-2.0.txt") / "python"
    answer = json.loads(_print(old if version == "2.0" else sys.executable, HERE / "import_models.py"))
    return answer["version"], {name: {*RESERVED} for name in answer["objects"]}


def _by_case(paths: Iterable[str], directory: Path) -> dict[str, set[str]]:
    found: Mapping[str, set[str]] = defaultdict(set)
    for path in paths:
        found[Path(path).relative_to(directory).parts[0]].add(ANYTHING)
    return dict(found)


def _print(*command: str | Path, environment: Mapping[str, str] | None = None) -> str:
    corpora = {"PYTHONPATH": str(ROOT / "runner/tests/lint")}
    done = subprocess.run(
        command, env={**os.environ, **corpora, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode > 1:
        sys.exit(f"{command[0]} answers {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout
