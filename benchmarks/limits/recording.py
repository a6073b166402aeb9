"""The SQL that this package really sends, as its drivers get it.

Connections of these functions are given to the package through its variable
`SQLALCHEMY_CONNECTION_CREATOR_TOPIC`.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg

from benchmarks.bare import conninfo
from benchmarks.domain import Shop
from benchmarks.jobs import Job

_ADDRESS = "BENCHMARK_RECORDED_DATABASE"


class Sent(NamedTuple):
    """A statement, with its parameters, and whether results come in binary form."""

    sql: Any
    parameters: Any
    binary: bool


_sent: list[Sent] | None = None


def recording_shop(job: Job) -> Shop:
    """The application, whose statements can be recorded."""
    address = job.address
    is_file = job.database == "sqlite"
    os.environ[_ADDRESS] = address.name if is_file else conninfo(address)
    function = connect_sqlite3 if is_file else connect_psycopg
    topic = f"{__name__}:{function.__name__}"
    variable = {"SQLALCHEMY_CONNECTION_CREATOR_TOPIC": topic}
    return Shop(env={**job.environment, **variable})


@contextmanager
def recorded() -> Iterator[list[Sent]]:
    """What is sent in the block."""
    global _sent
    sent = _sent = []
    try:
        yield sent
    finally:
        _sent = None


def _note(sql: Any, parameters: Any, binary: bool) -> None:
    if _sent is not None:
        _sent.append(Sent(sql, parameters, binary))


class _PsycopgCursor(psycopg.Cursor[Any]):
    def execute(
        self, query: Any, params: Any = None, *, binary: Any = None, **kwargs: Any
    ) -> Any:
        _note(query, params, bool(binary or self.format))
        return super().execute(query, params, binary=binary, **kwargs)


class _SQLiteCursor(sqlite3.Cursor):
    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        _note(sql, parameters, False)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, rows: Any, /) -> Any:
        _note(sql, list(rows), False)
        return super().executemany(sql, rows)


class _SQLiteConnection(sqlite3.Connection):
    def cursor(self, factory: Any = _SQLiteCursor) -> Any:
        return super().cursor(factory)

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        return self.cursor().execute(sql, parameters)


def connect_psycopg() -> Any:
    """A connection whose cursors record what they execute."""
    return psycopg.connect(os.environ[_ADDRESS], cursor_factory=_PsycopgCursor)


def connect_sqlite3() -> Any:
    """A connection whose cursors record what they execute."""
    path = os.environ[_ADDRESS]
    return sqlite3.connect(path, factory=_SQLiteConnection, check_same_thread=False)
