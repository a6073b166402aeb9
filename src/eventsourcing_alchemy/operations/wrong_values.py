"""Values that are not of the type of their column: SQLite stores anything."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from sqlalchemy import Executable, Row, Select, Table, select

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.database.scoped_sessions import apart_from_sessions
from eventsourcing_alchemy.host import DataError
from eventsourcing_alchemy.operations.discrepancies import Discrepancy
from eventsourcing_alchemy.schema.tables import applications, metadata

_APPLICATION = ("application_id", "application_name", "name")
_POSITION = ("notification_id", "position")


class WrongValueError(DataError):
    """A value is not of the type of its column."""


@contextmanager
def naming_wrong_values(datastore: SQLAlchemyDatastore) -> Iterator[None]:
    """Names a value of a wrong type, where one is why the block fails.

    Args:
        datastore: the database whose values the block uses.

    Raises:
        WrongValueError: names the record.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        first = next(wrong_values(datastore), None)
        if first is None:
            raise
        raise WrongValueError(
            f"{first}. Correct the value, or restore it from a backup: 'verify' names "
            f"all such values"
        ) from error


def wrong_values(
    datastore: SQLAlchemyDatastore, application: str | None = None
) -> Iterator[Discrepancy]:
    """The values that are not of the type of their column, in short transactions.

    Args:
        datastore: the database.
        application: name of the one whose records to look at, None for all.
    """
    names = {row.id: row.name for row in _rows(datastore, _names(), {})}
    for table in metadata.sorted_tables:
        place = [*_first(table, _APPLICATION), *_first(table, _POSITION)]
        statement = datastore.dialect.misfits(table, place)
        if statement is None:
            return
        for row in _pages(datastore, statement):
            values: Mapping[str, Any] = dict(zip(place, row[1:], strict=False))
            name, position = _application(values, names), _position(values)
            if application in (None, name):
                key, *problems = row[1 + len(place) :]
                where = f"{table.name}{key}: "
                for problem in filter(None, problems):
                    yield Discrepancy(name, position, where + problem)


def _first(table: Table, names: Sequence[str]) -> Sequence[str]:
    return [name for name in names if name in table.c][:1]


def _application(values: Mapping[str, Any], names: Mapping[Any, Any]) -> str | None:
    if "application_id" in values:
        name = names.get(values["application_id"])
    else:
        name = values.get("application_name", values.get("name"))
    return name if isinstance(name, str) else None


def _position(values: Mapping[str, Any]) -> int | None:
    found = [values[name] for name in _POSITION if name in values]
    return found[0] if found and isinstance(found[0], int) else None


def _pages(
    datastore: SQLAlchemyDatastore, statement: Select[Any]
) -> Iterator[Row[Any]]:
    after = -(2**63)
    while page := _rows(datastore, statement, {"after": after}):
        yield from page
        after = page[-1][0]


@apart_from_sessions()
def _rows(
    datastore: SQLAlchemyDatastore, statement: Executable, parameters: Any
) -> Sequence[Row[Any]]:
    def look() -> Sequence[Row[Any]]:
        with datastore.reading() as connection, datastore.answering(connection):
            options = datastore.options
            return connection.execute(
                statement, parameters, execution_options=options
            ).all()

    return datastore.retrying(look)


@cache
def _names() -> Select[Any]:
    return select(applications.c.id, applications.c.name)
