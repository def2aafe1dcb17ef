"""What a name in one module of a project means across all of them."""

import ast
from pathlib import Path

import pytest
from labelled_modules import write_modules
from sage_migrate.lint.project import Binding, External, Module, Project, Symbol
from sage_migrate.lint.project.files import find_files


def _project(directory: Path, text: str) -> Project:
    write_modules(text, directory)
    return Project(find_files([directory]), [directory])


def _module(project: Project, name: str) -> Module:
    return next(each for each in project.modules if each.name == name)


def _said(symbol: Symbol | None) -> str:
    match symbol:
        case External(name=name):
            return name
        case Module():
            return f"module {symbol.name}"
        case Binding():
            return f"{symbol.scope.module.name}.{symbol.name}"
    return "nothing"


@pytest.mark.parametrize(
    ("statement", "used", "meaning"),
    [
        ("from app.db import get_db", "get_db", "app.db.get_db"),
        ("from app import db", "db.get_db", "app.db.get_db"),
        ("import app.db", "app.db.get_db", "app.db.get_db"),
        ("import app.db as base", "base.get_db", "app.db.get_db"),
        ("from .db import get_db as provide", "provide", "app.db.get_db"),
        ("from . import db", "db", "module app.db"),
        ("from . import get_db", "get_db", "app.db.get_db"),
        ("from app.db import *", "get_db", "app.db.get_db"),
        ("from app.db import *", "select", "sqlalchemy.select"),
        ("from app.db import alias", "alias", "app.db.get_db"),
        ("from app.db import Repo", "Repo.inherited", "app.db.inherited"),
        ("from app.db import select", "select", "sqlalchemy.select"),
        ("from app.loop import missing", "missing", "nothing"),
        ("from app.loop import around", "around", "nothing"),
        ("import logging", "logging.getLogger", "logging.getLogger"),
        ("import elsewhere.thing", "elsewhere.thing.x", "elsewhere.thing.x"),
        ("", "open", "builtins.open"),
        ("from app.db import get_db", "'get_db'", "app.db.get_db"),
    ],
)
def test_names_are_followed_across_modules(tmp_path: Path, statement: str, used: str, meaning: str) -> None:
    """Imports, aliases, relative imports, re-exports, stars, attributes and bases lead to the definition."""
    project = _project(
        tmp_path,
        f"""
# src/app/__init__.py
from .db import get_db
# src/app/db.py
from sqlalchemy import *
from sqlalchemy import select
class Base:
    def inherited(self): ...
class Repo(Base): ...
def get_db(): ...
alias = get_db
# src/app/loop.py
from app.circle import around
# src/app/circle.py
from app.loop import around
# src/app/main.py
{statement}
""",
    )
    main = _module(project, "app.main")
    assert _said(project.resolve(ast.parse(used, mode="eval").body, main.scope)) == meaning


def test_modules_are_found_outside_of_what_is_linted(tmp_path: Path) -> None:
    """A single file's imports lead out of it, from wherever the command runs."""
    write_modules(
        "# backend/app/db.py\ndef get_db(): ...\n# backend/app/api/main.py\nfrom app.db import get_db\n", tmp_path
    )
    file = tmp_path / "backend/app/api/main.py"
    project = Project([file], [file])
    (main,) = project.modules
    assert isinstance(project.resolve(ast.Name(id="get_db"), main.scope), Binding)


def test_names_of_a_function_hide_those_around(tmp_path: Path) -> None:
    """Parameters, loops, `with`, the walrus, comprehensions and nested functions bind in their own scope."""
    project = _project(
        tmp_path,
        """
from sqlalchemy import select
def outer(select):
    with open("x") as select, open("y") as (a, b):
        [c for c in a if (d := c)]
    def inner():
        nonlocal a
        global e
        a = e = 1
class Repo:
    select = 1
    def method(self):
        return select
""",
    )
    (module,) = project.modules
    functions = {node.name: node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef)}
    outer = module.scope_of(functions["outer"])
    assert [each.kind for each in outer.lookup("select")] == ["parameter", "entered"]
    assert [each.unpacked for each in outer.lookup("b")] == [(1,)]
    assert [each.kind for each in outer.lookup("a")] == ["entered", "assigned"]
    assert outer.lookup("c") == []
    assert len(outer.lookup("d")) == 1
    assert len(module.scope.lookup("e")) == 1
    assert [each.kind for each in module.scope_of(functions["method"]).lookup("select")] == ["import"]


def test_files_of_others_are_left_out(tmp_path: Path) -> None:
    """Hidden directories, environments, installed packages and what a build left are not the project's."""
    for name in (
        ".venv/a.py",
        "env/pyvenv.cfg",
        "env/b.py",
        "node_modules/c.py",
        "build/d.py",
        "app/build/__init__.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert [str(path.relative_to(tmp_path)) for path in find_files([tmp_path])] == ["app/build/__init__.py"]


@pytest.mark.parametrize(
    "raw",
    [
        b"def broken(:\n",
        b"\x00",
        b"# -*- coding: no-such-encoding -*-\n",
        b"# -*- coding: latin-1 -*-\nname = '\xe9'\n",
        b"\xff\xfe\x00",
        b"x = " + b"(" * 3000 + b")" * 3000,
        b"x = " + b"+".join([b"1"] * 20000),
        b"x = " + b"-" * 5000 + b"1",
        b"x = a" + b".b" * 5000,
        b"if x:\n pass\n" + b"elif x:\n pass\n" * 3000,
        b"x = '\\d'\n",
        b"#" * 3_000_000,
    ],
)
def test_no_file_is_too_strange(tmp_path: Path, raw: bytes) -> None:
    """What is no Python, or is too deep or too long, has an empty tree and a reason."""
    (tmp_path / "strange.py").write_bytes(raw)
    (module,) = Project([tmp_path / "strange.py"]).modules
    assert module.scope.parent is None
    assert bool(module.error) == (not module.tree.body)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.expr):
            Project([]).resolve(node, module.scope_of(node))
