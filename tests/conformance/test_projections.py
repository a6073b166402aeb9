"""The host's cases for projections, on a view such as users write."""

from __future__ import annotations

from eventsourcing.persistence import Tracking
from eventsourcing.tests import projection
from sqlalchemy import Column, Integer, MetaData, String, Table, select

from eventsourcing_alchemy import (
    SQLAlchemyFactory,
    SQLAlchemyMaterialisedView,
    upsert,
)
from factories import OpenFactory
from hostcases import shipped


class EventCounters(SQLAlchemyMaterialisedView, projection.EventCountersView):
    metadata = MetaData()
    counters = Table(
        "event_counters",
        metadata,
        Column("name", String(20), primary_key=True),
        Column("value", Integer, nullable=False),
    )

    def get_created_event_counter(self) -> int:
        return self._value("created")

    def get_subsequent_event_counter(self) -> int:
        return self._value("subsequent")

    def incr_created_event_counter(self, tracking: Tracking) -> None:
        self._increment("created", tracking)

    def incr_subsequent_event_counter(self, tracking: Tracking) -> None:
        self._increment("subsequent", tracking)

    def _increment(self, name: str, tracking: Tracking) -> None:
        increment = upsert(
            self.counters,
            {"name": name, "value": 1},
            set_={"value": self.counters.c.value + 1},
        )
        with self.processing(tracking) as connection:
            connection.execute(increment)

    def _value(self, name: str) -> int:
        query = select(self.counters.c.value).where(self.counters.c.name == name)
        with self.reading() as connection:
            return connection.scalar(query) or 0


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


@shipped(ViewProjection, EventSourced)
def test_projection(
    case: type[ViewProjection | EventSourced], method: str, env: dict[str, str]
) -> None:
    running = type(case.__name__, (case,), {"env": env})
    running(method).debug()
