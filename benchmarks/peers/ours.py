"""Of this package."""

from typing import Any

from eventsourcing.persistence import Tracking
from sqlalchemy import Column, Integer, MetaData, String, Table

from benchmarks.peers import TABLE
from eventsourcing_alchemy import (
    SQLAlchemyMaterialisedView,
    SQLAlchemyProjectionRunner,
    upsert,
)

BatchRunner = SQLAlchemyProjectionRunner


class EventCounts(SQLAlchemyMaterialisedView):
    """How many events there are of each kind."""

    metadata = MetaData()
    counts = Table(
        TABLE,
        metadata,
        Column("name", String(40), primary_key=True),
        Column("value", Integer, nullable=False),
    )

    one_more = {"value": counts.c.value + 1}  # noqa: RUF012

    def increment(self, name: str, tracking: Tracking) -> None:
        """Counts one."""
        first = {"name": name, "value": 1}
        self.process(tracking, upsert(self.counts, first, set_=self.one_more))


def ask(recorder: Any, query: str) -> str:
    """The answer to a query, on a connection as the recorder uses them."""
    with recorder.datastore.reading() as connection:
        return str(connection.exec_driver_sql(query).scalar())
