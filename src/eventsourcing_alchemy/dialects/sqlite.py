"""SQLite: BEGIN IMMEDIATE, WAL, one writer at a time."""

import sqlite3
from collections.abc import Hashable
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Any, ClassVar

from sqlalchemy import URL, Connection, Engine, QueuePool, event
from sqlalchemy.dialects.sqlite import insert

from eventsourcing_alchemy import statements
from eventsourcing_alchemy.dialects.base import Options
from eventsourcing_alchemy.dialects.fork_guard import ForkGuard
from eventsourcing_alchemy.dialects.kept_connection import KeptConnection
from eventsourcing_alchemy.dialects.on_conflict import OnConflictDialect
from eventsourcing_alchemy.errors import LockTimeoutError
from eventsourcing_alchemy.executors import Executor
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
        self._kept: KeptConnection | None = None

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
            self._kept = KeptConnection()

    def fault(self, error: BaseException) -> Fault:
        """By the primary result code, which is the low byte of the extended one."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_ERROR and str(error).startswith("no such "):
            return Fault.REFUSED
        return _FAULTS.get(code, Fault.LASTING)

    def close(self) -> None:
        """Closes the connection that writes."""
        if self._kept is not None:
            self._kept.end()

    def before_fork(self, engine: Engine) -> None:
        """Closes the connections to a file; a child has a copy of what is in memory."""
        self.close()
        if self._fork_guard is not None:
            self._fork_guard.before_fork(engine)
        elif not self.is_private(engine.url):
            engine.dispose()

    def after_fork(self, engine: Engine) -> None:  # noqa: ARG002
        """Opens connections again."""
        if self._fork_guard is not None:
            self._fork_guard.after_fork()
        if self._kept is not None:
            self._kept.begin()

    def abandon(self) -> None:
        """A thread of the parent may have held the lock."""
        self._write_lock = Lock()
        if self._fork_guard is not None:
            self._fork_guard.abandon()
        if self._kept is not None:
            self._kept = KeptConnection()

    def writing(self, engine: Engine) -> AbstractContextManager[Engine]:
        """Queues the threads of this process, then BEGIN IMMEDIATE."""
        if self._writer is None:
            self._writer = engine.execution_options(**{_BEGIN: _BEGIN_WRITING})
        return _Turn(self._write_lock, self._lock_timeout, self._writer)

    def take_writer(self, engine: Engine) -> Connection:
        """The one that the last writer had, if it is a file: only one writes."""
        if self._kept is None:
            return super().take_writer(engine)
        return self._kept.take(engine)

    def give_writer_back(self, connection: Connection) -> None:
        """Keeps it for the next writer."""
        if self._kept is None:
            super().give_writer_back(connection)
        else:
            self._kept.give_back(connection)

    def alone(self, executor: Executor) -> AbstractContextManager[None]:
        """A transaction without what SQLAlchemy does around it."""
        return _Alone(executor)

    def advance_returning(self) -> Any:
        """With the time, which SQLite would compute for each row."""
        return statements.advance_position_telling_time()

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


class _Turn:
    """One thread of this process at a time.

    SQLite itself has no queue: it retries until it finds the file unlocked, so that a
    busy thread can starve the others.
    """

    def __init__(self, lock: Lock, timeout: float, engine: Engine) -> None:
        self._lock = lock
        self._timeout = timeout
        self._engine = engine

    def __enter__(self) -> Engine:
        if not self._lock.acquire(timeout=self._timeout):
            waited = f"{self._timeout:g} s"
            msg = f"Waited {waited} for another thread's transaction to end"
            raise LockTimeoutError(msg)
        return self._engine

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class _Alone:
    """A transaction."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def __enter__(self) -> None:
        try:
            self._executor.run(_BEGIN_WRITING)
        except BaseException:
            self._roll_back()
            raise

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:
            self._roll_back()
            return
        try:
            self._executor.run("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        # Where that fails, it is closed, or will be when it is given back.
        with suppress(Exception):
            self._executor.driver_connection.rollback()


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
