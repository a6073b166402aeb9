"""What other persistence modules have recorded, to copy from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any
from uuid import UUID

from eventsourcing.persistence import (
    InfrastructureFactory,
    StoredEvent,
    Tracking,
)
from eventsourcing.utils import Environment
from sqlalchemy import (
    BINARY,
    URL,
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    insert,
)
from sqlalchemy import Uuid as UuidType

from eventsourcing_alchemy.dialects.urls import normalise_url

Env = Mapping[str, str]


class Origin:
    """A database of before, as the library's environment variables tell it.

    Attributes:
        env: the variables.
        table: of events of the application `Bank`.
        position: column of their positions.
    """

    table = "es_events"
    position = "notification_id"

    def __init__(self, env: Env) -> None:
        self.env = env

    def record(self, name: str, events: Sequence[StoredEvent]) -> None:
        """Record events of an application."""
        with closing(self._factory(name)) as factory:
            factory.application_recorder().insert_events(events)

    def snapshot(self, name: str, snapshots: Sequence[StoredEvent]) -> None:
        """Take snapshots of an application's aggregates."""
        with closing(self._factory(name)) as factory:
            factory.aggregate_recorder("snapshots").insert_events(snapshots)

    def track(self, name: str, *positions: Tracking) -> None:
        """Record positions of a projection."""
        with closing(self._factory(name)) as factory:
            recorder = factory.tracking_recorder()
            for position in positions:
                recorder.insert_tracking(position)

    def delete(self, position: int) -> None:
        """Delete an event of the application `Bank`."""
        where = f"{self.position} = {position}"
        self.execute(f"DELETE FROM {self.table} WHERE {where}")  # noqa: S608

    def change(self, position: int, column: str, value: str) -> None:
        """Change an event of the application `Bank`."""
        is_sqlite = self.url.get_backend_name() == "sqlite"
        # Which would store a text there, as no module does.
        is_text = column != "state" or not is_sqlite
        literal = f"'{value}'" if is_text else f"CAST('{value}' AS BLOB)"
        assignment, where = f"{column} = {literal}", f"{self.position} = {position}"
        self.execute(f"UPDATE {self.table} SET {assignment} WHERE {where}")  # noqa: S608

    def execute(self, statement: str) -> None:
        """Execute a statement on the database itself."""
        engine = create_engine(self.url)
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()

    @property
    def url(self) -> URL:
        """Of the database."""
        return normalise_url(self.env["SQLALCHEMY_URL"])

    def _factory(self, name: str) -> InfrastructureFactory[Any]:
        return InfrastructureFactory.construct(Environment(name, dict(self.env)))


class SQLiteOrigin(Origin):
    """`eventsourcing.sqlite`."""

    table = "stored_events"
    position = "rowid"

    @property
    def url(self) -> URL:
        return URL.create("sqlite", database=self.env["SQLITE_DBNAME"])


class PostgresOrigin(Origin):
    """`eventsourcing.postgres`."""

    table = "bank_events"

    @property
    def url(self) -> URL:
        return URL.create(
            "postgresql+psycopg",
            username=self.env["POSTGRES_USER"],
            host=self.env["POSTGRES_HOST"],
            port=int(self.env["POSTGRES_PORT"]),
            database=self.env["POSTGRES_DBNAME"],
        )


class PeerOrigin(Origin):
    """`eventsourcing_sqlalchemy` 1.0.1, which does not run with SQLAlchemy 2.1.

    Its tables are made here as it makes them, with its own names and types.
    """

    table = "bank_events"
    position = "id"

    def record(self, name: str, events: Sequence[StoredEvent]) -> None:
        table = _peer_table(f"{name.lower()}_events", self._id_type(), is_log=True)
        self._insert(table, self._rows(events))

    def snapshot(self, name: str, snapshots: Sequence[StoredEvent]) -> None:
        table = _peer_table(f"{name.lower()}_snapshots", self._id_type(), is_log=False)
        self._insert(table, self._rows(snapshots))

    def track(self, name: str, *positions: Tracking) -> None:
        table = Table(
            f"{name.lower()}_tracking",
            MetaData(),
            Column("application_name", String(32), primary_key=True),
            Column("notification_id", BigInteger),
        )
        rows = [
            {
                "application_name": each.application_name,
                "notification_id": each.notification_id,
            }
            for each in positions
        ]
        self._insert(table, rows)

    def _rows(self, events: Sequence[StoredEvent]) -> Sequence[Mapping[str, Any]]:
        return [
            {
                "originator_id": self._id(event.originator_id),
                "originator_version": event.originator_version,
                "topic": event.topic,
                "state": event.state,
            }
            for event in events
        ]

    def _insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        engine = create_engine(self.url)
        with engine.begin() as connection:
            table.create(connection, checkfirst=True)
            if rows:
                connection.execute(insert(table), rows)
        engine.dispose()

    @property
    def _has_uuids(self) -> bool:
        return self.url.get_backend_name() == "postgresql"

    def _id_type(self) -> Any:
        """That of SQLAlchemy-Utils' UUIDType."""
        return UuidType() if self._has_uuids else BINARY(16)

    def _id(self, originator_id: UUID | str) -> UUID | bytes:
        assert isinstance(originator_id, UUID)
        return originator_id if self._has_uuids else originator_id.bytes


def _peer_table(name: str, id_type: Any, *, is_log: bool) -> Table:
    number = BigInteger().with_variant(Integer(), "sqlite")
    log = [Column("id", number, primary_key=True, autoincrement=True)]
    return Table(
        name,
        MetaData(),
        *(log if is_log else []),
        Column("originator_id", id_type, nullable=False, primary_key=not is_log),
        Column("originator_version", number, nullable=False, primary_key=not is_log),
        Column("topic", Text, nullable=False),
        Column("state", LargeBinary, nullable=False),
        *([UniqueConstraint("originator_id", "originator_version")] if is_log else []),
    )
