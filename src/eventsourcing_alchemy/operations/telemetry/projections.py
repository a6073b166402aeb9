"""How far projections are: asked of the database, no more often than is allowed."""

from collections.abc import Callable, Iterable, Sequence

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.host import PersistenceError
from eventsourcing_alchemy.operations.asking import Asking
from eventsourcing_alchemy.operations.overview import (
    Overview,
    ProjectionStatus,
    overview,
)
from eventsourcing_alchemy.operations.telemetry.attributes import (
    APPLICATION,
    of_projection,
)

PATIENCE = 5.0
"""Seconds that a reader of metrics waits: what does not ask a database is there."""

Value = float | None

_NOTHING = Overview([], [])


class ProjectionGauges:
    """Gauges of all projections of some databases.

    Where a database cannot be asked, they tell nothing about it.

    Args:
        meter: makes the instruments.
        datastores: the databases.
        interval: seconds between two questions, at the least.
    """

    def __init__(
        self,
        meter: Meter,
        datastores: Sequence[SQLAlchemyDatastore],
        interval: float,
    ) -> None:
        self._asked = [_asking(each, interval) for each in datastores]
        gauge = meter.create_observable_gauge
        gauge(
            "eventsourcing.projection.lag.events",
            [self._told(_lag)],
            "{event}",
            "Events that a projection has not processed yet",
        )
        gauge(
            "eventsourcing.projection.lag.time",
            [self._told(lambda each: each.lag_seconds)],
            "s",
            "Time since the first unprocessed event was recorded",
        )
        gauge(
            "eventsourcing.projection.dead_letters",
            [self._told(lambda each: each.dead_letters)],
            "{event}",
            "Dead letters that wait for a decision",
        )
        gauge(
            "eventsourcing.projection.position",
            [self._told(lambda each: each.position)],
            "{event}",
            "Position up to which events have been processed",
        )
        gauge(
            "eventsourcing.projection.lease.is_held",
            [self._told(_is_held)],
            "1",
            "1 if a copy of the projection holds the lease",
        )
        gauge(
            "eventsourcing.application.position",
            [self._positions],
            "{event}",
            "Position of the last event",
        )

    def close(self) -> None:
        """Asks no more."""
        self._asked = []

    def _told(
        self, value_of: Callable[[ProjectionStatus], Value]
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def tell(_: CallbackOptions) -> Iterable[Observation]:
            for asked in self._asked:
                for each in (asked.answer() or _NOTHING).projections:
                    value = value_of(each)
                    if value is not None:
                        names = of_projection(each.name, each.application)
                        yield Observation(value, names)

        return tell

    def _positions(self, _: CallbackOptions) -> Iterable[Observation]:
        for asked in self._asked:
            for each in (asked.answer() or _NOTHING).applications:
                yield Observation(each.last_position, {APPLICATION: each.name})


def _asking(datastore: SQLAlchemyDatastore, interval: float) -> Asking[Overview]:
    def ask() -> Overview:
        if datastore.outage.is_on:
            return _NOTHING
        try:
            return overview(datastore)
        except PersistenceError:
            return _NOTHING

    return Asking(ask, interval, PATIENCE, "metrics")


def _lag(each: ProjectionStatus) -> Value:
    return None if each.last_position is None else each.lag


def _is_held(each: ProjectionStatus) -> Value:
    return None if each.lease is None else float(each.lease.is_held)
