"""What the reader makes of the ways in which revisions say things."""
# ruff: noqa: E501  revisions on one line

import ast
from pathlib import Path

import pytest
from sage_migrate.lint import statements as ir
from sage_migrate.lint.reader.operations import read_revision

_HEAD = "import sqlalchemy as sa\nfrom alembic import op, context\nfrom sqlalchemy.orm import Session\n"


def _actions(source: str, path: Path = Path("revision.py")) -> list[ir.Action]:
    return [action for each in read_revision(path, ast.parse(_HEAD + source)) for action in each.actions]


@pytest.mark.parametrize(
    "body",
    [
        "op.execute('DROP TABLE orders')",
        "op.execute(sa.text('DROP TABLE orders'))",
        "op.execute('DROP ' + 'TABLE ' + name)",
        "op.execute(f'DROP TABLE {name}')",
        "op.execute('DROP TABLE %s' % name)",
        "op.execute('DROP TABLE {}'.format(name))",
        "op.execute(' '.join(['DROP', 'TABLE', name]))",
        "op.get_bind().execute(sa.text('DROP TABLE orders'))",
        "op.get_bind().exec_driver_sql('DROP TABLE orders')",
        "op.get_context().bind.execute(sa.text('DROP TABLE orders'))",
        "Session(bind=op.get_bind()).execute(sa.text('DROP TABLE orders'))",
        "op.drop_table(name)",
        "op.drop_table(table_name='orders')",
        "[op.drop_table(each) for each in ('orders',)]",
        "for each in {'orders': 1}:\n        op.drop_table(each)",
        "(lambda table: op.drop_table(table))(name)",
        "with op.get_bind().begin() as connection:\n        connection.execute(sa.text('DROP TABLE orders'))",
        "if op.get_bind().dialect.name == 'postgresql':\n        op.drop_table('orders')",
        "if context.is_offline_mode():\n        return\n    op.drop_table('orders')",
        "if unknown():\n        return\n    op.drop_table('orders')",
        "try:\n        op.drop_table('orders')\n    except Exception:\n        pass",
        "helper('orders')",
        "with op.batch_alter_table('users') as batch_op:\n        batch_op.execute('DROP TABLE orders')",
        "match name:\n        case 'orders':\n            op.drop_table(name)",
    ],
)
def test_a_dropped_table_is_seen_however_it_is_said(body: str) -> None:
    """Constants, strings put together, helpers, loops and conditions lead to the same action."""
    source = f"name = 'orders'\ndef helper(table, *, really=True):\n    if really:\n        op.drop_table(table)\ndef upgrade():\n    {body}\n"
    assert _actions(source) == [ir.DropTable(table="orders")]


def test_functions_of_imported_modules_are_followed_by_file(tmp_path: Path) -> None:
    """A module beside or above the revision is read, not imported."""
    package = tmp_path / "project"
    (package / "versions").mkdir(parents=True)
    (package / "ddl.py").write_text(f"{_HEAD}raise SystemExit\ndef drop(table):\n    op.drop_table(table)\n")
    (package / "ddl.py").write_text(f"{_HEAD}def drop(table):\n    op.drop_table(table)\n")
    source = (
        "from project.ddl import drop\nimport project.ddl as ddl\ndef upgrade():\n    drop('a')\n    ddl.drop('b')\n"
    )
    assert _actions(source, package / "versions/a1.py") == [ir.DropTable(table="a"), ir.DropTable(table="b")]


def test_sql_files_beside_a_revision_are_read(tmp_path: Path) -> None:
    """A revision that runs a file is judged by the file."""
    (tmp_path / "drop.sql").write_text("DROP TABLE a; DROP TABLE b;")
    source = (
        "from pathlib import Path\ndef upgrade():\n    op.execute((Path(__file__).parent / 'drop.sql').read_text())\n"
    )
    assert _actions(source, tmp_path / "a1.py") == [ir.DropTable(table="a"), ir.DropTable(table="b")]


@pytest.mark.parametrize(
    "body",
    ["op.execute(fetch())", "op.custom_thing('a')", "elsewhere.apply(op.get_bind())", "op.execute('DROP TABEL a')"],
)
def test_what_is_not_followed_is_said(body: str) -> None:
    """Silence would look like safety."""
    (action,) = _actions(f"from somewhere import fetch, elsewhere\ndef upgrade():\n    {body}\n")[-1:]
    assert isinstance(action, ir.NotUnderstood)


def test_values_of_other_packages_are_no_notes() -> None:
    """Only what may send something is worth a note: a column's type of the project's own, or a line of its log, does not."""
    source = "from somewhere import Money, logger\ndef upgrade():\n    logger.info('adding')\n    op.add_column('a', sa.Column('b', Money()))\n"
    (action,) = _actions(source)
    assert isinstance(action, ir.AddColumn)


def test_other_dialects_are_left_out() -> None:
    """What only another database runs is no concern."""
    source = "def upgrade():\n    if op.get_bind().dialect.name == 'mysql':\n        op.drop_table('a')\n    elif op.get_context().dialect.name in ('sqlite',):\n        op.drop_table('b')\n"
    assert _actions(source) == []


def test_transactions_are_told_apart() -> None:
    """autocommit_block ends the transaction before it, and each statement in it is one."""
    source = "def upgrade():\n    op.drop_table('a')\n    with op.get_context().autocommit_block():\n        op.drop_table('b')\n        op.drop_table('c')\n    op.drop_table('d')\n    op.drop_table('e')\n"
    found = read_revision(Path("revision.py"), ast.parse(_HEAD + source))
    assert [each.in_transaction for each in found] == [True, False, False, True, True]
    numbers = [each.transaction for each in found]
    assert len(set(numbers[:4])) == 4
    assert numbers[3] == numbers[4]
