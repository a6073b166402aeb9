"""What the user of the database may do, found out by trying it on no row."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    Executable,
    Table,
    delete,
    false,
    insert,
    select,
    update,
)

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import translated
from eventsourcing_alchemy.host import PersistenceError
from eventsourcing_alchemy.operations.reading import Reader, read
from eventsourcing_alchemy.resilience.error_classification import (
    ErrorKind,
    error_kind_of,
)
from eventsourcing_alchemy.schema import tables

_CHANGED: Mapping[str, Sequence[str]] = {
    tables.applications.name: ["last_notification_id"],
    tables.tracking.name: ["notification_id"],
    tables.leases.name: ["holder", "token", "expires_at"],
    tables.dead_letters.name: ["error", "traceback", "attempts"],
}
"""The columns that are updated, by table."""


def refused_statements(datastore: SQLAlchemyDatastore) -> Sequence[str]:
    """What applications and projections need to do, and the database refuses.

    Args:
        datastore: the database, whose user is tried.

    Returns:
        For each, the kind of statement, the table, and what the database says.

    Raises:
        PersistenceError: if the database fails.
    """
    return read(datastore, lambda reader: [*_refused(datastore, reader)])


def _refused(datastore: SQLAlchemyDatastore, reader: Reader) -> Iterator[str]:
    for table in tables.metadata.sorted_tables:
        for kind, statement in _needed(table):
            problem = _problem(datastore, reader, statement)
            if problem is not None:
                yield f"{kind} {table.name}: {problem}"


def _needed(table: Table) -> Iterator[tuple[str, Executable]]:
    columns: list[Column[Any]] = [
        column for column in table.c if column.autoincrement is not True
    ]
    names = [column.name for column in columns]
    nothing = select(*columns).where(false())
    yield "SELECT", nothing
    if table is tables.rebuilds:  # Written by who rebuilds, who owns the tables.
        return
    yield "INSERT", insert(table).from_select(names, nothing, include_defaults=False)
    changed = {name: table.c[name] for name in _CHANGED.get(table.name, ())}
    if changed:
        yield "UPDATE", update(table).where(false()).values(changed)
    if table in (tables.dead_letters, tables.standbys):
        yield "DELETE", delete(table).where(false())


def _problem(
    datastore: SQLAlchemyDatastore, reader: Reader, statement: Executable
) -> str | None:
    try:
        with translated(), reader.connection.begin_nested():
            reader.execute(statement)
    except PersistenceError as error:
        if reader.connection.invalidated:  # A server that only reads is no use, say.
            raise
        kind = error_kind_of(error, datastore.dialect)
        # Somebody else has a lock, which is for those who may.
        return None if kind is ErrorKind.CONFLICT else str(error)
    return None
