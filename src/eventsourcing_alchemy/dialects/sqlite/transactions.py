"""BEGIN IMMEDIATE, and threads that take turns."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from threading import Lock, get_ident
from typing import Any

from sqlalchemy import Connection, Engine

from eventsourcing_alchemy.dialects.base.marks import SAVEPOINT, Mark
from eventsourcing_alchemy.dialects.base.transactions import Transactions
from eventsourcing_alchemy.dialects.sqlite.beginning import (
    BEGIN,
    BEGIN_WRITING,
    Beginning,
)
from eventsourcing_alchemy.errors import LockTimeoutError
from eventsourcing_alchemy.host import ProgrammingError
from eventsourcing_alchemy.resilience.locks import held
from eventsourcing_alchemy.statements.executor import Executor

_OWN_TURN = (
    "This thread is in the midst of a transaction that writes to the SQLite file, and "
    "cannot begin another one, in a signal handler or in another task, say: end the "
    "transaction before, and do not await anything in it"
)


class SQLiteTransactions(Transactions):
    """Begins transactions itself: the driver would begin them too late.

    A transaction that reads first and writes then cannot wait for another
    writer: SQLite refuses it at once. So those that write begin as writers.
    """

    beginning: Beginning

    def __init__(self) -> None:
        super().__init__()
        self._writer: Engine | None = None
        self.lock_timeout = 30.0
        self.renew_lock()

    def renew_lock(self) -> None:
        """Forgets, in a forked child, which thread of the parent held the lock."""
        self.write_lock = Lock()
        self.writing_thread: int | None = None

    @contextmanager
    def writing(self, engine: Engine) -> Iterator[Engine]:
        """Queues the threads of this process, then BEGIN IMMEDIATE.

        SQLite itself has no queue: it retries until it finds the file unlocked, so that
        a busy thread can starve the others.
        """
        if self._writer is None:
            self._writer = engine.execution_options(**{BEGIN: BEGIN_WRITING})
        self.refuse_own_turn()
        with held(self.write_lock, self.lock_timeout) as is_held:
            if not is_held:
                raise self.waited()
            try:
                self.writing_thread = get_ident()
                yield self._writer
            finally:
                self.writing_thread = None

    def refuse_own_turn(self) -> None:
        """Makes sure that the calling thread does not wait for itself.

        Raises:
            ProgrammingError: if it does.
        """
        if self.writing_thread == get_ident():
            raise ProgrammingError(_OWN_TURN)

    def waited(self) -> LockTimeoutError:
        """The error for who has waited too long for its turn."""
        waited = f"{self.lock_timeout:g} s"
        return LockTimeoutError(
            f"Waited {waited} for another thread's transaction to end: keep "
            "transactions short, or raise SQLALCHEMY_LOCK_TIMEOUT"
        )

    def alone(self, executor: Executor) -> AbstractContextManager[None]:
        """A transaction without what SQLAlchemy does around it."""
        return _Alone(executor, self.beginning)

    def ensure_begun(self, connection: Connection) -> None:
        """Begins it as a writer, where the driver has not begun it.

        Otherwise the release of a savepoint would commit.
        """
        if not connection.in_transaction():
            connection.begin()
        super().ensure_begun(connection)
        if not _driver_connection(connection).in_transaction:
            connection.exec_driver_sql(BEGIN_WRITING)

    def commits_each_statement(self, connection: Connection) -> bool:
        """Whether neither the driver begins transactions, nor a listener has begun it.

        AUTOCOMMIT mode is the driver's mode for those who begin them.
        """
        driver_connection = _driver_connection(connection)
        return super().commits_each_statement(connection) or not (
            driver_connection.in_transaction or _begins_transactions(driver_connection)
        )

    def mark(self, connection: Connection) -> Mark | None:
        """Where the driver begins no transactions, state and a savepoint tell."""
        driver_connection = _driver_connection(connection)
        if _begins_transactions(driver_connection):
            return None
        return _StateMark(driver_connection, connection.connection.cursor)

    @contextmanager
    def migrating(self, connection: Connection) -> Iterator[None]:
        """Begins as a writer, if the transaction has not begun."""
        if not _driver_connection(connection).in_transaction:
            # As long as the other databases wait.
            connection.exec_driver_sql("PRAGMA busy_timeout = 60000")
        self.ensure_begun(connection)
        yield


class _StateMark(Mark):
    """Where nobody begins another transaction, there is none when this one has ended.

    SQLite ends it by itself when the disk is full, say, or ON CONFLICT ROLLBACK. A
    savepoint, which takes microseconds, tells if a cursor has begun another one.
    """

    def __init__(self, driver_connection: Any, cursor: Callable[[], Any]) -> None:
        self._driver_connection = driver_connection
        self._cursor = cursor
        self._execute("SAVEPOINT")

    def has_ended(self) -> bool:
        """Whether each statement is committed by now."""
        return not self._driver_connection.in_transaction

    def is_kept(self) -> bool:
        """Whether the savepoint is there."""
        if self.has_ended():
            return False
        try:
            self._execute("RELEASE")
        except self._driver_connection.OperationalError:
            return False
        return True

    def _execute(self, command: str) -> None:
        cursor = self._cursor()
        cursor.execute(f"{command} {SAVEPOINT}")
        cursor.close()


def _driver_connection(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _begins_transactions(driver_connection: Any) -> bool:
    """Whether the driver does so by itself, before a statement that writes."""
    is_in_pep_249_mode = getattr(driver_connection, "autocommit", None) is False
    return is_in_pep_249_mode or driver_connection.isolation_level is not None


class _Alone:
    """A transaction."""

    def __init__(self, executor: Executor, beginning: Beginning) -> None:
        self._executor = executor
        self._beginning = beginning

    def __enter__(self) -> None:
        executor = self._executor
        try:
            self._beginning.begin_writing(
                executor.driver_connection, executor.run, is_seen=executor.is_observed
            )
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
