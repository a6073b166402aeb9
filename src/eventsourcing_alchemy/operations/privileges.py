"""What the user of the database may do, found out by trying it on no row."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

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


class Refusal(NamedTuple):
    """A statement that fails.

    Attributes:
        text: the kind of statement, the table, and what the database says.
        is_of_rights: whether it wants a right, rather than another table.
    """

    text: str
    is_of_rights: bool


def refused_statements(datastore: SQLAlchemyDatastore) -> Sequence[Refusal]:
    """What applications and projections need to do, and the database refuses.

    Args:
        datastore: the database, whose user is tried.

    Raises:
        PersistenceError: if the database fails.
    """
    return read(datastore, lambda reader: [*_refused(datastore, reader)])


def _refused(datastore: SQLAlchemyDatastore, reader: Reader) -> Iterator[Refusal]:
    for table in tables.metadata.sorted_tables:
        for kind, statement in _needed(table):
            error = _error(reader, statement)
            reason = error and error_kind_of(error, datastore.dialect)
            # Somebody else has a lock, which is for those who may.
            if error is not None and reason is not ErrorKind.CONFLICT:
                text = f"{kind} {table.name}: {error}"
                yield Refusal(text, is_of_rights=reason is ErrorKind.REFUSED)


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


def _error(reader: Reader, statement: Executable) -> PersistenceError | None:
    try:
        with translated(), reader.connection.begin_nested():
            reader.execute(statement)
    except PersistenceError as error:
        if reader.connection.invalidated:  # A server that only reads is no use, say.
            raise
        return error
    return None
