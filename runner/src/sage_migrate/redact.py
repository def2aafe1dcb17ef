"""The one place where credentials and data are taken out of what is logged or reported."""

import re

_URL_PASSWORD = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^\s:/?#]*):\S*(?=@)", re.IGNORECASE)
_PARAMETER = re.compile(
    r"""(?P<name>\b\w*(?:pass(?:word|wd)|token|secret)['"]?\s*[=:]\s*)(?:'[^']*'|"[^"]*"|[^\s&,;)}]+)""", re.IGNORECASE
)
# A comment; a quoted name; a literal: dollar-quoted, (escape) string, or number that is not part of a name.
# pg_stat_activity cuts a query off anywhere, so the end of the text ends all of them.
_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
      | "(?:[^"]|"")*(?:"|\Z)
      | (?P<literal>(?P<dollar>\$(?:[A-Za-z_]\w*)?\$).*?(?:(?P=dollar)|\Z)
        | \b[eE]'(?:[^'\\]|''|\\.)*(?:'|\Z)
        | (?:\b[bBxXnN]|\b[uU]&)?'(?:[^']|'')*(?:'|\Z)
        | (?<![\w.$"])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)""",
    re.VERBOSE | re.DOTALL,
)
_LONGEST_SQL = 300


def redact(text: str) -> str:
    """Return ``text`` without the passwords of URLs and of ``password=…`` parameters."""
    return _PARAMETER.sub(r"\g<name>***", _URL_PASSWORD.sub(r"\g<scheme>\g<user>:***", text))


def shorten_sql(sql: str, *, literals: bool = False) -> str:
    """Return ``sql`` on one line, at most 300 characters, its literals and comments removed.

    Names stay as they are: they are the schema's. ``literals`` keeps the values, for who asked for them.
    """

    def keep_names(token: re.Match[str]) -> str:
        if token["comment"] is not None:
            return " "
        return token[0] if token["literal"] is None or literals else "?"

    line = " ".join(_TOKEN.sub(keep_names, sql).split())
    return line if len(line) <= _LONGEST_SQL else f"{line[: _LONGEST_SQL - 1]}…"
