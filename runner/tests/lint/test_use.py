"""Lint in a project that has a past: a baseline, a start revision, what a branch has changed, and refused settings."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from sage_migrate import cli
from sage_migrate.lint import source_statement

_REVISION = '''"""{name}"""
import sqlalchemy as sa
from alembic import op

revision = "{name}"
down_revision = {down!r}


def upgrade():
{body}


def downgrade():
    raise NotImplementedError
'''
_INDEX = '    op.create_index("ix_orders_status", "orders", ["status"])'
_OTHER_INDEX = '    op.create_index(\n        "ix_orders_day",\n        "orders",\n        ["day"],\n    )'
_TABLE = '    op.create_table("notes", sa.Column("id", sa.BigInteger(), primary_key=True))'


def _write(directory: Path, name: str, *bodies: str, down: str | None = "base") -> Path:
    path = directory / f"{name}.py"
    path.write_text(_REVISION.format(name=name, down=down, body="\n".join(bodies)))
    return path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def lint(capsys: pytest.CaptureFixture[str]) -> "Lint":
    """Offer the command, in this process."""
    return Lint(capsys)


class Lint:
    """The command, and what it prints."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Take over what is printed."""
        self._capsys = capsys

    def __call__(self, *arguments: str, status: int) -> str:
        """Return the answer, or the message of a usage error."""
        source_statement._read.cache_clear()  # a run is a process of its own elsewhere, and sees files as they are
        found = cli.main(["lint", *arguments])
        said = self._capsys.readouterr()
        assert found == status, said.out + said.err
        return str(json.loads(said.err)["message"]) if status == 2 else said.out

    def found(self, *arguments: str, status: int = 1) -> list[tuple[str, str, int]]:
        """Return code, path and line of each finding."""
        violations = json.loads(self("--format", "json", *arguments, status=status))["violations"]
        return [(each["code"], each["path"], each["line"]) for each in violations]


def _git(directory: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main", *arguments],
        cwd=directory,
        check=True,
        capture_output=True,
    )


@pytest.fixture
def repository(project: Path) -> Path:
    """Make a repository with one revision that is not clean, and a branch to work on."""
    _write(project, "a1", _INDEX, _OTHER_INDEX, down=None)
    _git(project, "init")
    _git(project, "add", ".")
    _git(project, "commit", "-m", "released")
    _git(project, "checkout", "-b", "work")
    return project


def test_baseline_silences_what_is_known_wherever_it_moves(project: Path, lint: Lint) -> None:
    """What the project had is not told again, also some lines below; what is new is."""
    _write(project, "a1", _INDEX, _OTHER_INDEX)
    assert lint("--baseline", "known.json", "--write-baseline", status=0) == "known.json now knows 3 findings.\n"
    assert lint("--baseline", "known.json", status=0) == "Clean.\n"
    _write(project, "a1", "    pass", "", _INDEX, "    # moved", _OTHER_INDEX.replace("        ", "            "))
    assert lint("--baseline", "known.json", status=0) == "Clean.\n"
    _write(project, "a1", _INDEX, _OTHER_INDEX, '    op.create_index("ix_orders_new", "orders", ["new"])')
    assert lint.found("--baseline", "known.json") == [("SM101", "a1.py", 16), ("SM116", "a1.py", 16)]


def test_baseline_counts(project: Path, lint: Lint) -> None:
    """The same statement twice is known once where it was there once; the same findings make the same file."""
    (project / "pyproject.toml").write_text('[tool.sage-migrate.lint]\nbaseline = "known.json"\n')
    _write(project, "a1", _INDEX)
    lint("--write-baseline", status=0)
    written = Path("known.json").read_text()
    lint("--write-baseline", status=0)
    assert Path("known.json").read_text() == written
    _write(project, "a1", _INDEX, _INDEX)
    assert lint.found() == [("SM101", "a1.py", 11), ("SM116", "a1.py", 11)]


def test_diff_tells_of_new_revisions_and_changed_statements(repository: Path, lint: Lint) -> None:
    """Committed or not, tracked or not; a statement counts as a whole; what the branch left alone is silent."""
    assert lint("--diff", "main", status=0) == "Clean.\n"
    _write(repository, "b2", _INDEX, down="a1")
    assert lint.found("--diff", "main") == [("SM101", "b2.py", 10)]
    _git(repository, "add", "b2.py")
    _git(repository, "commit", "-m", "b2")
    assert lint.found("--diff", "main") == [("SM101", "b2.py", 10)]
    (repository / "b2.py").unlink()
    _write(repository, "a1", _INDEX, _OTHER_INDEX.replace('["day"]', '["day", "hour"]'), down=None)
    assert lint.found("--diff", "main") == [("SM101", "a1.py", 11), ("SM116", "a1.py", 11)]


def test_diff_does_not_tell_of_what_others_merged_meanwhile(repository: Path, lint: Lint) -> None:
    """The base is where the branch left, not where the other one is now."""
    _git(repository, "checkout", "main")
    _write(repository, "a1", _INDEX, down=None)
    _git(repository, "commit", "-am", "others")
    _git(repository, "checkout", "work")
    assert lint("--diff", "main", status=0) == "Clean.\n"


def test_new_revisions_of_a_branch_are_one_batch(repository: Path, lint: Lint) -> None:
    """A table that another new revision of the branch makes is not live."""
    _write(repository, "b2", _TABLE, down="a1")
    _write(repository, "c3", '    op.create_index("ix_notes", "notes", ["body"])', down="b2")
    assert lint("--diff", "main", status=0) == "Clean.\n"
    assert ("SM101", "c3.py", 10) in lint.found()


def test_diff_from_below_the_top(repository: Path, lint: Lint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git speaks of paths from the top of the repository; the working directory may be another."""
    (repository / "service" / "versions").mkdir(parents=True)
    _write(repository / "service" / "versions", "b2", _INDEX)
    monkeypatch.chdir(repository / "service")
    assert lint.found("--diff", "main") == [("SM101", "versions/b2.py", 10)]


def test_diff_says_what_is_missing(
    repository: Path, lint: Lint, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No such commit, no common history, no repository, no git: never a clean run."""
    assert lint("--diff", "origin/main", status=2).startswith("There is no commit origin/main: fatal: ")
    assert lint("--diff=--output=x", status=2).startswith("There is no commit --output=x: fatal: ")
    _git(repository, "checkout", "--orphan", "alone")
    _git(repository, "commit", "-m", "alone")
    assert lint("--diff", "main", status=2) == (
        "main and HEAD have no common commit here: git says no more. "
        "Nothing was applied by this run. In CI, fetch more of the history: fetch-depth: 0."
    )
    monkeypatch.chdir(tmp_path_factory.mktemp("plain"))
    assert lint("--diff", "main", status=2).startswith("Nothing can be compared: fatal: not a git repository")
    monkeypatch.setenv("PATH", "")
    assert lint("--diff", "main", status=2) == (
        "--diff needs git, which could not be started. Nothing was applied by this run. Install git."
    )


def test_start_revision_holds_for_single_files(project: Path, lint: Lint) -> None:
    """As pre-commit names them: a released file is not linted, whichever others were named; from pyproject.toml too."""
    (project / "pyproject.toml").write_text('[tool.sage-migrate.lint]\nsince = "b2"\n')
    for name, down in (("a1", None), ("b2", "a1"), ("c3", "b2")):
        _write(project, name, _INDEX, down=down)
    assert lint("a1.py", status=0) == "Clean.\n"
    assert lint.found("c3.py") == [("SM101", "c3.py", 10)]
    assert lint("--since", "zz", "c3.py", status=2) == (
        "The start revision zz is none of those that were read. Nothing was applied by this run. "
        "--since (or `since` in pyproject.toml) names the last released revision."
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("ignored = []\nsins = 'a1'", "[tool.sage-migrate.lint] has no setting ignored, sins."),
        ("ignore = 'SM101'", "[tool.sage-migrate.lint] ignore is no list of strings."),
        ("severity = { SM101 = 3 }", "[tool.sage-migrate.lint] severity is no table of strings."),
        ("ignore = ['SM101', 'SM999']", "[tool.sage-migrate.lint] names SM999, which is no rule."),
        ("severity = { SM101 = 'loud' }", "'loud' is no severity."),
        ("baseline = 'none.json'", "The baseline none.json cannot be read: No such file or directory."),
        ("stats = 'none.json'", "none.json cannot be read: No such file or directory."),
        ("ignore = [", "pyproject.toml cannot be read: "),
    ],
)
def test_settings_are_refused_by_name(project: Path, lint: Lint, settings: str, message: str) -> None:
    """What is not known, or is of another type, is not passed over."""
    (project / "pyproject.toml").write_text(f"[tool.sage-migrate.lint]\n{settings}\n")
    assert lint(status=2).startswith(message)


def test_writing_a_baseline_needs_a_name_and_everything(project: Path, lint: Lint) -> None:
    """A baseline of a part would silence the rest by accident."""
    assert lint("--write-baseline", status=2).startswith("--write-baseline needs to know the file")


def test_hooks_and_action_call_the_command() -> None:
    """What other repositories refer to names commands and options that there are."""
    top = Path(__file__).parents[3]
    for hook in yaml.safe_load((top / ".pre-commit-hooks.yaml").read_text()):
        program, command, *_ = hook["entry"].split()
        assert (program, command in cli.REVIEW_TIME) == ("sage-migrate", True)
    action = yaml.safe_load((top / "action.yml").read_text())
    names = ["args", "command", "comment", "packages", "python-version", "token", "working-directory"]
    assert sorted(action["inputs"]) == names
    assert cli.REVIEW_TIME.keys() >= {action["inputs"]["command"]["default"]}
