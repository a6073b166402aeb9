"""The tables of events, which have columns in common under different names."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    FromClause,
    Select,
    Table,
    bindparam,
    func,
    select,
)

from eventsourcing_alchemy.schema.tables import dcb_events, events, text_events


@dataclass(frozen=True)
class EventTable:
    """A table of events.

    Attributes:
        table: of the schema.
        position: the column of positions.
        topic: that of topics, or types.
        state: that of states, or data.
    """

    table: Table
    position: Column[int]
    topic: Column[str]
    state: Column[bytes]

    @property
    def application_id(self) -> Column[int]:
        """The column of the applications' IDs."""
        return self.table.c.application_id


def _of_aggregates(table: Table) -> EventTable:
    columns = table.c
    return EventTable(table, columns.notification_id, columns.topic, columns.state)


OF_UUIDS = _of_aggregates(events)
OF_TEXTS = _of_aggregates(text_events)
OF_TAGS = EventTable(
    dcb_events, dcb_events.c.position, dcb_events.c.type, dcb_events.c.data
)

EVENT_TABLES: Sequence[EventTable] = (OF_UUIDS, OF_TEXTS, OF_TAGS)


def recorded_at(
    application_id: ColumnElement[int],
    position: ColumnElement[int],
    *outside: FromClause,
) -> ColumnElement[datetime]:
    """When the event at a position was recorded, NULL if there is none.

    By subqueries rather than joins: each is a look into the primary key, whatever the
    planner thinks of the tables.

    Args:
        application_id: of the application.
        position: of the event.
        *outside: the tables of the statement that these columns are of.
    """
    found: list[Any] = [
        select(each.table.c.recorded_at)
        .where(each.application_id == application_id, each.position == position)
        .correlate(*outside)
        .scalar_subquery()
        for each in EVENT_TABLES
    ]
    return func.coalesce(*found, type_=events.c.recorded_at.type)


@cache
def position_beside(position: Column[int], *, below: bool = False) -> Select[Any]:
    """The first position above `:position` in the application `:id`.

    Args:
        position: the column of positions.
        below: whether to look for the last one up to `:position` instead.
    """
    given = bindparam("position", type_=BigInteger)
    return (
        select(position)
        .where(
            position.table.c.application_id == bindparam("id", type_=BigInteger),
            position <= given if below else position > given,
        )
        .order_by(position.desc() if below else position)
        .limit(1)
    )
