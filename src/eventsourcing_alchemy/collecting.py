"""Upserts that wait for each other, to be executed by few statements."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table, event

from eventsourcing_alchemy.upsert_plans import Plan, Planned

_EVENTS = (
    "before_cursor_execute",
    "savepoint",
    "rollback_savepoint",
    "release_savepoint",
)


class ResultNeededError(Exception):
    """The result of an upsert was asked for, which has not been executed yet."""


class CollectedResult:
    """Stands for the result of an upsert that has not been executed yet."""

    def __init__(self, collector: "Collector") -> None:
        self._collector = collector

    def __getattr__(self, name: str) -> Any:
        msg = f"{name} of the result of an upsert is not known within a batch"
        self._collector.failure = ResultNeededError(msg)
        raise self._collector.failure


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
        return CollectedResult(self)

    def flush(self, *_: Any) -> None:
        """Executes what has been collected."""
        if self._is_flushing or not self._collected:
            return
        collected, self._collected = self._collected, {}
        self._is_flushing = True
        try:
            for plan, rows in collected.values():
                parameters = plan.compiled.bound_rows(plan.names, rows)
                self.connection.exec_driver_sql(plan.compiled.text, list(parameters))
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


def flush_upserts(connection: Connection) -> None:
    """Executes what has been collected for a connection, if anything has."""
    collector = current_collector(connection)
    if collector is not None:
        collector.flush()


@contextmanager
def collecting_upserts(connection: Connection) -> Iterator[Collector]:
    """Collects upserts in the block, and executes them at its end, at the latest.

    Whatever else is executed on the connection, by whatever way of SQLAlchemy's, finds
    them executed.

    Raises:
        Exception: what went wrong, even if that was caught in the block, where it
            seemed to be about something else.
        ResultNeededError: if the result of an upsert was asked for.
    """
    collector = Collector(connection)
    token = _collector.set(collector)
    for name in _EVENTS:
        event.listen(connection, name, collector.flush)
    try:
        yield collector
        collector.flush()
        if collector.failure is not None:
            raise collector.failure
    finally:
        for name in _EVENTS:
            event.remove(connection, name, collector.flush)
        _collector.reset(token)
