"""What the tools are put through: the schema, and for each scenario its revisions and what stands in their way."""

from dataclasses import dataclass

SLOW_ROWS = 1_000
SEED = f"""
CREATE TABLE organizations (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL);
CREATE TABLE conversations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id uuid NOT NULL REFERENCES organizations,
    title text NOT NULL,
    note varchar(50) NOT NULL DEFAULT 'none',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON conversations (org_id, created_at, id);
CREATE TABLE archive (id int PRIMARY KEY, note text NOT NULL);
INSERT INTO organizations (name) SELECT 'organization ' || n FROM generate_series(1, 10) AS n;
INSERT INTO conversations (org_id, title)
    SELECT id, 'conversation ' || n FROM organizations, generate_series(1, {SLOW_ROWS // 10}) AS n;
INSERT INTO archive SELECT n, 'none' FROM generate_series(1, {SLOW_ROWS}) AS n;
-- A large table's work on a small table: the time that it takes does not depend on the machine.
CREATE FUNCTION slowly(note text, seconds float8) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(seconds); RETURN note; END $$;
ANALYZE;
"""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One situation. Each revision is one statement of SQL, the same for all tools."""

    name: str
    title: str
    revisions: tuple[str, ...]
    applied: str
    """A question that is true when the last revision's change is there."""
    reader_seconds: float = 0
    think_seconds: float = 0
    """How long each revision does something else after its statement: Python where a revision is that, else SQL."""
    runners: int = 1
    is_killed: bool = False
    """Whether the runner is killed (SIGKILL) shortly after it has the lock."""
    hold_seconds: float = 0
    """How long the application's transactions stay open, on average."""
    rate: float = 240
    repeats: int = 1
    """How many runs of the gate: each applies the next revision of the history. Other tools make a few of them."""


def scenarios(*, quick: bool, repeats: int) -> dict[str, Scenario]:
    """Return all scenarios by name; ``quick`` ones are shorter, to try the bench itself out."""
    shorter = 4 if quick else 1
    reader, rewrite, slow, killed = 20 / shorter, 10 / shorter, 6 / shorter, 30 / shorter
    repeats = max(2, repeats // (10 if quick else 1))
    return {
        scenario.name: scenario
        for scenario in (
            Scenario(
                name="lock-queue",
                title=f"ADD COLUMN behind a {reader:g} s reader",
                revisions=("ALTER TABLE conversations ADD COLUMN extra jsonb",),
                applied=_has_column("conversations", "extra"),
                reader_seconds=reader,
            ),
            Scenario(
                name="rewrite",
                title=f"ALTER TYPE that rewrites for {rewrite:g} s or more",
                revisions=(_rewrite(rewrite),),
                applied=_has_column("conversations", "note", "text"),
            ),
            Scenario(
                name="three-revisions",
                title=f"Three revisions: ADD COLUMN, a backfill elsewhere of {slow:g} s or more, ADD COLUMN",
                revisions=(
                    "ALTER TABLE conversations ADD COLUMN extra jsonb",
                    f"UPDATE archive SET note = slowly(note, {slow / SLOW_ROWS})",
                    "ALTER TABLE organizations ADD COLUMN extra jsonb",
                ),
                applied=_has_column("organizations", "extra"),
            ),
            Scenario(
                name="backfill",
                title=f"A backfill of the hot table in one UPDATE, {rewrite:g} s or more",
                revisions=(f"UPDATE conversations SET note = slowly('filled', {rewrite / SLOW_ROWS})",),
                applied="SELECT count(*) > 0 FROM conversations WHERE note = 'filled'",
            ),
            Scenario(
                name="thinking",
                title=f"ADD COLUMN, then {slow:g} s of other work in the same revision",
                revisions=("ALTER TABLE conversations ADD COLUMN extra jsonb",),
                applied=_has_column("conversations", "extra"),
                think_seconds=slow,
            ),
            Scenario(
                name="five-runners",
                title="Five runners at once",
                revisions=(
                    "CREATE TABLE labels (id int PRIMARY KEY, name text NOT NULL)",
                    "INSERT INTO labels SELECT n, slowly('label', 0.1) FROM generate_series(1, 10) AS n",
                    "ALTER TABLE conversations ADD COLUMN label_id int REFERENCES labels",
                ),
                applied=_has_column("conversations", "label_id"),
                runners=5,
            ),
            Scenario(
                name="sigkill",
                title=f"SIGKILL in the middle of a rewrite of {killed:g} s or more",
                revisions=(_rewrite(killed),),
                applied=_has_column("conversations", "note", "text"),
                is_killed=True,
            ),
            Scenario(
                name="busy",
                title="ADD COLUMN on a table of 200 transactions a second, open for 20 ms on average",
                revisions=tuple(f"ALTER TABLE conversations ADD COLUMN extra_{n} int" for n in range(1, repeats + 1)),
                applied=_has_column("conversations", "extra_1"),
                hold_seconds=0.02,
                rate=200,
                repeats=repeats,
            ),
        )
    }


def _rewrite(seconds: float) -> str:
    return f"ALTER TABLE conversations ALTER COLUMN note TYPE text USING slowly(note, {seconds / SLOW_ROWS})"


def _has_column(table: str, column: str, kind: str | None = None) -> str:
    of_kind = f" AND atttypid = '{kind}'::regtype" if kind else ""
    return (
        f"SELECT count(*) > 0 FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attname = '{column}'{of_kind}"
    )
