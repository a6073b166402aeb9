"""Connecting, which another thread can interrupt."""

from contextlib import suppress
from functools import partial
from threading import local
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, exc
from sqlalchemy.pool import ConnectionPoolEntry

from eventsourcing_alchemy.errors import (
    CannotConnectError,
    ConfigurationError,
    text_of,
)
from eventsourcing_alchemy.resilience.cancellation import Attempt, Interruption

_connecting = local()
"""For each thread, what may interrupt it while it connects."""

_WRONG_OPTIONS = (
    TypeError,
    ValueError,
    FileNotFoundError,
    AttributeError,
    ImportError,
    LookupError,
    NotImplementedError,
)
"""How drivers fail with them: PyMySQL has no attribute of a charset that is none."""


def connect(engine: Engine, interruption: Interruption | None = None) -> Connection:
    """A connection, to be closed.

    Args:
        engine: to connect with.
        interruption: ends the wait for a server that does not answer.

    Raises:
        CannotConnectError: if there is none.
        ConfigurationError: if SQLAlchemy does not understand what it answers.
        WaitInterruptedError: if the interruption is set.
    """
    _connecting.interruption = interruption
    # That of a session whose listeners connect, too.
    outer = getattr(_connecting, "unready", None)
    note_ready()
    try:
        return engine.connect()
    except exc.DBAPIError as error:
        raise CannotConnectError(str(error.orig)) from error
    except TypeError as error:  # SQLAlchemy got another value than it expects.
        msg = (
            f"A new connection is of no use: {text_of(error)}: check the options in "
            "the URL, and what listens for connections"
        )
        raise ConfigurationError(msg) from error
    finally:
        _connecting.interruption = None
        _close_unready(_connecting.unready)
        _connecting.unready = outer


def note_beginning(connection: Any) -> None:
    """Has the driver's connection closed, unless it is of use by the end.

    Otherwise SQLAlchemy just forgets it, and the session stays until it is collected.
    """
    _connecting.unready = connection


def note_ready() -> None:
    """Says that the connection is of use."""
    _connecting.unready = None


def _close_unready(connection: Any) -> None:
    if connection is not None:
        with suppress(Exception):
            connection.close()


def close(connection: Connection) -> None:
    """Closes a connection; what was done is done, even if it is lost only now."""
    try:
        connection.close()
    except connection.dialect.loaded_dbapi.Error:
        connection.invalidate()


def driver_connection_of(connection: Connection) -> Any:
    """The driver's connection, None if there is none any more.

    Not by a property of SQLAlchemy's, before which waiting statements are executed.
    """
    borrowed: Any = connection._dbapi_connection  # noqa: SLF001
    return None if borrowed is None else borrowed.dbapi_connection


def current_interruption() -> Interruption | None:
    """What may interrupt this thread while it connects."""
    return getattr(_connecting, "interruption", None)


def connect_as_told(
    dialect: Dialect, _: ConnectionPoolEntry, arguments: Any, parameters: Any
) -> Any:
    """Connects, by the options of a URL; for SQLAlchemy's event `do_connect`.

    Raises:
        ConfigurationError: if the driver does not understand the options.
    """
    try:
        return dialect.connect(*arguments, **parameters)
    except _WRONG_OPTIONS as error:
        msg = f"SQLALCHEMY_URL: the driver does not accept an option: {text_of(error)}"
        raise ConfigurationError(msg) from error


def connect_interruptibly(
    dialect: Dialect, entry: ConnectionPoolEntry, arguments: Any, parameters: Any
) -> Any:
    """Connects in a thread of its own; for SQLAlchemy's event `do_connect`.

    Returns:
        The driver's connection, None where SQLAlchemy may connect as ever.
    """
    interruption = current_interruption()
    if interruption is None:
        return None
    return Attempt(
        partial(connect_as_told, dialect, entry, arguments, parameters),
        lambda connection: connection.close(),
    ).result(interruption)
