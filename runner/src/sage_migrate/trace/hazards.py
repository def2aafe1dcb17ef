"""Judge what was seen by the linter's words: its rules say what a statement may do, the server says whether it did.

A rule's finding counts where the server showed one of its hazards; a hazard that the server showed and that no rule
speaks of (SQL in a function, an ORM's loop) gets a finding of its own, under the code of the rule nearest to it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sage_migrate.lint import sql as lint_sql
from sage_migrate.lint import statements as ir
from sage_migrate.lint.analysis import Analysis
from sage_migrate.lint.rule import Finding, Rule, StepRule, rules_of
from sage_migrate.lint.schema import Schema
from sage_migrate.timeline.lock_modes import spell_mode
from sage_migrate.timeline.words import enumerate_names
from sage_migrate.trace.catalog import Relation
from sage_migrate.trace.results import Breakage, Hazard
from sage_migrate.trace.watch import STRONG, Seen, Watch

_HALF = 0.5
_ONE_ROW = 1
_REFUSED_IN_TRANSACTION = ("25001", "55P04")
_NOT_NULL_VIOLATION = "23502"
_EVIDENCE = 3
OLD_CODE = "old_code_breaks"
# Where no rule speaks of what the server showed.
_NEAREST = {
    "access_exclusive_long": "SM116",
    "blocks_writes_long": "SM116",
    "fk_two_table_lock": "SM103",
    "multi_lock_transaction": "SM115",
    "unbounded_backfill": "SM117",
    "concurrently_in_transaction": "SM102",
    "data_loss": "SM118",
}
_NEAREST_BY_SQLSTATE = {
    "42P01": "SM113",
    "3F000": "SM113",
    "42703": "SM112",
    "23502": "SM111",
    "23514": "SM122",
    "42501": "SM122",
    "P0001": "SM122",
    "42883": "SM128",
    "42704": "SM128",
    "42P10": "SM124",
    "22P02": "SM125",
}
_OTHERWISE = "SM108"


@dataclass(kw_only=True, slots=True)
class Shown:
    """The hazards that the server showed at one statement, each with its tables."""

    tables: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def add(self, hazard: str, tables: set[int]) -> None:
        """Note a hazard."""
        self.tables[hazard] |= tables


def judge(
    watch: Watch, schema: Schema, new_tables: set[str], *, contract: bool, breakages: Sequence[Breakage]
) -> list[Hazard]:
    """Return a revision's hazards; ``schema`` and ``new_tables`` take in what it changed."""
    shown = _show(watch)
    found: list[Hazard] = []
    covered: dict[int, set[str]] = defaultdict(set)
    told: set[str] = set()
    for place, rule, finding, relation in _candidates(watch, schema, new_tables, contract=contract):
        hazards = finding.hazards if finding.hazards is not None else rule.hazards
        proofs = _proofs(relation, breakages, watch)
        confirmed = tuple(each for each in hazards if each in shown[place].tables or (each == OLD_CODE and proofs))
        covered[place] |= set(confirmed)
        if not confirmed:
            continue
        if OLD_CODE in confirmed:
            told |= {each.sql for each in proofs}
        found.append(
            Hazard(
                code=rule.code,
                rule=rule.slug,
                hazards=confirmed,
                severity=rule.severity,
                message=finding.message,
                help=finding.help,
                relation=relation,
                line=watch.seen[place].line,
                evidence=_evidence(proofs) if OLD_CODE in confirmed else (),
            )
        )
    for place, work in enumerate(watch.seen):
        for hazard, tables in shown[place].tables.items():
            if hazard not in covered[place] and not (contract and hazard == OLD_CODE):
                found.append(_unforeseen(hazard, tables, work, watch))
    if not contract:
        found += _untold([each for each in breakages if each.sql not in told])
    return list({(each.code, each.relation, each.message): each for each in found}.values())


# What the server showed


def _show(watch: Watch) -> list[Shown]:
    by_oid = watch.relations.by_oid
    tables = {oid: by_oid[oid] for oid in watch.live if oid in by_oid and by_oid[oid].is_table}
    written: dict[int, int] = {}
    lost: dict[int, int] = defaultdict(int)
    transaction = -1
    found = []
    for work in watch.seen:
        if work.transaction != transaction:
            written, transaction = {}, work.transaction
        shown = Shown()
        _show_locks(work, tables, shown)
        _show_writes(work, tables, written, shown)
        _show_loss(work, tables, lost, shown)
        if work.sqlstate in _REFUSED_IN_TRANSACTION:
            shown.add("concurrently_in_transaction", set())
        elif work.sqlstate == _NOT_NULL_VIOLATION and any(
            isinstance(a, (ir.AddColumn, ir.SetNotNull)) for a in work.actions
        ):
            shown.add(OLD_CODE, set())  # the rows' fate is that of what old code inserts
        found.append(shown)
    return found


def _show_locks(work: Seen, tables: dict[int, Relation], shown: Shown) -> None:
    strong = {oid: modes & set(STRONG) for oid, modes in work.held.items() if oid in tables and modes & set(STRONG)}
    before = {oid for oid, modes in work.held_before.items() if oid in tables and modes & set(STRONG)}

    def whole(oids: set[int]) -> set[int]:
        return {tables[oid].parent or oid for oid in oids}

    taken = whole({oid for oid in strong if oid not in before}) - whole(before)
    if before and taken and work.in_transaction:
        shown.add("multi_lock_transaction", {oid for oid in strong if oid not in before})
    done = _work(work, tables)
    if not done:
        return
    exclusive = {oid for oid, modes in strong.items() if "AccessExclusiveLock" in modes}
    if exclusive:
        shown.add("access_exclusive_long", done)
    # A change of type makes the keys on the column anew, under ACCESS EXCLUSIVE.
    changes_type = any(isinstance(each, ir.AlterType) for each in work.actions)
    checks_key = not changes_type and any(kind == "f" for _, kind in work.constraints.values())
    makes_index = checks_key or any(isinstance(each, ir.CreateIndex) for each in work.actions)
    # ADD UNIQUE takes SHARE for its index beside ACCESS EXCLUSIVE: the stronger one is what counts.
    sharing = {
        oid
        for oid, modes in strong.items()
        if modes & {"ShareLock", "ShareRowExclusiveLock"} and (makes_index or oid not in exclusive)
    }
    if sharing:
        shown.add("blocks_writes_long", done)
        if checks_key and len([oid for oid, modes in strong.items() if "ShareRowExclusiveLock" in modes]) > 1:
            shown.add("fk_two_table_lock", sharing)


def _work(work: Seen, tables: dict[int, Relation]) -> set[int]:
    """Return the live tables that the statement did work in proportion to."""
    found = (work.scans | work.rewrites | set(work.indexes_built.values())) & set(tables)
    return found | {oid for oid, rows in work.written.items() if oid in tables and rows >= _HALF * tables[oid].rows > 0}


def _show_writes(work: Seen, tables: dict[int, Relation], written: dict[int, int], shown: Shown) -> None:
    if not work.in_transaction:
        written = {}
    for oid, rows in work.written.items():
        written[oid] = written.get(oid, 0) + rows
        if oid in tables and written[oid] >= _HALF * tables[oid].rows > 0:
            shown.add("unbounded_backfill", {oid})
    copies = any(isinstance(each, (ir.Insert, ir.CreateTable)) and each.copies is not None for each in work.actions)
    sources = {oid for oid in work.scans if oid in tables and tables[oid].rows}
    if copies and sources and work.inserted >= _HALF * min(tables[oid].rows for oid in sources):
        shown.add("unbounded_backfill", sources)


def _show_loss(work: Seen, tables: dict[int, Relation], lost: dict[int, int], shown: Shown) -> None:
    gone = {oid for oid in work.lost_columns | work.lost_tables if oid in tables and tables[oid].kind in "rp"}
    gone |= work.shortened | {oid for oid in work.emptied if tables[oid].rows > _ONE_ROW}
    for oid, rows in work.lost.items():
        lost[oid] += rows
        if oid in tables and rows > 0 and lost[oid] > _ONE_ROW:
            gone.add(oid)
    if gone:
        shown.add("data_loss", gone)


# What the rules say


def _candidates(
    watch: Watch, schema: Schema, new_tables: set[str], *, contract: bool
) -> Iterator[tuple[int, Rule, Finding, str]]:
    """Yield what the linter's rules say of the statements that were really sent, on the schema that really was there."""
    statements: list[ir.Statement] = []
    places: dict[int, int] = {}
    for place, work in enumerate(watch.seen):
        for parsed in lint_sql.parse(work.sql):
            statement = ir.Statement(
                actions=parsed.actions,
                line=work.line or 1,
                column=1,
                in_transaction=work.in_transaction,
                transaction=work.transaction,
                repeated=work.executions > 1,
                parts=work.parts,
                sql=parsed.text,
                literals=parsed.literals,
            )
            places[id(statement)] = place
            statements.append(statement)
    analysis = Analysis(statements=statements, schema=schema, contract=contract, new_tables=new_tables)
    rules = [rule for rule in rules_of("revisions") if isinstance(rule, StepRule)]
    for step in analysis.steps():
        for rule in rules:
            for finding in rule.check(step):
                yield places[id(step.statement)], rule, finding, step.action.table


def _proofs(relation: str, breakages: Sequence[Breakage], watch: Watch) -> list[Breakage]:
    """Return what of old code breaks on ``relation``; of a type, a view or an index all that breaks."""
    is_table = any(watch.relations.by_oid[oid].name == relation for oid in watch.live if oid in watch.relations.by_oid)
    return [each for each in breakages if relation in each.relations or not is_table]


def _evidence(proofs: Sequence[Breakage]) -> tuple[str, ...]:
    told = [f"{each.source}: {each.problem}: {each.sql}" for each in proofs]
    more = [f"and {len(told) - _EVIDENCE} more"] if len(told) > _EVIDENCE else []
    return (*told[:_EVIDENCE], *more)


# What no rule speaks of


def _unforeseen(hazard: str, tables: set[int], work: Seen, watch: Watch) -> Hazard:
    names = sorted(watch.relations.by_oid[oid].name for oid in tables if oid in watch.relations.by_oid)
    what = enumerate_names(names) or "the schema"
    held = sorted(
        f"{spell_mode(mode)} on {watch.relations.by_oid[oid].name}"
        for oid, modes in work.held.items()
        if oid in watch.live and oid in watch.relations.by_oid and watch.relations.by_oid[oid].is_table
        for mode in modes & set(STRONG)
    )
    locked = enumerate_names(held) or "a lock"
    messages = {
        "access_exclusive_long": f"This works through {what} while {locked} is held: nobody reads or writes it meanwhile.",
        "blocks_writes_long": f"This works through {what} while {locked} is held: nobody writes it meanwhile.",
        "fk_two_table_lock": f"A foreign key is checked while {locked} is held: nobody writes either table meanwhile.",
        "multi_lock_transaction": f"{what} is locked while another live table still is ({locked}): whoever waits for one waits for both.",
        "unbounded_backfill": f"This writes or copies most of {what} in one transaction.",
        "concurrently_in_transaction": f"PostgreSQL refuses this in a transaction: {work.problem}.",
        "data_loss": f"Rows, columns or characters of {what} are gone.",
        OLD_CODE: f"The rows that are there do not fit, and no more do those that the old release inserts: {work.problem}.",
    }
    return _finding(
        _NEAREST.get(hazard, "SM111"), (hazard,), messages[hazard], relation=names[0] if names else "", line=work.line
    )


def _untold(breakages: Sequence[Breakage]) -> Iterator[Hazard]:
    by_kind: dict[tuple[str, str], list[Breakage]] = defaultdict(list)
    for each in breakages:
        code = _NEAREST_BY_SQLSTATE.get(each.sqlstate, _OTHERWISE)
        by_kind[code, each.relations[0] if each.relations else ""].append(each)
    for (code, relation), proofs in by_kind.items():
        yield _finding(
            code,
            (OLD_CODE,),
            f"What the release that still serves says to {relation or 'the database'} fails from now on: {proofs[0].problem}.",
            relation=relation,
            evidence=_evidence(proofs),
        )


def _finding(  # noqa: PLR0913  what a finding consists of
    code: str,
    hazards: tuple[str, ...],
    message: str,
    *,
    relation: str,
    line: int | None = None,
    evidence: tuple[str, ...] = (),
) -> Hazard:
    rule = next(each for each in rules_of("revisions") if each.code == code)
    return Hazard(
        code=code,
        rule=rule.slug,
        hazards=hazards,
        severity="error",
        message=message,
        help=f"Instead: {rule.workaround[0].lower()}{rule.workaround[1:]}",
        relation=relation,
        line=line,
        evidence=evidence,
    )
