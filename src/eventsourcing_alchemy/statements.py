"""The statements, each built once."""

from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Insert,
    ScalarSelect,
    Select,
    String,
    Table,
    Update,
    bindparam,
    case,
    func,
    insert,
    literal,
    null,
    select,
    type_coerce,
    update,
)

from eventsourcing_alchemy.dialects.types import database_now
from eventsourcing_alchemy.tables import applications, tracking

LARGE_STATE = 32 * 1024
"""Bytes from which on a page can leave a state out, to be read by itself."""


def _application_id() -> ScalarSelect[int]:
    """The ID of `:application`, looked up by the statement that needs it.

    An ID that was remembered could be that of another application by now: a rollback
    or a restored backup takes rows away.
    """
    return (
        select(applications.c.id)
        .where(applications.c.name == bindparam("application"))
        .scalar_subquery()
    )


@cache
def one() -> Select[Any]:
    """One row, of whatever the database has."""
    return select(literal(1))


@cache
def advance_position() -> Update:
    """Moves the counter of `:application` on by `:count`."""
    count = bindparam("count", type_=BigInteger)
    return (
        update(applications)
        .where(applications.c.name == bindparam("application"))
        .values(last_notification_id=applications.c.last_notification_id + count)
    )


@cache
def advance_position_returning() -> Any:
    """The same, and returns the ID and the position."""
    columns = applications.c.id, applications.c.last_notification_id
    return advance_position().returning(*columns)


@cache
def advance_position_telling_time() -> Any:
    """The same, and returns the time as well, in the database's own form."""
    return advance_position_returning().returning(type_coerce(database_now(), String))


@cache
def insert_application() -> Insert:
    """Adds a row, with parameters as in `row()`."""
    return insert(applications).values(row(applications))


@cache
def insert_event(table: Table) -> Insert:
    """Adds an event, or snapshot, with parameters as in `row()`."""
    return insert(table).values(row(table))


@cache
def insert_event_at(table: Table) -> Insert:
    """The same, recorded at `:recorded_at_`, in the database's own form."""
    time = bindparam("recorded_at_", type_=String)
    return insert(table).values(**row(table), recorded_at=time)


def row(table: Table) -> dict[str, BindParameter[Any]]:
    """A parameter for each column that has a value given: its name, and `_`."""
    return {
        column.name: bindparam(f"{column.name}_", type_=column.type)
        for column in table.c
        if column.server_default is None and column.autoincrement is not True
    }


@cache
def application() -> Any:
    """The ID and the last position of `:application`."""
    return select(applications.c.id, applications.c.last_notification_id).where(
        applications.c.name == bindparam("application")
    )


@cache
def last_position() -> Select[Any]:
    """The last position of `:application`."""
    return select(applications.c.last_notification_id).where(
        applications.c.name == bindparam("application")
    )


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
        columns.application_id == _application_id(),
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
        table.c.application_id == _application_id(),
        table.c.notification_id == bindparam("position", type_=BigInteger),
    )


@cache
def state_at(table: Table) -> Select[Any]:
    """The state of the event at `:position` of `:application`."""
    return select(table.c.state).where(
        table.c.application_id == _application_id(),
        table.c.notification_id == bindparam("position", type_=BigInteger),
    )


@cache
def position_of(table: Table) -> Select[Any]:
    """The position of `:originator_version` of `:originator_id`."""
    return select(table.c.notification_id).where(
        table.c.originator_id == bindparam("originator_id"),
        table.c.originator_version == bindparam("originator_version", type_=BigInteger),
        table.c.application_id == _application_id(),
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
        columns.application_id == _application_id(),
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


@cache
def advance_tracking() -> Update:
    """Moves the position of `:projection` in `:application` on to `:position`.

    Only forward: where it finds no row, either there is none yet, or the position
    was reached before.
    """
    position = bindparam("position", type_=BigInteger)
    return (
        update(tracking)
        .where(
            tracking.c.projection_name == bindparam("projection"),
            tracking.c.application_name == bindparam("application"),
            tracking.c.notification_id < position,
        )
        .values(notification_id=position)
    )


@cache
def lock_tracking() -> Update:
    """Locks the position of `:projection` in `:application` where it is."""
    return (
        update(tracking)
        .where(
            tracking.c.projection_name == bindparam("projection"),
            tracking.c.application_name == bindparam("application"),
        )
        .values(notification_id=tracking.c.notification_id)
    )


@cache
def insert_tracking() -> Insert:
    """Adds a position, with parameters as in `row()`."""
    return insert(tracking).values(row(tracking))


@cache
def tracked_position() -> Select[Any]:
    """The position of `:projection` in `:application`."""
    return select(tracking.c.notification_id).where(
        tracking.c.projection_name == bindparam("projection"),
        tracking.c.application_name == bindparam("application"),
    )
