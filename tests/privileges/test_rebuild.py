"""The role for applications cannot rebuild a view, and is told what it lacks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import DatabaseError, ProgrammingError, Tracking
from eventsourcing.projection import Projection

from eventcounters import EventCounters
from eventsourcing_alchemy import SQLAlchemyProjectionRunner, rebuild, reset

pytestmark = pytest.mark.least_privilege(only=True)


class Counting(Projection[EventCounters]):
    name = "counting"

    def process_event(self, domain_event: object, tracking: Tracking) -> None:  # noqa: ARG002
        self.view.incr_created_event_counter(tracking)


def test_rights_that_are_missing_are_named(env: dict[str, str]) -> None:
    classes: dict[str, Any] = {
        "application_class": Application[UUID],
        "projection_class": Counting,
        "view_class": EventCounters,
        "env": env,
    }
    runner: SQLAlchemyProjectionRunner[Application[UUID], EventCounters]
    with SQLAlchemyProjectionRunner(**classes) as runner:
        runner.app.save(Aggregate())
        runner.wait(1, timeout=10)
        with pytest.raises(ProgrammingError, match=r"lacks .*CREATE on|CREATE on"):
            rebuild(**classes)
        runner.app.save(Aggregate())
        runner.wait(2, timeout=10)
        assert runner.view.get_created_event_counter() == 2
    with pytest.raises(DatabaseError, match="es_tracking"):
        reset(**classes)
