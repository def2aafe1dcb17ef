"""The lock modes of relations, told by whom they hold up.

https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
"""

import re
from enum import IntEnum

_STRENGTH = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)


class Effect(IntEnum):
    """Whom a lock holds up, from the least to the most."""

    ORDINARY = 0
    SCHEMA = 1
    WRITES = 2
    EVERYTHING = 3

    @property
    def meaning(self) -> str:
        """Say it in a few words."""
        return _MEANINGS[self]


_MEANINGS = {
    Effect.ORDINARY: "as ordinary queries take: blocks no query",
    Effect.SCHEMA: "blocks other schema changes and VACUUM",
    Effect.WRITES: "blocks writes",
    Effect.EVERYTHING: "blocks reads and writes",
}
_EFFECTS = {
    "ShareUpdateExclusiveLock": Effect.SCHEMA,
    "ShareLock": Effect.WRITES,
    "ShareRowExclusiveLock": Effect.WRITES,
    "ExclusiveLock": Effect.WRITES,
    "AccessExclusiveLock": Effect.EVERYTHING,
}


def effect_of(mode: str) -> Effect:
    """Return whom ``mode``, as ``pg_locks`` writes it, holds up."""
    return _EFFECTS.get(mode, Effect.ORDINARY)


def strength_of(mode: str) -> int:
    """Return a number that grows with the strength of ``mode``."""
    return _STRENGTH.index(mode) if mode in _STRENGTH else -1


def spell_mode(mode: str) -> str:
    """Return ``mode`` as SQL and the manual write it: ``AccessExclusiveLock`` is ACCESS EXCLUSIVE."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", mode.removesuffix("Lock")).upper()
