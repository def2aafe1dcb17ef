"""The lineage: what the gate knew in this database, where no other tool falls over it."""

import json
from pathlib import Path

import alembic.command
import pytest
from harness.command import CommandLine
from harness.env_files import SYNC
from harness.postgres import Database
from harness.project import Project
from sage_migrate.lineage import Known, Lineage, parse_lineage

MARK = "sage-migrate lineage v1: "
CONFIGURED = "target_metadata)\n        with"
MODELS = SYNC.replace(
    "target_metadata = None",
    "import sqlalchemy\ntarget_metadata = sqlalchemy.MetaData()\n"
    "sqlalchemy.Table('one', target_metadata, sqlalchemy.Column('id', sqlalchemy.Integer, primary_key=True))",
)


def known(database: Database) -> Lineage:
    """Return the lineage that the database holds."""
    return parse_lineage(database.lineage())


def test_what_is_recorded(project: Project, database: Database, gate: CommandLine) -> None:
    """Parents, phase, image and time of every revision that the image contains."""
    project.add("a1")
    project.add("b2", head="sage_migrate = {'phase': 'contract'}")
    gate.run(project, "upgrade", "a1", SAGE_MIGRATE_IMAGE="registry/app@sha256:1").expect(0)
    recorded = known(database).revisions
    assert {name: (each.parents, each.contract, each.image) for name, each in recorded.items()} == {
        "a1": ((), False, "registry/app@sha256:1"),
        "b2": (("a1",), True, "registry/app@sha256:1"),
    }
    assert database.value(f"SELECT now() - '{recorded['a1'].at}'::timestamptz < '1min'")


@pytest.mark.parametrize("schemas", ["False", "True"])
def test_autogenerate_does_not_see_it(schemas: str, tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """`alembic check` and `revision --autogenerate` find nothing new after a run, also with include_schemas."""
    env = MODELS.replace(CONFIGURED, f"target_metadata, include_schemas={schemas})\n        with")
    project = Project(tmp_path / "other", env)
    project.add("a1", "op.create_table('one', sa.Column('id', sa.Integer, primary_key=True))")
    gate.run(project).expect(0)
    assert database.lineage()
    if hasattr(alembic.command, "check"):  # from Alembic 1.9
        gate.alembic(project, "check").expect(0)
    project.write("migrations/script.py.mako", 'revision = "b2"\ndown_revision = "a1"\nchanges = """${upgrades}"""\n')
    gate.alembic(project, "revision", "--autogenerate", "--rev-id", "b2").expect(0)
    assert "op." not in (project.migrations / "versions" / "b2_.py").read_text()


def test_the_first_run_at_head_records_it(project: Project, database: Database, gate: CommandLine) -> None:
    """A database that bare Alembic brought to head gets the whole known lineage."""
    for revision in ("a1", "b2"):
        project.add(revision)
    gate.alembic(project, "upgrade", "head").expect(0)
    assert database.lineage() is None
    assert gate.run(project).expect(0).applied == []
    assert set(known(database).revisions) == {"a1", "b2"}


@pytest.mark.parametrize("command", [("stamp", "b2"), ("upgrade", "b2")])
def test_it_heals_after_bare_alembic(
    command: tuple[str, ...], project: Project, database: Database, gate: CommandLine
) -> None:
    """Whatever somebody does with Alembic alone, the next run knows all again."""
    project.add("a1")
    gate.run(project).expect(0)
    project.add("b2")
    gate.alembic(project, *command).expect(0)
    assert set(known(database).revisions) == {"a1"}
    gate.run(project).expect(0)
    assert set(known(database).revisions) == {"a1", "b2"}


def test_it_heals_after_the_table_was_dropped(project: Project, database: Database, gate: CommandLine) -> None:
    """The lineage goes with the version table and comes back with it."""
    project.add("a1")
    gate.run(project).expect(0)
    database.execute("DROP TABLE alembic_version")
    gate.run(project).expect(0)
    assert set(known(database).revisions) == {"a1"}


def test_it_is_written_with_the_revisions_transaction(project: Project, database: Database, gate: CommandLine) -> None:
    """After a kill in the second revision, what is applied is known."""
    project.add("a1")
    project.add("b2", "SELECT pg_sleep(30)")
    run = gate.start(project)
    pid = database.until_running("%pg_sleep(30)%")
    run.kill()
    run.process.wait()
    database.execute(f"SELECT pg_terminate_backend({pid})")
    assert database.version() == ["a1"]
    assert set(known(database).revisions) == {"a1", "b2"}


def test_it_is_not_written_when_the_first_revision_fails(
    project: Project, database: Database, gate: CommandLine
) -> None:
    """A rolled back revision takes its note with it."""
    project.add("a1", "SELECT 1/0")
    gate.run(project).expect(40)
    assert database.lineage() is None


def test_another_role_reads_it(project: Project, database: Database, gate: CommandLine) -> None:
    """The app's role, with no right on the version table but SELECT, sees the lineage."""
    role = f"app_{database.name}"
    project.add("a1")
    gate.run(project).expect(0)
    database.execute(f"CREATE ROLE {role} LOGIN")
    (comment,) = (
        database.connect("app", user=role)
        .execute(b"SELECT obj_description(to_regclass('alembic_version'), 'pg_class')")
        .fetchone()
    ) or ("",)
    assert set(parse_lineage(comment).revisions) == {"a1"}
    database.execute(f"DROP ROLE {role}")


def test_a_role_that_does_not_own_the_table(project: Project, database: Database, gate: CommandLine) -> None:
    """Who may not comment still migrates, with a warning that says how to mend it."""
    role = f"plain_{database.name}"
    project.add("a1")
    gate.alembic(project, "upgrade", "head").expect(0)
    database.execute(
        f"CREATE ROLE {role} LOGIN; GRANT ALL ON alembic_version TO {role}; GRANT CREATE ON SCHEMA public TO {role}"
    )
    project.add("b2", "CREATE TABLE two (id int)")
    outcome = gate.run(project, url=database.url(user=role)).expect(0)
    assert outcome.one("lineage_not_recorded")["remedy"] == (
        "ALTER TABLE public.alembic_version OWNER TO the migrating role"
    )
    assert database.version() == ["b2"]
    database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_somebodys_own_comment_stays(project: Project, database: Database, gate: CommandLine) -> None:
    """A comment that a person wrote is kept before ours."""
    project.add("a1")
    gate.alembic(project, "upgrade", "head").expect(0)
    database.execute("COMMENT ON TABLE alembic_version IS '100% ours: it''s Alembic''s\ntable'")
    gate.run(project).expect(0)
    project.add("b2")
    gate.run(project).expect(0)
    comment = database.lineage() or ""
    assert comment.startswith(f"100% ours: it's Alembic's\ntable\n{MARK}")
    assert comment.count(MARK) == 1


def test_a_version_table_of_another_name(tmp_path: Path, database: Database, gate: CommandLine) -> None:
    """The lineage is where the project keeps its versions."""
    env = SYNC.replace(
        CONFIGURED,
        'target_metadata, version_table="My Versions", version_table_schema="Own Schema")\n        with',
    )
    database.execute('CREATE SCHEMA "Own Schema"')
    project = Project(tmp_path / "other", env)
    project.add("a1")
    gate.run(project).expect(0)
    assert set(parse_lineage(database.lineage('"Own Schema"."My Versions"')).revisions) == {"a1"}
    assert gate.run(project).expect(0).applied == []


def test_names_with_quotes_and_percents(
    tmp_path: Path, project: Project, database: Database, gate: CommandLine
) -> None:
    """Nothing that an image's reference holds breaks the comment."""
    image = 'app:100%\'\\ "x" {y} :z'
    project.add("a1")
    gate.run(project, "upgrade", "--image", image).expect(0)
    assert known(database).revisions["a1"].image == image


def test_a_comment_that_cannot_be_read() -> None:
    """It counts as none, and the person's part of it is kept."""
    for broken in ("{", "[]", '{"sources": [], "revisions": {"a1": [[], 3]}}', json.dumps({"sources": 1})):
        assert parse_lineage(f"mine\n{MARK}{broken}") == Lineage({}, "mine")


def test_the_comment_is_read_as_it_was_written() -> None:
    """Writing and reading give the same, and images are written once."""
    lineage = Lineage(
        {
            "a1": Known(parents=(), image="app:1", at="2026-01-01T00:00:00+00:00"),
            "b2": Known(parents=("a1",), image="app:1", at="2026-01-01T00:00:00+00:00"),
            "c3": Known(parents=("a1", "b2"), contract=True, image="app:2", at="2026-02-01T00:00:00+00:00"),
        },
        "mine",
    )
    assert parse_lineage(lineage.to_comment()) == lineage
    assert lineage.to_comment().count("app:1") == 1


def test_who_recorded_a_revision_first_stays() -> None:
    """A later image changes the entry only when it says something else of the revision."""
    first = Lineage({"a1": Known(parents=(), image="app:1")})
    assert first.merge({"a1": Known(parents=(), image="app:2")}) == first
    changed = first.merge({"a1": Known(parents=(), contract=True, image="app:2")})
    assert changed.revisions["a1"].image == "app:2"
