"""The beginning and the testing of sessions, in which a server may fall silent, too."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Dialect, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from eventsourcing_alchemy.resilience.connecting import note_beginning, note_ready

_BEGINNING = "eventsourcing_alchemy_beginning"

SESSION_TIMEOUT = 10.0
"""Seconds of silence for the statements that prepare a session."""


def watch_sessions(
    engine: Engine, watching: Callable[[Any], AbstractContextManager[None]]
) -> None:
    """Watches over the statements that prepare sessions, SQLAlchemy's own included.

    Args:
        engine: whose other listeners for `connect` are in place.
        watching: watches over a driver's connection.
    """

    def begin(connection: Any, entry: ConnectionPoolEntry) -> None:
        note_beginning(connection)
        entry.info[_BEGINNING] = beginning = _while_known(watching(connection))
        next(beginning)

    def end(_: Any, entry: ConnectionPoolEntry) -> None:
        entry.info.pop(_BEGINNING).close()
        note_ready()

    event.listen(engine, "connect", begin, insert=True)
    event.listen(engine, "connect", end)


def _while_known(watching: AbstractContextManager[None]) -> Generator[None, None, None]:
    """Watches until it is closed, or nobody knows it any more.

    Where a session fails to begin, no event tells of it: the pool just forgets it.
    """
    with watching:
        yield


def watch_pings(
    dialect: Dialect, watching: Callable[[Any], AbstractContextManager[None]]
) -> Callable[[], None]:
    """Watches over the tests of pooled connections (`pool_pre_ping`).

    Args:
        dialect: SQLAlchemy's, of one engine. There is no event before a test.
        watching: watches over a driver's connection.

    Returns:
        Undoes it.
    """
    ping = dialect.do_ping

    def watched_ping(dbapi_connection: Any) -> bool:
        with watching(dbapi_connection):
            return ping(dbapi_connection)

    def undo() -> None:
        if dialect.do_ping is watched_ping:
            del dialect.do_ping

    dialect.do_ping = watched_ping  # type: ignore[method-assign]
    return undo
