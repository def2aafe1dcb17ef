"""The hash of what a revision does: the same everywhere, blind to form, awake to everything else."""

import ast
from pathlib import Path

import pytest
from sage_migrate.review.content import content_hash, own_hash

_REVISION = '''"""Header.

Create Date: 2026-01-01
"""
from alembic import op

revision = "c3"
down_revision = "b2"


def upgrade():
    """Apply."""
    op.execute("SELECT 1")


def downgrade():
    pass
'''


def _hash(source: str) -> str:
    return own_hash(source.encode(), ast.parse(source.encode()))


def test_the_hash_is_the_same_on_every_python() -> None:
    """What versions parse differently is in one revision, whose hash was made on Python 3.11, 3.12, 3.13 and 3.14."""
    source = Path(__file__).with_name("golden_revision.txt").read_bytes()
    assert own_hash(source, ast.parse(source)) == "219f160dc12dbc80c35d35a7"
    assert _hash(_REVISION) == "13b945c5e58c89285ea485a8"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Header.", "Another header."),
        ("2026-01-01", "2026-02-02"),
        ('"b2"', '"x9"'),
        ('"b2"', '("b2", "x9")'),
        ('down_revision = "b2"', 'down_revision: str | None = "b2"'),
        ('"SELECT 1"', "'SELECT 1'"),
        ('"SELECT 1"', 'u"SELECT " "1"'),
        ('("SELECT 1")', '(\n        "SELECT 1",  # one\n    )'),
        ('"""Apply."""', '"""Apply the revision."""'),
        ('    """Apply."""\n', ""),
        ("\n", "\r\n"),
        ('"""Header', '# coding: utf-8\n"""Header'),
    ],
)
def test_form_does_not_count(old: str, new: str) -> None:
    """Formatting, comments, docstrings, line ends and what the revision follows leave the hash as it is."""
    assert old in _REVISION
    assert _hash(_REVISION.replace(old, new)) == _hash(_REVISION)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SELECT 1", "SELECT 2"),
        ("SELECT 1", "select 1"),
        ('"SELECT 1"', 'b"SELECT 1"'),
        ('"SELECT 1"', 'f"SELECT {1}"'),
        ("op.execute", "op.get_bind"),
        ("    pass", '    op.execute("")'),
        ('"c3"', '"c4"'),
        ('"b2"', 'print("b2")'),
        ("from alembic import op", "from alembic import op\nimport os"),
        ("def upgrade():", "@op\ndef upgrade():"),
        ("def upgrade():", "def upgrade(x=None):"),
        ('op.execute("SELECT 1")', "op.execute(upgrade.__doc__)"),
        ("pass", "return None"),
    ],
)
def test_everything_else_counts(old: str, new: str) -> None:
    """A change of what runs, either way, is another content."""
    assert old in _REVISION
    assert _hash(_REVISION.replace(old, new)) != _hash(_REVISION)


def test_a_docstring_that_is_used_counts() -> None:
    """SQL in a docstring is no comment where the revision reads it."""
    used = _REVISION.replace('op.execute("SELECT 1")', "op.execute(upgrade.__doc__)")
    assert _hash(used.replace('"""Apply."""', '"""DROP TABLE orders"""')) != _hash(used)


def test_distinct_trees_have_distinct_hashes() -> None:
    """No value reads like another: None and nothing, one and True, text and bytes, names and strings."""
    values = [
        "x",
        "'x'",
        "b'x'",
        "None",
        "...",
        "1",
        "True",
        "1.0",
        "1j",
        "-1",
        "[]",
        "()",
        "{}",
        "[[]]",
        "['']",
        "x.x",
        "f'x{x}'",
        "'<x>'",
    ]
    hashes = {_hash(f"y = {value}") for value in [*values, "x if x else x", "{**x}", "{None: x}"]}
    assert len(hashes | {_hash("def y(): return"), _hash("def y(): return None")}) == len(values) + 5


def test_a_deep_tree_is_no_trouble() -> None:
    """A long chain of additions is hashed without recursion."""
    assert len(_hash("x = " + "1 + " * 400 + "1")) == 24


def test_what_is_imported_has_a_part_of_its_own() -> None:
    """The part after the plus sign is of the files taken in; a module's form does not count there either."""
    source = _REVISION.encode()
    own = _hash(_REVISION)
    first = content_hash(source, ast.parse(source), {Path("helpers.py"): b"X = 1\n", Path("a.sql"): b"SELECT 1;\n"})
    assert first.partition("+")[0] == own
    assert first == content_hash(
        source, ast.parse(source), {Path("helpers.py"): b"X  =  1  # one\r\n", Path("a.sql"): b"SELECT 1;\r\n"}
    )
    assert first != content_hash(
        source, ast.parse(source), {Path("helpers.py"): b"X = 1\n", Path("a.sql"): b"SELECT 2;\n"}
    )
    assert first != content_hash(
        source, ast.parse(source), {Path("helpers.py"): b"X = 2\n", Path("a.sql"): b"SELECT 1;\n"}
    )
