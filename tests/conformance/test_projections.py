"""The host's cases for projections, on a view such as users write."""

from __future__ import annotations

import pytest
from eventsourcing.tests import projection

from eventcounters import EventCounters
from eventsourcing_alchemy import (
    SQLAlchemyEventSourcedProjectionRunner,
    SQLAlchemyFactory,
    SQLAlchemyProjectionRunner,
)
from factories import OpenFactory
from hostcases import shipped

pytestmark = pytest.mark.least_privilege


class View(projection.EventCountersViewTestCase):
    __test__ = False
    factory: SQLAlchemyFactory

    def construct_event_counters_view(self) -> EventCounters:
        view = self.factory.tracking_recorder(EventCounters)
        assert isinstance(view, EventCounters)
        return view


class ViewProjection(projection.AggregateEventCountersProjectionTestCase):
    __test__ = False
    view_class = EventCounters


class EventSourced(projection.EventSourcedProjectionTestCase):
    __test__ = False


@shipped(View)
def test_view(case: type[View], method: str, open_factory: OpenFactory) -> None:
    test = case(method)
    test.factory = open_factory("eventcounters")
    test.debug()


@pytest.fixture(params=["host's runners", "our runners"])
def runners(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes that the host's cases run projections with."""
    if request.param == "our runners":
        monkeypatch.setattr(projection, "ProjectionRunner", SQLAlchemyProjectionRunner)
        monkeypatch.setattr(
            projection,
            "EventSourcedProjectionRunner",
            SQLAlchemyEventSourcedProjectionRunner,
        )


@pytest.mark.usefixtures("runners")
@shipped(ViewProjection, EventSourced)
def test_projection(
    case: type[ViewProjection | EventSourced], method: str, env: dict[str, str]
) -> None:
    running = type(case.__name__, (case,), {"env": env})
    running(method).debug()
