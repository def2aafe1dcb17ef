"""The three formats of one small run, whole; and what they make of names that are meant to hurt."""

import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sage_migrate.timeline.render_html import render_html
from sage_migrate.timeline.render_json import render_json
from sage_migrate.timeline.render_markdown import render_markdown
from sage_migrate.timeline.results import Timeline
from timeline.example import ADD_NOTE, example, lock, revision, stall, statement, timeline

EXPECTED_HTML = Path(__file__).with_name("expected.html")
EXPECTED_MARKDOWN = Path(__file__).with_name("expected.md")
HOSTILE = [
    "<script>alert(1)</script>",
    '""></title><script src=\'//x\'>"',
    "a'b\"c<d>e&f",
    "]]> --> */ `code` | [link](javascript:x) <!-- ",
]
SUMMARY = (
    "Failed in revision b2 after 9.95 s with exit status 32, stall budget exceeded; 1 revision before it stays applied; "
    "it stood aside 7.99 s for reporting (pid 4711), and got its lock at the 2nd try; "
    "it held up 7 sessions (web and worker), the longest wait was 1.12 s on events, over the revision's budget of 1.1 s."
)


class Page(HTMLParser):
    """What a browser makes of a page: elements, attributes and text."""

    def __init__(self, page: str) -> None:
        """Read it."""
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.words.append(data)


def test_json() -> None:
    """The JSON is the summary and the fields of the results, in the words of ``trace --format json``."""
    text = render_json(example())
    assert text.endswith("}\n")
    document = json.loads(text)
    assert document.pop("summary") == SUMMARY
    assert document == json.loads(json.dumps(asdict(example())))
    second = document["revisions"][0]["statements"][1]
    assert second == {
        "sql": ADD_NOTE,
        "attempt": 2,
        "started_seconds": 8.5,
        "duration_seconds": 0.01,
        "executions": 1,
        "result": "done",
        "locks": [
            {
                "relation": "orders",
                "mode": "AccessExclusiveLock",
                "taken_seconds": 8.5,
                "held_seconds": 0.1,
                "table": None,
            }
        ],
    }


def test_markdown() -> None:
    """The Markdown, whole."""
    assert render_markdown(example()) == EXPECTED_MARKDOWN.read_text(encoding="utf-8")


def test_html() -> None:
    """The page, whole but for its style sheet; ``expected.html`` is what a person has looked at in a browser."""
    assert without_style(render_html(example())) == EXPECTED_HTML.read_text(encoding="utf-8")


def without_style(page: str) -> str:
    """Return the page with an empty style sheet, and a line for each element, for whoever reads a difference."""
    return re.sub(r"(?s)<style>.*</style>", "<style></style>", page).replace("><", ">\n<")


def test_the_page_needs_nothing_else() -> None:
    """No script, no network: neither in an element nor in the style sheet."""
    page = render_html(example())
    parsed = Page(page)
    assert not {"script", "link", "img", "iframe", "object", "foreignobject"} & set(parsed.elements)
    assert all(not value or not re.search(r"//|url\(|@import", value) for _, value in parsed.attributes)
    assert not re.search(r"//|url\(|@import", page.partition("<style>")[2].partition("</style>")[0])


def test_the_page_can_be_heard() -> None:
    """Each drawing has a title and its content in words, and each table names its columns."""
    page = render_html(example())
    parsed = Page(page)
    assert page.count('role="img"') == 3
    for identifier in ("run", "r1", "r2"):
        assert f'aria-labelledby="{identifier}-title {identifier}-desc"' in page
    said = " ".join(parsed.words)
    assert "At 8.700 s: 2 sessions (web) waited up to 1.12 s for ACCESS EXCLUSIVE, which the migration held" in said
    assert parsed.elements.count("th") == len(re.findall(r'scope="col"', page))
    assert ("lang", "en") in parsed.attributes


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_a_name(name: str) -> None:
    """Whatever a relation, a session or a statement is called, the page has the same elements, and shows the name."""

    def run(name: str) -> Timeline:
        held = statement(f"LOCK TABLE {name}", 0.2, 0.5, lock(name, 0.2, 0.5))
        stalled = stall(name, 0.3, 0.4, f"LOCK TABLE {name}", sessions=1, names=(name,), queued=False)
        one = replace(
            revision("a1", 0.2, 0.6, held), stalls=(stalled,), description=name, reason=name, phase="contract"
        )
        return replace(timeline(one), sessions_held_up=1, incomplete=name)

    page = Page(render_html(run(name)))
    tame = Page(render_html(run("x" * len(name))))
    assert page.elements == tame.elements
    assert [key for key, _ in page.attributes] == [key for key, _ in tame.attributes]
    assert f"LOCK TABLE {name}" in page.words
    assert len(render_markdown(run(name)).splitlines()) == len(render_markdown(run("x")).splitlines())
    assert "<script>" not in re.sub(r"`[^`]*`", "", render_markdown(run(name)))


def test_nothing_to_do() -> None:
    """A run without a revision is one sentence, and no empty chart."""
    page = render_html(timeline())
    assert "There was nothing to do: the database was at its target." in page
    assert "<svg" not in page


def test_a_run_that_held_nobody_up() -> None:
    """That nobody was seen waiting is said, not left out."""
    page = render_html(timeline(revision("a1", 0.1, 0.05, statement(ADD_NOTE, 0.1, 0.04, lock("orders", 0.1, 0.05)))))
    assert page.count("no session was seen waiting") == 3
    assert "Applied 1\N{NO-BREAK SPACE}revision in 0.25\N{NO-BREAK SPACE}s; no session was seen waiting for it." in page


def test_three_hundred_statements() -> None:
    """Of many statements the telling ones stand first, and all are there."""
    many = [statement(f"ALTER TABLE t ADD c{number} int", 0.1 + number / 100, 0.009) for number in range(300)]
    many[123] = replace(many[123], duration_seconds=0.5, result="failed")
    page = render_html(timeline(revision("a1", 0.1, 3.1, *many)))
    assert "Those that failed, took strong locks or took long, 12 of 300:" in page
    assert "All 300 statements" in page
    assert page.count("<code>ALTER TABLE t ADD c123 int</code>") == 2
    assert page.count("<code>ALTER TABLE t ADD c299 int</code>") == 1
    assert "250 more statements: see the report as HTML or JSON." in render_markdown(
        timeline(revision("a1", 0.1, 3.1, *many))
    )


def test_a_statement_with_many_locks() -> None:
    """A statement that locks a thousand partitions stays one row, and the page is made in a moment."""
    held = [lock(f"p{number}", 0.1, 0.1 + number / 1000) for number in range(5000)]
    page = render_html(timeline(revision("a1", 0.1, 5.2, statement("DROP TABLE p CASCADE", 0.1, 0.1, *held))))
    assert "and 4,990 more" in page
    assert page.count("<li>") < 20


def test_more_relations_than_fit() -> None:
    """Forty lanes are enough: those that hold up most; the caption says how many more there are."""
    held = [statement(f"LOCK TABLE t{n}", 0.1, 0.1, lock(f"t{n}", 0.1, 0.1 + n / 100)) for n in range(50)]
    page = render_html(timeline(revision("a1", 0.1, 3.1, *held)))
    assert page.count('class="name relation"') == 40
    assert "10 more relations are in the tables alone." in page


def test_without_an_application() -> None:
    """Where no application was there, as in a trace, the page says nothing of waits."""
    page = render_html(replace(timeline(revision("a1", 0.1, 0.1, statement(ADD_NOTE, 0.1, 0.1))), look_seconds=None))
    assert "waiting" not in page
    assert "App held up" not in page
