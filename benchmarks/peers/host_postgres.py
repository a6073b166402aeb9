"""Of the host's module for PostgreSQL."""

from typing import Any

from eventsourcing.persistence import Tracking
from eventsourcing.postgres import PostgresDatastore, PostgresTrackingRecorder
from eventsourcing.projection import ProjectionRunner
from psycopg.sql import SQL, Identifier

from benchmarks.peers import TABLE

BatchRunner = ProjectionRunner


class EventCounts(PostgresTrackingRecorder):
    """How many events there are of each kind."""

    def __init__(self, datastore: PostgresDatastore, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)
        table = Identifier(self.datastore.schema, TABLE)
        self.sql_create_statements.append(
            SQL(
                "CREATE TABLE IF NOT EXISTS {table} "
                "(name text PRIMARY KEY, value bigint NOT NULL)"
            ).format(table=table)
        )
        self._increment = SQL(
            "INSERT INTO {table} AS counts VALUES (%s, 1) "
            "ON CONFLICT (name) DO UPDATE SET value = counts.value + 1"
        ).format(table=table)

    def increment(self, name: str, tracking: Tracking) -> None:
        """Counts one."""
        with self.datastore.transaction(commit=True) as cursor:
            self._insert_tracking(cursor, tracking)
            cursor.execute(self._increment, (name,), prepare=True)


def ask(recorder: Any, query: str) -> str:
    """The answer to a query, on a connection as the recorder uses them."""
    with recorder.datastore.cursor() as cursor:
        row = cursor.execute(query).fetchone()
        return str(next(iter(row.values())))
