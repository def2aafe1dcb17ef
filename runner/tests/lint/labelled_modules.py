"""Modules of applications, as examples and corpora give them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FILE = re.compile(r"^# (\S+\.py)$", re.MULTILINE)
HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class LabelledModule:
    """One application, or a part of one, with the codes of the rules that it breaks."""

    name: str
    codes: frozenset[str]
    requests: tuple[str, ...]
    """What to send to it; nothing where it cannot run with what the tests install."""
    source: str

    def write(self, directory: Path) -> None:
        """Write its files beside the models and sessions that all of them import."""
        write_modules(self.source, directory)
        for name, source in (("models", "session_corpus/models.py"), ("db", "route_corpus/database.py")):
            path = directory / f"app/{name}.py"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text((HERE / source).read_text())


def read_corpus(name: str) -> Iterator[LabelledModule]:
    """Yield the modules of every theme: ``### name: codes | requests`` and then one file, or several."""
    for theme in sorted((HERE / name).glob("*.txt")):
        for section in theme.read_text().split("### ")[1:]:
            head, _, body = section.partition("\n")
            title, _, rest = head.partition(":")
            codes, _, requests = rest.partition("|")
            yield LabelledModule(
                name=title,
                codes=frozenset(codes.split()),
                requests=tuple(each.strip() for each in requests.split(",") if each.strip()),
                source=body,
            )


def split_modules(text: str) -> dict[str, str]:
    """Return the modules of ``text`` by path, each below a line ``# app/database.py``; the first may be app/main.py."""
    first, *rest = _FILE.split(text)
    files = dict(zip(rest[::2], rest[1::2], strict=True))
    return {"app/main.py": first, **files} if first.strip() else files


def write_modules(text: str, directory: Path) -> None:
    """Write the modules of ``text`` below ``directory``."""
    write_files(split_modules(text), directory)


def write_files(files: dict[str, str], directory: Path) -> None:
    """Write ``files``, by path, below ``directory``."""
    for name, source in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
