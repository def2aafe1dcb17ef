"""A service in a real Git repository, on whose branches pull requests are played through."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

import pytest
from sage_migrate import cli

ADA, GRACE = "Ada Lovelace <ada@example.org>", "Grace Hopper <grace@example.org>"
_INI = "[alembic]\nscript_location = %(here)s/migrations\n"
_REVISION = '''"""{title}.

Revision ID: {name}
Revises: {down}
{header}
"""

import sqlalchemy as sa
from alembic import op

revision: str = "{name}"
down_revision: str | None = {down!r}
{head}

def upgrade() -> None:
{upgrade}


def downgrade() -> None:
{downgrade}
'''
PLAIN = 'op.add_column("orders", sa.Column("note", sa.Text(), nullable=True))'
HAZARD = 'op.create_index("ix_orders_status", "orders", ["status"])'
_IDENTITY = ("-c", "commit.gpgsign=false", "-c", "core.autocrlf=false", "-c", "init.defaultBranch=main")


@dataclass(frozen=True)
class Finding:
    """What a check found, as far as tests ask."""

    code: str
    severity: str
    path: str
    line: int
    message: str
    help: str


@dataclass(frozen=True)
class Service:
    """The service's working tree; the branch `work` is checked out, `main` is what it came from."""

    directory: Path

    def git(self, *arguments: str, author: str = ADA) -> str:
        """Run git as ``author``."""
        name, _, email = author.rstrip(">").partition(" <")
        who = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", name), ("EMAIL", email))
        }
        settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(
            ["git", *_IDENTITY, *arguments],
            cwd=self.directory,
            capture_output=True,
            text=True,
            env={**os.environ, **who, **settings},
            check=False,
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def commit(self, author: str = ADA) -> None:
        """Commit all there is."""
        self.git("add", "--all", author=author)
        self.git("commit", "--quiet", "--allow-empty", "--message", "Work", author=author)

    def write(self, name: str, text: str) -> Path:
        """Write a file."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text).lstrip("\n"), newline="")
        return path

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a piece of a file, which must be there."""
        path = self.directory / name
        text = path.read_bytes().decode()
        assert old in text, f"{name} has no {old!r}:\n{text}"
        path.write_bytes(text.replace(old, new).encode())

    def add_revision(  # noqa: PLR0913  what a revision's file says
        self,
        name: str,
        upgrade: str = PLAIN,
        *,
        down: object = "b2",
        downgrade: str = "pass",
        head: str = "",
        header: str = "",
        title: str = "",
    ) -> str:
        """Write a revision and return its path."""
        path = f"migrations/versions/{name}.py"
        bodies = {
            key: indent(dedent(text).strip(), "    ") for key, text in (("upgrade", upgrade), ("downgrade", downgrade))
        }
        title = title or f"Change {name}"
        self.write(path, _REVISION.format(name=name, down=down, head=head, header=header, title=title, **bodies))
        return path

    @property
    def document(self) -> str:
        """The only cycle doc that this branch has added."""
        (found,) = set(self.documents) - {"docs/cycles/2026-01-01-start.md", "docs/cycles/TEMPLATE.md"}
        return found

    @property
    def documents(self) -> list[str]:
        """All cycle docs."""
        return sorted(str(each.relative_to(self.directory)) for each in (self.directory / "docs/cycles").glob("*.md"))

    def sign(self, document: str = "", *, reviewer: str = "Grace Hopper") -> None:
        """Answer all that is open in a document, and tick it."""
        path = self.directory / (document or self.document)
        text = re.sub(
            r"(?m)^- \[ \] Reviewer:[ \t]*(\r?)$", rf"- [x] Reviewer: {reviewer}\1", path.read_bytes().decode()
        )
        text = re.sub(r"(?m)^- \[ \] (.*?):[ \t]*(\r?)$", r"- [x] \1: as measured on staging\2", text)
        path.write_bytes(text.replace("- [ ]", "- [x]").encode())


class Reviews:
    """The command line, run in the service's directory."""

    def __init__(self, service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        """Stand in the directory."""
        self._capsys = capsys
        monkeypatch.chdir(service.directory)
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        for part, value in (("NAME", "Ada Lovelace"), ("EMAIL", "ada@example.org")):
            monkeypatch.setenv(f"GIT_AUTHOR_{part}", value)

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run `sage-migrate review` and return what it printed."""
        self._capsys.readouterr()
        found = cli.main(["review", *arguments])
        printed = self._capsys.readouterr()
        assert found == status, printed.out + printed.err
        return printed.out

    def stub(self, *arguments: str) -> str:
        """Write the entries."""
        return self.run("stub", "--base", "main", *arguments)

    def check(self, *arguments: str) -> list[Finding]:
        """Return what a check finds; its exit status must agree."""
        self._capsys.readouterr()
        status = cli.main(["review", "check", "--base", "main", "--format", "json", *arguments])
        found = json.loads(self._capsys.readouterr().out)["violations"]
        assert status == int(any(each["severity"] == "error" for each in found)), found
        return [Finding(**{name: each[name] for name in Finding.__annotations__}) for each in found]


def make_service(directory: Path) -> Service:
    """Make the repository: two revisions on main, one of them reviewed, and a branch for work."""
    service = Service(directory)
    directory.mkdir()
    service.git("init", "--quiet")
    service.write("alembic.ini", _INI)
    service.write("migrations/helpers.py", "TABLES = ['orders']\n")
    service.write("migrations/env.py", "from alembic import context\n")
    service.add_revision(
        "a1", 'op.create_table("orders", sa.Column("id", sa.BigInteger(), primary_key=True))', down=None
    )
    service.add_revision(
        "b2",
        "from migrations.helpers import TABLES\nfor table in TABLES:\n    op.execute(f'ANALYZE {table}')",
        down="a1",
    )
    service.write(
        "docs/cycles/2026-01-01-start.md",
        """
        # Start

        ## Migration review

        ### `b2` Analyze

        ```review
        content: 0123456789abcdef01234567
        ```

        - [x] Does: analyzes what was filled
        - [x] Reviewer: Grace Hopper
        """,
    )
    service.commit()
    service.git("checkout", "--quiet", "-b", "work")
    return service


def copy_service(template: Service, directory: Path) -> Service:
    """Return a copy, which costs less than to make it anew."""
    shutil.copytree(template.directory, directory, symlinks=True)
    return Service(directory)
