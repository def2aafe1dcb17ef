"""A service that an earlier version rendered, and people have changed since, follows the template."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from sage_migrate.errors import UsageError
from sage_migrate.scaffold.render import ANSWERS, render, update
from sage_migrate.scaffold.template_history import TEMPLATE, make_repository

OLD, NEW = "0.0.1", "0.0.2"
ANSWERED = {"name": "orders", "model": "Order", "created": "2026-11-25", "first_revision": "0123456789ab"}


def git(directory: Path, *arguments: str) -> str:
    """Run Git as a person."""
    person = ("-c", "user.name=A", "-c", "user.email=a@localhost")
    return subprocess.run(
        ("git", *person, *arguments), cwd=directory, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give both versions of the template: the old one has another docstring, one file less, and a file that is gone."""
    directory = tmp_path_factory.mktemp("template")
    old = directory / "old"
    shutil.copytree(TEMPLATE, old)
    service = old / "service"
    models = service / "[= package =]" / "models.py.jinja"
    models.write_text(models.read_text().replace("The tables, as typed models.", "The tables."))
    (service / "[= package =]" / "drain.py.jinja").unlink()
    (service / "NOTES").write_text("What was once said.\n")
    first = next((service / "migrations" / "versions").iterdir())
    first.write_text(first.read_text().replace("Create Date", "Made on"))
    previous = directory / "previous"
    previous.mkdir()
    with zipfile.ZipFile(previous / f"{OLD}.zip", "w") as archive:
        for path in old.rglob("*"):
            archive.write(path, path.relative_to(old))
    return make_repository(directory / "repository", version=NEW, previous=previous)


@pytest.fixture(scope="module")
def rendered(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a service as the old version rendered it."""
    directory = tmp_path_factory.mktemp("rendered") / "orders"
    render(repository, directory, ANSWERED, ask=False, version=OLD)
    return directory


@pytest.fixture
def service(rendered: Path, tmp_path: Path) -> Path:
    """Give the service in a Git repository, one level below its top."""
    directory = tmp_path / "repository" / "orders"
    shutil.copytree(rendered, directory)
    git(directory.parent, "init", "--quiet")
    git(directory.parent, "add", "--all", "--force")
    git(directory.parent, "commit", "--quiet", "--message=Begin")
    return directory


def commit(service: Path, name: str, old: str, new: str) -> None:
    """Change a file of the service, or add one, as its people do."""
    file = service / name
    file.write_text(file.read_text().replace(old, new) if old else new)
    git(service, "add", "--all")
    git(service, "commit", "--quiet", f"--message=Change {name}")


def test_what_the_template_and_the_people_changed_are_both_there(service: Path, repository: Path) -> None:
    """Also in one file; a file of theirs stays, one that the template gave up goes, and no revision is touched."""
    commit(service, "app/models.py", "String(200)", "String(300)")
    commit(service, "app/billing.py", "", '"""Ours."""\n')
    revision = next((service / "migrations" / "versions").iterdir())
    before = revision.read_text()
    assert "Made on" in before
    assert update(repository, service, NEW) == []
    models = (service / "app" / "models.py").read_text()
    assert models.startswith('"""The tables, as typed models."""')
    assert "String(300)" in models
    assert (service / "app" / "billing.py").read_text() == '"""Ours."""\n'
    assert (service / "app" / "drain.py").exists()
    assert not (service / "NOTES").exists()
    assert revision.read_text() == before
    assert f"_commit: {NEW}" in (service / ANSWERS).read_text()
    changed = git(service, "status", "--porcelain")
    assert "migrations/versions" not in changed
    assert "billing" not in changed


def test_a_line_that_both_changed_is_named(service: Path, repository: Path) -> None:
    """It is left as Git leaves a conflict."""
    commit(service, "app/models.py", "The tables.", "Our tables.")
    assert update(repository, service, NEW) == ["orders/app/models.py"]
    text = (service / "app" / "models.py").read_text()
    assert '<<<<<<< before updating\n"""Our tables."""\n=======\n"""The tables, as typed models."""\n>>>>>>>' in text


def test_changes_that_are_not_committed_stop_it(service: Path, repository: Path) -> None:
    """They could not be told from the update's afterwards."""
    (service / "app" / "models.py").write_text("")
    with pytest.raises(UsageError) as refused:
        update(repository, service, NEW)
    assert str(refused.value) == (
        f"{service} has changes that are not committed. Nothing was updated. Commit or stash them."
    )


def test_a_service_outside_of_git_is_refused(rendered: Path, repository: Path) -> None:
    """Nobody could see what the update did."""
    with pytest.raises(UsageError) as refused:
        update(repository, rendered, NEW)
    assert str(refused.value) == (
        f"{rendered} is in no Git repository, so an update could not be told from your changes. git init, and commit it."
    )


def test_a_service_of_a_newer_version_is_refused(service: Path, tmp_path: Path) -> None:
    """An older package has not what the newer one rendered."""
    only_new = make_repository(tmp_path / "template", version=NEW)
    with pytest.raises(UsageError) as refused:
        update(only_new, service, NEW)
    assert str(refused.value) == (
        f"The service was rendered by sage-migrate {OLD}, whose template this one ({NEW}) does not have. "
        "Install a newer sage-migrate."
    )


def test_a_project_that_init_did_not_make_is_refused(repository: Path, tmp_path: Path) -> None:
    """It may have answers of another template."""
    (tmp_path / ANSWERS).write_text("_src_path: gh:somebody/template\n_commit: v1\n")
    with pytest.raises(UsageError) as refused:
        update(repository, tmp_path, NEW)
    assert str(refused.value) == (
        f"{tmp_path} was not made by `sage-migrate init`: it has no .copier-answers.yml that says so. "
        "`sage-migrate init --into` adds the gate to an existing service."
    )
