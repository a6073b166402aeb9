"""The append to PostgreSQL, as one statement."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Case,
    String,
    Table,
    Update,
    bindparam,
    case,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.sql.selectable import Select

from eventsourcing_alchemy.dialects.postgresql.queue import has_room
from eventsourcing_alchemy.dialects.postgresql.stored_rows import (
    row_parameters,
    stored_rows,
)
from eventsourcing_alchemy.host import StoredEvent
from eventsourcing_alchemy.schema.tables import applications
from eventsourcing_alchemy.statements.applications import advance_position

_EVENT_COLUMNS = ("originator_id", "originator_version", "topic", "state")


def event_parameters(events: Sequence[StoredEvent]) -> dict[str, Any]:
    """The parameters of `append_statement()` that the events are in."""
    return row_parameters(
        _EVENT_COLUMNS,
        [tuple(getattr(event, name) for name in _EVENT_COLUMNS) for event in events],
    )


@cache
def append_statement(
    table: Table, channel: str | None, is_single: bool, is_queued: bool
) -> Select[Any]:
    """The append of events, as one statement that returns the last position.

    With a channel, it returns a second column, which is NULL where the server's queue
    had no room for the notification.

    Those who append to the same application queue on an advisory lock first:
    waiting for it costs less than waiting for the row, and nobody but the first
    in the queue meets the row locked.

    Args:
        table: of the events.
        channel: to notify, None for none.
        is_single: whether there is but one event.
        is_queued: whether to take the advisory lock.
    """
    advanced = _advanced_in_turn() if is_queued else advance_position()
    counter = advanced.returning(
        applications.c.id, applications.c.last_notification_id
    ).cte("counter")
    stored = stored_rows(table, _EVENT_COLUMNS, counter, is_single=is_single)
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
        columns.append(notified(channel))
    return select(*columns).select_from(counter).add_cte(inserted)


def _advanced_in_turn() -> Update:
    queue = select(
        func.pg_advisory_xact_lock(bindparam("queue", type_=BigInteger))
        .cast(String)
        .label("locked")
    ).cte("queue")
    # Reading the CTE makes it run, and before the row is locked.
    is_turn = select(literal(1)).select_from(queue).exists()
    return advance_position().where(is_turn)


def notified(channel: str) -> Case[Any]:
    """Announces new events, where the queue has room; NULL where it has none."""
    # Cast, because asyncpg makes None of its type.
    announced = func.pg_notify(channel, bindparam("application")).cast(String)
    return case((has_room(), announced))
