"""Reading what an application has stored."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from sqlalchemy import Table

from eventsourcing_alchemy.operations.event_statements import (
    aggregate_rows,
    application_names,
    application_row,
    event_row,
    page_rows,
    snapshot_rows,
    tables_in_use,
    topic_rows,
)
from eventsourcing_alchemy.operations.event_tables import (
    EVENT_TABLES,
    OF_TEXTS,
    OF_UUIDS,
    EventTable,
    position_beside,
)
from eventsourcing_alchemy.operations.reading import Reader, UnknownNameError
from eventsourcing_alchemy.operations.stored_records import StoredRecord, stored_record
from eventsourcing_alchemy.schema.tables import snapshots, text_snapshots
from eventsourcing_alchemy.schema.validation import HIGHEST, checked_name

Records = list[StoredRecord]


class ApplicationReader:
    """Reads what an application has stored, in one transaction.

    Attributes:
        last_position: of the application.

    Args:
        reader: executes the statements.
        name: of the application.

    Raises:
        UnknownNameError: if there is no such application.
    """

    def __init__(self, reader: Reader, name: str) -> None:
        self._reader = reader
        checked_name("The application's name", name)
        rows = reader.rows(application_row(), {"application": name})
        if not rows:
            raise _no_application(reader, name)
        self._id: int = rows[0].id
        self.last_position: int = rows[0].last_position

    @property
    def _tables(self) -> Sequence[EventTable]:
        (row,) = self._reader.rows(tables_in_use(), {"id": self._id})
        return [
            each for each, is_used in zip(EVENT_TABLES, row, strict=True) if is_used
        ]

    def events(
        self,
        low: int,
        high: int,
        topic: str | None,
        limit: int,
        *,
        newest_first: bool,
    ) -> Records:
        """The first events above one position, and up to another.

        Args:
            low: the one position.
            high: the other.
            topic: of the events; None for all.
            limit: number of events at the most.
            newest_first: whether the order is that of falling positions.
        """
        parameters = {"low": low, "high": high, "topic": topic, "limit": limit}
        found: Records = []
        tables = self._tables
        for each in tables:
            statement = page_rows(
                each, by_topic=topic is not None, newest_first=newest_first
            )
            found += self._records(statement, parameters)
        if len(tables) > 1:
            found.sort(key=lambda each: each.position or 0, reverse=newest_first)
        return found[:limit]

    def after_gap(self, position: int) -> int:
        """The position before the next event; of the last event, if there is none."""
        return min(self._beside(position), default=self.last_position + 1) - 1

    def before_gap(self, position: int) -> int:
        """The position of the event at a position, or before; 0 if there is none."""
        return max(self._beside(position, below=True), default=0)

    def _beside(self, position: int, *, below: bool = False) -> Sequence[int]:
        parameters = {"position": position, "id": self._id}
        statements = (position_beside(it.position, below=below) for it in self._tables)
        return [
            row[0] for it in statements for row in self._reader.rows(it, parameters)
        ]

    def topics(self, low: int, high: int) -> Sequence[Any]:
        """The topics above one position and up to another.

        Returns:
            Of each: topic, number, first and last position.
        """
        parameters = {"low": low, "high": high, "id": self._id}
        found: list[Any] = []
        for each in self._tables:
            found += self._reader.rows(topic_rows(each), parameters)
        return found

    def event(self, position: int) -> StoredRecord | None:
        """The event at a position, None if there is none."""
        if not 0 < position <= HIGHEST:
            return None
        for each in self._tables:
            found = self._records(event_row(each), {"position": position})
            if found:
                return found[0]
        return None

    def history(
        self, aggregate_id: str, after: int, limit: int
    ) -> tuple[Records, Records]:
        """The newest events and snapshots of an aggregate, newest first.

        Args:
            aggregate_id: as text.
            after: only events at positions above.
            limit: number of each at the most.
        """
        with suppress(ValueError):
            uuid = UUID(aggregate_id)
            found = self._history(OF_UUIDS, snapshots, uuid, after, limit)
            if any(found):
                return found
        checked_name("The ID of the aggregate", aggregate_id)
        return self._history(OF_TEXTS, text_snapshots, aggregate_id, after, limit)

    def _history(
        self,
        events: EventTable,
        snapshots: Table,
        aggregate_id: UUID | str,
        after: int,
        limit: int,
    ) -> tuple[Records, Records]:
        parameters = {"aggregate": aggregate_id, "after": after, "limit": limit}
        return (
            self._records(aggregate_rows(events), parameters),
            self._records(snapshot_rows(snapshots), parameters),
        )

    def _records(self, statement: Any, parameters: Mapping[str, Any]) -> Records:
        rows = self._reader.rows(statement, {**parameters, "id": self._id})
        return [stored_record(row) for row in rows]


def _no_application(reader: Reader, name: str) -> UnknownNameError:
    names = [repr(row.name) for row in reader.rows(application_names())]
    there = f"it has {', '.join(names)}" if names else "it has none yet"
    return UnknownNameError(f"The database has no application {name!r}: {there}")
