"""The text of a statement: what is a name in it, a literal, a comment."""

import re

NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)(?:\s*\.\s*(?:"(?:[^"]|"")+"|[\w$]+))?'
"""A pattern for a name, qualified or not."""
TOKEN = re.compile(
    r"""(?P<quoted>'(?:[^'\\]|''|\\.)*'|"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)|(?P<comment>--[^\n]*|/\*.*?\*/)""",
    re.DOTALL,
)
"""What a comment, a semicolon or a keyword must not be looked for in, and the comments themselves."""


def strip_comments(statement: str) -> str:
    """Return ``statement`` without comments and without a final semicolon."""
    return TOKEN.sub(lambda token: token["quoted"] or " ", statement).strip().rstrip(";").rstrip()
