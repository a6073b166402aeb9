"""The append of events with tags to PostgreSQL, as one statement."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ScalarSelect,
    String,
    bindparam,
    case,
    column,
    func,
    insert,
    literal_column,
    select,
    true,
)
from sqlalchemy.sql.selectable import CTE, Select

from eventsourcing_alchemy.dialects.base.dcb_appending import (
    Append,
    event_rows,
    tag_rows,
)
from eventsourcing_alchemy.dialects.postgresql.append_statement import notified
from eventsourcing_alchemy.dialects.postgresql.arrays import Array
from eventsourcing_alchemy.dialects.postgresql.dcb_conditions import (
    Shapes,
    conflicts,
)
from eventsourcing_alchemy.dialects.postgresql.stored_rows import (
    row_parameters,
    stored_rows,
)
from eventsourcing_alchemy.schema.tables import applications, dcb_events, dcb_tags
from eventsourcing_alchemy.statements.applications import advance_position

_EVENT_COLUMNS = ("type", "data", "tags", "append_id")

_POSITION = bindparam("count", type_=BigInteger)


def event_parameters(group: Sequence[Append]) -> dict[str, Any]:
    """The parameters of `dcb_append_statement()` that the events are in."""
    tags = tag_rows(group, 1)
    names, numbers, types = zip(*tags, strict=True) if tags else ((), (), ())
    return {
        **row_parameters(_EVENT_COLUMNS, event_rows(group)),
        "tag_names": list(names),
        "tag_numbers": list(numbers),
        "tag_types": list(types),
    }


@lru_cache(maxsize=1000)
def dcb_append_statement(
    shapes: Shapes,
    channel: str | None,
    *,
    is_alone: bool,
    is_single: bool,
    is_queued: bool,
) -> Select[Any]:
    """The append of events with tags, unless a condition fails.

    It does nothing where another transaction is appending, or has appended since the
    statement began: it would not see what that has stored. The counter tells, because
    an UPDATE looks at the newest version of its row, and all the rest at the one of the
    beginning.

    It returns the last position before, the last position after, and the columns of
    `conflicts()`, with a row for each of these, or one without; with a channel, a
    further column as `append_statement()`.

    Args:
        shapes: of the conditions.
        channel: to notify, None for none.
        is_alone: whether there is but one who appends.
        is_single: whether there is but one event.
        is_queued: whether to take the advisory lock. Without it, that or the row has
            to be locked before.
    """
    head = (
        select(applications.c.id, applications.c.last_notification_id.label("position"))
        .where(applications.c.name == bindparam("application"))
        .cte("head")
    )
    upto = select(head.c.position).scalar_subquery()
    conflict = conflicts(shapes, upto, is_single=is_alone).cte("conflict")
    counter = _counter(head, conflict, is_queued=is_queued)
    events = _insert_events(counter, is_single=is_single)
    columns: list[Any] = [
        head.c.position,
        counter.c.last_notification_id,
        conflict.c.number,
        conflict.c.position,
    ]
    if channel is not None:
        has_appended = counter.c.last_notification_id.is_not(None)
        columns.append(case((has_appended, notified(channel))))
    source = head.outerjoin(counter, true()).outerjoin(conflict, true())
    return select(*columns).select_from(source).add_cte(events, _insert_tags(counter))


def _counter(head: CTE, conflict: CTE, *, is_queued: bool) -> CTE:
    advanced = advance_position().where(
        applications.c.id == head.c.id,
        applications.c.last_notification_id == head.c.position,
        ~select(conflict.c.number).exists(),
    )
    if is_queued:
        advanced = advanced.where(_is_turn())
    return advanced.returning(
        applications.c.id, applications.c.last_notification_id
    ).cte("counter")


def _is_turn() -> ScalarSelect[bool]:
    lock = func.pg_try_advisory_xact_lock(bindparam("queue", type_=BigInteger))
    turn = select(lock.label("is_ours")).cte("turn")
    return select(turn.c.is_ours).scalar_subquery()


def _insert_events(counter: CTE, *, is_single: bool) -> CTE:
    stored = stored_rows(dcb_events, _EVENT_COLUMNS, counter, is_single=is_single)
    position = counter.c.last_notification_id - _POSITION + stored.number
    rows = select(counter.c.id, position, *stored.values).select_from(stored.source)
    names = ["application_id", "position", *_EVENT_COLUMNS]
    return (
        insert(dcb_events)
        .from_select(names, rows, include_defaults=False)
        .cte("inserted_events")
    )


def _insert_tags(counter: CTE) -> CTE:
    types = {"tag": String, "number": BigInteger, "type": String}
    names = ("tag_names", "tag_numbers", "tag_types")
    arrays = [
        bindparam(name, type_=Array(type_))
        for name, type_ in zip(names, types.values(), strict=True)
    ]
    tags = (
        func.unnest(*arrays)
        .table_valued(*(column(name, type_) for name, type_ in types.items()))
        .render_derived(name="given")
    )
    position = counter.c.last_notification_id - _POSITION + tags.c.number
    rows = select(counter.c.id, tags.c.tag, position, tags.c.type).select_from(
        counter.join(tags, literal_column("true"))
    )
    names_of_columns = ["application_id", "tag", "position", "type"]
    return (
        insert(dcb_tags)
        .from_select(names_of_columns, rows, include_defaults=False)
        .cte("inserted_tags")
    )
