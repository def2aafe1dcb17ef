"""No Python file makes lint fail, whoever wrote it: as a revision, and as a module of an application."""

import re
import sysconfig
from pathlib import Path

import pytest
from sage_migrate.lint.check import Settings, lint

_HEADER = "revision = 'a1'\ndown_revision = None\n"
_HOSTILE = {
    "empty": b"",
    "byte_order_mark": b"\xef\xbb\xbfimport sqlalchemy\n",
    "latin_1": b"# coding: latin-1\nimport sqlalchemy\nname = '\xe9'\n",
    "no_utf_8": b"import sqlalchemy\nname = '\xe9'\n",
    "null_byte": b"import sqlalchemy\n\x00\n",
    "unknown_coding": b"# coding: nothing\nimport sqlalchemy\n",
    "deep_sum": b"import sqlalchemy\nx = " + b"+".join([b"1"] * 5000) + b"\n",
    "deep_parentheses": b"import sqlalchemy\nx = " + b"(" * 500 + b"1" + b")" * 500 + b"\n",
    "deep_attributes": b"import sqlalchemy\ndef upgrade():\n    op" + b".x" * 3000 + b"()\n",
    "endless_loop": b"from alembic import op\ndef upgrade():\n    while True:\n        op.execute('SELECT 1')\n",
    "calls_itself": b"from alembic import op\ndef upgrade():\n    upgrade()\n    op.execute(upgrade())\n",
    "huge_range": b"from alembic import op\ndef upgrade():\n    for n in range(10**12):\n        op.execute(f'SELECT {n}')\n",
    "huge_power": b"from alembic import op\ndef upgrade():\n    op.execute('x' * 9**9**9)\n",
    "no_sql": b"from alembic import op\ndef upgrade():\n    op.execute('\\x00 \\ud800 ; DROP (((')\n",
    "imports_itself": b"import sqlalchemy\nfrom imports_itself import *\nfrom . import imports_itself\n",
    "odd_arguments": b"from alembic import op\ndef upgrade():\n    op.create_index()\n    op.add_column(*a, **b)\n    op.create_table(1)\n",
    "form_feed": b"import sqlalchemy\n\x0c\nx = 1\r\ny = 2\r",
}
_SAMPLE = 40


@pytest.mark.parametrize("name", _HOSTILE)
def test_hostile_files_are_survived(name: str, tmp_path: Path) -> None:
    """Each is linted in both roles; what cannot be read is said, not raised."""
    (tmp_path / "versions").mkdir()
    (tmp_path / f"{name}.py").write_bytes(_HOSTILE[name])
    (tmp_path / "versions" / f"{name}.py").write_bytes(_HOSTILE[name] + b"\n" + _HEADER.encode())
    list(lint(Settings(paths=(tmp_path,))))


def test_files_of_others_are_survived(tmp_path: Path) -> None:
    """A sample of Python's own library, which has about everything that the language has."""
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(path for path in library.rglob("*.py") if "site-packages" not in path.parts)
    (tmp_path / "versions").mkdir()
    for number, path in enumerate(files[:: len(files) // _SAMPLE]):
        source = path.read_bytes()
        (tmp_path / f"m{number}.py").write_bytes(source)
        # Its first function becomes upgrade(), so that there is something to read.
        revision = re.sub(rb"(?m)^def \w+", b"def upgrade", source, count=1) + b"\n" + _HEADER.encode()
        (tmp_path / "versions" / f"m{number}.py").write_bytes(revision)
    list(lint(Settings(paths=(tmp_path,))))
