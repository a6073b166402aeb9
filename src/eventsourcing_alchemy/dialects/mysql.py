"""MySQL and MariaDB: READ COMMITTED, LAST_INSERT_ID, GET_LOCK."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from math import ceil
from typing import TYPE_CHECKING, Any

from eventsourcing.persistence import OperationalError
from sqlalchemy import (
    URL,
    BigInteger,
    Connection,
    CursorResult,
    Engine,
    ExceptionContext,
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
_DEADLOCK = "eventsourcing_alchemy_deadlock"
_ER_LOCK_DEADLOCK = 1213


class MySQLDialect(BaseDialect):
    """Reads the position that an UPDATE reached from its own answer."""

    def __init__(self) -> None:
        self._application_ids: dict[tuple[str, str], int] = {}

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

    def watch(self, engine: Engine) -> None:
        """Notes deadlocks, which roll back everything, savepoints or not."""
        event.listen(engine, "handle_error", _note_deadlock)

    def ensure_begun(self, connection: Connection) -> None:
        """Forgets the deadlocks of earlier transactions."""
        super().ensure_begun(connection)
        connection.info.pop(_DEADLOCK, None)

    def commits_each_statement(self, connection: Connection) -> bool:
        """Whether the driver is in autocommit mode."""
        driver_connection = connection.connection.dbapi_connection
        return bool(driver_connection and driver_connection.get_autocommit())

    def is_aborted(self, connection: Connection) -> bool:
        """Whether a deadlock ended the transaction, and another one began."""
        return _DEADLOCK in connection.info

    @contextmanager
    def migrating(self, connection: Connection) -> Iterator[None]:
        """Holds a named lock of the server, because DDL commits."""
        database = str(connection.engine.url.database)
        digest = blake2b(database.encode(), digest_size=16).hexdigest()
        name = f"{_MIGRATION_LOCK}.{digest}"
        if connection.scalar(select(func.get_lock(name, 60))) != 1:
            msg = "Waited 60 s for another process that migrates the database"
            raise OperationalError(msg)
        try:
            yield
        finally:
            connection.scalar(select(func.release_lock(name)))

    def take_positions(
        self, connection: Connection, name: str, count: int, options: Options
    ) -> tuple[int, int]:
        """Saves a SELECT: the server answers an UPDATE with LAST_INSERT_ID."""
        key = name, str(options)
        known = self._application_ids.get(key)
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
        self._application_ids[key] = application_id
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


def _note_deadlock(context: ExceptionContext) -> None:
    code, *_ = context.original_exception.args or (None,)
    if context.connection is not None and code == _ER_LOCK_DEADLOCK:
        context.connection.info[_DEADLOCK] = True


@cache
def _advance_known_statement() -> Update:
    count = bindparam("count", type_=BigInteger)
    advanced = applications.c.last_notification_id + count
    return (
        advance_statement()
        .where(applications.c.id == bindparam("known", type_=BigInteger))
        .values(last_notification_id=func.last_insert_id(advanced))
    )
