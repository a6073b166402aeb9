"""Whether what is recorded is as it has to be."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select, func, select

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.operations.discrepancies import Discrepancy
from eventsourcing_alchemy.operations.event_tables import (
    EVENT_TABLES,
    OF_TEXTS,
    OF_UUIDS,
)
from eventsourcing_alchemy.operations.reading import UnknownNameError
from eventsourcing_alchemy.operations.verification.database import rows
from eventsourcing_alchemy.operations.verification.positions import (
    Application,
    wrong_positions,
)
from eventsourcing_alchemy.operations.verification.projections import wrong_projections
from eventsourcing_alchemy.operations.verification.strays import stray_records
from eventsourcing_alchemy.operations.verification.tags import wrong_tags
from eventsourcing_alchemy.operations.verification.versions import (
    events_without_predecessor,
    snapshots_without_event,
)
from eventsourcing_alchemy.operations.wrong_values import (
    WrongValueError,
    wrong_values,
)
from eventsourcing_alchemy.schema import tables

SHOWN_NAMES = 20
"""Names of applications that an error tells."""

_NOT_CHECKED = (
    "not all checks are possible: correct these values, and call 'verify' again"
)

_OF_AGGREGATES = (
    (OF_UUIDS, tables.snapshots),
    (OF_TEXTS, tables.text_snapshots),
)


def verify(
    datastore: SQLAlchemyDatastore,
    application: str | None = None,
    *,
    allow_gaps: bool = False,
) -> Iterator[Discrepancy]:
    """Looks for inconsistent records, in short transactions.

    It finds, in SQLite, values that are not of the type of their column. It finds, in
    an application: missing positions, positions of several events, and positions beyond
    its counter or below 1; versions of aggregates that are missing, or in another order
    than their positions; snapshots without their event; tags that do not find their
    event. In the projections that follow it: positions beyond its end, or below 0; dead
    letters that belong to nothing. In the whole database: records whose application is
    missing. Events that are recorded meanwhile are no problem.

    Args:
        datastore: the database.
        application: the name of one application; None for the whole database.
        allow_gaps: whether missing positions are no problem, as after events were
            erased, and in applications that were copied from a module that leaves gaps.

    Yields:
        The problems, application by application, in the order of positions.

    Raises:
        UnknownNameError: if there is no such application.
        MissingTablesError: if the database lacks tables.
        OperationalError: if the database cannot be reached.
    """
    found = False
    for each in wrong_values(datastore, application):
        yield each
        found = True
    try:
        yield from _inconsistencies(datastore, application, allow_gaps=allow_gaps)
    except (WrongValueError, TypeError, ValueError):
        if not found:
            raise
        yield Discrepancy(application, None, _NOT_CHECKED)


def _inconsistencies(
    datastore: SQLAlchemyDatastore, application: str | None, *, allow_gaps: bool
) -> Iterator[Discrepancy]:
    applications = _applications(datastore, application)
    # First, because positions of projections move on.
    yield from wrong_projections(datastore, application)
    for each in applications:
        yield from wrong_positions(datastore, each, allow_gaps=allow_gaps)
        yield from _wrong_aggregates(datastore, each)
        yield from wrong_tags(datastore, each.id, each.name, each.last)
    if application is None:
        yield from stray_records(datastore)


def _wrong_aggregates(
    datastore: SQLAlchemyDatastore, application: Application
) -> Iterator[Discrepancy]:
    found = application.id, application.name
    for events, snapshots in _OF_AGGREGATES:
        yield from events_without_predecessor(
            datastore, events.table, *found, gt=0, lte=application.last, in_order=True
        )
        yield from snapshots_without_event(datastore, snapshots, events.table, *found)


def _applications(
    datastore: SQLAlchemyDatastore, name: str | None
) -> list[Application]:
    found = rows(datastore, _application_rows())
    chosen = [row for row in found if name in (None, row.name)]
    if not chosen and name is not None:
        there = ", ".join(repr(row.name) for row in found[:SHOWN_NAMES]) or "none"
        raise UnknownNameError(
            f"There is no application {name!r}: the database has {there}"
        )
    return [
        Application(row.id, row.name, row.last_notification_id, _highest(row[3:]))
        for row in chosen
    ]


def _highest(lasts: Sequence[int | None]) -> int:
    return max(each or 0 for each in lasts)


@cache
def _application_rows() -> Select[Any]:
    """Each application, and its last position in each of the tables of events."""
    columns = tables.applications.c
    lasts = (
        select(func.max(each.position))
        .where(each.application_id == columns.id)
        .correlate(tables.applications)
        .scalar_subquery()
        for each in EVENT_TABLES
    )
    return select(
        columns.id, columns.name, columns.last_notification_id, *lasts
    ).order_by(columns.name)
