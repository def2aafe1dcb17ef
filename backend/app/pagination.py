"""Where a page of a newest-first list ended: the key after which the next one begins."""

import base64
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_KEY = struct.Struct(">q16s")


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """The sort key of the last row of a page."""

    created_at: datetime
    id: UUID

    def __str__(self) -> str:
        """Return the key as opaque text that is safe in a URL."""
        microseconds = (self.created_at - _EPOCH) // _MICROSECOND
        return base64.urlsafe_b64encode(_KEY.pack(microseconds, self.id.bytes)).decode()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the key that ``text`` stands for.

        Raises:
            ValueError: when no list of ours ever gave out this text.
        """
        try:
            microseconds, key = _KEY.unpack(base64.b64decode(text, altchars=b"-_", validate=True))
            return cls(created_at=_EPOCH + microseconds * _MICROSECOND, id=UUID(bytes=key))
        except (ValueError, OverflowError, struct.error) as error:
            msg = "not a cursor that an earlier page returned"
            raise ValueError(msg) from error
