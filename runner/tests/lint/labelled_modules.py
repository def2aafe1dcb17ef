"""Modules of applications, as examples and corpora give them."""

import re
from pathlib import Path

_FILE = re.compile(r"^# (\S+\.py)$", re.MULTILINE)


def write_modules(text: str, directory: Path) -> None:
    """Write the modules of ``text``, each below a line ``# app/database.py``; without one it is app/main.py."""
    first, *rest = _FILE.split(text)
    files = dict(zip(rest[::2], rest[1::2], strict=True)) if rest else {"app/main.py": first}
    for name, source in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
