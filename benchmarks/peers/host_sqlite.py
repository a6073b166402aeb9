"""Of the host's module for SQLite, which has no subscriptions."""

from typing import Any

from eventsourcing.persistence import Tracking
from eventsourcing.projection import ProjectionRunner
from eventsourcing.sqlite import SQLiteTrackingRecorder

from benchmarks.peers import TABLE

BatchRunner = ProjectionRunner


class EventCounts(SQLiteTrackingRecorder):
    """How many events there are of each kind."""

    _create = f"CREATE TABLE IF NOT EXISTS {TABLE} (name TEXT PRIMARY KEY, value)"
    _increment = (
        f"INSERT INTO {TABLE} VALUES (?, 1) "  # noqa: S608
        "ON CONFLICT (name) DO UPDATE SET value = value + 1"
    )

    def construct_create_table_statements(self) -> list[str]:
        """The host's, and that of the view."""
        return [*super().construct_create_table_statements(), self._create]

    def increment(self, name: str, tracking: Tracking) -> None:
        """Counts one."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(self._increment, (name,))


def ask(recorder: Any, query: str) -> str:
    """The answer to a query, on a connection as the recorder uses them."""
    with recorder.datastore.transaction(commit=False) as cursor:
        cursor.execute(query)
        return str(cursor.fetchone()[0])
