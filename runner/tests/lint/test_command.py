"""The command: exit statuses, formats, ignores, configuration."""

import json
import subprocess
import sys
from pathlib import Path

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


def _write(directory: Path, name: str, body: str, down: str | None = "base") -> Path:
    path = directory / f"{name}.py"
    path.write_text(_REVISION.format(name=name, down=down, body=body))
    return path


def _run(directory: Path, *arguments: str, status: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "sage_migrate", "lint", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status < 2 else done.stderr


def test_violations_end_in_status_1(tmp_path: Path) -> None:
    """A finding of severity error makes the run fail, and the text names place, code, effect and what to do."""
    _write(tmp_path, "a1", _INDEX)
    assert _run(tmp_path, status=1) == (
        "a1.py:10:5: error SM101 index-without-concurrently [blocks_writes_long]\n"
        '     10 |     op.create_index("ix_orders_status", "orders", ["status"])\n'
        "  Building the index ix_orders_status locks orders against writes until it is done: all INSERT, UPDATE and DELETE wait.\n"
        "  Instead: build it concurrently, in a revision of its own.\n"
        "      with op.get_context().autocommit_block():\n"
        '          op.create_index("ix_orders_status", "orders", ["status"], postgresql_concurrently=True, if_not_exists=True)\n'
        '      # of a large table: sage_migrate = {"online": True} in a revision of its own, which a release may leave (docs/online.md)\n'
        "\n1 error.\n"
    )


def test_clean_revisions_end_in_status_0(tmp_path: Path) -> None:
    """A nullable column is no hazard, and other Python files are none of ours."""
    _write(tmp_path, "a1", '    op.add_column("orders", sa.Column("carrier", sa.Text(), nullable=True))')
    (tmp_path / "other.py").write_text("op.drop_table('orders'\n")
    assert _run(tmp_path, status=0) == "Clean.\n"


def test_json_has_the_documented_keys(tmp_path: Path) -> None:
    """`--format json` is one object, its paths relative to the working directory."""
    (tmp_path / "versions").mkdir()
    _write(tmp_path / "versions", "a1", _INDEX)
    (violation,) = json.loads(_run(tmp_path, "--format", "json", "versions", status=1))["violations"]
    assert sorted(violation) == ["code", "column", "hazards", "help", "line", "message", "path", "rule", "severity"]
    assert (violation["path"], violation["line"], violation["hazards"]) == (
        "versions/a1.py",
        10,
        ["blocks_writes_long"],
    )


def test_github_and_sarif_name_the_place(tmp_path: Path) -> None:
    """Both formats for code review carry file, line and code."""
    _write(tmp_path, "a1", _INDEX)
    assert _run(tmp_path, "--format", "github", status=1).startswith(
        "::error file=a1.py,line=10,col=5,title=SM101 index-without-concurrently::"
    )
    result = json.loads(_run(tmp_path, "--format", "sarif", status=1))["runs"][0]["results"][0]
    assert result["ruleId"] == "SM101"
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 10, "startColumn": 5}


def test_ignore_needs_a_reason(tmp_path: Path) -> None:
    """An ignore with a reason silences its statement; without one it does not count; an unused one is a warning."""
    _write(tmp_path, "a1", f"    # sage-migrate: ignore SM101 -- forty rows\n{_INDEX}")
    assert _run(tmp_path, status=0) == "Clean.\n"
    _write(tmp_path, "a1", f"{_INDEX}  # sage-migrate: ignore SM101")
    assert "no reason given" in _run(tmp_path, status=1)
    _write(tmp_path, "a1", "    op.execute('SELECT 1')  # sage-migrate: ignore SM101 -- forty rows")
    assert "warning SM198 unused-ignore" in _run(tmp_path, status=0)
    _run(tmp_path, "--fail-on", "warning", status=1)


def test_pyproject_configures(tmp_path: Path) -> None:
    """Rules can be switched off or given another severity; a setting that is not known is refused."""
    _write(tmp_path, "a1", _INDEX)
    configuration = tmp_path / "pyproject.toml"
    configuration.write_text('[tool.sage-migrate.lint]\nignore = ["SM101"]\n')
    assert _run(tmp_path, status=0) == "Clean.\n"
    configuration.write_text('[tool.sage-migrate.lint]\nseverity = { SM101 = "warning" }\n')
    assert "warning SM101" in _run(tmp_path, status=0)
    configuration.write_text("[tool.sage-migrate.lint]\nignored = []\n")
    assert "has no setting ignored" in _run(tmp_path, status=2)


def test_since_leaves_out_what_is_released(tmp_path: Path) -> None:
    """Revisions up to the start revision are not linted, and a table of the unreleased batch is not live."""
    _write(tmp_path, "a1", _INDEX, down=None)
    _write(
        tmp_path, "b2", '    op.create_table("notes", sa.Column("id", sa.BigInteger(), primary_key=True))', down="a1"
    )
    _write(tmp_path, "c3", '    op.create_index("ix_notes", "notes", ["body"])', down="b2")
    _run(tmp_path, status=1)
    assert _run(tmp_path, "--since", "a1", status=0) == "Clean.\n"
    assert "ix_notes" in _run(tmp_path, "--since", "b2", status=1)


def test_what_is_not_understood_is_a_note(tmp_path: Path) -> None:
    """SQL that nobody can tell from the source is said to be so, and does not fail the run."""
    _write(tmp_path, "a1", "    import os\n    op.execute(os.environ['STATEMENT'])")
    assert "note SM199 not-understood" in _run(tmp_path, status=0)


def test_unreadable_revision_is_an_error(tmp_path: Path) -> None:
    """A revision that is no Python is reported, not passed over."""
    (tmp_path / "a1.py").write_text("revision = 'a1'\ndown_revision = None\ndef upgrade(:\n")
    assert "SM197" in _run(tmp_path, status=1)


def test_usage_errors_end_in_status_2(tmp_path: Path) -> None:
    """A path that is not there is no clean run."""
    assert "There is no missing" in _run(tmp_path, "missing", status=2)
    assert "There is no rule SM999" in _run(tmp_path, "--explain", "SM999", status=2)


def test_modules_of_the_application_are_linted_too(tmp_path: Path) -> None:
    """Their findings come after those of the revisions, obey the same ignores, and none is made twice."""
    source = "from sqlalchemy.orm import Session\nclass UserRepo:\n    def all(self):\n        return Session(){}\n"
    _write(tmp_path, "a1", f"{_INDEX}\n\n\n{source.format('')}")
    (tmp_path / "users.py").write_text(source.format(""))
    text = _run(tmp_path, status=1)
    assert text.index("a1.py:10:5: error SM101") < text.index("users.py:4:16: warning SM404")
    assert text.count("SM404") == 1
    (tmp_path / "users.py").write_text(source.format("  # sage-migrate: ignore SM404 -- a script of one query"))
    assert "SM404" not in _run(tmp_path, status=1)
    (tmp_path / "users.py").write_text("import sqlalchemy\ndef broken(:\n")
    assert "note SM197 unreadable\n" in _run(tmp_path, status=1)


def test_explain_prints_the_page(tmp_path: Path) -> None:
    """A rule explains itself."""
    assert _run(tmp_path, "--explain", "SM101", status=0).startswith("# SM101: index-without-concurrently\n")


def _stats(directory: Path, **tables: int) -> None:
    content = {
        "format": 1,
        "tables": [
            {
                "schema": "public",
                "name": name,
                "rows": size // 100,
                "table_bytes": size,
                "index_bytes": 0,
                "writes_per_second": 2.5,
            }
            for name, size in tables.items()
        ],
    }
    (directory / "stats.json").write_text(json.dumps(content))


def test_small_tables_calm_down(tmp_path: Path) -> None:
    """Work on a table that is small in production is advice, on a big or unknown one an error; the size is told."""
    _write(tmp_path, "a1", _INDEX)
    _stats(tmp_path, orders=40_000)
    assert (
        "warning SM101 index-without-concurrently [blocks_writes_long]\n"
        '     10 |     op.create_index("ix_orders_status", "orders", ["status"])\n'
        "  Building the index ix_orders_status locks orders against writes until it is done: all INSERT, UPDATE and DELETE wait. "
        "(orders in production: about 400 rows, 40 kB with indexes, 2.5 rows written a second.)\n"
    ) in _run(tmp_path, "--stats", "stats.json", status=0)
    _stats(tmp_path, orders=4_000_000_000)
    assert "(orders in production: about 40,000,000 rows, 4.0 GB" in _run(tmp_path, "--stats", "stats.json", status=1)
    _stats(tmp_path, customers=40_000)
    assert "in production" not in _run(tmp_path, "--stats", "stats.json", status=1)


def test_small_tables_do_not_excuse_what_is_no_matter_of_size(tmp_path: Path) -> None:
    """A dropped column breaks old code however few its rows are."""
    _write(tmp_path, "a1", '    op.drop_column("orders", "status")')
    _stats(tmp_path, orders=40_000)
    assert "error SM" in _run(tmp_path, "--stats", "stats.json", status=1)
