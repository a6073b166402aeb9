"""What is projected: everything, something, something that fails, and into events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from eventsourcing.application import ProcessingEvent
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import Tracking
from eventsourcing.projection import EventSourcedProjection, Projection

from eventsourcing_alchemy import (
    Backoff,
    PoisonPolicy,
    SQLAlchemyEventSourcedProjectionRunner,
    SQLAlchemyMaterialisedView,
    SQLAlchemyProjectionRunner,
)
from positions import Positions
from soak.bank import Bank
from soak.theatre import Theatre
from soak.totals import Counting, CountingTagged, Totals

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


class Bookings(CountingTagged):
    """All events of the theatre."""


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
    SQLAlchemyProjectionRunner[Any, Any]
    | SQLAlchemyEventSourcedProjectionRunner[Bank, Any]
)


def _viewed(
    projection: type[Projection[Any]],
    view: type[SQLAlchemyMaterialisedView],
    application: type[Bank | Theatre] = Bank,
) -> Callable[[Mapping[str, str]], Runner]:
    return lambda env: SQLAlchemyProjectionRunner(
        application_class=application,
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
    Bookings.name: _viewed(Bookings, Totals, Theatre),
}
"""By the name of the projection, what starts a copy of it."""
