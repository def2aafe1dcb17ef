"""Statements from a file: SQL, what `statement_recorder` wrote, or an export of pg_stat_statements (CSV or JSON with ``query``)."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from pglast import parse_sql
from pglast.parser import ParseError

from sage_migrate.errors import UsageError
from sage_migrate.trace.old_code.statements import OldStatement, read_statement


def read_file(path: Path) -> tuple[list[OldStatement], int]:
    """Return the statements that read or write rows, and how many texts were left out as no such.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--old-statements {path} cannot be read ({type(error).__name__}).") from error
    found: dict[str, OldStatement] = {}
    left_out = 0
    for source, statement in _texts(path, text):
        relations = read_statement(statement)
        if relations is None:
            left_out += 1
        else:
            found.setdefault(statement, OldStatement(sql=statement, source=source, relations=relations))
    return list(found.values()), left_out


def _texts(path: Path, text: str) -> Iterator[tuple[str, str]]:
    if path.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(text))
        if "query" not in (rows.fieldnames or ()):
            raise UsageError(
                f"{path} has no column query.",
                remedy="Export it by: COPY (SELECT query FROM pg_stat_statements) TO STDOUT (FORMAT csv, HEADER).",
            )
        yield from ((f"{path}:{rows.line_num}", row["query"].strip().rstrip(";")) for row in rows if row["query"])
    elif path.suffix == ".json":
        try:
            listed = json.loads(text)
            for place, each in enumerate(listed, 1):
                query, source = (each["query"], each.get("source")) if isinstance(each, dict) else (each, None)
                yield str(source or f"{path}:{place}"), str(query).strip().rstrip(";")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(f'{path} is no list of texts, or of {{"query": …}}.') from error
    else:
        yield from ((f"{path}:{line}", statement) for line, statement in _split(text))


def _split(text: str) -> Iterator[tuple[int, str]]:
    """Yield the statements of SQL by PostgreSQL's grammar; what it refuses as a whole is split at the ends of lines."""
    try:
        parsed = parse_sql(text)
    except ParseError:
        line = 1
        for piece in text.split(";\n"):
            if piece.strip():
                yield line + piece.count("\n", 0, len(piece) - len(piece.lstrip())), piece.strip().rstrip(";")
            line += piece.count("\n") + 1
        return
    encoded = text.encode()
    for each in parsed:
        begin = each.stmt_location or 0
        piece = encoded[begin : begin + each.stmt_len if each.stmt_len else None].decode()
        lead = len(piece) - len(piece.lstrip())
        yield 1 + encoded[:begin].decode().count("\n") + piece.count("\n", 0, lead), piece.strip()
