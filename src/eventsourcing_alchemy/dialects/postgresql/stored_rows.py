"""Rows to insert, as parameters: plain ones for a single row, else arrays."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Table, bindparam, column, func, literal, literal_column
from sqlalchemy.sql.selectable import CTE

from eventsourcing_alchemy.dialects.postgresql.arrays import Array

Columns = Sequence[str]


def row_parameters(columns: Columns, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """The parameters of `stored_rows()`.

    Args:
        columns: names.
        rows: the values of these columns, one or more.
    """
    if len(rows) == 1:
        return dict(zip(columns, rows[0], strict=True))
    arrays = zip(*rows, strict=True)
    return {
        f"{name}s": list(values) for name, values in zip(columns, arrays, strict=True)
    }


def stored_rows(
    table: Table, columns: Columns, counter: CTE, *, is_single: bool
) -> "StoredRows":
    """The rows, to be inserted if the counter has moved.

    Args:
        table: to insert into.
        columns: names of the columns that have parameters.
        counter: has a row if it has moved.
        is_single: whether there is but one row.
    """
    make = _single if is_single else _unnested
    return make(table, columns, counter)


class StoredRows(NamedTuple):
    """Events as rows of a query.

    Attributes:
        number: of an event, from 1.
        values: of the columns.
        source: what to select from.
    """

    number: Any
    values: Sequence[Any]
    source: Any


def _single(table: Table, columns: Columns, counter: CTE) -> StoredRows:
    """One event, as it is: without arrays, which take time on both sides."""
    values = [bindparam(name, type_=table.c[name].type) for name in columns]
    return StoredRows(literal_column("1"), values, counter)


def _unnested(table: Table, columns: Columns, counter: CTE) -> StoredRows:
    """The events of one array a column."""
    arrays = [
        bindparam(f"{name}s", type_=Array(table.c[name].type)) for name in columns
    ]
    names = [column(name, table.c[name].type) for name in columns]
    rows = (
        func.unnest(*arrays)
        .table_valued(*names, with_ordinality="number", name="stored")
        .render_derived()
    )
    values = [rows.c[name] for name in columns]
    return StoredRows(rows.c.number, values, counter.join(rows, literal(True)))
