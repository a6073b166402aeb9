"""The snapshots of an application in one database, by aggregate and version."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Executable,
    Table,
    bindparam,
    func,
    or_,
    select,
)

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.host import DataError
from eventsourcing_alchemy.operations.transfer.existence import has_table
from eventsourcing_alchemy.operations.transfer.layouts import Row
from eventsourcing_alchemy.operations.transfer.log import PAGE_BYTES, values_of
from eventsourcing_alchemy.statements.parameters import application_id

PAGE_KEYS = 500
"""Keys that are read at once: some databases take no more than 1,000 parameters."""

COLUMNS = ("originator_id", "originator_version", "topic", "state", "recorded_at")
"""Of a row."""

PURPOSE = "snapshots"
"""What tells snapshots from other records in the tables of this package."""


class Key(NamedTuple):
    """What tells a snapshot from others, and the bytes of its state."""

    originator_id: UUID | str
    version: int
    size: int = 0


class Snapshots:
    """The snapshots of an application in one database.

    Attributes:
        tells_time: whether they have a time of recording.

    Args:
        datastore: the database.
        table: has columns with the names of `es_snapshots`.
        application: name of it, where the table has those of several.
        side: what the database is for the copy, source or target.
        with_time: whether to read when they were recorded.
    """

    def __init__(
        self,
        datastore: SQLAlchemyDatastore,
        table: Table,
        application: str | None = None,
        *,
        side: str = "source",
        with_time: bool = True,
    ) -> None:
        self._side = side
        self.tells_time = with_time and COLUMNS[-1] in table.c
        self._datastore = datastore
        self._table = table
        self._id, self._version = table.c.originator_id, table.c.originator_version
        self._where: Sequence[ColumnElement[bool]] = ()
        self._parameters: Mapping[str, Any] = {}
        if application is not None:
            self._where = (
                table.c.application_id == application_id(),
                table.c.purpose == bindparam("purpose"),
            )
            self._parameters = {"application": application, "purpose": PURPOSE}
        self._keys = select(self._id, self._version, func.length(table.c.state))
        self._rows = select(*values_of(table, COLUMNS, with_time=with_time))

    def are_there(self) -> bool:
        """Whether there is a table of them, which some modules make later."""
        return has_table(self._datastore, self._table)

    def count(self) -> int:
        """How many there are."""
        statement = select(func.count()).select_from(self._table)
        return int(self._read(statement.where(*self._where), {})[0][0])

    def pages(self) -> Iterator[Sequence[Key]]:
        """The keys, in the order of the database's own."""
        keys = (
            self._keys.where(*self._where)
            .order_by(self._id, self._version)
            .limit(PAGE_KEYS)
        )
        page = self._read_keys(keys, {})
        while page:
            yield from _of_bounded_size(page)
            bounds = _bounds("low", page[-1])
            page = self._read_keys(keys.where(*self._above()), bounds)

    def rows(self, keys: Sequence[Key]) -> Sequence[Row]:
        """The snapshots of keys that follow each other, in their order.

        Not those that were taken between them since the keys were read.
        """
        statement = self._rows.where(*self._where, *self._from(), *self._to())
        bounds = _bounds("low", keys[0]) | _bounds("high", keys[-1])
        ordered = statement.order_by(self._id, self._version)
        those = {key[:2] for key in keys}
        return [row for row in self._read(ordered, bounds) if row[:2] in those]

    def by_key(self, keys: Sequence[Key]) -> Mapping[tuple[Any, int], Row]:
        """Those of the snapshots that there are, by ID and version.

        Args:
            keys: in the order of `pages()`, which need not be that of this database.
        """
        statement = self._rows.where(*self._where, *self._among(keys))
        return {(row[0], row[1]): row for row in self._read(statement, {})}

    def _read_keys(
        self, statement: Executable, parameters: Mapping[str, Any]
    ) -> Sequence[Key]:
        return [Key(*row) for row in self._read(statement, parameters)]

    def _read(
        self, statement: Executable, parameters: Mapping[str, Any]
    ) -> Sequence[Row]:
        try:
            return self._datastore.retrying(
                lambda: self._read_now(statement, parameters)
            )
        except (TypeError, ValueError) as error:
            msg = f"A snapshot of the {self._side} cannot be read: {error}"
            raise DataError(msg) from error

    def _read_now(
        self, statement: Executable, parameters: Mapping[str, Any]
    ) -> Sequence[Row]:
        store, given = self._datastore, {**self._parameters, **parameters}
        with store.reading() as connection, store.answering(connection):
            found = connection.execute(
                statement, given, execution_options=store.options
            )
            return [tuple(row) for row in found]

    def _among(self, keys: Sequence[Key]) -> Sequence[ColumnElement[bool]]:
        """Of an aggregate with many snapshots, the keys may be a small part."""
        first, last = keys[0], keys[-1]
        versions = [key.version for key in keys]
        return (
            self._id.in_({key.originator_id for key in keys}),
            self._version.between(min(versions), max(versions)),
            or_(self._id != first.originator_id, self._version >= first.version),
            or_(self._id != last.originator_id, self._version <= last.version),
        )

    def _above(self) -> Sequence[ColumnElement[bool]]:
        # The first of two conditions lets databases begin in the midst of an index.
        low, version = self._bound("low")
        return self._id >= low, or_(self._id > low, self._version > version)

    def _from(self) -> Sequence[ColumnElement[bool]]:
        low, version = self._bound("low")
        return self._id >= low, or_(self._id > low, self._version >= version)

    def _to(self) -> Sequence[ColumnElement[bool]]:
        high, version = self._bound("high")
        return self._id <= high, or_(self._id < high, self._version <= version)

    def _bound(self, name: str) -> tuple[ColumnElement[Any], ColumnElement[int]]:
        return (
            bindparam(f"{name}_id", type_=self._id.type),
            bindparam(f"{name}_version", type_=BigInteger),
        )


def _bounds(name: str, key: Key) -> dict[str, Any]:
    return {f"{name}_id": key.originator_id, f"{name}_version": key.version}


def _of_bounded_size(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    """Parts of the keys, of which the states fit into memory."""
    part: list[Key] = []
    size = 0
    for key in keys:
        if part and size + key.size > PAGE_BYTES:
            yield part
            part, size = [], 0
        part.append(key)
        size += key.size
    yield part
