"""Applications and projections: how far they are, and who works."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.operations.overview_statements import (
    RATED_EVENTS,
    application_rows,
    projection_rows,
    standby_rows,
)
from eventsourcing_alchemy.operations.reading import (
    Reader,
    in_utc,
    read,
    seconds_between,
)

BEHIND_AFTER = 10.0
"""Seconds that the first unprocessed event of a projection has waited, which then is
behind rather than following."""


class ProjectionState(StrEnum):
    """What the database tells about a projection."""

    FOLLOWING = "following"
    """No event has been waiting for long."""

    BEHIND = "behind"
    """Events are waiting, and nothing says that nobody works."""

    STOPPED = "stopped"
    """It had a lease, and nobody holds it now."""

    ORPHANED = "orphaned"
    """Its application is not in this database, any more or at all."""


@dataclass(frozen=True)
class ApplicationStatus:
    """An application.

    Attributes:
        name: of the application.
        last_position: of its last event; 0 if it has none.
        rate: events a second, from the last hundred events until now; None if it has
            no events, or the time of recording is not known.
        recorded_at: when its last event was recorded, in UTC; None if it has none.
    """

    name: str
    last_position: int
    rate: float | None
    recorded_at: datetime | None


@dataclass(frozen=True)
class LeaseStatus:
    """The lease of a projection.

    Attributes:
        holder: name of the copy that has, or had, it.
        expires_at: until when, in UTC, by the database's clock.
        is_held: whether that is in the future.
    """

    holder: str
    expires_at: datetime
    is_held: bool


@dataclass(frozen=True)
class ProjectionStatus:
    """A projection of the events of an application.

    Attributes:
        name: of the projection.
        application: name of the application.
        position: up to which events have been processed; 0 before the first.
        last_position: of the application; None if that is not there.
        lag: number of events between them; 0 if the application is not there.
        lag_seconds: since the first of these events was recorded, by the clock of the
            database; 0 if there is none, None where it is not known.
        lease: who works; None if no copy ever used a lease.
        dead_letters: number of events that were passed over.
        state: all in all.
        standbys: names of the copies that stand by.
    """

    name: str
    application: str
    position: int
    last_position: int | None
    lag: int
    lag_seconds: float | None
    lease: LeaseStatus | None
    dead_letters: int
    state: ProjectionState
    standbys: Sequence[str] = ()


@dataclass(frozen=True)
class Overview:
    """All applications and projections of a database, at one moment.

    Attributes:
        applications: by name.
        projections: by name and application.
    """

    applications: Sequence[ApplicationStatus]
    projections: Sequence[ProjectionStatus]


def overview(datastore: SQLAlchemyDatastore) -> Overview:
    """Reads the state of everything in a database.

    Costs three statements, and an index look-up for each application and projection.

    Args:
        datastore: the database.

    Raises:
        MissingTablesError: if the database lacks tables of this package.
        PersistenceError: if the database fails.
    """
    return read(datastore, _overview)


def _overview(reader: Reader) -> Overview:
    # In this order: what is processed in between is not beyond the end, then.
    projections = reader.rows(projection_rows())
    applications = reader.rows(application_rows())
    standbys = _standbys(reader)
    return Overview(
        [_application(row) for row in applications],
        [_projection(row, standbys) for row in projections],
    )


Standbys = Mapping[tuple[str, str], Sequence[str]]


def _standbys(reader: Reader) -> Standbys:
    """The copies that stand by, by projection and application."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in reader.rows(standby_rows()):
        if in_utc(row.expires_at) > in_utc(row.now):
            found.setdefault((row.name, row.application), []).append(row.holder)
    return found


def _application(row: Row[Any]) -> ApplicationStatus:
    seconds = seconds_between(row.rated_from, row.now)
    counted = min(row.last_position, RATED_EVENTS)
    recorded_at = row.recorded_at
    return ApplicationStatus(
        name=row.name,
        last_position=row.last_position,
        rate=counted / max(seconds, 1e-3) if seconds is not None else None,
        recorded_at=None if recorded_at is None else in_utc(recorded_at),
    )


def _projection(row: Row[Any], standbys: Standbys) -> ProjectionStatus:
    lag = max(0, (row.last_position or 0) - row.position)
    is_waiting = lag > 0 or row.last_position is None
    lag_seconds = seconds_between(row.waiting_since, row.now) if is_waiting else 0.0
    lease = _lease(row)
    return ProjectionStatus(
        name=row.name,
        application=row.application,
        position=row.position,
        last_position=row.last_position,
        lag=lag,
        lag_seconds=lag_seconds,
        lease=lease,
        dead_letters=row.dead_letters,
        state=_state(row.last_position, lag, lag_seconds, lease),
        standbys=standbys.get((row.name, row.application), ()),
    )


def _lease(row: Row[Any]) -> LeaseStatus | None:
    if row.holder is None:
        return None
    expires_at = in_utc(row.expires_at)
    return LeaseStatus(row.holder, expires_at, expires_at > in_utc(row.now))


def _state(
    last_position: int | None,
    lag: int,
    lag_seconds: float | None,
    lease: LeaseStatus | None,
) -> ProjectionState:
    if last_position is None:
        return ProjectionState.ORPHANED
    if lease is not None and not lease.is_held:
        return ProjectionState.STOPPED
    is_waiting = lag_seconds is None or lag_seconds >= BEHIND_AFTER
    return ProjectionState.BEHIND if lag and is_waiting else ProjectionState.FOLLOWING
