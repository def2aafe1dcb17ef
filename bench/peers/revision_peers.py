"""What each peer says of the labelled revisions: hazards by revision, and how many revisions get a finding of style."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sage_migrate.lint.check import Settings, lint

from bench.peers import hazards
from bench.peers.environments import HERE, provide, provide_eugene
from bench.peers.revisions import Project

Finding = tuple[str, str]
"""The revision's name and the rule's."""


class Said:
    """What one tool says of all revisions."""

    def __init__(self, findings: Iterable[Finding], meaning: Mapping[str, Iterable[str]]) -> None:
        """Translate rules to hazards; those that mean none are style."""
        self.hazards: dict[str, set[str]] = defaultdict(set)
        self.style: set[str] = set()
        for name, rule in findings:
            if rule in meaning:
                self.hazards[name].update(meaning[rule])
            else:
                self.style.add(name)


def ask_us(project: Project) -> Said:
    """Lint each revision with what is before it; warnings are style.

    Not SM148, the missing downgrade(): the labelled revisions have none, and no peer has such a rule.
    """
    said = Said((), {})
    for case in project.cases:
        for violation in lint(Settings(paths=(project.versions / f"{case.name}.py",))):
            if violation.severity == "error" and violation.hazards:
                said.hazards[case.name].update(violation.hazards)
            elif violation.severity != "note" and violation.code != "SM148":
                said.style.add(case.name)
    return said


def ask_squawk(files: list[Path]) -> Said:
    """Ask squawk about the rendered SQL, for the PostgreSQL that the labels were seen on."""
    answer = _json(provide("squawk") / "squawk", "--reporter", "json", "--pg-version", "18", *files)
    return Said(((Path(each["file"]).stem, each["rule_name"]) for each in answer), hazards.SQUAWK)


def ask_alembic_guard(project: Project) -> Said:
    """Ask alembic-guard about the revisions."""
    answer = _json(provide("alembic-guard") / "alembic-guard", "--format", "json", project.versions)
    return Said(((Path(each["path"]).stem, each["rule"]) for each in answer), hazards.ALEMBIC_GUARD)


def ask_zdm(project: Project) -> Said:
    """Ask zdm about the revisions."""
    answer = _json(provide("zdm") / "zdm", "--output-format", "json", project.versions, directory=project.directory)
    found = ((Path(each["path"]).stem, each["rule_id"]) for each in answer["diagnostics"])
    return Said(found, hazards.ZDM)


def ask_alembic_migration_linter(project: Project) -> Said:
    """Ask alembic-migration-linter about the revisions after the base."""
    environment = provide("alembic-migration-linter")
    found = _json(environment / "python", HERE / "ask_alembic_migration_linter.py", project.directory / "alembic.ini")
    return Said((tuple(each) for each in found), hazards.ALEMBIC_MIGRATION_LINTER)


def ask_migration_lint(files: list[Path]) -> Said:
    """Ask migration-lint's two linters about the rendered SQL, in a release that changes code too."""
    printed = _print(provide("migration-lint") / "python", HERE / "ask_migration_lint.py", *files)
    return Said((tuple(each) for each in json.loads(printed)), hazards.MIGRATION_LINT)


def ask_eugene(files: list[Path]) -> Said | None:
    """Ask eugene to lint the SQL; None where it could not be built."""
    eugene = provide_eugene()
    if eugene is None:
        return None

    def found() -> Iterator[Finding]:
        for file in files:
            answer = _json(eugene, "lint", "--format", "json", file)
            for statement in answer["statements"]:
                for rule in statement["triggered_rules"]:
                    yield file.stem, rule["id"]

    return Said(found(), hazards.EUGENE)


def _json(*command: str | Path, directory: Path | None = None) -> Any:
    return json.loads(_print(*command, directory=directory))


def _print(*command: str | Path, directory: Path | None = None) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if not done.stdout.strip():
        sys.exit(f"{command[0]} answers {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout
