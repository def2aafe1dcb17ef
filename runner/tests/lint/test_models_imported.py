"""The rules on models against the labelled corpus, by importing it; on whichever SQLAlchemy is installed."""

import re
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa
from labelled_models import LabelledModels, read_models
from labelled_modules import write_files
from model_observation import forget
from sage_migrate.errors import UsageError
from sage_migrate.lint.check import Settings, lint
from sage_migrate.lint.findings import Violation
from sage_migrate.lint.models.live import inspect_models
from sage_migrate.lint.project import Project
from sage_migrate.lint.project.files import find_files

_WANTED = 0.97
_CODES = frozenset(("SM201", "SM202", "SM203", "SM204", "SM211", "SM212", "SM214", "SM215"))
"""What mappers and tables show; the others are about code that uses models."""
_BASE = re.compile(
    r"^(?:class |from .* import (?:.*, )?)?(Base|SQLModel|Main|Entity|mapper_registry|reg)\b(?! import)", re.MULTILINE
)


def _base(case: LabelledModels) -> str:
    """Return what to import of a project: its last module that has a base."""
    for name, source in reversed(case.files.items()):
        match = _BASE.search(source)
        if match is not None:
            return f"{name.removesuffix('.py').replace('/', '.')}:{match[1]}"
    return ""


def _codes(case: LabelledModels, directory: Path) -> tuple[set[str], bool]:
    """Return what is found, and whether SQLAlchemy refused a class, so that the rest was not seen."""
    project = Project(find_files([directory]), [directory])
    try:
        found = inspect_models([_base(case)], project)
        return {each.code for each in found}, any("ends the import here" in each.finding.message for each in found)
    finally:
        forget(directory)


def test_mappers_tell_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recall and precision of the pass over live mappers, over the codes that it can see."""
    right, false, missed = Counter[str](), Counter[str](), Counter[str]()
    for case in read_models():
        if _base(case):
            write_files(case.files, tmp_path / case.name)
            monkeypatch.chdir(tmp_path / case.name)
            found, refused = _codes(case, tmp_path / case.name)
            wanted = case.codes & ({"SM201"} if refused else _CODES)
            right.update(found & wanted)
            false.update(f"{case.name} {code}" for code in found - wanted)
            missed.update(f"{case.name} {code}" for code in wanted - found)
    assert right.total() / (right.total() + missed.total()) >= _WANTED, missed
    assert right.total() / (right.total() + false.total()) >= _WANTED, false


_MODELS = """\
from sqlalchemy import Column, Integer
from sqlalchemy.orm import declarative_base

Base = declarative_base()


def name() -> str:
    return "registry"


class Image(Base):
    __tablename__ = "images"
    id = Column(Integer, primary_key=True)
    locals()[name()] = Column(Integer)


class Chart(Base):
    __tablename__ = "charts"
    id = Column(Integer, primary_key=True)
    registry = Column(Integer)
"""


def _lint(directory: Path, monkeypatch: pytest.MonkeyPatch, *imports: str) -> list[Violation]:
    monkeypatch.chdir(directory)
    try:
        return list(lint(Settings(imports=imports)))
    finally:
        forget(directory)


def test_import_sees_what_the_source_hides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is computed is found at the line of its class; what both ways find is told once."""
    write_files({"app/models.py": _MODELS}, tmp_path)
    assert [(each.code, each.line) for each in _lint(tmp_path, monkeypatch)] == [("SM201", 20)]
    alive = _lint(tmp_path, monkeypatch, "app.models:Base")
    assert [(each.code, each.line) for each in alive] == [("SM201", 11), ("SM201", 20)]


def test_refusal_of_sqlalchemy_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SQLAlchemy does not let a class be, its line is named, and that the import ended there."""
    source = (
        "from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column\n\n\n"
        "class Base(DeclarativeBase):\n    registry: Mapped[str] = mapped_column()\n"
    )
    write_files({"app/models.py": source}, tmp_path)
    (found,) = _lint(tmp_path, monkeypatch, "app.models:Base")
    assert (found.code, found.path, found.line) == ("SM201", "app/models.py", 5)
    assert found.message == (
        f"Base.registry hides the registry that holds all mappings: SQLAlchemy {sa.__version__} raises and ends the import here, "
        "so what comes after it was not inspected."
    )


def test_ignores_count_for_what_import_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finding of the mappers is silenced where it is told, and the ignore is not called unused."""
    ignored = _MODELS.replace("class Image", "# sage-migrate: ignore SM201 -- an old table\nclass Image")
    write_files({"app/models.py": ignored}, tmp_path)
    assert [each.code for each in _lint(tmp_path, monkeypatch, "app.models:Base")] == ["SM201"]


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("", "app.models", "'app.models' names no base."),
        ("", "app.models:Base", "app.models has no Base."),
        ("Base = 1\n", "app.models:Base", "app.models:Base is no declarative base and no registry."),
        (
            "\nraise KeyError('DATABASE_URL')\n",
            "app.models:Base",
            "app.models cannot be imported (app/models.py:2): KeyError: 'DATABASE_URL'. Its models were not inspected.",
        ),
        (
            "raise SystemExit\n",
            "app.models:Base",
            "app.models cannot be imported (app/models.py:1): SystemExit. Its models were not inspected.",
        ),
    ],
)
def test_what_cannot_be_imported_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, name: str, message: str
) -> None:
    """Cause and place are named, and the run ends as a wrong usage."""
    write_files({"app/models.py": source}, tmp_path)
    with pytest.raises(UsageError) as caught:
        _lint(tmp_path, monkeypatch, name)
    assert caught.value.what == message
