"""Of eventsourcing-sqlalchemy."""

from typing import Any

from eventsourcing.persistence import Tracking
from eventsourcing.projection import ProjectionRunner
from eventsourcing_sqlalchemy.recorders import SQLAlchemyTrackingRecorder
from sqlalchemy import Column, Integer, MetaData, String, Table, text

from benchmarks.peers import TABLE

BatchRunner = ProjectionRunner


class EventCounts(SQLAlchemyTrackingRecorder):  # type: ignore[misc]
    """How many events there are of each kind."""

    _counts = Table(
        TABLE,
        MetaData(),
        Column("name", String(40), primary_key=True),
        Column("value", Integer, nullable=False),
    )
    _increment = text(
        f"INSERT INTO {TABLE} AS counts (name, value) VALUES (:name, 1) "  # noqa: S608
        "ON CONFLICT (name) DO UPDATE SET value = counts.value + 1"
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tables.append(self._counts)

    def increment(self, name: str, tracking: Tracking) -> None:
        """Counts one."""
        with self.transaction(commit=True) as session:
            self._insert_tracking(session, tracking)
            session.execute(self._increment, {"name": name})


def ask(recorder: Any, query: str) -> str:
    """The answer to a query, on a connection as the recorder uses them."""
    with recorder.transaction(commit=False) as session:
        return str(session.execute(text(query)).scalar())
