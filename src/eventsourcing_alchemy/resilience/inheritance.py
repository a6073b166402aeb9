"""Connections that a forked child has inherited, and must leave to its parent."""

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection

_with_sockets: WeakKeyDictionary[Any, Callable[[Any], int | None]] = WeakKeyDictionary()
"""The connections of a driver, with what tells their descriptors."""


def leave_socket_to_parent(
    connection: Any, descriptor: Callable[[Any], int | None]
) -> None:
    """Has forked children let go of the socket of a connection.

    A server that hears nothing takes the connection for open as long as any process
    has its socket: the locks of a parent that is killed would outlive it.

    Args:
        connection: of a driver.
        descriptor: tells that of its socket, if it has one.
    """
    if descriptor(connection) is not None:
        _with_sockets[connection] = descriptor


def _let_go_of_sockets() -> None:
    """Has their descriptors lead nowhere, whoever still uses them in this process."""
    nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for connection, descriptor in list(_with_sockets.items()):
        with suppress(Exception):  # It may be closed.
            found = descriptor(connection)
            if found is not None:
                os.dup2(nowhere, found, inheritable=False)
    os.close(nowhere)
    _with_sockets.clear()


os.register_at_fork(after_in_child=_let_go_of_sockets)


def leave_to_parent(inherited: object) -> None:
    """Has nothing collect it, not even the end of the interpreter.

    Connections say goodbye to the server when they are collected, which would end the
    session of the parent process.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


def leave_connection_to_parent(connection: Connection) -> None:
    """Makes a connection invalid. Neither the server nor the pool hears of it.

    Another thread of the parent process may have held the locks of the pool, which
    nobody in the child would ever release.
    """
    # They have no public names; the tests run at both ends of SQLAlchemy's range.
    borrowed: Any = connection._dbapi_connection  # noqa: SLF001
    record = borrowed._connection_record  # noqa: SLF001
    leave_to_parent(borrowed.dbapi_connection)
    if record is not None:  # It is not detached.
        leave_to_parent(record)
        record.fairy_ref = None  # With which the pool would take it back.
    borrowed._connection_record = borrowed.dbapi_connection = None  # noqa: SLF001
    connection._dbapi_connection = None  # noqa: SLF001
