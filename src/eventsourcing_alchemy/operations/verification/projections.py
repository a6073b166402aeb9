"""Positions and dead letters of projections that fit nothing."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Row,
    Select,
    Table,
    and_,
    or_,
    select,
)

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.operations.discrepancies import Discrepancy
from eventsourcing_alchemy.operations.event_tables import recorded_at
from eventsourcing_alchemy.operations.verification.database import rows
from eventsourcing_alchemy.schema.tables import (
    applications,
    dead_letters,
    tracking,
)

PAGE = 1000
"""Rows that a statement returns."""


def wrong_projections(
    datastore: SQLAlchemyDatastore, application: str | None
) -> Iterator[Discrepancy]:
    """What projections have stored that fits nothing.

    Args:
        datastore: the database.
        application: name of the one that they follow, None for all.
    """
    for table, statement, problem in (
        (tracking, _beyond(), _beyond_problem),
        (tracking, _negative(), _negative_problem),
        (dead_letters, _letters_ahead(), _ahead_problem),
        (dead_letters, _letters_of_nothing(), _nothing_problem),
    ):
        chosen = statement
        if application is not None:
            chosen = statement.where(table.c.application_name == application)
        for row in _rows(datastore, chosen, table):
            yield Discrepancy(row.application, row.position, problem(row))


def _rows(
    datastore: SQLAlchemyDatastore, statement: Select[Any], table: Table
) -> Iterator[Row[Any]]:
    """All rows of a statement whose columns begin with the table's primary key."""
    key = tuple(table.primary_key)
    first = statement.order_by(*key).limit(PAGE)
    page = rows(datastore, first)
    while page:
        yield from page
        page = rows(
            datastore, first.where(key[0] >= page[-1][0], _is_after(key, page[-1]))
        )


def _is_after(
    key: Sequence[ColumnElement[Any]], row: Sequence[Any]
) -> ColumnElement[bool]:
    column, value = key[0], row[0]
    is_after: ColumnElement[bool] = column > value
    if len(key) == 1:
        return is_after
    return or_(is_after, and_(column == value, _is_after(key[1:], row[1:])))


def _beyond_problem(row: Row[Any]) -> str:
    return (
        f"projection {row.projection!r} has processed this position, but the last "
        f"event is at {row.last}"
    )


def _negative_problem(row: Row[Any]) -> str:
    return f"projection {row.projection!r} is at this position, but 1 is the first"


def _ahead_problem(row: Row[Any]) -> str:
    reached = "nothing" if row.reached is None else row.reached
    return (
        f"there is a dead letter of projection {row.projection!r}, which has reached "
        f"{reached}"
    )


def _nothing_problem(row: Row[Any]) -> str:
    return f"there is a dead letter of projection {row.projection!r}, but no event"


@cache
def _beyond() -> Select[Any]:
    """Positions of projections that their application has not reached."""
    last = applications.c.last_notification_id
    return (
        select(*_key(tracking), last.label("last"))
        .select_from(tracking.join(applications, _follows(tracking)))
        .where(tracking.c.notification_id > last)
    )


@cache
def _negative() -> Select[Any]:
    """Positions of projections that no event has, nor can have."""
    return select(*_key(tracking)).where(tracking.c.notification_id < 0)


@cache
def _letters_ahead() -> Select[Any]:
    """Dead letters at positions that the projection has not reached."""
    reached = tracking.c.notification_id
    return (
        select(*_key(dead_letters), reached.label("reached"))
        .select_from(dead_letters.outerjoin(tracking, _same(dead_letters, tracking)))
        .where(or_(reached.is_(None), reached < dead_letters.c.notification_id))
    )


@cache
def _letters_of_nothing() -> Select[Any]:
    """Dead letters of events that there are not, of applications that there are."""
    position = dead_letters.c.notification_id
    found = recorded_at(applications.c.id, position, applications, dead_letters)
    return (
        select(*_key(dead_letters))
        .select_from(dead_letters.join(applications, _follows(dead_letters)))
        .where(found.is_(None))
    )


def _key(table: FromClause) -> tuple[ColumnElement[Any], ...]:
    return (
        table.c.projection_name.label("projection"),
        table.c.application_name.label("application"),
        table.c.notification_id.label("position"),
    )


def _follows(table: FromClause) -> ColumnElement[bool]:
    return applications.c.name == table.c.application_name


def _same(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    return and_(
        one.c.projection_name == other.c.projection_name,
        one.c.application_name == other.c.application_name,
    )
