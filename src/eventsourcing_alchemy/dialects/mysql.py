"""MySQL and MariaDB: READ COMMITTED, LAST_INSERT_ID, GET_LOCK."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from math import ceil
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    URL,
    BigInteger,
    Connection,
    CursorResult,
    Engine,
    Update,
    bindparam,
    event,
    func,
    select,
)
from sqlalchemy.dialects.mysql import insert

from eventsourcing_alchemy.dialects.base import BaseDialect, Options, advance_statement
from eventsourcing_alchemy.tables import applications

if TYPE_CHECKING:
    from eventsourcing_alchemy.upserts import Upsert

_MIGRATION_LOCK = "eventsourcing_alchemy"


class MySQLDialect(BaseDialect):
    """Reads the position that an UPDATE reached from its own answer."""

    def __init__(self) -> None:
        self._application_ids: dict[str, int] = {}

    def engine_options(self, url: URL, lock_timeout: float) -> dict[str, Any]:  # noqa: ARG002
        """READ COMMITTED: polls see new rows, and no gaps are locked."""
        return {"isolation_level": "READ COMMITTED"}

    def configure(self, engine: Engine, lock_timeout: float) -> None:
        """Sets `innodb_lock_wait_timeout`, in whole seconds, in each session."""

        @event.listens_for(engine, "connect")
        def set_lock_timeout(dbapi_connection: Any, _: Any) -> None:
            cursor = dbapi_connection.cursor()
            cursor.execute(
                "SET SESSION innodb_lock_wait_timeout = %s", (ceil(lock_timeout),)
            )
            cursor.close()

    @contextmanager
    def migrating(self, connection: Connection) -> Iterator[None]:
        """Holds a named lock of the server, because DDL commits."""
        database = connection.engine.url.database
        name = f"{_MIGRATION_LOCK}.{database}"[:64]
        connection.scalar(select(func.get_lock(name, 60)))
        try:
            yield
        finally:
            connection.scalar(select(func.release_lock(name)))

    def take_positions(
        self, connection: Connection, name: str, count: int, options: Options
    ) -> tuple[int, int]:
        """Saves a SELECT: the server answers an UPDATE with LAST_INSERT_ID."""
        known = self._application_ids.get(name)
        if known is not None:
            # The ID is only a guess (a rollback may have taken the row away), and
            # the UPDATE checks it while it locks the row.
            parameters = {"application": name, "count": count, "known": known}
            result = connection.execute(
                _advance_known_statement(), parameters, execution_options=options
            )
            if result.rowcount:
                return known, result.lastrowid
        application_id, last = super().take_positions(connection, name, count, options)
        self._application_ids[name] = application_id
        return application_id, last

    def register(self, connection: Connection, name: str, options: Options) -> None:
        """Locks the row that is there for writing.

        A duplicate that fails locks it for reading; two of these, both about to
        write, would be a deadlock.
        """
        statement = insert(applications).on_duplicate_key_update(
            name=applications.c.name
        )
        row = {"name": name, "last_notification_id": 0}
        connection.execute(statement, row, execution_options=options)

    def upsert(
        self,
        upsert: "Upsert",
        execute: Callable[..., CursorResult[Any]],
    ) -> CursorResult[Any]:
        """INSERT … ON DUPLICATE KEY UPDATE."""
        statement = insert(upsert.table).values(upsert.values)
        return execute(statement.on_duplicate_key_update(dict(upsert.set_)))


@cache
def _advance_known_statement() -> Update:
    count = bindparam("count", type_=BigInteger)
    advanced = applications.c.last_notification_id + count
    return (
        advance_statement()
        .where(applications.c.id == bindparam("known", type_=BigInteger))
        .values(last_notification_id=func.last_insert_id(advanced))
    )
