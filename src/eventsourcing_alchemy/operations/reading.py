"""Short transactions that read."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Executable, Row

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.database.scoped_sessions import apart_from_sessions
from eventsourcing_alchemy.host import DatabaseError, ProgrammingError
from eventsourcing_alchemy.operations.wrong_values import (
    WrongValueError,
    naming_wrong_values,
)
from eventsourcing_alchemy.schema.migrate import missing

T = TypeVar("T")


class UnknownNameError(ProgrammingError):
    """Something was asked for that the database does not have."""


class MissingTablesError(ProgrammingError):
    """The database lacks tables, or columns, of this package."""


class Reader:
    """Executes statements in a transaction.

    Args:
        connection: in the transaction.
        options: execution options of the statements.
    """

    def __init__(self, connection: Connection, options: Mapping[str, Any]) -> None:
        self.connection = connection
        self._options = options

    def rows(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Row[Any]]:
        """All rows of a statement."""
        return self.execute(statement, parameters).all()

    def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> CursorResult[Any]:
        """Executes a statement."""
        return self.connection.execute(
            statement, dict(parameters or {}), execution_options=self._options
        )


@apart_from_sessions()
def read(datastore: SQLAlchemyDatastore, look: Callable[[Reader], T]) -> T:
    """Reads the database in one short transaction, which writes nothing.

    Args:
        datastore: the database.
        look: executes statements. It may be called again.

    Returns:
        What `look` returned.

    Raises:
        MissingTablesError: if the database lacks tables of this package.
        WrongValueError: if a value is not of the type of its column.
        PersistenceError: if the database fails.
    """
    try:
        with naming_wrong_values(datastore):
            return datastore.retrying(lambda: _read_once(datastore, look))
    except (UnknownNameError, WrongValueError):
        raise
    except DatabaseError:
        lacking = datastore.retrying(lambda: _missing(datastore))
        if not lacking:
            raise
    # Outside of the handler: what failed because of that says nothing more.
    msg = (
        f"The database lacks {', '.join(lacking)}: run "
        f"'eventsourcing-alchemy schema upgrade', which also tells what to do about "
        f"tables that were lost, or 'alembic upgrade head'"
    )
    raise MissingTablesError(msg)


def _read_once(datastore: SQLAlchemyDatastore, look: Callable[[Reader], T]) -> T:
    with datastore.reading() as connection, datastore.answering(connection):
        return look(Reader(connection, datastore.options))


def _missing(datastore: SQLAlchemyDatastore) -> list[str]:
    with datastore.reading() as connection, datastore.answering(connection):
        return missing(connection, datastore.schema)


def in_utc(time: datetime) -> datetime:
    """A time of the database, which is in UTC where it has no zone."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def seconds_between(earlier: datetime | None, later: datetime) -> float | None:
    """Seconds between two times of the database, None if one is not known."""
    if earlier is None:
        return None
    return max(0.0, (in_utc(later) - in_utc(earlier)).total_seconds())
