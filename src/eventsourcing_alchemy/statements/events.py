"""Statements on events and snapshots."""

from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Insert,
    Select,
    String,
    Table,
    bindparam,
    case,
    func,
    insert,
    null,
    select,
)

from eventsourcing_alchemy.schema.types import database_now
from eventsourcing_alchemy.statements.parameters import application_id, row

LARGE_STATE = 32 * 1024
"""Bytes from which on a page can leave a state out, to be read by itself."""


@cache
def insert_event(table: Table) -> Insert:
    """Adds an event, or snapshot, with parameters as in `row()`."""
    return insert(table).values(row(table))


@cache
def insert_event_at(table: Table) -> Insert:
    """The same, recorded at `:recorded_at_`, in the database's own form."""
    time = bindparam("recorded_at_", type_=String)
    return insert(table).values(**row(table), recorded_at=time)


@lru_cache
def window(
    table: Table,
    topics: int,
    without_large_states: bool,
) -> Select[Any]:
    """The first `:limit` events above `:gt`, up to `:lte`.

    With `:topic_0`, `:topic_1` and so on, if there are `topics`.

    Bounded on both sides, because on PostgreSQL a table without statistics is not
    read in the order of its primary key otherwise.
    """
    columns = table.c
    state: Any = columns.state
    if without_large_states:
        state = case((func.length(state) < LARGE_STATE, state), else_=null())
    statement = select(
        columns.notification_id,
        columns.originator_id,
        columns.originator_version,
        columns.topic,
        state,
    ).where(
        columns.application_id == application_id(),
        columns.notification_id > bindparam("gt", type_=BigInteger),
        columns.notification_id <= bindparam("lte", type_=BigInteger),
    )
    if topics:
        each = [bindparam(f"topic_{n}", type_=String) for n in range(topics)]
        statement = statement.where(columns.topic.in_(each))
    return statement.order_by(columns.notification_id).limit(
        bindparam("limit", type_=BigInteger)
    )


@cache
def recorded_at(table: Table) -> Select[Any]:
    """When the event at `:position` was recorded, and what time it is."""
    return select(table.c.recorded_at, database_now()).where(
        table.c.application_id == application_id(),
        table.c.notification_id == bindparam("position", type_=BigInteger),
    )


@cache
def state_at(table: Table) -> Select[Any]:
    """The state of the event at `:position` of `:application`."""
    return select(table.c.state).where(
        table.c.application_id == application_id(),
        table.c.notification_id == bindparam("position", type_=BigInteger),
    )


@cache
def position_of(table: Table) -> Select[Any]:
    """The position of `:originator_version` of `:originator_id`."""
    return select(table.c.notification_id).where(
        table.c.originator_id == bindparam("originator_id"),
        table.c.originator_version == bindparam("originator_version", type_=BigInteger),
        table.c.application_id == application_id(),
    )


@cache
def next_position(table: Table) -> Select[Any]:
    """The first position above `:gt`."""
    position = table.c.notification_id
    return (
        select(position)
        .where(
            table.c.application_id == application_id(),
            position > bindparam("gt", type_=BigInteger),
        )
        .order_by(position)
        .limit(1)
    )


@cache
def aggregate_events(
    table: Table,
    desc: bool,
    given: frozenset[str],
) -> Select[Any]:
    """The events of `:originator_id`, in the order of their versions.

    Args:
        table: of the events, or snapshots.
        desc: whether the order is descending.
        given: which of the parameters `purpose`, `gt`, `lte`, `limit` there are.
    """
    columns, version = table.c, table.c.originator_version
    statement = select(version, columns.topic, columns.state).where(
        columns.originator_id == bindparam("originator_id"),
        columns.application_id == application_id(),
    )
    if "purpose" in given:
        statement = statement.where(columns.purpose == bindparam("purpose"))
    if "gt" in given:
        statement = statement.where(version > bindparam("gt", type_=BigInteger))
    if "lte" in given:
        statement = statement.where(version <= bindparam("lte", type_=BigInteger))
    if "limit" in given:
        statement = statement.limit(bindparam("limit", type_=BigInteger))
    return statement.order_by(version.desc() if desc else version)
