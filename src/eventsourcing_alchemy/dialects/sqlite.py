"""SQLite: BEGIN IMMEDIATE, WAL, one writer at a time."""

import sqlite3
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Any, ClassVar

from sqlalchemy import URL, Connection, Engine, QueuePool, Table, event
from sqlalchemy.dialects.sqlite import insert

from eventsourcing_alchemy import statements
from eventsourcing_alchemy.dialects.base import EVENT, Options
from eventsourcing_alchemy.dialects.fork_guard import ForkGuard
from eventsourcing_alchemy.dialects.on_conflict import OnConflictDialect
from eventsourcing_alchemy.errors import LockTimeoutError
from eventsourcing_alchemy.executors import Executor, Rows
from eventsourcing_alchemy.faults import Fault

_BEGIN = "eventsourcing_alchemy_begin"
_BEGIN_WRITING = "BEGIN IMMEDIATE"

_FAULTS = {
    sqlite3.SQLITE_BUSY: Fault.CONFLICT,
    sqlite3.SQLITE_LOCKED: Fault.CONFLICT,
    sqlite3.SQLITE_FULL: Fault.SHORTAGE,
    sqlite3.SQLITE_IOERR: Fault.SHORTAGE,
    sqlite3.SQLITE_NOMEM: Fault.SHORTAGE,
    sqlite3.SQLITE_CANTOPEN: Fault.REFUSED,
    sqlite3.SQLITE_NOTADB: Fault.REFUSED,
    sqlite3.SQLITE_PERM: Fault.REFUSED,
    sqlite3.SQLITE_READONLY: Fault.REFUSED,
}


class SQLiteDialect(OnConflictDialect):
    """Begins transactions itself: the driver would begin them too late.

    A transaction that reads first and writes then cannot wait for another
    writer: SQLite refuses it at once. So those that write begin as writers.
    """

    insert = staticmethod(insert)
    reading_options: ClassVar[Options] = {_BEGIN: None}

    def __init__(self) -> None:
        self._write_lock = Lock()
        self._lock_timeout = 30.0
        self._writer: Engine | None = None
        self._fork_guard: ForkGuard | None = None

    def is_private(self, url: URL) -> bool:
        """Whether it is in memory."""
        return (
            not url.database
            or ":memory:" in url.database
            or url.query.get("mode") == "memory"
        )

    def absolute(self, url: URL) -> URL:
        """With the absolute path of the file."""
        path = (url.database or "").removeprefix("file:").partition("?")[0]
        return url.set(database=str(Path(path).absolute()))

    def identity(self, url: URL) -> Hashable:
        """The file, however the URL spells its path."""
        return url.get_backend_name(), self.absolute(url).database

    def engine_options(self, url: URL, lock_timeout: float) -> dict[str, Any]:
        """In memory, a pool of one connection, which also makes threads take turns."""
        connect_args = {"timeout": lock_timeout, "check_same_thread": False}
        if not self.is_private(url):
            return {"connect_args": connect_args}
        return {
            "connect_args": connect_args,
            "poolclass": QueuePool,
            "pool_size": 1,
            "max_overflow": 0,
            "pool_timeout": lock_timeout,
        }

    def configure(self, engine: Engine, lock_timeout: float) -> None:
        """Durable commits that do not block readers; transactions that we begin."""
        event.listen(engine, "connect", partial(_configure_connection, lock_timeout))
        event.listen(engine, "begin", _begin)
        self.writes_alone = True
        self._lock_timeout = lock_timeout
        if not self.is_private(engine.url):
            self._fork_guard = ForkGuard(engine)

    def fault(self, error: BaseException) -> Fault:
        """By the primary result code, which is the low byte of the extended one."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_ERROR and str(error).startswith("no such "):
            return Fault.REFUSED
        return _FAULTS.get(code, Fault.LASTING)

    def before_fork(self, engine: Engine) -> None:
        """Closes the connections to a file; a child has a copy of what is in memory."""
        if self._fork_guard is not None:
            self._fork_guard.before_fork(engine)
        elif not self.is_private(engine.url):
            engine.dispose()

    def after_fork(self, engine: Engine) -> None:  # noqa: ARG002
        """Opens connections again."""
        if self._fork_guard is not None:
            self._fork_guard.after_fork()

    def abandon(self) -> None:
        """A thread of the parent may have held the lock."""
        self._write_lock = Lock()
        if self._fork_guard is not None:
            self._fork_guard.abandon()

    @contextmanager
    def writing(self, engine: Engine) -> Iterator[Engine]:
        """Queues the threads of this process, then BEGIN IMMEDIATE."""
        if self._writer is None:
            self._writer = engine.execution_options(**{_BEGIN: _BEGIN_WRITING})
        with self._turn():
            yield self._writer

    @contextmanager
    def alone(self, executor: Executor) -> Iterator[None]:
        """A transaction without what SQLAlchemy does around it."""
        driver_connection = executor.driver_connection
        try:
            executor.run(_BEGIN_WRITING)
            yield
            executor.run("COMMIT")
        except BaseException:
            # Where that fails, it is closed, or will be when it is returned.
            with suppress(Exception):
                driver_connection.rollback()
            raise

    def insert_rows(self, executor: Executor, table: Table, rows: Rows) -> None:
        """Asks for the time once, where SQLite would compute it for each row."""
        if len(rows) == 1:
            super().insert_rows(executor, table, rows)
            return
        now = executor.scalar(statements.clock(), {})
        timed = [(*row, now) for row in rows]
        names = (*EVENT, "recorded_at_")
        executor.execute_many(statements.insert_event_at(table), names, timed)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One thread of this process at a time.

        SQLite itself has no queue: it retries until it finds the file unlocked,
        so that a busy thread can starve the others.
        """
        lock = self._write_lock
        if not lock.acquire(timeout=self._lock_timeout):
            waited = f"{self._lock_timeout:g} s"
            msg = f"Waited {waited} for another thread's transaction to end"
            raise LockTimeoutError(msg)
        try:
            yield
        finally:
            lock.release()

    def ensure_begun(self, connection: Connection) -> None:
        """Begins it as a writer, where the driver has not begun it.

        Otherwise the release of a savepoint would commit.
        """
        super().ensure_begun(connection)
        if not connection.in_transaction():
            connection.begin()
        driver_connection = connection.connection.driver_connection
        if driver_connection is not None and not driver_connection.in_transaction:
            connection.exec_driver_sql(_BEGIN_WRITING)


def _configure_connection(lock_timeout: float, connection: Any, _: Any) -> None:
    # The driver is to begin nothing by itself.
    connection.isolation_level = None
    deadline = monotonic() + lock_timeout
    while not _is_in_wal_mode(connection):
        if monotonic() > deadline:
            msg = f"Waited {lock_timeout:g} s for others to open the database"
            raise LockTimeoutError(msg)
        sleep(0.005)
    connection.execute("PRAGMA synchronous=FULL").close()


def _is_in_wal_mode(connection: Any) -> bool:
    """Sets the mode. SQLite does not wait for the others who do so."""
    try:
        connection.execute("PRAGMA journal_mode=WAL").close()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _begin(connection: Connection) -> None:
    statement = connection.get_execution_options().get(_BEGIN, "BEGIN")
    if statement is not None:
        connection.exec_driver_sql(statement)
