"""Forty pull requests, each a function that plays it through: twenty that may land, twenty that may not, and why not."""
# ruff: noqa: D401  a docstring here says what the pull request is

from collections.abc import Callable

from review.service import GRACE, HAZARD, PLAIN, Reviews, Service

PullRequest = Callable[[Service, Reviews], object]
GOOD: list[PullRequest] = []
BAD: list[tuple[PullRequest, tuple[str, ...]]] = []


def good(pull_request: PullRequest) -> PullRequest:
    """List a pull request that may land."""
    GOOD.append(pull_request)
    return pull_request


def bad(*codes: str) -> Callable[[PullRequest], PullRequest]:
    """List one that may not, and what is to be found."""

    def listed(pull_request: PullRequest) -> PullRequest:
        BAD.append((pull_request, codes))
        return pull_request

    return listed


def reviewed(
    service: Service, reviews: Reviews, upgrade: str = PLAIN, *, reviewer: str = "Grace Hopper", head: str = ""
) -> str:
    """Add revision c3 with its review; return the cycle doc."""
    service.add_revision("c3", upgrade, head=head)
    service.commit()
    reviews.stub()
    service.sign(reviewer=reviewer)
    service.commit()
    return service.document


# Those that may land


@good
def no_revision(service: Service, _: Reviews) -> None:
    """Only the application changes."""
    service.write("app/main.py", "print('hello')\n")
    service.commit()


@good
def one_line_and_a_reviewer(service: Service, _: Reviews) -> None:
    """A revision without hazards asks for no more, and a person may write all of it by hand."""
    service.add_revision("c3")
    service.write(
        "docs/cycles/2026-02-01-note.md",
        """
        # A note on orders

        ## Migration review

        ### `c3`

        ```review
        content: HASH
        ```

        - Does: adds a column that may be empty
        - Reviewer: Grace Hopper
        """,
    )
    service.edit("docs/cycles/2026-02-01-note.md", "HASH", content_of(service, "c3"))
    service.commit()


def content_of(service: Service, revision: str) -> str:
    """Return a revision's hash, as the package computes it."""
    from sage_migrate.review.locations import find_locations
    from sage_migrate.review.revisions import ReviewedRevision, read_revision

    path = service.directory.resolve() / f"migrations/versions/{revision}.py"
    found = read_revision(path, path.read_bytes(), find_locations(service.directory / "alembic.ini", "alembic"))
    assert isinstance(found, ReviewedRevision)
    return found.content


@good
def stub_signed(service: Service, reviews: Reviews) -> None:
    """What the stub wrote was answered and signed."""
    reviewed(service, reviews)


@good
def hazard_answered(service: Service, reviews: Reviews) -> None:
    """A revision with a hazard, and every question that it raises answered."""
    reviewed(service, reviews, HAZARD)


@good
def contract_with_plan(service: Service, reviews: Reviews) -> None:
    """A contract revision, and since when nothing uses what it takes away."""
    reviewed(service, reviews, 'op.drop_column("orders", "note")', head='sage_migrate = {"phase": "contract"}')


@good
def two_revisions_in_one_doc(service: Service, reviews: Reviews) -> None:
    """Both stand in the branch's only cycle doc."""
    service.add_revision("c3")
    service.add_revision("d4", down="c3")
    reviews.stub()
    service.sign()
    service.commit()


@good
def several_docs(service: Service, reviews: Reviews) -> None:
    """Each revision is reviewed in a cycle doc of its own."""
    reviewed(service, reviews)
    first = service.document
    service.add_revision("d4", down="c3")
    reviews.stub("--doc", "docs/cycles/2026-03-01-second.md")
    service.sign("docs/cycles/2026-03-01-second.md")
    service.commit()
    assert first in service.documents


@good
def heads_joined(service: Service, reviews: Reviews) -> None:
    """A revision that only joins two heads does nothing that could be reviewed."""
    reviewed(service, reviews)
    service.add_revision("d4", down="b2")
    reviews.stub()
    service.sign()
    service.add_revision("e5", down=("c3", "d4"))
    service.edit("migrations/versions/e5.py", PLAIN, "pass")
    service.commit()


@good
def rebased(service: Service, reviews: Reviews) -> None:
    """Another branch landed first: the branch is rebased, and its revision follows the other one now."""
    reviewed(service, reviews)
    land_another(service)
    service.git("rebase", "--quiet", "main")
    service.edit("migrations/versions/c3.py", "down_revision: str | None = 'b2'", "down_revision: str | None = 'x9'")
    service.commit()


def land_another(service: Service) -> None:
    """Land a revision x9 on main that nobody reviewed there; the branch for work is checked out again."""
    service.git("checkout", "--quiet", "main")
    service.add_revision("x9")
    service.commit(GRACE)
    service.git("checkout", "--quiet", "work")


@good
def main_merged_in(service: Service, reviews: Reviews) -> None:
    """What main brings is not the branch's to review."""
    reviewed(service, reviews)
    land_another(service)
    service.git("merge", "--quiet", "--no-edit", "main")


@good
def main_moved_on(service: Service, reviews: Reviews) -> None:
    """Main has a revision that the branch lacks; it is no deletion."""
    reviewed(service, reviews)
    land_another(service)


@good
def stacked_on_a_squashed_branch(service: Service, reviews: Reviews) -> None:
    """The branch below landed as one squashed commit; this one has its old commits still."""
    reviewed(service, reviews)
    service.git("checkout", "--quiet", "main")
    service.git("merge", "--quiet", "--squash", "work")
    service.commit()
    service.git("checkout", "--quiet", "work")
    service.edit(service.document, "Grace Hopper", "")
    service.add_revision("d4", down="c3")
    reviews.stub("--doc", "docs/cycles/2026-03-01-second.md")
    service.sign("docs/cycles/2026-03-01-second.md")
    service.commit()


@good
def formatted(service: Service, reviews: Reviews) -> None:
    """Formatting, comments and the header changed after the review."""
    reviewed(service, reviews, 'op.execute("SELECT " "1")')
    service.edit(
        "migrations/versions/c3.py", 'op.execute("SELECT " "1")', "op.execute(\n        'SELECT 1'  # one\n    )"
    )
    service.edit("migrations/versions/c3.py", "Change c3.", "Change it, later.")
    service.commit()


@good
def renamed_file(service: Service, reviews: Reviews) -> None:
    """The file has another name than when it was reviewed."""
    reviewed(service, reviews)
    service.git("mv", "migrations/versions/c3.py", "migrations/versions/2026_c3_note.py")
    service.commit()


@good
def windows_line_ends(service: Service, reviews: Reviews) -> None:
    """Revision and cycle doc are checked out with CRLF."""
    document = reviewed(service, reviews)
    for name in ("migrations/versions/c3.py", document):
        service.edit(name, "\n", "\r\n")
    service.commit()


@good
def old_revision_formatted(service: Service, _: Reviews) -> None:
    """A released revision, never reviewed, gets another format."""
    service.edit("migrations/versions/a1.py", '"orders"', "'orders'")
    service.commit()


@good
def history_squashed(service: Service, reviews: Reviews) -> None:
    """Old revisions gave way to one; their reviews stay as history."""
    service.git("rm", "--quiet", "migrations/versions/a1.py", "migrations/versions/b2.py")
    service.add_revision(
        "c3", 'op.create_table("orders", sa.Column("id", sa.BigInteger(), primary_key=True))', down=None
    )
    reviews.stub()
    service.sign()
    service.edit("docs/cycles/2026-01-01-start.md", "# Start", "# Start, squashed since")
    service.commit()


@good
def kept_in_toml(service: Service, _: Reviews) -> None:
    """The team keeps its reviews in one file."""
    service.write("pyproject.toml", '[tool.sage-migrate.review]\nreviews = "reviews.toml"\n')
    service.add_revision("c3")
    service.write(
        "reviews.toml",
        f'[c3]\ncontent = "{content_of(service, "c3")}"\ndoes = "adds a column"\nreviewer = ["Grace Hopper"]\n',
    )
    service.commit()


@good
def kept_in_front_matter(service: Service, _: Reviews) -> None:
    """The team's own change records say it in their front matter."""
    service.write(
        "pyproject.toml",
        """
        [tool.sage-migrate.review]
        docs = "changes"

        [tool.sage-migrate.review.front-matter]
        revision = "migration"
        content = "migration_hash"
        does = "summary"
        reviewer = "approved_by"
        """,
    )
    service.add_revision("c3")
    service.write(
        "changes/0017.md",
        f"""
        ---
        summary: "adds a column"
        migration: c3
        migration_hash: {content_of(service, "c3")}
        approved_by:
          - Grace Hopper
        ---
        # Change 17
        """,
    )
    service.commit()


@good
def changed_and_reviewed_again(service: Service, reviews: Reviews) -> None:
    """The revision changed after its review, and was read anew."""
    reviewed(service, reviews)
    service.edit("migrations/versions/c3.py", '"note"', '"remark"')
    reviews.stub()
    service.sign()
    service.commit()


# Those that may not


@bad("SM501")
def unread(service: Service, _: Reviews) -> None:
    """An autogenerated revision that nobody looked at."""
    service.add_revision("c3")
    service.commit()


@bad("SM502")
def changed_after_review(service: Service, reviews: Reviews) -> None:
    """The upgrade is another one than was read."""
    reviewed(service, reviews)
    service.edit("migrations/versions/c3.py", '"note"', '"remark"')
    service.commit()


@bad("SM502")
def downgrade_changed_after_review(service: Service, reviews: Reviews) -> None:
    """Only the way back is another one."""
    reviewed(service, reviews)
    service.edit("migrations/versions/c3.py", "    pass", '    op.drop_table("orders")')
    service.commit()


@bad("SM502")
def import_changed_after_review(service: Service, reviews: Reviews) -> None:
    """The revision stayed, what it imports did not."""
    reviewed(service, reviews, "from migrations.helpers import TABLES\nop.drop_table(TABLES[0])")
    service.edit("migrations/helpers.py", "'orders'", "'customers'")
    service.commit()


@bad("SM502")
def sql_file_changed_after_review(service: Service, reviews: Reviews) -> None:
    """The revision runs a file of SQL, which changed."""
    service.write("migrations/sql/c3.sql", "SELECT 1;\n")
    reviewed(
        service,
        reviews,
        'from pathlib import Path\nop.execute((Path(__file__).parent.parent / "sql" / "c3.sql").read_text())',
    )
    service.write("migrations/sql/c3.sql", "DROP TABLE orders;\n")
    service.commit()


@bad("SM502")
def call_in_down_revision(service: Service, reviews: Reviews) -> None:
    """What a revision follows does not count, unless it is code."""
    reviewed(service, reviews)
    service.edit("migrations/versions/c3.py", "= 'b2'", "= __import__('os').environ.get('X', 'b2')")
    service.commit()


@bad("SM502")
def slipped_into_a_merge(service: Service, reviews: Reviews) -> None:
    """The change is in the merge commit, where no diff of a commit shows it."""
    reviewed(service, reviews)
    land_another(service)
    service.git("merge", "--quiet", "--no-commit", "main")
    service.edit("migrations/versions/c3.py", '"note"', '"remark"')
    service.commit()


@bad("SM502")
def landed_revision_changed(service: Service, _: Reviews) -> None:
    """A reviewed revision that is on main already does something else now."""
    service.edit("migrations/versions/b2.py", "ANALYZE", "TRUNCATE")
    service.commit()


@bad("SM503")
def box_left_open(service: Service, reviews: Reviews) -> None:
    """One item of the checklist is not ticked."""
    document = reviewed(service, reviews)
    service.edit(document, "- [x] Reviewer", "- [ ] tried on a copy of production\n- [x] Reviewer")
    service.commit()


@bad("SM504")
def placeholder_left(service: Service, reviews: Reviews) -> None:
    """The answer is to come later."""
    document = reviewed(service, reviews)
    service.edit(document, "Does: Change c3", "Does: TODO")
    service.commit()


@bad("SM504", "SM504")
def placeholder_for_a_name(service: Service, reviews: Reviews) -> None:
    """The text of a template where a name belongs, and dots for an answer."""
    document = reviewed(service, reviews, reviewer="<name>")
    service.edit(document, "Does: Change c3", "Does: ...")
    service.commit()


@bad("SM505")
def unsigned(service: Service, reviews: Reviews) -> None:
    """Everything is answered, and nobody says that he read it."""
    document = reviewed(service, reviews)
    service.edit(document, "Reviewer: Grace Hopper", "Reviewer:")
    service.commit()


@bad("SM506")
def signed_by_author(service: Service, reviews: Reviews) -> None:
    """The author is the only one who read it."""
    reviewed(service, reviews, reviewer="@ada (platform), 2026-02-01")


@bad("SM507")
def contract_without_plan(service: Service, reviews: Reviews) -> None:
    """A contract revision, and not a word on who still uses what it takes away."""
    document = reviewed(service, reviews, head='sage_migrate = {"phase": "contract"}')
    service.edit(document, "- [x] Plan: as measured on staging\n", "")
    service.commit()


@bad("SM501", "SM508")
def identifier_changed(service: Service, reviews: Reviews) -> None:
    """The revision got another id, its review kept the old one."""
    reviewed(service, reviews)
    service.edit("migrations/versions/c3.py", 'revision: str = "c3"', 'revision: str = "c4"')
    service.commit()


@bad("SM508")
def revision_withdrawn(service: Service, reviews: Reviews) -> None:
    """The revision was taken out of the branch again, its review was not."""
    reviewed(service, reviews)
    service.git("rm", "--quiet", "migrations/versions/c3.py")
    service.commit()


@bad("SM509")
def rollback_not_answered(service: Service, reviews: Reviews) -> None:
    """A revision with a hazard, and no way back."""
    document = reviewed(service, reviews, HAZARD)
    service.edit(document, "- [x] Rollback: as measured on staging\n", "")
    service.commit()


@bad("SM510")
def hazard_denied(service: Service, reviews: Reviews) -> None:
    """The review says that there is no hazard, and lint finds one."""
    document = reviewed(service, reviews, HAZARD)
    service.edit(document, "blocks_writes_long (SM101)", "none")
    service.commit()


@bad("SM512")
def box_written_wrongly(service: Service, reviews: Reviews) -> None:
    """What looks like a ticked box is none."""
    document = reviewed(service, reviews)
    service.edit(document, "- [x] Does", "- [v] Does")
    service.commit()


@bad("SM512")
def identifier_hidden(service: Service, _: Reviews) -> None:
    """Alembic would load the revision, and its id is not to be read."""
    service.add_revision("c3")
    service.edit("migrations/versions/c3.py", 'revision: str = "c3"', 'globals()["revision"] = "c" + "3"')
    service.commit()
