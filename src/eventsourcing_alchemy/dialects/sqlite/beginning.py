"""How a transaction begins."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection

from eventsourcing_alchemy.dialects.sqlite.errors import primary_code
from eventsourcing_alchemy.dialects.sqlite.writer_queue import WriterQueue
from eventsourcing_alchemy.statements.executor import is_observed

BEGIN = "eventsourcing_alchemy_begin"


BEGIN_WRITING = "BEGIN IMMEDIATE"


class Beginning:
    """Begins the transactions of an engine.

    Args:
        queue: of those who write; None where nobody else does.
        lock_timeout: seconds to wait for them.
    """

    def __init__(self, queue: WriterQueue | None, lock_timeout: float) -> None:
        self._queue = queue
        self._lock_timeout = lock_timeout

    def begin(self, connection: Connection) -> None:
        """Begins a transaction as the options of the connection say.

        A listener of the user's, for all engines, may have begun another one just now.
        """
        driver_connection: Any = connection.connection.dbapi_connection
        if driver_connection.in_transaction:
            driver_connection.rollback()
        statement = connection.get_execution_options().get(BEGIN, "BEGIN")
        if statement == BEGIN_WRITING:
            self._begin_writing(connection, driver_connection)
        elif statement is not None:
            connection.exec_driver_sql(statement)

    def _begin_writing(self, connection: Connection, driver_connection: Any) -> None:
        try:
            wait_for_locks(driver_connection, 0)
            self.begin_writing(
                driver_connection,
                connection.exec_driver_sql,
                is_seen=is_observed(connection.engine),
            )
        finally:
            with suppress(Exception):  # It may be closed by now.
                wait_for_locks(driver_connection, self._lock_timeout)

    def begin_writing(
        self, driver_connection: Any, run: Callable[[str], object], *, is_seen: bool
    ) -> None:
        """Begins a transaction that writes.

        Args:
            driver_connection: does not wait for locks.
            run: executes a statement on it so that errors are SQLAlchemy's.
            is_seen: whether somebody is to see the statement, too.
        """
        if self._queue is None:
            run(BEGIN_WRITING)
            return

        def attempt() -> bool:
            is_over = _is_over(driver_connection)
            if is_over and is_seen and driver_connection.in_transaction:
                # While it has its place, so that nobody behind it comes between.
                driver_connection.rollback()
                _begin_waiting(driver_connection, run, self._lock_timeout)
            return is_over

        left = self._queue.wait(attempt, self._lock_timeout)
        if not driver_connection.in_transaction:
            _begin_waiting(driver_connection, run, left)


def wait_for_locks(driver_connection: Any, seconds: float) -> None:
    """Has SQLite wait for locks, at the most so long."""
    milliseconds = int(seconds * 1000)
    driver_connection.execute(f"PRAGMA busy_timeout={milliseconds}").close()


def _begin_waiting(
    driver_connection: Any, run: Callable[[str], object], seconds: float
) -> None:
    wait_for_locks(driver_connection, seconds)
    run(BEGIN_WRITING)
    wait_for_locks(driver_connection, 0)


def _is_over(driver_connection: Any) -> bool:
    """Whether there is nothing to wait for: it has begun, or cannot."""
    try:
        driver_connection.execute(BEGIN_WRITING).close()
    except Exception as error:
        return primary_code(error) != sqlite3.SQLITE_BUSY
    return True
