"""A trace as text, JSON, Markdown or a page."""

from collections.abc import Callable

from sage_migrate.trace.output.html import as_html
from sage_migrate.trace.output.json import as_json
from sage_migrate.trace.output.markdown import as_markdown
from sage_migrate.trace.output.text import as_text
from sage_migrate.trace.results import Trace

FORMATS: dict[str, Callable[[Trace], str]] = {
    "text": as_text,
    "json": as_json,
    "markdown": as_markdown,
    "html": as_html,
}
