"""Reads ``# sage-migrate: ignore SM101 -- reason`` and tells which findings it covers."""

import ast
import io
import re
import tokenize
from dataclasses import dataclass, field

_IGNORE = re.compile(r"#\s*sage-migrate:\s*ignore\s+(?P<codes>SM\d+(?:\s*,\s*SM\d+)*)\s*(?:--\s*(?P<reason>.*\S))?")


@dataclass(kw_only=True, slots=True)
class Ignore:
    """One comment."""

    line: int
    code: str
    reason: str
    first: int
    last: int
    """The lines that it covers."""
    used: bool = field(default=False)


def read_ignores(source: str, tree: ast.Module) -> list[Ignore]:
    """Return the ignores of a file: each covers its own statement, or the one below a line of its own."""
    if "sage-migrate:" not in source:
        return []
    spans = sorted(
        {(node.lineno, node.end_lineno or node.lineno) for node in ast.walk(tree) if isinstance(node, ast.stmt)}
    )
    found: list[Ignore] = []
    try:
        tokens = [
            each for each in tokenize.generate_tokens(io.StringIO(source).readline) if each.type == tokenize.COMMENT
        ]
    except (tokenize.TokenError, IndentationError):
        return []
    for token in tokens:
        match = _IGNORE.search(token.string)
        if match is None:
            continue
        line = token.start[0]
        alone = token.line.strip().startswith("#")
        if alone:
            first, last = next((span for span in spans if span[0] > line), (line, line))
        else:
            inside = [span for span in spans if span[0] <= line <= span[1]]
            first, last = min(inside, key=lambda span: span[1] - span[0], default=(line, line))
        found += [
            Ignore(line=line, code=code.strip(), reason=match["reason"] or "", first=first, last=last)
            for code in match["codes"].split(",")
        ]
    return found
