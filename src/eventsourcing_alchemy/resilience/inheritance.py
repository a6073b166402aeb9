"""Connections that a forked child has inherited, and must leave to its parent."""

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection


class Sockets:
    """Those of the connections of a pool, which a forked child lets go of.

    A server that hears nothing takes a connection for open as long as any process has
    its socket: the locks of a parent that is killed would outlive it.

    Args:
        descriptor: tells that of the socket of a driver's connection, if it has one.
    """

    def __init__(self, descriptor: Callable[[Any], int | None]) -> None:
        self._descriptor = descriptor
        self._connections: WeakSet[Any] = WeakSet()

    def note(self, connection: Any, *_: Any) -> None:
        """Listens to a pool that connects, or lends a connection."""
        if self._descriptor(connection) is not None:
            self._connections.add(connection)

    def let_go(self) -> None:
        """Has the descriptors lead nowhere, whoever still uses them in this process."""
        for connection in list(self._connections):
            let_go_of(partial(self._descriptor, connection))
        self._connections.clear()


def let_go_of(descriptor: Callable[[], int | None]) -> None:
    """Has a descriptor lead nowhere, in this process.

    Args:
        descriptor: tells it; may raise an exception if the connection is closed.
    """
    with suppress(Exception):
        found = descriptor()
        if found is not None:
            nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            os.dup2(nowhere, found, inheritable=False)
            os.close(nowhere)


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
