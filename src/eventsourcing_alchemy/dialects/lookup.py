"""Which dialect goes with which database."""

from functools import cache
from importlib import import_module

from sqlalchemy import Connection, Dialect

from eventsourcing_alchemy.dialects.base import BaseDialect
from eventsourcing_alchemy.errors import missing_driver

# By name, because each imports a driver, or much of SQLAlchemy, that others do without.
_DIALECTS = {
    "postgresql": ("postgresql", "PostgreSQLDialect"),
    "sqlite": ("sqlite", "SQLiteDialect"),
    "mysql": ("mysql", "MySQLDialect"),
    "mariadb": ("mysql", "MySQLDialect"),
}
"""Package and class, by SQLAlchemy's name of the database."""


@cache
def _dialect_class(backend: str) -> type[BaseDialect]:
    if backend not in _DIALECTS:
        return BaseDialect
    package, name = _DIALECTS[backend]
    try:
        module = import_module(f"eventsourcing_alchemy.dialects.{package}.dialect")
    except ImportError as error:
        raise missing_driver(backend, error) from error
    dialect_class: type[BaseDialect] = getattr(module, name)
    return dialect_class


def dialect_for(backend: str) -> BaseDialect:
    """What to do differently on a database.

    Args:
        backend: SQLAlchemy's name of the database, as in a URL.
    """
    return _dialect_class(backend)()


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
