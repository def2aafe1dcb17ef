"""Compare released projects: python -m tests.compat [PROJECT…]; without names, all of projects.toml."""

import sys

from sage_migrate.scratch_server import ScratchServer

from tests.compat.comparison import SERVER_SETTINGS, Comparison, compare
from tests.compat.environment import Environment, provide, read_projects

_COLUMNS = "| {:44} | {:34} | {:>9} | {:>12} | {:>6} | {:>6} | {} |"


def main(names: list[str]) -> int:
    """Print a table, and what differs below it; return 1 where anything does."""
    projects = read_projects()
    failed: list[Comparison] = []
    _say(_COLUMNS.format("project", "libraries", "revisions", "transactions", "bare s", "gate s", "result"))
    for name in names or projects:
        environment = provide(projects[name])
        with ScratchServer(settings=SERVER_SETTINGS) as server:
            result = compare(projects[name], environment, server)
        _say(_row(result, environment))
        if result.problems:
            failed.append(result)
    for result in failed:
        _say("\n".join([f"\n{result.project.name}:", *result.problems]))
    return 1 if failed else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _row(result: Comparison, environment: Environment) -> str:
    project = result.project
    said = "same"
    if project.refuses:
        said = "refuses both, nothing left behind"
    if project.as_designed:
        said += f", but for {project.as_designed['what']}"
    if result.problems:
        said = "DIFFERS"
    packages = [requirement.partition("==")[0].partition("[")[0] for requirement in project.requirements[:1]]
    return _COLUMNS.format(
        environment.versions(*packages),
        environment.versions("alembic", "sqlalchemy"),
        result.revisions,
        result.transactions,
        result.bare_seconds,
        result.gate_seconds,
        said,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
