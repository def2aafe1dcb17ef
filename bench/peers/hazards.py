"""Which hazards each rule of others speaks of, in this package's words, read generously; what is not here is style.

Style: types, names, IF EXISTS, missing timeouts, Django's state, one statement instead of two. A brief lock is no hazard.
"""

_LOCKED = frozenset(("access_exclusive_long", "blocks_writes_long"))
_CHECKED = _LOCKED | {"fk_two_table_lock"}
_BREAKS = frozenset(("old_code_breaks",))
_GONE = frozenset(("old_code_breaks", "data_loss"))
_TYPE = _LOCKED | _GONE
_REFUSED = frozenset(("concurrently_in_transaction",))
_BACKFILL = frozenset(("unbounded_backfill", "access_exclusive_long", "blocks_writes_long"))
_HELD = _LOCKED | {"multi_lock_transaction", "unbounded_backfill", "fk_two_table_lock"}

SQUAWK = {
    "adding-field-with-default": _LOCKED,
    "adding-foreign-key-constraint": _CHECKED,
    "adding-not-nullable-field": _LOCKED | _BREAKS,
    "adding-primary-key-constraint": _LOCKED,
    "adding-required-field": _LOCKED | _BREAKS,
    "adding-serial-primary-key-field": _LOCKED,
    "ban-alter-domain-with-add-constraint": _LOCKED | _BREAKS,
    "ban-alter-generated-expression": _BREAKS,
    "ban-alter-identity": _BREAKS,
    "ban-concurrent-index-creation-in-transaction": _REFUSED,
    "ban-disable-trigger": _BREAKS,
    "ban-drop-column": _GONE,
    "ban-drop-constraint": _BREAKS,
    "ban-drop-database": _GONE,
    "ban-drop-default": _BREAKS,
    "ban-drop-domain": _BREAKS,
    "ban-drop-extension": _GONE,
    "ban-drop-function": _BREAKS,
    "ban-drop-generated-expression": _BREAKS,
    "ban-drop-not-null": _BREAKS,
    "ban-drop-policy": _BREAKS,
    "ban-drop-schema": _GONE,
    "ban-drop-sequence": _BREAKS,
    "ban-drop-table": _GONE,
    "ban-drop-trigger": _BREAKS,
    "ban-drop-type": _GONE,
    "ban-drop-view": _BREAKS,
    "ban-replace-view-function": _BREAKS,
    "ban-revoke": _BREAKS,
    "ban-set-default": _BREAKS,
    "ban-set-schema": _BREAKS,
    "ban-truncate-cascade": _GONE,
    "changing-column-type": _TYPE,
    "constraint-missing-not-valid": _CHECKED | _BREAKS,
    "disallowed-unique-constraint": _LOCKED,
    "prefer-repack": _LOCKED,
    "renaming-column": _BREAKS,
    "renaming-object": _BREAKS,
    "renaming-table": _BREAKS,
    "require-concurrent-index-creation": _LOCKED,
    "require-concurrent-partition-detach": _LOCKED,
    "require-concurrent-refresh-materialized-view": _LOCKED,
    "require-concurrent-reindex": _LOCKED,
}
ALEMBIC_GUARD = {
    "AG001": _LOCKED | _BREAKS,
    "AG002": _LOCKED,
    "AG003": _REFUSED,
    "AG004": _BREAKS,
    "AG005": _GONE,
    "AG006": _TYPE,
    "AG007": _LOCKED | _BREAKS,
    "AG008": _CHECKED | _BREAKS,
    "AG009": _LOCKED,
    "AG010": _LOCKED,
}
ALEMBIC_MIGRATION_LINTER = {
    "NOT_NULL": _LOCKED | _BREAKS,
    "DROP_COLUMN": _GONE,
    "DROP_TABLE": _GONE,
    "RENAME_COLUMN": _BREAKS,
    "RENAME_TABLE": _BREAKS,
    "ADD_UNIQUE": _LOCKED,
    "ALTER_COLUMN": _TYPE,
    "CREATE_INDEX": _LOCKED,
    "CREATE_INDEX_EXCLUSIVE": _LOCKED,
    "REINDEX": _LOCKED,
}
ZDM = {
    "R001": _LOCKED,
    "R002": _LOCKED,
    "R003": _LOCKED,
    "R004": _REFUSED,
    "R005": _GONE,
    "R006": _CHECKED,
    "R010": _LOCKED | _BREAKS,
    "R011": _BREAKS,
    "R015": _TYPE,
    "R017": _CHECKED,
    "R019": _GONE,
}
MIGRATION_LINT = {
    **SQUAWK,
    "restricted": _TYPE | _CHECKED | _REFUSED,
    "backward incompatible": _GONE,
    "data migration": _BACKFILL | _GONE,
}
EUGENE = {
    "E1": _CHECKED | _BREAKS,  # a constraint is validated under a lock
    "E2": _LOCKED | _BREAKS,  # SET NOT NULL
    "E4": _HELD,  # more statements after ACCESS EXCLUSIVE
    "E5": _TYPE,  # a type change that rewrites
    "E6": _LOCKED,  # an index on a table that is there
    "E7": _LOCKED,  # a unique constraint
    "E8": _LOCKED,  # an exclusion constraint
    "E10": _LOCKED,  # a rewrite under a lock
    "E11": _LOCKED,  # a serial or generated column
}
