"""The timeline for machines, in the words of ``trace --format json`` where both say the same."""

import json
from dataclasses import asdict

from sage_migrate.timeline.results import Timeline
from sage_migrate.timeline.summary import summarize


def render_json(timeline: Timeline) -> str:
    """Return one JSON object: the summary, then the fields of `Timeline`."""
    return json.dumps({"summary": summarize(timeline), **asdict(timeline)}, indent=2, ensure_ascii=False) + "\n"
