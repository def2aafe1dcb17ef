"""`sage-migrate init` at the command line: what it refuses, and how it adds the gate to an existing service."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sage_migrate import cli


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the message with which the command is refused."""
    assert cli.main(["--log-format", "json", "init", *words]) == 2
    return str(json.loads(capsys.readouterr().err.splitlines()[-1])["message"])


def files(directory: Path) -> dict[str, str]:
    """Return the files below a directory."""
    return {path.relative_to(directory).as_posix(): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_a_directory_that_is_not_empty_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever stands there is somebody's."""
    for name in ("a", "b", "c", "d", ".git"):
        (tmp_path / name).mkdir()
    assert refused(capsys, str(tmp_path), "--defaults") == (
        f"{tmp_path} is not empty: it has a, b, c and more. Nothing was written. Nothing was applied by this run. "
        "Name another directory; `init --into DIR` adds the gate to an existing service."
    )
    file = tmp_path / "file"
    file.touch()
    assert f"{file} is a file. Nothing was written." in refused(capsys, str(file), "--defaults")


def test_nobody_to_ask_is_said(tmp_path: Path) -> None:
    """A pipeline gets the options that it needs, not a question."""
    command = (sys.executable, "-m", "sage_migrate", "init", str(tmp_path / "new"))
    done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert json.loads(done.stderr)["message"] == (
        "There is nobody to ask: standard input is no terminal. Nothing was applied by this run. "
        "Give --defaults, and --data NAME=VALUE for what is not the default."
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("mdel=Order", "--data mdel=Order answers no question. "),
        ("model", "--data model answers no question. "),
        (
            "model=order",
            (
                "Nothing was rendered: 'order' cannot be the model: write a noun in CamelCase, as in LineItem, that is no word "
                "of Python's. "
            ),
        ),
        (
            "package=fastapi",
            (
                "Nothing was rendered: 'fastapi' cannot be the package: write a lower case identifier that nothing else here "
                "has. "
            ),
        ),
        ("pool_size=0", "Nothing was rendered: A process needs one connection at least. "),
    ],
)
def test_an_answer_that_cannot_be_used_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: str, message: str
) -> None:
    """Nothing is left behind."""
    assert refused(capsys, str(tmp_path / "new"), "--defaults", "--data", data).startswith(message)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def existing(tmp_path: Path) -> Path:
    """Give a service that has Alembic and GitLab, and a chart of its own."""
    directory = tmp_path / "existing"
    directory.mkdir()
    init = (sys.executable, "-m", "alembic", "init", "--template", "async", "db/migrations")
    subprocess.run(init, cwd=directory, check=True, capture_output=True)
    (directory / ".gitlab-ci.yml").write_text("test: {script: [pytest]}\n")
    (directory / "deploy").mkdir()
    (directory / "deploy" / "Chart.yaml").write_text("apiVersion: v2\nname: existing\n")
    return directory


def test_into_adds_what_is_missing_and_touches_nothing(existing: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For what is there it says what to add; done by hand, it says so the next time."""
    before = files(existing)
    assert cli.main(["init", "--into", str(existing)]) == 0
    said = capsys.readouterr().out
    after = files(existing)
    assert after.keys() - before.keys() == {
        ".gitlab/migrations.yml",
        ".pre-commit-config.yaml",
        "docs/cycles/TEMPLATE.md",
    }
    assert {name: after[name] for name in before} == before
    assert ".pre-commit-config.yaml: written.\n" in said
    assert "db/migrations/script.py.mako: is yours; add by hand what it lacks of\n\n    " in said
    assert (
        ".gitlab-ci.yml: is yours; add by hand what it lacks of\n\n    include:\n      - local: .gitlab/migrations.yml\n"
        in said
    )
    assert (
        "deploy/Chart.yaml: is yours; add by hand what it lacks of\n\n    dependencies:\n      - name: migration-gate\n"
        in said
    )
    (existing / ".gitlab-ci.yml").write_text("include: [{local: .gitlab/migrations.yml}]\n")
    assert cli.main(["init", "--into", str(existing)]) == 0
    said = capsys.readouterr().out
    assert ".gitlab-ci.yml: has it.\n" in said
    assert ".gitlab/migrations.yml: has it.\n" in said


def test_into_needs_an_alembic_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The gate is for one."""
    assert refused(capsys, "--into", str(tmp_path)) == (
        f"{tmp_path} is no Alembic project: there is no {tmp_path / 'alembic.ini'}. Nothing was written. "
        "Nothing was applied by this run. `sage-migrate init DIR` makes a new service."
    )


def test_update_needs_a_service_that_init_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What it does to one: test_update.py."""
    assert refused(capsys, "--update", str(tmp_path)).startswith(f"{tmp_path} was not made by `sage-migrate init`: ")
