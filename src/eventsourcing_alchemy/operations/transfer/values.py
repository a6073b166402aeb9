"""The values of other modules' tables, as this package keeps them."""

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Dialect, String, TypeDecorator

from eventsourcing_alchemy.schema.types import RecordedAt


class HexUuid(TypeDecorator[UUID]):
    """A UUID as 32 hexadecimal digits."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return the digits."""
        return None if value is None else value.hex

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:  # noqa: ARG002
        """Return what makes a UUID of the digits."""
        return _uuid


@lru_cache(maxsize=4096)
def _uuid(digits: str) -> UUID:
    try:
        return UUID(digits)
    except (TypeError, ValueError, AttributeError):
        problem = f"originator_id {digits!r} is not a UUID"
        if isinstance(digits, str):
            problem += f": {set_id_type('text')}"
        raise ValueError(problem) from None


def set_id_type(id_type: str) -> str:
    """What to do about IDs of the other type.

    Args:
        id_type: of the IDs in the source.
    """
    return (
        f"set ORIGINATOR_ID_TYPE={id_type} in the settings of the source, and for the "
        f"application"
    )


class Tags(TypeDecorator[str]):
    """An array of tags, as the text of a JSON list."""

    impl = ARRAY(String)
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> str:  # noqa: ARG002
        """Return the text."""
        return tags_as_text(value)


def tags_as_text(tags: list[str]) -> str:
    """The tags in the order in which they were given, as they are stored."""
    return json.dumps(tags, ensure_ascii=False)


class UtcTime(TypeDecorator[datetime]):
    """A time of recording, in UTC also where the database keeps no zone."""

    impl = RecordedAt
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return what makes a time in UTC of what the driver returns."""
        inner: Any = super().result_processor(dialect, coltype)
        return _in_utc if inner is None else lambda value: _in_utc(inner(value))


def _in_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
