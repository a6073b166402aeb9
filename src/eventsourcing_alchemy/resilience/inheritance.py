"""Connections that a forked child has inherited, and must leave to its parent."""

import ctypes
from typing import Any

from sqlalchemy import Connection


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
