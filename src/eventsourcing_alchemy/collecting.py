"""Upserts that wait for each other, to be executed by few statements."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Table, event

from eventsourcing_alchemy.upsert_plans import Plan, Planned

_EVENTS = (
    "before_cursor_execute",
    "savepoint",
    "rollback_savepoint",
    "release_savepoint",
)


class ResultNeededError(Exception):
    """The result was asked for of an upsert that is executed together with others."""


class CollectedResult:
    """Stands for the result of an upsert that has not been executed yet.

    Who asks it for something has the upsert executed.
    """

    def __init__(self, collector: "Collector") -> None:
        self._collector = collector
        self._result: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._result is None:
            self._result = self._collector.result_of(self)
        return getattr(self._result, name)


class Collector:
    """Collects upserts, until something else is to be executed.

    Those into one table are executed in their order, and so are all where a table has
    foreign keys.

    Attributes:
        failure: what went wrong, even if the user has caught it.

    Args:
        connection: to execute them on.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.failure: BaseException | None = None
        self._collected: dict[Table, tuple[Plan, list[tuple[Any, ...]]]] = {}
        self._last: tuple[CollectedResult, Table] | None = None
        self._is_flushing = False

    def collect(self, table: Table, planned: Planned) -> CollectedResult:
        """Executes an upsert later.

        Args:
            table: that it writes to, and nothing else.
            planned: how to execute it.
        """
        plan, values = planned.plan, tuple(map(_kept, planned.values))
        known = self._collected.get(table)
        others = self._collected.keys() - {table}
        if (known and known[0] is not plan) or (others and table.foreign_keys):
            self.flush()
        self._collected.setdefault(table, (plan, []))[1].append(values)
        result = CollectedResult(self)
        self._last = result, table
        return result

    def result_of(self, result: CollectedResult) -> Any:
        """The real result of the last one, which is executed by itself.

        Raises:
            ResultNeededError: if others have been collected after it.
        """
        if self._last is None or self._last[0] is not result:
            msg = "The result of an upsert was asked for after another one"
            self.failure = ResultNeededError(msg)
            raise self.failure
        plan, rows = self._collected[self._last[1]]
        planned = Planned(plan, rows.pop())
        return self.connection.exec_driver_sql(plan.compiled.text, planned.parameters)

    def flush(self) -> None:
        """Executes what has been collected."""
        if self._is_flushing or not self._collected:
            return
        collected, self._collected, self._last = self._collected, {}, None
        self._is_flushing = True
        try:
            for plan, rows in collected.values():
                parameters = list(plan.compiled.bound_rows(plan.names, rows))
                if parameters:
                    self.connection.exec_driver_sql(plan.compiled.text, parameters)
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self._is_flushing = False


_IMMUTABLE = {type(None), bool, int, float, str, bytes, UUID, Decimal, date, datetime}


def _kept(value: Any) -> Any:
    """The value as it is now."""
    return value if type(value) in _IMMUTABLE else deepcopy(value)


_collector: ContextVar[Collector | None] = ContextVar("collector", default=None)


def current_collector(connection: Connection) -> Collector | None:
    """What collects the upserts on a connection, if something does."""
    collector = _collector.get()
    if collector is None or collector.connection is not connection:
        return None
    return collector


def flush_upserts(connection: Connection, *_: Any) -> None:
    """Executes what has been collected for a connection, if anything has."""
    collector = current_collector(connection)
    if collector is not None:
        collector.flush()


def flushing(engine: Engine) -> Engine:
    """The same engine, for connections on which upserts may be collected.

    Whatever else is executed on them, by whatever way of SQLAlchemy's, finds the
    upserts executed.
    """
    own = engine.execution_options()
    for name in _EVENTS:
        event.listen(own, name, flush_upserts)
    return own


@contextmanager
def collecting_upserts(connection: Connection) -> Iterator[Collector]:
    """Collects upserts in the block, and executes them at its end, at the latest.

    Args:
        connection: of an engine that is `flushing()`.

    Raises:
        Exception: what went wrong, even if that was caught in the block, where it
            seemed to be about something else.
        ResultNeededError: if the result of an upsert was asked for too late.
    """
    collector = Collector(connection)
    token = _collector.set(collector)
    try:
        yield collector
        collector.flush()
        if collector.failure is not None:
            raise collector.failure
    finally:
        _collector.reset(token)
