"""The commands: what the stub writes and keeps, what a check says, how each ends."""

import json
import re
import shutil
from pathlib import Path

import pytest
from sage_migrate import cli

from review.pull_requests import reviewed
from review.service import GRACE, HAZARD, PLAIN, Reviews, Service

_STUB = """\
# Index the status of orders

What changes for whom, and what is deployed with it.

## Migration review

### `c3` Index the status of orders

```review
content: HASH
author:  Ada Lovelace
locks:   SHARE on orders
work:    index build of orders
hazards: blocks_writes_long (SM101)
```

- [ ] Does: builds the index that the list needs.
- [ ] Old code: goes on.
- [ ] Tables:
- [ ] Rollback: drops it.
- [ ] blocks_writes_long:
- [ ] Reviewer:
"""
_HEADER = """
Does:      builds the index
           that the list needs.
Old code:  goes on.
Rollback:  drops it.
Create Date: 2026-01-01
"""


def _text(service: Service) -> str:
    return (service.directory / service.document).read_bytes().decode()


def _without_hash(text: str) -> str:
    return re.sub(r"content: [0-9a-f+]+", "content: HASH", text)


def test_stub_fills_in_what_can_be_told(service: Service, reviews: Reviews) -> None:
    """Lint, Git and the header of the revision's own file answer what they can; the boxes stay open."""
    service.add_revision("c3", HAZARD, title="Index the status of orders", header=_HEADER)
    service.commit()
    assert re.fullmatch(r"docs/cycles/\d{4}-\d\d-\d\d-index-the-status-of-orders\.md: c3\n", reviews.stub())
    assert _without_hash(_text(service)) == _STUB
    assert reviews.stub() == f"{service.document}: c3 (as it was)\n"


def test_stub_keeps_every_word(service: Service, reviews: Reviews) -> None:
    """A refresh writes the block anew and opens the boxes; what people wrote stays, also in the block."""
    document = reviewed(service, reviews, HAZARD)
    service.edit(
        document,
        "- [x] Does: Change c3",
        "Talked about on Monday.\n\n- [x] Does: Change c3,\n  slowly\n  - [x] tried it\n- a note",
    )
    service.edit(document, "SHARE on orders", "SHARE on orders, as Ada says for a minute")
    service.edit(document, "# Change", "# Title of ours: change")
    service.write(document, _text(service) + "\n## Afterwards\n\nText below.\n")
    service.edit("migrations/versions/c3.py", HAZARD, PLAIN)
    before = _text(service)
    reviews.stub()
    assert _without_hash(_text(service)) == _without_hash(
        before.replace("[x]", "[ ]")
        .replace("- a note", "- [ ] a note")
        .replace("locks:   SHARE on orders, as Ada says for a minute", "locks:   ACCESS EXCLUSIVE on orders")
        .replace("work:    index build of orders", "work:    none")
        .replace("hazards: blocks_writes_long (SM101)", "hazards: none")
        .replace("- [ ] Reviewer", "- [ ] Note on locks: SHARE on orders, as Ada says for a minute\n- [ ] Reviewer")
    )


def test_stub_writes_as_the_file_is_written(service: Service, reviews: Reviews) -> None:
    """CRLF and a byte order mark stay; a document without the section gets it."""
    document = "docs/cycles/2026-02-01-note.md"
    service.add_revision("c3")
    service.write(document, "\ufeff# Note\r\n\r\nText.\r\n")
    reviews.stub("--doc", document)
    text = _text(service)
    assert text.startswith(
        "\ufeff# Note\r\n\r\nText.\r\n\r\n## Migration review\r\n\r\n### `c3` Change c3\r\n\r\n```review\r\n"
    )
    assert "\n" not in text.replace("\r\n", "")


def test_stub_uses_the_teams_own_template(service: Service, reviews: Reviews) -> None:
    """TEMPLATE.md beside the cycle docs is how a new one begins."""
    service.write("docs/cycles/TEMPLATE.md", "# {title} ({date})\n\n## Migration review\n\n## Rollout\n\nTo be told.\n")
    service.add_revision("c3")
    reviews.stub()
    head, _, tail = _text(service).partition("### `c3`")
    assert re.fullmatch(r"# Change c3 \(\d{4}-\d\d-\d\d\)\n\n## Migration review\n\n", head)
    assert tail.endswith("- [ ] Reviewer:\n\n## Rollout\n\nTo be told.\n")


def test_stub_takes_in_a_trace(service: Service, reviews: Reviews) -> None:
    """What was measured stands in the block, its hazards are asked about, and stay until the revision changes."""
    service.add_revision("c3")
    trace = {
        "revisions": [
            {
                "revision": "c3",
                "path": "migrations/versions/c3.py",
                "statements": [
                    {
                        "sql": "ALTER TABLE orders …",
                        "duration_seconds": 0.2,
                        "locks": [{"relation": "orders", "mode": "ACCESS EXCLUSIVE", "held_seconds": 0.1504}],
                        "rewrites": ["orders"],
                        "scans": [],
                    }
                ],
                "hazards": [
                    {"code": "SM901", "hazards": ["old_code_breaks"], "message": "", "help": "", "relation": "orders"}
                ],
                "compatible_with_old_code": False,
            }
        ]
    }
    service.write("trace.json", json.dumps(trace))
    reviews.stub("--trace", "trace.json")
    first = _text(service)
    assert "trace:   ACCESS EXCLUSIVE on orders for 0.150 s; rewrites orders; old code breaks\n" in first
    assert "hazards: old_code_breaks (SM901)\n" in first
    assert "- [ ] old_code_breaks:\n- [ ] Reviewer:\n" in first
    reviews.stub()
    assert _text(service) == first
    service.edit("migrations/versions/c3.py", '"note"', '"remark"')
    reviews.stub()
    assert "trace:" not in _text(service)
    assert "hazards: none\n" in _text(service)


def test_stub_prints_what_is_kept_elsewhere(service: Service, reviews: Reviews) -> None:
    """A file of the team's own is only read; what it needs is printed."""
    service.write("pyproject.toml", '[tool.sage-migrate.review]\nreviews = "reviews.toml"\n')
    service.add_revision("c3", HAZARD)
    assert _without_hash(reviews.stub()) == (
        "c3 content: HASH\nc3 author: Ada Lovelace\nc3 locks: SHARE on orders\nc3 work: index build of orders\n"
        "c3 hazards: blocks_writes_long (SM101)\n"
    )
    assert service.documents == ["docs/cycles/2026-01-01-start.md"]


def test_stub_touches_nothing_that_it_cannot_read(service: Service, reviews: Reviews) -> None:
    """A flaw in the document is named, and the file stays as it is."""
    document = reviewed(service, reviews)
    service.edit(document, "locks:", "lock:")
    service.edit("migrations/versions/c3.py", '"note"', '"remark"')
    before = _text(service)
    reviews.run("stub", "--base", "main", status=2)
    assert _text(service) == before


def test_text_says_what_is_wrong_and_where(service: Service, reviews: Reviews) -> None:
    """A finding has its place, the line, what it means, and what to do."""
    document = reviewed(service, reviews)
    assert reviews.run("check", "--base", "main") == "Reviewed: 1 revision.\n"
    service.edit(document, "- [x] Reviewer: Grace Hopper", "- [ ] Reviewer:")
    assert reviews.run("check", "--base", "main", status=1) == (
        f"{document}:18:1: error SM505 reviewer-missing\n"
        "     18 | - [ ] Reviewer:\n"
        "  Nobody has signed the review of c3.\n"
        "  Instead: - [x] Reviewer: the name of who read it.\n"
        "\n1 error.\n"
    )
    assert reviews.run("check", "--base", "main", "--format", "github", status=1) == (
        f"::error file={document},line=18,col=1,title=SM505 reviewer-missing::Nobody has signed the review of c3."
        "%0AInstead: - [x] Reviewer: the name of who read it.\n"
    )
    reviews.run("check", "--base", "work")


def test_a_draft_may_be_committed(service: Service, reviews: Reviews) -> None:
    """For a commit hook it is advice what only people can heal; what the author can is an error, untracked files are nothing."""
    service.add_revision("c3", HAZARD)
    assert reviews.check("--draft") == []
    service.git("add", "--all")
    assert [(each.code, each.severity) for each in reviews.check("--draft")] == [("SM501", "error")]
    reviews.stub()
    service.git("add", "--all")
    assert {each.severity for each in reviews.check("--draft")} == {"warning"}


def test_messages(service: Service, reviews: Reviews) -> None:
    """What is said of a revision that landed, of one that takes in what changed, and of an entry that stands there twice."""
    service.edit("migrations/versions/a1.py", "orders", "customers")
    (finding,) = reviews.check()
    assert (finding.message, finding.help) == (
        "Revision a1 has no review: nobody has signed that it may run. It is on main already, and what it does was changed since.",
        "Instead: sage-migrate review stub, then answer and sign what it wrote.",
    )
    service.edit("migrations/versions/a1.py", "customers", "orders")
    document = reviewed(service, reviews, "from migrations.helpers import TABLES")
    service.edit("migrations/helpers.py", "orders", "customers")
    (finding,) = reviews.check()
    assert finding.message == "What c3 takes in (helpers.py) was changed since the review."
    service.edit("migrations/helpers.py", "customers", "orders")
    service.write(document, _text(service) + "\n" + _text(service)[_text(service).index("### ") :])
    assert [(each.code, each.message) for each in reviews.check()] == [
        ("SM511", "c3 is reviewed twice here, first in line 7.")
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("### `c3` Change c3", "### (c3)", 7, "This heading names no revision."),
        (
            "author:",
            "auther:",
            11,
            "'auther:  Ada Lovelace' is no line of a block `review`; they begin with content, author, locks, work, hazards, trace.",
        ),
        ("author:", "content: 0\nauthor:", 11, "content stands twice in the block of c3."),
        ("```\n\n- ", "```\n\n```review\n```\n\n- ", 17, "c3 has a second block `review`."),
        ("- [x] Reviewer", "- [x] Reviewer: Ada\n- [x] Reviewer", 19, "c3 says Reviewer a second time."),
        ("- [x] Reviewer", "- [] Reviewer", 18, "'[]' is no box."),
        (
            "- [x] Reviewer: Grace Hopper",
            "- [x] Reviewer: Grace\n```",
            19,
            "The block that ``` opens here is never closed.",
        ),
        ("## Migration review\n", "## Migration review\n\n- [x] all is well\n", 7, "This box stands in no entry."),
        ("Does: Change", "Does: \udcff", 17, "This line is no UTF-8, so it may not be read as it was meant."),
    ],
)
def test_what_cannot_be_read_is_named(  # noqa: PLR0913, PLR0917
    old: str, new: str, line: int, message: str, service: Service, reviews: Reviews
) -> None:
    """A document is parsed strictly; each flaw has its line."""
    path = service.directory / reviewed(service, reviews)
    text = path.read_text()
    assert old in text
    path.write_bytes(text.replace(old, new, 1).encode(errors="surrogateescape"))
    found = [each for each in reviews.check() if each.code == "SM512"]
    assert [(each.line, each.message) for each in found] == [(line, message)]


def test_what_is_commented_out_says_nothing(service: Service, reviews: Reviews) -> None:
    """Neither a comment nor a fenced example is an entry, and both may hold boxes."""
    document = reviewed(service, reviews)
    example = "<!--\n### `zz`\n- [ ] Does:\n-->\n\n```\n### `zz`\n- [ ] Does:\n<!--\n```\n\n"
    service.edit(document, "### `c3`", f"{example}### `c3`")
    assert reviews.check() == []
    service.edit(document, "### `c3`", "<!-- ### `c3`")
    service.edit(document, "Grace Hopper", "Grace Hopper -->")
    assert [each.code for each in reviews.check()] == ["SM501"]


@pytest.mark.parametrize(
    ("reviewer", "codes"),
    [
        ("Ada Lovelace", ["SM506"]),
        ("ada@example.org", ["SM506"]),
        ("Ada <12345+ada@users.noreply.github.com>, @ada", ["SM506"]),
        ("Ada Lovelace and Grace Hopper", []),
        ("[Grace](https://example.org/grace) (DBA), 2026-02-01", []),
        ("none", ["SM505"]),
        ("2026-02-01", ["SM505"]),
        ("TBD", ["SM504"]),
        ("`TODO` Smith", []),
    ],
)
def test_who_signed(reviewer: str, codes: list[str], service: Service, reviews: Reviews) -> None:
    """Somebody else than the author must have signed, in whatever form people write names."""
    reviewed(service, reviews, reviewer=reviewer)
    assert [each.code for each in reviews.check()] == codes


def test_review_by_the_author_can_be_allowed(service: Service, reviews: Reviews) -> None:
    """A team of one says so in its settings."""
    service.write("pyproject.toml", "[tool.sage-migrate.review]\nself-review = true\n")
    reviewed(service, reviews, reviewer="Ada Lovelace")
    assert reviews.check() == []


def test_author_is_who_wrote_the_revision(service: Service, reviews: Reviews) -> None:
    """A reviewer may mend the file and sign; who wrote it may not."""
    reviewed(service, reviews)
    service.edit("migrations/versions/c3.py", "Change c3", "Change it")
    service.commit(GRACE)
    assert reviews.check() == []


def test_without_a_base_everything_is_judged(service: Service, reviews: Reviews) -> None:
    """`--all`, and a directory without Git, ask for a review of each revision after the baseline."""
    reviewed(service, reviews)
    assert [(each.code, each.message.split()[1]) for each in reviews.check("--all")] == [
        ("SM502", "b2"),
        ("SM501", "a1"),
    ]
    service.write("pyproject.toml", '[tool.sage-migrate.review]\nbaseline = "b2"\n')
    assert reviews.check("--all") == []
    shutil.rmtree(service.directory / ".git")
    assert reviews.check() == []
    service.edit("migrations/versions/c3.py", '"note"', '"remark"')
    assert [each.code for each in reviews.check()] == ["SM502"]
    for nothing in ("zz", ""):
        service.write("pyproject.toml", f'[tool.sage-migrate.review]\nbaseline = "{nothing}"\n')
        reviews.run("check", status=2)


def test_shallow_clone_is_no_clean_run(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the base or the common ancestor is missing, nothing is said to be reviewed; the message says what to fetch."""
    service.add_revision("c3")
    service.commit()
    service.git(
        "clone", "--quiet", "--depth", "1", "--branch", "work", service.directory.as_uri(), str(tmp_path / "clone")
    )
    clone = Service(tmp_path / "clone")
    monkeypatch.chdir(clone.directory)
    assert cli.main(["--log-format", "json", "review", "check"]) == 2
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["message"] == (
        "There is no origin/main in this clone, so what is new cannot be told. The clone is shallow. Nothing was applied by this run. "
        "Fetch it (git fetch origin main, or in CI the whole history (actions/checkout: fetch-depth: 0)), name another with --base, "
        "or judge every revision with --all."
    )
    clone.git("fetch", "--quiet", "--depth", "1", "origin", "main:refs/remotes/origin/main")
    assert cli.main(["--log-format", "json", "review", "check"]) == 2
    assert "have no ancestor in common" in capsys.readouterr().err
    clone.git("fetch", "--quiet", "--unshallow")
    assert cli.main(["review", "check"]) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("[tool.sage-migrate.review]\nbse = 1\n", "has no setting bse"),
        ("[tool.sage-migrate.review]\nself-review = 1\n", "is no bool"),
        ('[tool.sage-migrate.review.front-matter]\nreviewer = "by"\n', "which key holds the revision"),
        ('[tool.sage-migrate.review.front-matter]\nrevision = "r"\nsigned = "by"\n', "maps signed"),
    ],
)
def test_settings_are_checked(
    settings: str, message: str, service: Service, reviews: Reviews, capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting that is not known, or of another kind, is no setting that is passed over."""
    service.write("pyproject.toml", settings)
    assert cli.main(["review", "check"]) == 2
    assert message in capsys.readouterr().err


def test_several_projects_in_one_repository(service: Service, reviews: Reviews) -> None:
    """A project below the top is judged alone, from wherever the command runs; paths are relative to there."""
    for name in ("one", "two"):
        service.write(
            f"{name}/alembic.ini",
            "[alembic]\nscript_location = %(here)s/db\nversion_locations = %(here)s/db/main %(here)s/db/more\n",
        )
        service.write(f"{name}/db/more/.keep", "")
        service.write(f"{name}/db/main/{name}1.py", f'revision = "{name}1"\ndown_revision = None\n')
    service.commit()
    assert reviews.check() == []
    assert cli.main(["-c", "one/alembic.ini", "review", "check", "--base", "main"]) == 1


def test_export_lists_what_was_reviewed(service: Service, reviews: Reviews) -> None:
    """Without a review there is no list; with `--partial` a list without it. Form counts there, line ends do not."""
    manifest = service.directory / "migrations/reviewed.json"
    service.write("pyproject.toml", '[tool.sage-migrate.review]\nbaseline = "b2"\n')
    service.add_revision("c3", "from migrations.helpers import TABLES")
    assert reviews.run("export", status=1).endswith("1 error.\nNothing was written.\n")
    assert not manifest.exists()
    assert reviews.run("export", "--partial") == f"{manifest}: 2 revisions; left out as not reviewed: c3.\n"
    assert sorted(json.loads(manifest.read_text())["revisions"]) == ["a1", "b2"]
    reviews.stub()
    service.sign()
    reviews.run("export")
    first = manifest.read_text()
    assert sorted(json.loads(first)["revisions"]["c3"]["imports"]) == ["helpers.py"]
    service.edit("migrations/versions/c3.py", "\n", "\r\n")
    reviews.run("export", "--output", "out/list.json")
    assert (service.directory / "out/list.json").read_text() == first
