"""A trace on several servers, and what they say together."""

import json
from collections.abc import Callable
from dataclasses import replace

from harness.command import Outcome
from harness.project import Project
from sage_migrate.scratch_server import ScratchServer
from sage_migrate.timeline.results import HeldLock
from sage_migrate.trace.output import FORMATS
from sage_migrate.trace.results import Breakage, Check, Hazard, RevisionTrace, Statement, Trace
from sage_migrate.trace.versions import combine

_LOCK = HeldLock(relation="orders", mode="ShareLock", taken_seconds=0.0, held_seconds=0.1)
_STATEMENT = Statement(sql="SELECT 1", line=7, started_seconds=0.0, duration_seconds=0.1)
_HAZARD = Hazard(
    code="SM107", rule="type-change", hazards=("access_exclusive_long",), severity="error",
    message="It is written anew.", help="", relation="orders", line=7,
)  # fmt: skip
_BREAKAGE = Breakage(sql="SELECT a", source="m.py:3", relations=("orders",), sqlstate="42703", problem="no column a")
_REVISION = RevisionTrace(
    revision="b2", path="versions/b2.py", description="", declared="expand", duration_seconds=0.1, statements=(_STATEMENT,)
)  # fmt: skip
_NEW = Trace(
    base=("a1",), head=("b2",), server="18.6", old_code="the models at v1", duration_seconds=2.0, revisions=(_REVISION,),
    checks=(Check(name="round-trip b2", passed=True),),
)  # fmt: skip
_OLD = replace(
    _NEW,
    server="14.22",
    duration_seconds=3.0,
    revisions=(
        replace(
            _REVISION,
            statements=(replace(_STATEMENT, locks=(_LOCK,), rewrites=("orders",)),),
            hazards=(_HAZARD,),
            old_code_breaks=(_BREAKAGE,),
            problem="unrecognized keyword",
        ),
    ),
    checks=(Check(name="round-trip b2", passed=False, message="downgrade fails: no such column"),),
)


def test_what_one_version_shows_counts() -> None:
    """It is told with the version; what is the same everywhere is told once."""
    both = combine([_NEW, _OLD])
    (revision,) = both.revisions
    assert (both.server, both.duration_seconds, both.is_clean) == ("18.6 and 14.22", 5.0, False)
    assert revision.hazards == (replace(_HAZARD, versions=("14.22",)),)
    assert revision.old_code_breaks == (replace(_BREAKAGE, versions=("14.22",)),)
    assert (revision.verdict, revision.problem) == ("contract", "PostgreSQL 14.22: unrecognized keyword")
    assert revision.notes == ("PostgreSQL 14.22: Statement 1 differs: SHARE on orders; writes orders anew.",)
    assert both.checks == (
        Check(name="round-trip b2", passed=False, message="PostgreSQL 14.22: downgrade fails: no such column"),
    )
    same = combine([_OLD, replace(_OLD, server="15.14")]).revisions[0]
    assert (same.hazards, same.problem) == ((_HAZARD,), "unrecognized keyword")


def test_a_report_has_a_column_for_each_version() -> None:
    """In every format one sees what became of a revision where."""
    both = combine([_NEW, _OLD])
    told = {name: write(both) for name, write in FORMATS.items()}
    assert "    It is written anew. (PostgreSQL 14.22 alone)" in told["text"].splitlines()
    assert "PostgreSQL 14.22, 3.00 s: b2 does not run, SM107." in told["text"].splitlines()
    table = "| revision | PostgreSQL 18.6 | PostgreSQL 14.22 |\n|---|---|---|\n| `b2` | expand | does not run, SM107 |"
    assert table in told["markdown"]
    assert "<td>does not run, SM107</td>" in told["html"]
    assert [each["server_version"] for each in json.loads(told["json"])["versions"]] == ["18.6", "14.22"]


def test_each_server_is_traced_by_itself(trace: Callable[..., Outcome], shop: Project, server: ScratchServer) -> None:
    """An application whose engine is made when it is imported leads to the server whose turn it is."""
    env = shop.directory.joinpath("migrations/env.py")
    shop.write(
        "database.py",
        'import os\nfrom sqlalchemy import create_engine\nengine = create_engine(os.environ["APP_URL"])\n',
    )
    shop.write("pyproject.toml", '[tool.sage-migrate.trace]\nenvironment = { APP_URL = "{url}" }\n')
    env.write_text(
        "from alembic import context\nfrom database import engine\n\nwith engine.connect() as connection:\n"
        "    context.configure(connection=connection)\n    with context.begin_transaction():\n        context.run_migrations()\n"
    )
    shop.add("b2", "CREATE INDEX ix_orders_status ON orders (status)")
    answer = json.loads(trace("a1:", "--scratch-url", server.url(), "--format", "json").expect(1).stdout)
    first, second = answer["versions"]
    assert second["server_version"] == f"{first['server_version']} (2)"
    for each in (answer, first, second):
        (revision,) = each["revisions"]
        assert [(hazard["code"], hazard["versions"]) for hazard in revision["hazards"]] == [("SM101", [])]
