"""What is projected: everything, something, something that fails, and into events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from uuid import UUID

from eventsourcing.application import ProcessingEvent
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import Tracking
from eventsourcing.projection import EventSourcedProjection, Projection
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, select

from eventsourcing_alchemy import (
    Backoff,
    PoisonPolicy,
    SQLAlchemyEventSourcedProjectionRunner,
    SQLAlchemyMaterialisedView,
    SQLAlchemyProjectionRunner,
    upsert,
)
from soak.bank import Bank
from soak.totals import Counting, Totals

OPENED, AUDITED, CLOSED = (
    f"soak.bank:Account.{name}" for name in ("Opened", "Audited", "Closed")
)

LEASE = 2.0
"""Seconds until another copy takes over."""

POLICY = PoisonPolicy(attempts=2, backoff=Backoff(0.001, 0.001), dead_letter=True)


class Everything(Counting):
    """All events."""


class Closings(Counting):
    """The few events of one topic."""

    topics = (CLOSED,)


class Positions(SQLAlchemyMaterialisedView):
    """How often each position was processed."""

    metadata: ClassVar[MetaData] = MetaData()
    positions = Table(
        "positions",
        metadata,
        Column("position", BigInteger, primary_key=True, autoincrement=False),
        Column("times", Integer, nullable=False),
    )

    def note(self, tracking: Tracking) -> None:
        table = self.positions
        row = {"position": tracking.notification_id, "times": 1}
        with self.processing(tracking) as connection:
            connection.execute(upsert(table, row, set_={"times": table.c.times + 1}))

    def all(self) -> dict[int, int]:
        columns = self.positions.c
        with self.reading() as connection:
            rows = connection.execute(select(columns.position, columns.times))
            return dict(rows.tuples().all())


def is_poison(account_id: UUID) -> bool:
    """Whether the audits of an account cannot be projected for now."""
    return account_id.int % 10 == 0


class Audits(Projection[Positions]):
    """Some of its events fail."""

    topics = (AUDITED,)

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        if is_poison(domain_event.originator_id):
            raise ValueError("poison")
        self.view.note(tracking)


class HealedAudits(Audits):
    """None fails any more."""

    name = Audits.name

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002
        self.view.note(tracking)


class Certificate(Aggregate):
    """Says which event it was made for."""

    def __init__(self, position: int) -> None:
        self.position = position


class Certificates(EventSourcedProjection[UUID]):
    """Makes an event of an event."""

    topics = (OPENED,)

    @singledispatchmethod
    def policy(
        self,
        domain_event: Any,  # noqa: ARG002
        processing_event: ProcessingEvent[UUID],
    ) -> None:
        assert processing_event.tracking
        position = processing_event.tracking.notification_id
        processing_event.collect_events(Certificate(position))


Runner = (
    SQLAlchemyProjectionRunner[Bank, Any]
    | SQLAlchemyEventSourcedProjectionRunner[Bank, Any]
)


def _viewed(
    projection: type[Projection[Any]], view: type[SQLAlchemyMaterialisedView]
) -> Callable[[Mapping[str, str]], Runner]:
    return lambda env: SQLAlchemyProjectionRunner(
        application_class=Bank,
        projection_class=projection,
        view_class=view,
        env=dict(env),
        poison=POLICY,
        lease_duration=LEASE,
    )


def _event_sourced(env: Mapping[str, str]) -> Runner:
    return SQLAlchemyEventSourcedProjectionRunner(
        application_class=Bank,
        projection_class=Certificates,
        env=dict(env),
        poison=POLICY,
        lease_duration=LEASE,
    )


RUNNERS: Mapping[str, Callable[[Mapping[str, str]], Runner]] = {
    Everything.name: _viewed(Everything, Totals),
    Closings.name: _viewed(Closings, Totals),
    Audits.name: _viewed(Audits, Positions),
    Certificates.__name__: _event_sourced,
}
"""By the name of the projection, what starts a copy of it."""
