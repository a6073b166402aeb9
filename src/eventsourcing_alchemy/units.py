"""Transactions, as recorders join them."""

from asyncio import current_task
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from os import register_at_fork
from threading import get_ident
from typing import Any

from eventsourcing.persistence import ProgrammingError
from sqlalchemy import Connection, Engine, NestedTransaction, event

from eventsourcing_alchemy.dialects.base import BaseDialect


class Unit:
    """A connection that the recorders of one database join.

    Attributes:
        connection: SQLAlchemy's.
        writes: whether it is in a transaction that is to be committed.
        hints: topics of the hints to give after the commit.

    Args:
        connection: is in the transaction, or savepoint, that is the unit.
        writes: as above.
    """

    def __init__(self, connection: Connection, *, writes: bool) -> None:
        self.connection = connection
        self.writes = writes
        self.hints: set[Hashable] = set()
        self._owner = _owner()
        self._savepoint = connection.get_nested_transaction()
        self._transaction = self._savepoint or connection.get_transaction()
        self._has_failed = False
        self._has_ended = False

    def is_joinable(self) -> bool:
        """Whether the calling code is inside it.

        Tasks and threads that are started inside get a copy of the context, but may
        outlive the unit, or use the connection while its own task does.
        """
        return not self._has_ended and self._owner == _owner()

    @contextmanager
    def nested(self) -> Iterator[None]:
        """A part of the unit, without which the unit must not be committed.

        Only a savepoint of the user's that is rolled back contains a failure.
        """
        savepoint = self.connection.get_nested_transaction()
        try:
            yield
        except BaseException:
            if savepoint is None or savepoint is self._savepoint:
                self._has_failed = True
            else:
                self._fail_with_release_of(savepoint)
            raise

    def _fail_with_release_of(self, savepoint: NestedTransaction) -> None:
        def note(connection: Connection, *_: Any) -> None:
            if connection.get_nested_transaction() is savepoint:
                self._has_failed = True

        event.listen(self.connection, "release_savepoint", note)

    def check(self, dialect: BaseDialect) -> None:
        """Makes sure that what is committed is everything.

        Databases, and drivers, answer COMMIT with success where it rolls back.

        Raises:
            ProgrammingError: if something failed, and its exception was caught.
        """
        is_active = self._transaction is not None and self._transaction.is_active
        if self._has_failed or not is_active or dialect.is_aborted(self.connection):
            msg = (
                "A part of this transaction failed, and its exception was caught: "
                "everything is rolled back. Use connection.begin_nested() around a "
                "part that may fail alone"
            )
            raise ProgrammingError(msg)

    def end(self) -> None:
        """Lets nobody join it any more."""
        self._has_ended = True


_units: ContextVar[Mapping[int, Unit]] = ContextVar(
    "units",
    default={},  # noqa: B039 (replaced, never changed)
)
"""By engine, what the current context is inside of."""

register_at_fork(after_in_child=lambda: _units.set({}))


def current_unit(engine: Engine) -> Unit | None:
    """What the calling code is inside of, for an engine."""
    unit = _units.get().get(id(engine))
    return unit if unit is not None and unit.is_joinable() else None


@contextmanager
def joinable(engine: Engine, unit: Unit) -> Iterator[Unit]:
    """Lets recorders join a unit for the time of the block."""
    key = id(engine)
    outer = _units.get().get(key)
    _units.set({**_units.get(), key: unit})
    try:
        yield unit
    finally:
        unit.end()
        # Not by the token of set(): a generator may end in another context than the
        # one it began in, and blocks of generators end in any order.
        if _units.get().get(key) is unit:
            others = {k: each for k, each in _units.get().items() if k != key}
            _units.set(others if outer is None else {**others, key: outer})


def _owner() -> tuple[int, object]:
    try:
        return get_ident(), current_task()
    except RuntimeError:  # No event loop runs in this thread.
        return get_ident(), None
