"""The one place where credentials and data are taken out of what is logged or reported."""

import re

_URL_PASSWORD = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^\s:/?#]*):\S*(?=@)", re.IGNORECASE)
_PARAMETER = re.compile(
    r"(?P<name>\b(?:pass(?:word|wd)|sslpassword|token|secret)\b\s*[=:]\s*)(?:'[^']*'|[^\s&,;)]+)", re.IGNORECASE
)
# A literal of SQL: dollar-quoted, (escape) string, or number that is not part of a name.
_LITERAL = re.compile(
    r"""(?P<dollar>\$(?:[A-Za-z_]\w*)?\$).*?(?P=dollar)
      | \b[eE]'(?:[^'\\]|''|\\.)*'
      | (?:\b[bBxXnN])?'(?:[^']|'')*'
      | (?<![\w.$"])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_LONGEST_SQL = 300


def redact(text: str) -> str:
    """Return ``text`` without the passwords of URLs and of ``password=…`` parameters."""
    return _PARAMETER.sub(r"\g<name>***", _URL_PASSWORD.sub(r"\g<scheme>\g<user>:***", text))


def shorten_sql(sql: str, *, literals: bool = False) -> str:
    """Return ``sql`` on one line, at most 300 characters, its literals and comments removed.

    Names stay as they are: they are the schema's. ``literals`` keeps the values, for who asked for them.
    """
    if not literals:
        sql = _LITERAL.sub("?", sql)
    line = " ".join(_COMMENT.sub(" ", sql).split())
    return line if len(line) <= _LONGEST_SQL else f"{line[: _LONGEST_SQL - 1]}…"
