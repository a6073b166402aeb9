"""Upserts that wait for each other, to be executed by one statement."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, event

from eventsourcing_alchemy.upsert_plans import Plan, Planned

_EVENTS = (
    "before_cursor_execute",
    "commit",
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
    """Collects upserts of one form, until something else is to be executed.

    All of them are executed in their order: a trigger, or a function of the database,
    may read what another one has written.

    Attributes:
        failure: what went wrong, even if the user has caught it.

    Args:
        connection: to execute them on.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.failure: BaseException | None = None
        self._plan: Plan | None = None
        self._rows: list[tuple[Any, ...]] = []
        self._last: CollectedResult | None = None
        self._is_flushing = False

    def collect(self, planned: Planned) -> CollectedResult:
        """Executes an upsert later."""
        if planned.plan is not self._plan:
            self.flush()
            self._plan = planned.plan
        self._rows.append(tuple(map(_kept, planned.values)))
        self._last = CollectedResult(self)
        return self._last

    def result_of(self, result: CollectedResult) -> Any:
        """The real result of the last one, which is executed by itself.

        Raises:
            ResultNeededError: if others have been collected after it.
        """
        if self._plan is None or self._last is not result:
            msg = "The result of an upsert was asked for after another one"
            self.failure = ResultNeededError(msg)
            raise self.failure
        planned = Planned(self._plan, self._rows.pop())
        return planned.execute(self.connection)

    def flush(self) -> None:
        """Executes what has been collected."""
        if self._is_flushing:
            return
        plan, rows = self._plan, self._rows
        self._plan, self._rows, self._last = None, [], None
        if plan is None or not rows:
            return
        self._is_flushing = True
        try:
            plan.execute(self.connection, rows)
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self._is_flushing = False


_IMMUTABLE = {type(None), bool, int, float, str, bytes, UUID, Decimal, date, datetime}


def _kept(value: Any) -> Any:
    """The value as it is now."""
    if type(value) in _IMMUTABLE:
        return value
    return bytes(value) if isinstance(value, memoryview) else deepcopy(value)


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
