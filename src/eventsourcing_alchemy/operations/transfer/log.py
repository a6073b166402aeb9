"""The events of an application in one database, page by page."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Table,
    bindparam,
    func,
    literal,
    null,
    select,
    type_coerce,
)

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.host import DatabaseError, DataError
from eventsourcing_alchemy.operations.transfer.layouts import Layout, Row
from eventsourcing_alchemy.operations.transfer.values import UtcTime
from eventsourcing_alchemy.resilience.error_classification import (
    ErrorKind,
    error_kind_of,
)
from eventsourcing_alchemy.schema.namespaces import default_schema
from eventsourcing_alchemy.schema.types import OriginatorUuid
from eventsourcing_alchemy.statements.compiled import Rows
from eventsourcing_alchemy.statements.parameters import application_id

_ABSENT: Mapping[str, ColumnElement[Any]] = {
    "append_id": literal(UUID(int=0), OriginatorUuid)
}
"""What there is where a table lacks a column."""

PAGE_ROWS = 5000
"""Events of a page, at the most."""

PAGE_BYTES = 4 * 1024 * 1024
"""Bytes of their bodies, at the most; but an event that is larger is a page."""


class Log:
    """The events of an application in one database, page by page.

    Args:
        datastore: the database.
        table: has columns with the keys of the layout's; of those that it lacks, there
            are no values.
        layout: of the rows.
        application: name of it, where the table has the events of several.
        side: what the database is for the copy, source or target.
        with_time: whether to read when events were recorded.
    """

    def __init__(
        self,
        datastore: SQLAlchemyDatastore,
        table: Table,
        layout: Layout,
        application: str | None = None,
        *,
        side: str = "source",
        with_time: bool = True,
    ) -> None:
        self.layout = layout
        self._side = side
        self.tells_time = with_time and layout.columns[-1] in table.c
        self._datastore = datastore
        self._table = table
        self._position = table.c[layout.position]
        self._where: list[ColumnElement[bool]] = []
        self._parameters: Mapping[str, Any] = {}
        if application is not None:
            self._where.append(table.c.application_id == application_id())
            self._parameters = {"application": application}
        body = table.c[layout.body]
        self._extent = self._statement_of_extent(body)
        values = values_of(table, layout.columns, with_time=with_time)
        self._page = self._window(*values)
        self._head = select(func.max(self._position)).where(*self._where)
        self._positions = self._window(self._position)
        self._count = self._window(func.count()).order_by(None)
        self._limit = PAGE_ROWS

    def _window(self, *columns: ColumnElement[Any]) -> Select[Any]:
        return (
            select(*columns)
            .where(
                *self._where,
                self._position > bindparam("gt", type_=BigInteger),
                self._position <= bindparam("lte", type_=BigInteger),
            )
            .order_by(self._position)
        )

    def _statement_of_extent(self, body: ColumnElement[Any]) -> Any:
        """The number of events, the last position, and the bytes of a page."""
        page = (
            self._window(
                self._position.label("position"), func.length(body).label("size")
            )
            .limit(bindparam("limit", type_=BigInteger))
            .subquery()
        )
        return select(func.count(), func.max(page.c.position), func.sum(page.c.size))

    @property
    def place(self) -> Hashable:
        """Where the table is: database and schema, and its name."""
        store, schema = self._datastore, self._table.schema
        with store.reading() as connection:
            database = store.dialect.place(connection)
            schema = schema or store.schema or default_schema(connection)
        return database, schema, self._table.name

    def head(self) -> int:
        """The last position, 0 before the first event.

        Raises:
            DataError: if a position is no number.
        """
        last = self._rows(self._head)[0][0] or 0
        if not isinstance(last, int):
            msg = f"The {self._side} has position {last!r}, which is no whole number"
            raise DataError(msg)
        return last

    def count(self, gt: int, lte: int) -> int:
        """How many events there are above a position, up to another."""
        return int(self._rows(self._count, gt=gt, lte=lte)[0][0])

    def at(self, position: int) -> Row | None:
        """The event at a position, None where there is none."""
        rows = self._events(gt=position - 1, lte=position)
        return tuple(rows[0]) if rows else None

    def page(self, gt: int, lte: int) -> Rows:
        """The first events above a position, up to another; empty at the end.

        As many as there may be in memory.

        Raises:
            DataError: names the position of an event that cannot be read.
        """
        last = self._last_of_page(gt, lte)
        return [] if last is None else self._events(gt, last)

    def pages(self, gt: int, lte: int) -> Iterator[Rows]:
        """All pages above a position, up to another."""
        while rows := self.page(gt, lte):
            yield rows
            gt = rows[-1][0]

    def _events(self, gt: int, lte: int) -> Rows:
        try:
            return self._rows(self._page, gt=gt, lte=lte)
        except (TypeError, ValueError, DatabaseError) as error:
            if error_kind_of(error, self._datastore.dialect) is not ErrorKind.LASTING:
                raise
            failed = error
        self._raise_for_one(gt, lte)
        raise failed

    def _raise_for_one(self, gt: int, lte: int) -> None:
        """Reads each event by itself, to find out which one cannot be read."""
        for (position,) in self._rows(self._positions, gt=gt, lte=lte):
            try:
                self._rows(self._page, gt=position - 1, lte=position)
            except (TypeError, ValueError, DatabaseError) as error:
                msg = f"Position {position} of the {self._side}: {error}"
                raise DataError(msg) from error

    def _last_of_page(self, gt: int, lte: int) -> int | None:
        self._limit = min(2 * self._limit, PAGE_ROWS)
        while True:
            (extent,) = self._rows(self._extent, gt=gt, lte=lte, limit=self._limit)
            count, last, size = extent
            if count <= 1 or size <= PAGE_BYTES:
                return None if last is None else int(last)
            self._limit = max(1, count // 2)

    def _rows(self, statement: Select[Any], **parameters: int) -> Rows:
        return self._datastore.retrying(lambda: self._rows_now(statement, parameters))

    def _rows_now(self, statement: Select[Any], parameters: Mapping[str, int]) -> Rows:
        with self._datastore.statement() as executor:
            return executor.rows(statement, {**self._parameters, **parameters})


def values_of(
    table: Table, columns: Sequence[str], *, with_time: bool
) -> Sequence[ColumnElement[Any]]:
    """Columns of a table, as this package keeps them.

    Args:
        table: of any module.
        columns: their names in the table of this package, the time of recording last.
        with_time: whether to read it; else there is NULL, as in what a table lacks.
    """
    *others, time = columns
    values = [
        table.c[name] if name in table.c else _ABSENT[name].label(name)
        for name in others
    ]
    if not with_time or time not in table.c:
        return [*values, null().label(time)]
    return [*values, type_coerce(table.c[time], UtcTime()).label(time)]
