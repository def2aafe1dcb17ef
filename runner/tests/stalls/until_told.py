"""A statement that works until the test says so: however slow the machine, what was to happen meanwhile has happened."""

from harness.postgres import Database

WORK_UNTIL_TOLD = "DO $$ BEGIN LOOP EXIT WHEN EXISTS (SELECT FROM told); PERFORM pg_sleep(0.02); END LOOP; END $$"
WORKING = "DO $$ BEGIN LOOP EXIT WHEN EXISTS%"


def tell(database: Database) -> None:
    """Let it end."""
    database.execute("INSERT INTO told VALUES (1)")
