"""The append to PostgreSQL, as one statement."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from eventsourcing.persistence import StoredEvent
from sqlalchemy import (
    BigInteger,
    String,
    Table,
    bindparam,
    column,
    func,
    insert,
    literal,
    literal_column,
    select,
)
from sqlalchemy.sql.selectable import CTE, Select

from eventsourcing_alchemy import statements
from eventsourcing_alchemy.dialects.arrays import Array
from eventsourcing_alchemy.tables import applications

_EVENT_COLUMNS = ("originator_id", "originator_version", "topic", "state")


def event_parameters(events: Sequence[StoredEvent]) -> dict[str, Any]:
    """The parameters of `append_statement()` that the events are in."""
    if len(events) == 1:
        (event,) = events
        return {name: getattr(event, name) for name in _EVENT_COLUMNS}
    return {
        f"{name}s": [getattr(event, name) for event in events]
        for name in _EVENT_COLUMNS
    }


@cache
def append_statement(table: Table, channel: str | None, is_single: bool) -> Select[Any]:
    """The append of events, as one statement that returns the last position.

    Those who append to the same application queue on an advisory lock first:
    waiting for it costs less than waiting for the row, and nobody but the first
    in the queue meets the row locked.

    Args:
        table: of the events.
        channel: to notify, None for none.
        is_single: whether there is but one event.
    """
    queue = select(
        func.pg_advisory_xact_lock(bindparam("queue", type_=BigInteger))
        .cast(String)
        .label("locked")
    ).cte("queue")
    counter = (
        statements.advance_position()
        # Reading the CTE makes it run, and before the row is locked.
        .where(select(literal(1)).select_from(queue).exists())
        .returning(applications.c.id, applications.c.last_notification_id)
        .cte("counter")
    )
    stored = _single(table, counter) if is_single else _unnested(table, counter)
    position = (
        counter.c.last_notification_id
        - bindparam("count", type_=BigInteger)
        + stored.number
    )
    inserted = (
        insert(table)
        .from_select(
            ["application_id", "notification_id", *_EVENT_COLUMNS],
            select(counter.c.id, position, *stored.values).select_from(stored.source),
            include_defaults=False,
        )
        .cte("inserted")
    )
    columns: list[Any] = [counter.c.last_notification_id]
    if channel is not None:
        columns.append(func.pg_notify(channel, bindparam("application")))
    return select(*columns).select_from(counter).add_cte(inserted)


class _Stored(NamedTuple):
    """Events as rows of a query.

    Attributes:
        number: of an event, from 1.
        values: of `_EVENT_COLUMNS`.
        source: what to select from.
    """

    number: Any
    values: Sequence[Any]
    source: Any


def _single(table: Table, counter: CTE) -> _Stored:
    """One event, as it is: without arrays, which take time on both sides."""
    values = [bindparam(name, type_=table.c[name].type) for name in _EVENT_COLUMNS]
    return _Stored(literal_column("1"), values, counter)


def _unnested(table: Table, counter: CTE) -> _Stored:
    """The events of one array a column."""
    arrays = [
        bindparam(f"{name}s", type_=Array(table.c[name].type))
        for name in _EVENT_COLUMNS
    ]
    names = [column(name, table.c[name].type) for name in _EVENT_COLUMNS]
    rows = (
        func.unnest(*arrays)
        .table_valued(*names, with_ordinality="number", name="stored")
        .render_derived()
    )
    values = [rows.c[name] for name in _EVENT_COLUMNS]
    return _Stored(rows.c.number, values, counter.join(rows, literal(True)))
