"""An append in one statement."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, Table, TwoPhaseTransaction
from sqlalchemy.exc import DBAPIError

from eventsourcing_alchemy.dialects.base import Application
from eventsourcing_alchemy.dialects.on_conflict import OnConflictAppending
from eventsourcing_alchemy.dialects.postgresql.append_statement import (
    append_statement,
    event_parameters,
)
from eventsourcing_alchemy.dialects.postgresql.drivers import is_autocommit
from eventsourcing_alchemy.dialects.postgresql.functions import Functions
from eventsourcing_alchemy.dialects.postgresql.locks import CHANNEL, lock_key
from eventsourcing_alchemy.dialects.postgresql.queue import NotifyQueue
from eventsourcing_alchemy.errors import TransientError, no_application
from eventsourcing_alchemy.host import StoredEvent
from eventsourcing_alchemy.statements.compiled import Rows
from eventsourcing_alchemy.statements.executor import Executor

T = TypeVar("T")


class PostgreSQLAppending(OnConflictAppending):
    """Queues on advisory locks, which are cheaper to wait for than rows."""

    def __init__(self) -> None:
        super().__init__()
        self._queue = NotifyQueue()
        self.functions = Functions()
        self._tried: set[Hashable] = set()

    def append(
        self,
        executor: Executor,
        table: Table,
        application: Application,
        events: Sequence[StoredEvent],
        *,
        notify: bool,
    ) -> int:
        """Locks, takes positions, inserts and notifies in one statement."""
        channel = self._channel(executor, notify=notify)
        store = partial(
            self._append, executor, table, application, events, notify=notify
        )
        return self._without_refused(executor, ("append", channel), store)

    def _append(
        self,
        executor: Executor,
        table: Table,
        application: Application,
        events: Sequence[StoredEvent],
        *,
        notify: bool,
    ) -> int:
        can_lock = self.functions.can_lock
        parameters = {
            **self._positions(application, len(events)),
            **event_parameters(events),
        }
        channel = self._channel(executor, notify=notify)
        statement = append_statement(table, channel, len(events) == 1, can_lock)
        last, *announced = self._first(executor, statement, parameters)
        self._note(announced)
        return int(last)

    def _positions(self, application: Application, count: int) -> dict[str, Any]:
        """The parameters with which an append takes positions."""
        taken: dict[str, Any] = {"application": application.name, "count": count}
        if self.functions.can_lock:
            taken["queue"] = queue_key(application)
        return taken

    def _channel(self, executor: Executor, *, notify: bool) -> str | None:
        if not notify or not self.functions.can_notify:
            return None
        # Of a transaction that has notified, PostgreSQL refuses PREPARE TRANSACTION.
        return None if _is_two_phase(executor.connection) else CHANNEL

    def _note(self, announced: Sequence[Any]) -> None:
        if announced:
            self._queue.note(has_room=announced[0] is not None)

    def _first(
        self, executor: Executor, statement: Executable, parameters: Mapping[str, Any]
    ) -> Sequence[Any]:
        """The row that a statement returns if there is an application."""
        execute = partial(executor.rows, statement, parameters)
        return self._registered(executor, parameters["application"], execute)[0]

    def _registered(
        self, executor: Executor, application: str, execute: Callable[[], Rows]
    ) -> Rows:
        """The rows that a statement returns if there is an application."""
        rows = execute()
        if not rows:
            self.register(executor, application)
            rows = execute()
        if not rows:
            raise no_application(application)
        return rows

    def _without_refused(
        self, executor: Executor, use: Hashable, execute: Callable[[], T]
    ) -> T:
        """Executes something, and again without the functions that are refused.

        The first time, a savepoint keeps the rest of the transaction.

        Args:
            executor: is in a transaction, or in `alone()`.
            use: tells which functions are used.
            execute: leaves out those that are known to be refused.

        Raises:
            TransientError: if a function is refused later, for another try.
        """
        is_alone = is_autocommit(executor.driver_connection)
        has_savepoint = not is_alone and use not in self._tried
        try:
            with executor.connection.begin_nested() if has_savepoint else nullcontext():
                result = execute()
        except DBAPIError as error:
            if not self.functions.do_without(error):
                raise
            if not (is_alone or has_savepoint):
                # All of the transaction has to be done again.
                raise TransientError(str(error.orig)) from error
        else:
            self._tried.add(use)
            return result
        return self._without_refused(executor, use, execute)


def queue_key(application: Application) -> int:
    """The advisory lock on which those queue who append to an application."""
    return lock_key(f"{application.schema}.{application.name}")


def _is_two_phase(connection: Connection) -> bool:
    return isinstance(connection.get_transaction(), TwoPhaseTransaction)
