"""Statements on applications, and on the positions that they have reached."""

from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Insert,
    Select,
    String,
    Update,
    bindparam,
    insert,
    select,
    type_coerce,
    update,
)

from eventsourcing_alchemy.schema.tables import applications
from eventsourcing_alchemy.schema.types import database_now
from eventsourcing_alchemy.statements.parameters import row


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
def advance_position_from() -> Update:
    """Moves the counter of `:application` to `:next`, if it is at `:last`.

    Does nothing unless the row has the ID `:application_id`.
    """
    return (
        update(applications)
        .where(
            applications.c.id == bindparam("application_id", type_=BigInteger),
            applications.c.name == bindparam("application"),
            applications.c.last_notification_id == bindparam("last", type_=BigInteger),
        )
        .values(last_notification_id=bindparam("next", type_=BigInteger))
    )


@cache
def lock_position() -> Update:
    """Locks the counter of `:application` where it is."""
    return (
        update(applications)
        .where(applications.c.name == bindparam("application"))
        .values(last_notification_id=applications.c.last_notification_id)
    )


@cache
def raise_position() -> Update:
    """Sets the counter of `:application` to `:position`, unless it is beyond that."""
    counter = applications.c.last_notification_id
    position = bindparam("position", type_=BigInteger)
    return (
        update(applications)
        .where(
            applications.c.name == bindparam("application"),
            counter < position,
        )
        .values(last_notification_id=position)
    )


@cache
def insert_application() -> Insert:
    """Adds a row, with parameters as in `row()`."""
    return insert(applications).values(row(applications))


@cache
def application() -> Any:
    """The ID and the last position of `:application`."""
    return select(applications.c.id, applications.c.last_notification_id).where(
        applications.c.name == bindparam("application")
    )


@cache
def registered() -> Select[Any]:
    """The ID of `:application`, and its name as it is stored."""
    return select(applications.c.id, applications.c.name).where(
        applications.c.name == bindparam("application")
    )


@cache
def application_telling_time() -> Any:
    """The same, and the time, in the database's own form."""
    return application().add_columns(type_coerce(database_now(), String))


@cache
def last_position() -> Select[Any]:
    """The last position of `:application`."""
    return select(applications.c.last_notification_id).where(
        applications.c.name == bindparam("application")
    )
