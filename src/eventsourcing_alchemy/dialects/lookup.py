"""Which dialect goes with which database."""

from sqlalchemy import Connection, Dialect

from eventsourcing_alchemy.dialects.base import BaseDialect
from eventsourcing_alchemy.dialects.mysql import MySQLDialect
from eventsourcing_alchemy.dialects.postgresql import PostgreSQLDialect
from eventsourcing_alchemy.dialects.sqlite import SQLiteDialect

_DIALECTS: dict[str, type[BaseDialect]] = {
    "postgresql": PostgreSQLDialect,
    "sqlite": SQLiteDialect,
    "mysql": MySQLDialect,
    "mariadb": MySQLDialect,
}


def dialect_for(backend: str) -> BaseDialect:
    """What to do differently on a database.

    Args:
        backend: SQLAlchemy's name of the database, as in a URL.
    """
    return _DIALECTS.get(backend, BaseDialect)()


def dialect_beside(dialect: Dialect) -> BaseDialect:
    """What to do differently on a database.

    Args:
        dialect: SQLAlchemy's.
    """
    return dialect_for(dialect.name)


def dialect_of(connection: Connection) -> BaseDialect:
    """What to do differently on the database of a connection.

    Args:
        connection: any, also one of the user's.
    """
    return dialect_beside(connection.dialect)
