"""The answers for a pull request and for a reviewer, from a trace that was made up."""

from sage_migrate.timeline.results import HeldLock
from sage_migrate.trace.output import FORMATS
from sage_migrate.trace.results import Breakage, Check, Hazard, RevisionTrace, Statement, Trace

_LOCK = HeldLock(relation="orders", mode="AccessExclusiveLock", taken_seconds=0.0, held_seconds=0.25)
_TRACE = Trace(
    base=("a1",),
    head=("b2",),
    server="18.6",
    old_code="the models at v1",
    duration_seconds=3.5,
    revisions=(
        RevisionTrace(
            revision="b2",
            path="versions/b2.py",
            description="Rename <status> | @everybody",
            declared="expand",
            duration_seconds=0.3,
            statements=(
                Statement(sql="ALTER TABLE orders RENAME a TO b", line=7, started_seconds=0.0, duration_seconds=0.2, locks=(_LOCK,)),
            ),
            hazards=(
                Hazard(
                    code="SM114", rule="rename", hazards=("old_code_breaks",), severity="error", message="It is renamed.",
                    help="Instead: keep it.\nop.add_column(…)", relation="orders", line=7, evidence=("models.py:3: no column a: SELECT a",),
                ),
            ),
            old_code_breaks=(Breakage(sql="SELECT a", source="m.py:3", relations=("orders",), sqlstate="42703", problem="no column a"),),
        ),
    ),
    checks=(Check(name="single-head", passed=True),),
)  # fmt: skip


def test_markdown_is_a_comment() -> None:
    """It begins with the mark by which it is found again, and no name of the user's becomes markup or a mention."""
    assert FORMATS["markdown"](_TRACE).splitlines() == [
        "<!-- sage-migrate trace -->",
        "### sage-migrate trace: 1 hazard in 1 revision",
        "",
        "| revision | verdict | statements | longest strong lock | hazards |",
        "|---|---|--:|---|---|",
        "| `b2` Rename \\<status\\> \\| @\N{ZERO WIDTH SPACE}everybody | **contract** | 1 | ACCESS EXCLUSIVE on `orders`, 0.25 s | SM114 |",
        "",
        "- **SM114** old\\_code\\_breaks at `versions/b2.py:7`: It is renamed.",
        "  - old code, models.py:3: no column a: SELECT a",
        "",
        "  Instead: keep it.",
        "  ```python",
        "  op.add_column(…)",
        "  ```",
        "",
        "<details><summary>1 statement of <code>b2</code></summary>",
        "",
        "| took | statement | what it did |",
        "|--:|---|---|",
        "| 0.20 s | `ALTER TABLE orders RENAME a TO b` | ACCESS EXCLUSIVE on orders, held 0.25 s |",
        "",
        "</details>",
        "",
        "",
        "PostgreSQL 18.6; old code: the models at v1; 3.50 s.",
    ]


def test_a_comment_fits_into_what_github_takes() -> None:
    """A long one is cut at a line, with its details closed."""
    from dataclasses import replace

    long = replace(_TRACE, revisions=_TRACE.revisions * 200)
    text = FORMATS["markdown"](long)
    assert len(text) < 65_536
    assert text.count("<details>") == text.count("</details>")
    assert text.endswith("Cut off here; the rest is in the other formats.")


def test_the_page_loads_nothing_and_shows_locks() -> None:
    """One file: the lock's bar, the finding, the statement, and no name that becomes an element."""
    page = FORMATS["html"](_TRACE)
    assert 'http-equiv="Content-Security-Policy" content="default-src ' in page
    assert "ACCESS EXCLUSIVE 0.25 s</text>" in page
    assert "SM114 old_code_breaks: " in page
    assert "<status>" not in page
    assert "do not survive" in page
