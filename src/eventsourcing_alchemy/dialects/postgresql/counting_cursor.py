"""Counts the transactions of a session of psycopg, wherever they begin."""

import re
from collections.abc import Iterator
from contextlib import _GeneratorContextManager, contextmanager
from functools import cache
from threading import RLock
from typing import Any

from psycopg import Connection, Copy, Cursor, Transaction
from psycopg.pq import TransactionStatus

from eventsourcing_alchemy.dialects.base.marks import Mark

_BEGUN = "eventsourcing_alchemy_begun"
"""An attribute of the driver's connection: how many transactions have begun."""


_COMMIT = b"COMMIT"

_ROLLBACK = b"ROLLBACK"

_BEGIN = {b"BEGIN", b"START TRANSACTION"}

_CHAIN = re.compile(rb"\bAND\s+CHAIN\b", re.IGNORECASE)


class CountingCursor(Cursor[Any]):
    """psycopg begins a transaction before a statement, where there is none."""

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Executes a statement."""
        note_beginning(self.connection)
        result = super().execute(*args, **kwargs)
        if self._has_ended_one():
            _count(self.connection)
        return result

    def _has_ended_one(self) -> bool:
        """Whether a transaction has ended, and another one may have begun at once."""
        tags = [each.command_status for each in self._results]
        if _ROLLBACK not in tags:
            return _COMMIT in tags
        # Most often, back to a savepoint.
        query = self._query.query if self._query is not None else b""
        has_begun = not _BEGIN.isdisjoint(tags) or _CHAIN.search(query) is not None
        return _COMMIT in tags or has_begun

    def executemany(self, *args: Any, **kwargs: Any) -> None:
        """Executes a statement several times."""
        note_beginning(self.connection)
        super().executemany(*args, **kwargs)

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Executes a statement, whose rows come one by one."""
        note_beginning(self.connection)
        return super().stream(*args, **kwargs)

    def copy(self, *args: Any, **kwargs: Any) -> _GeneratorContextManager[Copy]:
        """Executes a COPY."""
        note_beginning(self.connection)
        return super().copy(*args, **kwargs)


class CountingConnection(Connection[Any]):
    """Its blocks begin a transaction without a cursor, and may end it."""

    @contextmanager
    def transaction(self, *args: Any, **kwargs: Any) -> Iterator[Transaction]:
        """A transaction, or a savepoint in one."""
        note_beginning(self)
        with super().transaction(*args, **kwargs) as transaction:
            yield transaction


def note_beginning(connection: Connection[Any]) -> None:
    """Counts a transaction, if there is none: one is about to begin."""
    if connection.pgconn.transaction_status == TransactionStatus.IDLE:
        _count(connection)


def _count(connection: Connection[Any]) -> None:
    setattr(connection, _BEGUN, getattr(connection, _BEGUN) + 1)


def forget_beginning(connection: Connection[Any]) -> None:
    """Counts a transaction no more, because it was rolled back at once."""
    setattr(connection, _BEGUN, getattr(connection, _BEGUN) - 1)


def count_transactions(driver_connection: Any) -> None:
    """Has a connection of psycopg count, and its cursors."""
    cursor: object = driver_connection.cursor_factory
    of_server: object = driver_connection.server_cursor_factory
    are_classes = isinstance(cursor, type) and isinstance(of_server, type)
    if is_counting(driver_connection) or not are_classes:
        return
    setattr(driver_connection, _BEGUN, 0)
    # Of the same use, and it knows its owner.
    driver_connection.lock = RLock()
    driver_connection.cursor_factory = _counting(CountingCursor, cursor)
    driver_connection.server_cursor_factory = _counting(CountingCursor, of_server)
    of_class: type = type(driver_connection)
    driver_connection.__class__ = _counting(CountingConnection, of_class)


def counts_alone(driver_connection: Any) -> bool:
    """Whether a connection counts, and is psycopg's own but for that."""
    plain = _counting(CountingConnection, Connection)
    cursor = getattr(driver_connection, "cursor_factory", None)
    return type(driver_connection) is plain and (
        cursor is _counting(CountingCursor, Cursor)
    )


def is_counting(driver_connection: Any) -> bool:
    """Whether a connection counts."""
    return hasattr(driver_connection, _BEGUN)


@cache
def _counting(counts: type, of_class: type) -> type:
    return type(f"Counting{of_class.__name__}", (counts, of_class), {})


class CountedMark(Mark):
    """The number of a transaction.

    Args:
        driver_connection: whose cursors count; it is in the transaction, or about to
            begin it.
    """

    def __init__(self, driver_connection: Any) -> None:
        self._driver_connection = driver_connection
        self._number = self._begun() + self._is_idle()

    def has_ended(self) -> bool:
        """Whether there is none now, or it is another one."""
        begun = self._begun()
        return begun > self._number or (begun == self._number and self._is_idle())

    def is_busy(self) -> bool:
        """Whether psycopg would wait for a lock that the calling thread holds."""
        return bool(self._driver_connection.lock._is_owned())  # noqa: SLF001

    def _begun(self) -> int:
        begun: int = getattr(self._driver_connection, _BEGUN)
        return begun

    def _is_idle(self) -> bool:
        status = self._driver_connection.pgconn.transaction_status
        return bool(status == TransactionStatus.IDLE)
