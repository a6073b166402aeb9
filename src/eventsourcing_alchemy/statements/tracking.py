"""Statements on the positions of projections."""

from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Insert,
    Select,
    Update,
    bindparam,
    func,
    insert,
    select,
    update,
)

from eventsourcing_alchemy.schema.tables import tracking
from eventsourcing_alchemy.statements.parameters import row

LOWEST = -(2**63) + 1
"""No position is before this one. (One less does not fit as text: a cursor of psycopg's
that puts values into the SQL writes the negation of a number that is too large.)"""


@cache
def advance_tracking() -> Update:
    """Moves the position of `:projection` in `:application` on to `:position`.

    Only forward, and from no position before `:known`, by default any: where it finds
    no row, either there is none yet, or the position was reached before, or the row is
    not what it was.
    """
    position = bindparam("position", type_=BigInteger)
    known = bindparam("known", LOWEST, type_=BigInteger)
    return (
        update(tracking)
        .where(
            tracking.c.projection_name == bindparam("projection"),
            tracking.c.application_name == bindparam("application"),
            tracking.c.notification_id < position,
            tracking.c.notification_id >= known,
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
def highest_tracked() -> Select[Any]:
    """The highest position of any projection in `:application`."""
    return select(func.max(tracking.c.notification_id)).where(
        tracking.c.application_name == bindparam("application")
    )


@cache
def tracked_position() -> Select[Any]:
    """The position of `:projection` in `:application`."""
    return select(tracking.c.notification_id).where(
        tracking.c.projection_name == bindparam("projection"),
        tracking.c.application_name == bindparam("application"),
    )
