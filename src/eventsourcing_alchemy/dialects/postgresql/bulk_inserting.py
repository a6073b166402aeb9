"""COPY, by psycopg."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import ClauseElement, Executable, Table
from sqlalchemy.ext.compiler import compiles

from eventsourcing_alchemy.dialects.base.bulk_inserting import BulkInserting
from eventsourcing_alchemy.dialects.postgresql.drivers import is_of_psycopg
from eventsourcing_alchemy.statements.compiled import Rows
from eventsourcing_alchemy.statements.executor import Executor

_TYPES = {
    int: "int8",
    UUID: "uuid",
    str: "varchar",
    bytes: "bytea",
    datetime: "timestamptz",
}
"""PostgreSQL's names, by what the values of a column are in Python."""


class PostgreSQLBulkInserting(BulkInserting):
    """Takes COPY, unless somebody is to see the statements."""

    def insert_rows(
        self, executor: Executor, table: Table, columns: Sequence[str], rows: Rows
    ) -> None:
        """COPY in binary form: nothing is converted to text."""
        if executor.is_observed or not is_of_psycopg(executor.driver_connection):
            super().insert_rows(executor, table, columns, rows)
            return
        # Without parameters, psycopg takes a % of a name as it is.
        text = executor.text(_copy(table, tuple(columns))) % ()
        with executor.cursor(text) as cursor, cursor.copy(text) as copy:
            copy.set_types([_TYPES[table.c[name].type.python_type] for name in columns])
            for row in rows:
                copy.write_row(row)


class _Copy(Executable, ClauseElement):
    """COPY … FROM STDIN in binary form."""

    inherit_cache = False

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        self.table = table
        self.columns = columns


_copy = lru_cache(_Copy)


@compiles(_Copy)
def _text(copy: _Copy, compiler: Any, **_: Any) -> str:
    table = compiler.preparer.format_table(copy.table)
    columns = ", ".join(map(compiler.preparer.quote, copy.columns))
    return f"COPY {table} ({columns}) FROM STDIN (FORMAT BINARY)"
