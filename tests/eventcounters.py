"""The view of the host's cases for projections, such as users write."""

from __future__ import annotations

from eventsourcing.persistence import Tracking
from eventsourcing.tests import projection
from sqlalchemy import Column, Integer, MetaData, String, Table, select

from eventsourcing_alchemy import SQLAlchemyMaterialisedView, upsert


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
