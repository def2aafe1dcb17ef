"""Lint beside the tools of others, on the labelled corpora, in one run: ``python -m bench.lint_peers``.

Writes docs/bench/lint-peers.md. Each tool gets an environment of its own (`bench/peers`), eugene is built where cargo is.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from sage_migrate.scratch_server import ScratchServer

from bench.circumstances import describe_machine

sys.path.insert(0, str(Path(__file__).parent.parent / "runner/tests/lint"))

from labelled_modules import read_corpus

from bench.peers import module_peers, revision_peers
from bench.peers.environments import EUGENE, HERE
from bench.peers.revision_peers import Said
from bench.peers.revisions import Project, render, write_project
from bench.peers.scores import score

_PAGE = Path(__file__).parent.parent / "docs/bench/lint-peers.md"


def main() -> None:
    """Ask every tool and write the page."""
    with tempfile.TemporaryDirectory() as name, ScratchServer() as server:
        directory = Path(name)
        sections = [
            f"<!-- Made by bench/lint_peers.py: measure again instead of editing. -->\n\n# Lint beside others\n\n{_INTRODUCTION}",
            f"{describe_machine(server, 'bench.lint_peers')}.",
            *_revisions(directory / "revisions"),
            *_sessions(directory / "applications", server.url()),
            *_models(directory / "models"),
            *_routes(directory / "routes"),
        ]
    _PAGE.write_text("\n\n".join(sections) + "\n")


_INTRODUCTION = """\
All tools get the same cases: this repository's labelled corpora, whose labels were seen on a real PostgreSQL, over ASGI, or
in SQLAlchemy itself. We made the corpora and mended our rules by them, so our own figures say that lint does what it is meant
to; the others' figures say what they see of it."""


def _revisions(directory: Path) -> list[str]:
    project = write_project(directory / "project")
    sql = directory / "sql"
    sql.mkdir()
    rendered = dict(render(project, directory / "alone"))
    for name, text in rendered.items():
        if text is not None:
            (sql / f"{name}.sql").write_text(text)
    files = sorted(sql.glob("*.sql"))
    ours = revision_peers.ask_us(project)
    peers: dict[str, Said | None] = {
        f"squawk {_pin('squawk')}": revision_peers.ask_squawk(files),
        f"migration-lint {_pin('migration-lint')}": revision_peers.ask_migration_lint(files),
        f"eugene lint {EUGENE}": revision_peers.ask_eugene(files),
        f"alembic-guard {_pin('alembic-guard')}": revision_peers.ask_alembic_guard(project),
        f"alembic-migration-linter {_pin('alembic-migration-linter')}": revision_peers.ask_alembic_migration_linter(
            project
        ),
        f"zdm {_pin('zdm')}": revision_peers.ask_zdm(project),
    }
    together = Said((), {})
    for said in peers.values():
        for name, hazards in (said.hazards if said else {}).items():
            together.hazards[name] |= hazards
    rows = [
        _revision_row(name, said, project)
        for name, said in {**peers, "all of them together": together, "sage-migrate lint": ours}.items()
    ]
    missed = sorted(score(project.labels, together.hazards).missed)
    found_by_us = [name for name in missed if ours.hazards[name] & project.labels[name]]
    safe = sum(not hazards for hazards in project.labels.values())
    not_rendered = sorted(name for name, text in rendered.items() if text is None)
    return [
        "## Revisions",
        (
            f"{len(project.cases)} revisions, {len(project.cases) - safe} with hazards, {safe} safe. Tools of SQL get what Alembic "
            f"renders offline; {len(not_rendered)} cannot be rendered ({_listed(not_rendered)}), and those are missed."
        ),
        (
            "Found: the tool says something that speaks of one of the revision's hazards (`bench/peers/hazards.py` says which rule "
            "speaks of which, generously). Precision: of the revisions of which a tool speaks of hazards, those that have one of "
            "them. Findings of style, of whatever severity, count for neither: the last column tells how many safe revisions get some, "
            "lint's SM148 left out (no labelled revision has a `downgrade()`, and no peer has such a rule)."
        ),
        _table(("tool", "recall", "precision", "safe revisions with style findings"), rows),
        f"No other tool finds {len(missed)} revisions, of which lint finds {len(found_by_us)}: {_listed(missed)}.",
    ]


def _revision_row(name: str, said: Said | None, project: Project) -> str:
    if said is None:
        return f"{name} | not built here | | "
    safe = {each for each, hazards in project.labels.items() if not hazards}
    return f"{name} | {score(project.labels, said.hazards).cells()} | {len(safe & said.style)} of {len(safe)}"


def _sessions(directory: Path, url: str) -> list[str]:
    labels = module_peers.labels_of("session_corpus")
    ours = module_peers.ask_us("session_corpus", "SM3", directory)
    driven = {case.name for case in read_corpus("session_corpus") if case.requests}
    peers = {
        f"ruff {_pin('ruff')}, `ASYNC2`": module_peers.ask_ruff(directory),
        f"flake8-async {_pin('flake8-async')}, `ASYNC2`": module_peers.ask_flake8_async(directory),
        f"blockbuster {_pin('blockbuster')}, at run time": module_peers.ask_blockbuster(url),
    }
    anything = {name: codes | {module_peers.ANYTHING} if codes else codes for name, codes in labels.items()}
    blocking = {
        name: codes & {"SM301", module_peers.ANYTHING}
        for name, codes in anything.items()
        if "SM301" in codes or not codes
    }
    rows = [
        f"{name} | {score(anything, said).cells()} | {score(blocking, said).recall * 100:.0f} %"
        for name, said in {**peers, "sage-migrate lint": ours}.items()
    ]
    wrong = sum(bool(codes) for codes in labels.values())
    return [
        "## Sessions",
        (
            f"{len(labels)} applications, {wrong} with a sync call in the loop, a missing `await`, a shared or kept session or a lazy "
            f"load, {len(labels) - wrong} safe. Of ruff and flake8-async the rules on calls that block (`ASYNC2xx`) count, for whatever is "
            f"wrong; their others speak of other things. Of blockbuster each error that it raises counts; it can only see "
            f"the {len(driven)} that run here."
        ),
        _table(("tool", "recall", "precision", "recall of sync calls alone"), rows),
    ]


def _models(directory: Path) -> list[str]:
    labels = module_peers.reserved_labels()
    said: dict[str, Mapping[str, set[str]]] = {}
    for version in ("2.0", "2.1"):
        installed, objects = module_peers.import_models(version)
        said[f"importing it, SQLAlchemy {installed}"] = objects
    said["sage-migrate lint"] = module_peers.ask_us_about_models(directory)
    rows = [f"{name} | {score(labels, each).cells()}" for name, each in said.items()]
    wrong = sum(bool(codes) for codes in labels.values())
    return [
        "## Reserved names",
        (
            f"{len(labels)} projects of models, {wrong} in which `metadata` or `registry` hides something or a column is dropped. "
            "No linter has such a rule; SQLAlchemy itself raises or warns, which counts as found."
        ),
        _table(("who", "recall", "precision"), rows),
    ]


def _routes(directory: Path) -> list[str]:
    labels = module_peers.labels_of("route_corpus")
    ours = module_peers.ask_us("route_corpus", "SM4", directory)
    wrong = sum(bool(codes) for codes in labels.values())
    return [
        "## Routes and repositories",
        (
            f"{len(labels)} applications, {wrong} with a query in a route, or a repository that commits, returns queries or makes its "
            "own session. None of these tools has a rule for that."
        ),
        _table(("tool", "recall", "precision"), [f"sage-migrate lint | {score(labels, ours).cells()}"]),
    ]


def _pin(name: str) -> str:
    """Return the version of a peer."""
    package = {"squawk": "squawk-cli"}.get(name, name)
    lines = (HERE / f"{name}.txt").read_text().splitlines()
    return next(line.split("==")[1].split()[0] for line in lines if line.startswith(f"{package}=="))


def _table(head: Sequence[str], rows: Sequence[str]) -> str:
    return "\n".join(f"| {row} |" for row in (" | ".join(head), "|".join("---" for _ in head), *rows))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    main()
