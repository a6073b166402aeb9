"""What the drivers of PostgreSQL tell, each in its own way."""

from typing import Any

from psycopg import ClientCursor, Pipeline
from psycopg.pq import TransactionStatus


def is_autocommit(driver_connection: Any) -> bool:
    """Whether each statement is a transaction."""
    return bool(getattr(driver_connection, "autocommit", False))


def is_of_psycopg(driver_connection: Any) -> bool:
    """Whether it is a connection of psycopg 3."""
    return hasattr(driver_connection, "pgconn")


def has_binary_results(driver_connection: Any) -> bool:
    """Whether its cursors may have results in binary form."""
    if not is_of_psycopg(driver_connection):
        return False
    factory = driver_connection.cursor_factory
    return not (isinstance(factory, type) and issubclass(factory, ClientCursor))


def has_pipelines(driver_connection: Any) -> bool:
    """Whether several statements can be sent together."""
    # Cursors of the client have no binary results, and no pipelines.
    return has_binary_results(driver_connection) and Pipeline.is_supported()


def transaction_status(driver_connection: Any) -> int:
    """A `TransactionStatus`."""
    if is_of_psycopg(driver_connection):
        return int(driver_connection.pgconn.transaction_status)
    info = getattr(driver_connection, "info", None)
    if info is not None:  # Of psycopg2.
        return int(info.transaction_status)
    letter = getattr(driver_connection, "_transaction_status", b"")  # Of pg8000.
    return _STATUSES.get(letter, TransactionStatus.IDLE)


_STATUSES = {b"T": TransactionStatus.INTRANS, b"E": TransactionStatus.INERROR}
"""As the server tells them."""
