"""Events and snapshots of aggregates without the event that they presuppose."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    ScalarSelect,
    Select,
    String,
    Table,
    bindparam,
    func,
    literal,
    or_,
    select,
)

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.operations.discrepancies import Discrepancy
from eventsourcing_alchemy.operations.verification.database import rows, windows
from eventsourcing_alchemy.schema.validation import HIGHEST

FIRST_VERSIONS = 1
"""The highest version that an aggregate may begin with."""

PAGE = 1000
"""Snapshots that a statement looks at."""

PURPOSE = "snapshots"
"""What tells snapshots from other records without positions."""


def events_without_predecessor(
    datastore: SQLAlchemyDatastore,
    table: Table,
    application_id: int,
    name: str,
    *,
    gt: int,
    lte: int,
    in_order: bool = False,
) -> Iterator[Discrepancy]:
    """Events whose aggregate lacks the version before.

    Args:
        datastore: the database.
        table: of the events.
        application_id: whose they are.
        name: of the application.
        gt: position above which to look.
        lte: position up to which to look.
        in_order: whether that version has to be at an earlier position, too.
    """
    position, statement = table.c.notification_id, _without_predecessor(table, in_order)
    for window in windows(datastore, position, application_id, gt, lte):
        for row in rows(datastore, statement, **window):
            problem = (
                f"version {row.version} of aggregate {row.aggregate_id} has no version "
                f"{row.version - 1} before it"
            )
            if row.before is not None:
                problem += f", but at position {row.before}"
            yield Discrepancy(name, row.position, problem)


@cache
def _without_predecessor(table: Table, in_order: bool) -> Select[Any]:
    event = table.alias("event")
    position = event.c.notification_id
    before = _position_of(table, event, event.c.originator_version - 1)
    return (
        select(
            position.label("position"),
            event.c.originator_id.label("aggregate_id"),
            event.c.originator_version.label("version"),
            before.label("before"),
        )
        .where(
            event.c.application_id == bindparam("id", type_=BigInteger),
            position > bindparam("gt", type_=BigInteger),
            position <= bindparam("lte", type_=BigInteger),
            event.c.originator_version > FIRST_VERSIONS,
            # One look into the index for both.
            func.coalesce(before, HIGHEST) > position if in_order else before.is_(None),
        )
        .order_by(position)
    )


def _position_of(
    events: Table, outside: FromClause, version: ColumnElement[int]
) -> ScalarSelect[int]:
    """The position of a version of the aggregate of a row.

    By a subquery rather than a join: each is a look into an index, whatever the planner
    thinks of the tables.
    """
    other = events.alias("other")
    return (
        select(other.c.notification_id)
        .where(
            other.c.originator_id == outside.c.originator_id,
            other.c.originator_version == version,
            other.c.application_id == outside.c.application_id,
        )
        .correlate(outside)
        .scalar_subquery()
    )


def snapshots_without_event(
    datastore: SQLAlchemyDatastore,
    snapshots: Table,
    events: Table,
    application_id: int,
    name: str,
) -> Iterator[Discrepancy]:
    """Snapshots of versions that their aggregate does not have.

    Args:
        datastore: the database.
        snapshots: their table.
        events: the table of the aggregates' events.
        application_id: whose they are.
        name: of the application.
    """
    first, others = _snapshots(snapshots, events)
    page = rows(datastore, first, id=application_id)
    while page:
        for row in page:
            if row.position is None:
                problem = (
                    f"the snapshot of aggregate {row.aggregate_id} at version "
                    f"{row.version} has no event"
                )
                yield Discrepancy(name, None, problem)
        last = page[-1]._asdict()
        after = {key: last[key] for key in ("aggregate_id", "version")}
        page = rows(datastore, others, id=application_id, **after)


@cache
def _snapshots(snapshots: Table, events: Table) -> tuple[Select[Any], Select[Any]]:
    """The first page, and that after `:aggregate_id` and `:version`."""
    columns = snapshots.c
    aggregate_id, version = columns.originator_id, columns.originator_version
    page = (
        select(
            aggregate_id.label("aggregate_id"),
            version.label("version"),
            _position_of(events, snapshots, version).label("position"),
        )
        .where(
            columns.application_id == bindparam("id", type_=BigInteger),
            columns.purpose == literal(PURPOSE, String),
        )
        .order_by(aggregate_id, version)
        .limit(PAGE)
    )
    after = bindparam("aggregate_id", type_=aggregate_id.type)
    is_after = or_(
        aggregate_id > after, version > bindparam("version", type_=BigInteger)
    )
    return page, page.where(aggregate_id >= after, is_after)
