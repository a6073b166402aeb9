"""Connections: WAL, one that writes, none across a fork."""

import sqlite3
from collections.abc import Hashable
from functools import partial
from os.path import realpath
from pathlib import Path
from time import monotonic, sleep
from typing import Any, ClassVar

from sqlalchemy import URL, Connection, Engine, QueuePool, event

from eventsourcing_alchemy.dialects.base import Options
from eventsourcing_alchemy.dialects.base.connections import Connections
from eventsourcing_alchemy.dialects.sqlite.beginning import BEGIN, Beginning
from eventsourcing_alchemy.dialects.sqlite.errors import primary_code
from eventsourcing_alchemy.dialects.sqlite.fork_guard import ForkGuard, guard_of
from eventsourcing_alchemy.dialects.sqlite.kept_connection import KeptConnection
from eventsourcing_alchemy.dialects.sqlite.paths import path_of, with_absolute_path
from eventsourcing_alchemy.dialects.sqlite.writer_queue import WriterQueue
from eventsourcing_alchemy.errors import LockTimeoutError


class SQLiteConnections(Connections):
    """WAL, one connection that writes, none across a fork."""

    reading_options: ClassVar[Options] = {BEGIN: None}
    # Both are the same code, which others are not: their errors tell no code.
    drivers = ("pysqlite", "pysqlcipher")

    def __init__(self) -> None:
        super().__init__()
        self._fork_guard: ForkGuard | None = None
        self._kept: KeptConnection | None = None
        self._queue: WriterQueue | None = None
        self.beginning = Beginning(None, 0)

    def is_private(self, url: URL) -> bool:
        """Whether it is in memory."""
        return path_of(url) is None

    def missing_file(self, url: URL) -> Path | None:
        """The file, where there is none yet."""
        path = path_of(url)
        return None if path is None or path.exists() else path

    def absolute(self, url: URL) -> URL:
        """With the absolute path of the file."""
        return with_absolute_path(url)

    def identity(self, url: URL) -> Hashable:
        """The file, however the URL spells its path."""
        return url.get_backend_name(), path_of(url)

    def place(self, connection: Connection) -> Hashable:
        """The file, also by other links to it."""
        path = path_of(connection.engine.url)
        return None if path is None else _file(path)

    def is_elsewhere(self, ours: URL, theirs: URL, schema: str | None) -> bool:  # noqa: ARG002
        """By the files. What is in memory lacks the tables, and says so."""
        our_path, their_path = path_of(ours), path_of(theirs)
        if our_path is None or their_path is None:
            return their_path is not None
        return _file(our_path) != _file(their_path)

    def engine_options(self, url: URL, lock_timeout: float) -> dict[str, Any]:
        """In memory, a pool of one connection, which also makes threads take turns."""
        options = {
            "connect_args": {"timeout": lock_timeout, "check_same_thread": False},
            "poolclass": QueuePool,
        }
        if self.is_private(url):
            options |= {
                "pool_size": 1,
                "max_overflow": 0,
                "pool_timeout": lock_timeout,
            }
        return options

    def watch(self, engine: Engine) -> None:
        """Lets no connection to a file pass into a forked child."""
        if not self.is_private(engine.url):
            self._fork_guard = guard_of(engine)

    def configure(self, engine: Engine, lock_timeout: float) -> None:
        """Transactions that we begin."""
        event.listen(engine, "connect", _leave_transactions_to_us)
        path = path_of(engine.url)
        if path is not None:
            self._queue = WriterQueue(realpath(path))
            guard_of(engine).guard_opening(engine)
            self._keep()
        self.beginning = Beginning(self._queue, lock_timeout)
        event.listen(engine, "begin", self.beginning.begin)

    def prepare_to_write(self, engine: Engine, lock_timeout: float) -> None:
        """Durable commits that do not block readers."""
        event.listen(engine, "connect", partial(_make_durable, lock_timeout))

    def _keep(self) -> None:
        self._kept = KeptConnection()
        if self._fork_guard is not None:
            self._fork_guard.beside_pool = self._kept.is_open

    def close(self) -> None:
        """Closes the connection that writes."""
        if self._kept is not None:
            self._kept.end()
        if self._queue is not None:
            self._queue.end()

    def before_fork(self, engine: Engine) -> None:
        """Closes the connections to a file; a child has a copy of what is in memory."""
        if self._kept is not None:
            self._kept.end()
        if self._fork_guard is not None:
            self._fork_guard.before_fork(engine)
        # Now: those whose connections the guard waited for had their turn.
        if self._queue is not None:
            self._queue.end()

    def after_fork(self, engine: Engine) -> None:  # noqa: ARG002
        """Opens connections again."""
        if self._fork_guard is not None:
            self._fork_guard.after_fork()
        if self._kept is not None:
            self._kept.begin()
        if self._queue is not None:
            self._queue.begin()

    def abandon(self) -> None:
        """Leaves open files to the parent process."""
        if self._fork_guard is not None:
            self._fork_guard.abandon()
        if self._kept is not None:
            self._keep()
        if self._queue is not None:
            self._queue.abandon()

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


def _file(path: Path) -> Hashable:
    try:
        found = path.stat()
    except OSError:  # It is not there yet.
        return path.resolve()
    return found.st_dev, found.st_ino


def _leave_transactions_to_us(connection: Any, _: Any) -> None:
    # The driver is to begin nothing by itself.
    connection.isolation_level = None


def _make_durable(lock_timeout: float, connection: Any, _: Any) -> None:
    deadline = monotonic() + lock_timeout
    while not _is_in_wal_mode(connection):
        if monotonic() > deadline:
            msg = (
                f"Waited {lock_timeout:g} s for other threads or processes to open "
                "the database"
            )
            raise LockTimeoutError(msg)
        sleep(0.005)
    connection.execute("PRAGMA synchronous=FULL").close()


def _is_in_wal_mode(connection: Any) -> bool:
    """Sets the mode, unless the file is read-only: then it is in the one it needs.

    SQLite does not wait for the others who do so.
    """
    try:
        connection.execute("PRAGMA journal_mode=WAL").close()
    except Exception as error:
        code = primary_code(error)
        if code not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY}:
            raise
        return code == sqlite3.SQLITE_READONLY
    return True
