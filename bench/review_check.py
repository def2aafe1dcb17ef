"""How long `review check` takes on a long history: ``python -m bench.review_check``.

A branch with one new revision, in a repository of 1,000 revisions and as many cycle docs, as a person or a CI step calls it:
the whole command by the wall clock, Python's start, Git and lint's look at the new revision included. The quickest of the
runs counts, since what else the machine does only adds to a run; the medians stand beside it. In turn with it, what any program
takes that imports Alembic and does nothing: the floor on the same machine. The exit status is 1 when the check takes longer
than it may.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REVISIONS = 1000
_RUNS = 9
_BOUND_SECONDS = 0.5
_REVISION = '''"""Revision {n}."""

import sqlalchemy as sa
from alembic import op

revision = "{n:08x}"
down_revision = {down!r}


def upgrade() -> None:
    op.add_column("table_{table}", sa.Column("c{n}", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("table_{table}", "c{n}")
'''
_DOCUMENT = "# Revision {n}\n\n## Migration review\n\n### `{n:08x}`\n\n- [x] Does: adds a column\n- [x] Reviewer: Grace Hopper\n"


def main() -> int:
    """Report the times; return 1 when the check takes more than it may."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        _make(directory)
        check = [sys.executable, "-m", "sage_migrate", "review", "check", "--base", "main"]
        nothing = [sys.executable, "-c", "import alembic"]
        times: dict[str, list[tuple[float, float]]] = {"check": [], "import alembic": []}
        for _ in range(_RUNS):
            times["check"].append(_run(check, directory))
            times["import alembic"].append(_run(nothing, directory))
    print("| what | quickest, s | median, s | median, s of processor |")
    print("|---|---:|---:|---:|")
    for name, each in times.items():
        walls, processor = zip(*each, strict=True)
        print(f"| {name} | {min(walls):.2f} | {statistics.median(walls):.2f} | {statistics.median(processor):.2f} |")
    quickest = min(wall for wall, _ in times["check"])
    print(f"\nThe check takes {quickest:.2f} s; it may take {_BOUND_SECONDS:g} s.")
    return int(quickest > _BOUND_SECONDS)


def _make(directory: Path) -> None:
    (directory / "migrations/versions").mkdir(parents=True)
    (directory / "docs/cycles").mkdir(parents=True)
    (directory / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/migrations\n")
    for n in range(REVISIONS):
        _write(directory, n)
        (directory / f"docs/cycles/2026-01-01-{n:04}.md").write_text(_DOCUMENT.format(n=n))
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    for command in (
        ["init", "--quiet", "--initial-branch", "main"],
        ["add", "--all"],
        ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "--quiet", "--message", "All"],
        ["checkout", "--quiet", "-b", "work"],
    ):
        subprocess.run(["git", *command], cwd=directory, check=True, env=environment)
    _write(directory, REVISIONS)
    subprocess.run(
        [sys.executable, "-m", "sage_migrate", "review", "stub", "--base", "main"], cwd=directory, check=True
    )


def _write(directory: Path, n: int) -> None:
    text = _REVISION.format(n=n, down=f"{n - 1:08x}" if n else None, table=n % 40)
    (directory / f"migrations/versions/{n:08x}_revision.py").write_text(text)


def _run(command: list[str], directory: Path) -> tuple[float, float]:
    """Return the seconds that a command takes, by the clock and of processor, its children's included."""
    begun, before = time.perf_counter(), os.times()
    subprocess.run(command, cwd=directory, check=False, stdout=subprocess.DEVNULL)
    after = os.times()
    return (
        time.perf_counter() - begun,
        after.children_user + after.children_system - before.children_user - before.children_system,
    )


if __name__ == "__main__":
    sys.exit(main())
