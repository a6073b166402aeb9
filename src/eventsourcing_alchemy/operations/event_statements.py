"""The statements that read stored events."""

from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    String,
    Table,
    bindparam,
    case,
    exists,
    func,
    literal,
    null,
    select,
)

from eventsourcing_alchemy.operations.event_tables import EVENT_TABLES, EventTable
from eventsourcing_alchemy.schema.tables import applications

SHOWN_IN_LISTS = 32 * 1024
"""Bytes of a state up to which it is read with others."""

SHOWN_ALONE = 4 * 1024 * 1024
"""Bytes of a state up to which it is read by itself."""


@cache
def application_row() -> Select[Any]:
    """The ID and last position of `:application`."""
    last = applications.c.last_notification_id.label("last_position")
    return select(applications.c.id, last).where(
        applications.c.name == bindparam("application", type_=String)
    )


@cache
def application_names() -> Select[Any]:
    """The first names of applications."""
    return select(applications.c.name).order_by(applications.c.name).limit(20)


@cache
def tables_in_use() -> Select[Any]:
    """For each table of events, 1 if it has some of the application `:id`."""
    found = (exists().where(each.application_id == _id()) for each in EVENT_TABLES)
    return select(*(case((each, 1), else_=0) for each in found))


@cache
def page_rows(each: EventTable, *, by_topic: bool, newest_first: bool) -> Select[Any]:
    """The first `:limit` events above `:low`, up to `:high`; with `:topic`.

    Bounded on both sides, as pages of subscriptions are.
    """
    order = each.position.desc() if newest_first else each.position
    statement = _events(each, SHOWN_IN_LISTS).where(
        each.position > bindparam("low", type_=BigInteger),
        each.position <= bindparam("high", type_=BigInteger),
    )
    if by_topic:
        statement = statement.where(each.topic == bindparam("topic", type_=String))
    return statement.order_by(order).limit(bindparam("limit", type_=BigInteger))


@cache
def topic_rows(each: EventTable) -> Select[Any]:
    """Each topic above `:low`, up to `:high`: number, first and last position."""
    position = each.position
    columns: list[Any] = [each.topic, func.count()]
    return (
        select(*columns, func.min(position), func.max(position))
        .where(
            each.application_id == _id(),
            position > bindparam("low", type_=BigInteger),
            position <= bindparam("high", type_=BigInteger),
        )
        .group_by(each.topic)
    )


@cache
def event_row(each: EventTable) -> Select[Any]:
    """The event at `:position`."""
    position = bindparam("position", type_=BigInteger)
    return _events(each, SHOWN_ALONE).where(each.position == position)


@cache
def aggregate_rows(each: EventTable) -> Select[Any]:
    """The last `:limit` events of `:aggregate` after `:after`, newest first."""
    columns = each.table.c
    return (
        _events(each, SHOWN_IN_LISTS)
        .where(
            columns.originator_id == bindparam("aggregate"),
            # Or SQLite reads all events after the position, by the primary key.
            each.position + 0 > bindparam("after", type_=BigInteger),
        )
        .order_by(columns.originator_version.desc())
        .limit(bindparam("limit", type_=BigInteger))
    )


@cache
def snapshot_rows(table: Table) -> Select[Any]:
    """The last `:limit` snapshots of `:aggregate`, newest first."""
    columns = table.c
    return (
        select(
            null().label("position"),
            columns.originator_id.label("aggregate_id"),
            columns.originator_version.label("version"),
            null().label("tags"),
            columns.topic.label("topic"),
            columns.recorded_at,
            *_state(columns.state, SHOWN_IN_LISTS),
        )
        .where(
            columns.application_id == _id(),
            columns.purpose == literal("snapshots", String),
            columns.originator_id == bindparam("aggregate"),
        )
        .order_by(columns.originator_version.desc())
        .limit(bindparam("limit", type_=BigInteger))
    )


def _events(each: EventTable, shown: int) -> Select[Any]:
    columns = each.table.c
    nothing: ColumnElement[Any] = null()
    return select(
        each.position.label("position"),
        columns.get("originator_id", nothing).label("aggregate_id"),
        columns.get("originator_version", nothing).label("version"),
        columns.get("tags", nothing).label("tags"),
        each.topic.label("topic"),
        columns.recorded_at,
        *_state(each.state, shown),
    ).where(each.application_id == _id())


def _state(state: Any, shown: int) -> tuple[ColumnElement[int], ColumnElement[Any]]:
    size = func.length(state)
    shown_state = case((size <= shown, state), else_=null())
    return size.label("size"), shown_state.label("state")


def _id() -> Any:
    return bindparam("id", type_=BigInteger)
