"""An append of events with tags in one statement."""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Executable, Select, String, bindparam, func, select

from eventsourcing_alchemy.dialects.base import Application
from eventsourcing_alchemy.dialects.base.dcb_appending import (
    Append,
    DCBAppending,
    condition_fails,
)
from eventsourcing_alchemy.dialects.postgresql.appending import (
    PostgreSQLAppending,
    queue_key,
)
from eventsourcing_alchemy.dialects.postgresql.dcb_append_statement import (
    dcb_append_statement,
    event_parameters,
)
from eventsourcing_alchemy.dialects.postgresql.dcb_conditions import (
    condition_parameters,
)
from eventsourcing_alchemy.dialects.postgresql.dcb_group import Group
from eventsourcing_alchemy.dialects.postgresql.drivers import (
    has_pipelines,
    is_autocommit,
)
from eventsourcing_alchemy.host import IntegrityError
from eventsourcing_alchemy.statements.compiled import Rows
from eventsourcing_alchemy.statements.executor import Executor

CROWDED = 20
"""Appends that queue at once after one that has met another writer."""


class Stored(NamedTuple):
    """What an append has done.

    Attributes:
        last: position of the last event; None if nothing is stored.
        found: positions of events for which conditions fail, by number in the group.
    """

    last: int | None
    found: Mapping[int, int]


class PostgreSQLDCBAppending(PostgreSQLAppending, DCBAppending):
    """Appends by one statement, after another one that queues where others append."""

    def __init__(self) -> None:
        super().__init__()
        self._crowded: dict[Application, int] = {}

    def append_dcb(
        self,
        executor: Executor,
        application: Application,
        append: Append,
        *,
        notify: bool,
    ) -> int | None:
        """Checks the condition, takes positions, inserts and notifies."""
        stored = self._append_dcb(executor, application, [append], notify=notify)
        if stored.found:
            raise condition_fails(application.name, append, stored.found[0])
        return stored.last

    def append_dcb_group(
        self,
        executor: Executor,
        application: Application,
        group: Sequence[Append],
        *,
        notify: bool,
    ) -> Sequence[int | IntegrityError | None]:
        """Does so for all whose conditions find nothing that the others append."""
        if not is_autocommit(executor.driver_connection):
            return super().append_dcb_group(executor, application, group, notify=notify)
        settled = Group(application.name, group)
        while served := settled.served:
            stored = self._append_dcb(executor, application, served, notify=notify)
            if stored.last is not None:
                settled.store(stored.last)
            if not stored.found:
                break
            settled.refuse(stored.found)
        return settled.outcomes

    def _append_dcb(
        self,
        executor: Executor,
        application: Application,
        group: Sequence[Append],
        *,
        notify: bool,
    ) -> Stored:
        if any(map(_is_long, group)):
            return Stored(None, {})
        channel = self._channel(executor, notify=notify)
        store = partial(self._append_now, executor, application, group, notify=notify)
        return self._without_refused(executor, ("append_dcb", channel), store)

    def _append_now(
        self,
        executor: Executor,
        application: Application,
        group: Sequence[Append],
        *,
        notify: bool,
    ) -> Stored:
        if not self.functions.can_lock:
            return Stored(None, {})
        store = partial(self._store, executor, application, group, notify=notify)
        if not _can_queue(executor):
            return store()
        crowded = self._crowded.get(application, 0)
        if not crowded:
            stored = store()
            if stored.last is not None or stored.found:
                return stored
        self._crowded[application] = crowded - 1 if crowded else CROWDED
        return store(queues=True)

    def store_dcb(
        self,
        executor: Executor,
        application: Application,
        group: Sequence[Append],
        *,
        notify: bool,
    ) -> None:
        """Takes positions, inserts and notifies."""
        unconditional = [append._replace(condition=None) for append in group]
        channel = self._channel(executor, notify=notify)
        store = partial(
            self._store, executor, application, unconditional, notify=notify
        )
        self._without_refused(executor, ("store_dcb", channel), store)

    def _store(
        self,
        executor: Executor,
        application: Application,
        group: Sequence[Append],
        *,
        notify: bool,
        queues: bool = False,
    ) -> Stored:
        count = sum(len(append.events) for append in group)
        shapes, conditions = condition_parameters(group)
        parameters = {
            **self._positions(application, count),
            **event_parameters(group),
            **conditions,
        }
        channel = self._channel(executor, notify=notify)
        statement = dcb_append_statement(
            shapes,
            channel,
            is_alone=len(group) == 1,
            is_single=count == 1,
            is_queued=self.functions.can_lock and not queues,
        )
        execute = partial(_execute, executor, statement, parameters, queues=queues)
        rows = self._registered(executor, application.name, execute)
        _, last, _, _, *announced = rows[0]
        if last is not None:
            self._note(announced)
        found = {row[2]: row[3] for row in rows if row[3] is not None}
        return Stored(last, found)

    def wait_for_turn(self, executor: Executor, application: Application) -> None:
        """Queues on the advisory lock, which the end of the transaction releases."""
        wait = partial(self._wait, executor, application)
        self._without_refused(executor, "wait_for_turn", wait)

    def _wait(self, executor: Executor, application: Application) -> None:
        if self.functions.can_lock:
            key = {"queue": queue_key(application)}
            executor.first(_wait_statement(), key)


def _execute(
    executor: Executor,
    statement: Executable,
    parameters: Mapping[str, Any],
    *,
    queues: bool,
) -> Rows:
    """Executes a statement; with one before that waits for those who append.

    Each sees the database as it is when it begins, and both are one transaction.
    """
    if not queues:
        return executor.rows(statement, parameters)
    queue = {"queue": parameters["queue"]}
    others = {name: parameters[name] for name in parameters if name != "queue"}
    return executor.rows_together([(_wait_statement(), queue), (statement, others)])


def _can_queue(executor: Executor) -> bool:
    """Whether two statements can be one transaction, and one round trip."""
    driver_connection = executor.driver_connection
    is_alone = is_autocommit(driver_connection) and not executor.is_observed
    return is_alone and has_pipelines(driver_connection)


def _is_long(append: Append) -> bool:
    """Whether the database would spend more time on the statement's plan than on it."""
    return append.condition is not None and len(append.condition.query.parts) > 1


@cache
def _wait_statement() -> Select[Any]:
    key = bindparam("queue", type_=BigInteger)
    return select(func.pg_advisory_xact_lock(key).cast(String))
