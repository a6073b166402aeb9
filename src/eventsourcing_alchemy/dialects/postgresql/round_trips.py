"""Several statements of a transaction in one round trip, by psycopg's connections."""

from collections.abc import Callable, Generator, Sequence
from functools import cache, lru_cache, partial
from secrets import token_hex
from typing import Any

import psycopg
from psycopg import capabilities, generators
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus

from eventsourcing_alchemy.dialects.postgresql.counting_cursor import (
    counts_alone,
    forget_beginning,
    note_beginning,
)
from eventsourcing_alchemy.statements.compiled import Compiled
from eventsourcing_alchemy.statements.driver import Written

MOST_PREPARED = 100
"""Statements that are prepared in a session; others are sent as they are."""


def can_begin(connection: Any) -> bool:
    """Whether BEGIN is to be sent before a statement, and nobody can tell by whom."""
    return (
        can_pipeline(connection)
        and connection.pgconn.transaction_status == TransactionStatus.IDLE
        and not connection.autocommit
        and connection.isolation_level is None
        and connection.read_only is None
        and connection.deferrable is None
    )


def can_pipeline(connection: Any) -> bool:
    """Whether psycopg's own classes, and no others, would execute the statements."""
    return counts_alone(connection) and _has_pipeline()


def begin_with(connection: Any, compiled: Compiled, bound: Any) -> Written | None:
    """BEGIN, and the first statement.

    psycopg's `Pipeline` does the same, but takes longer than the round trips that it
    saves, where the server is near.

    Args:
        connection: of psycopg's, of which `can_begin()` is true.
        compiled: the statement.
        bound: its parameters, as psycopg takes them.

    Returns:
        What it has written. None, and no transaction, if the session has lost
        the statement that was prepared.
    """
    session = _Session(connection)
    session.add(b"BEGIN")
    session.add_compiled(compiled, bound)
    note_beginning(connection)
    try:
        *_, result = session.answers()
    except InvalidSqlStatementName:
        connection.rollback()
        forget_beginning(connection)
        return None
    return Written(result.command_tuples or 0)


def commit_with(connection: Any, compiled: Compiled, rows: Sequence[Any]) -> None:
    """The last statement, once for each row, and COMMIT, unless it fails."""
    session = _Session(connection)
    for bound in rows:
        session.add_compiled(compiled, bound)
    session.add(b"COMMIT")
    session.answers()


class _Session:
    """Statements for a session, which are sent together.

    Args:
        connection: of psycopg's.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._prepared = _prepared(connection)
        self._sending: list[Callable[[], None]] = []

    def add(self, text: bytes) -> None:
        """Adds a statement without parameters."""
        self._sending.append(partial(self._pgconn.send_query_params, text, None))

    def add_compiled(self, compiled: Compiled, bound: Any) -> None:
        """Adds a statement, which is prepared where that is allowed."""
        text, names = _numbered(compiled), compiled.names
        given = bound if compiled.is_positional else [bound[name] for name in names]
        adapter = Transformer(self._connection)
        values = adapter.dump_sequence(given, [PyFormat.AUTO] * len(names))
        name = self._name(text, adapter.types)
        self._sending.append(
            partial(
                self._pgconn.send_query_params,
                text,
                values,
                adapter.types,
                adapter.formats,
            )
            if name is None
            else partial(
                self._pgconn.send_query_prepared, name, values, adapter.formats
            )
        )

    def _name(self, text: bytes, types: Any) -> bytes | None:
        names, key = self._prepared, (text, types)
        if names is None or (key not in names and len(names) >= MOST_PREPARED):
            return None
        if key not in names:
            # Behind a pooler, other processes may have prepared theirs in the session.
            names[key] = b"es_" + token_hex(8).encode()
            prepare = partial(self._pgconn.send_prepare, names[key], text, types)
            self._sending.append(prepare)
        return names[key]

    def answers(self) -> list[Any]:
        """Sends the statements, and returns the results.

        Raises:
            psycopg.Error: if one failed, and those behind it were not executed.
        """
        with self._connection.lock:
            self._pgconn.enter_pipeline_mode()
            for send in self._sending:
                send()
            self._pgconn.pipeline_sync()
            results: list[Any] = self._connection.wait(self._received())
            if self._pgconn.status == ConnStatus.OK:
                self._pgconn.exit_pipeline_mode()
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(result, self._connection.info.encoding)
        return results

    def _received(self) -> Generator[Any, Any, list[Any]]:
        results: list[Any] = []
        yield from generators.send(self._pgconn)
        try:
            for _ in self._sending:
                results += yield from generators.fetch_many(self._pgconn)
            yield from generators.fetch_many(self._pgconn)  # Where they end.
        except psycopg.OperationalError:
            # A connection that the server has closed, perhaps after it said why.
            if all(each.status != ExecStatus.FATAL_ERROR for each in results):
                raise
        return results


def _prepared(connection: Any) -> dict[Any, bytes] | None:
    """Names of prepared statements by texts and types; None if there are to be none.

    They are among psycopg's own, because it has the session forget all statements after
    a rollback.
    """
    if connection.prepare_threshold is None:
        return None
    names = getattr(getattr(connection, "_prepared", None), "_names", None)
    return names if isinstance(names, dict) else None


@cache
def _has_pipeline() -> bool:
    return capabilities.has_pipeline()


@lru_cache(MOST_PREPARED)
def _numbered(compiled: Compiled) -> bytes:
    """The statement as the server takes it."""
    numbers = tuple(f"${n}" for n, _ in enumerate(compiled.names, start=1))
    if compiled.is_positional:
        return (compiled.text % numbers).encode()
    named = dict(zip(compiled.names, numbers, strict=True))
    return (compiled.text % named).encode()
