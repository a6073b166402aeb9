"""Room for the pages of indexes that many rows change."""

from collections.abc import Sequence

from sqlalchemy import Table

from eventsourcing_alchemy.dialects.base.bulk_inserting import BulkInserting
from eventsourcing_alchemy.statements.compiled import Rows
from eventsourcing_alchemy.statements.executor import Executor
from eventsourcing_alchemy.statements.parameters import insert_columns

CACHE = 4_000
"""KiB. By default SQLite has 2,000, and writes each page of an index several times."""

CHECKPOINT = 4_000
"""Pages of the log after which they are copied into the file. By default 1,000: less
would be copied often, and more has small commits wait for the file of the log to grow,
which takes as long as the commit itself."""


class SQLiteBulkInserting(BulkInserting):
    """Has SQLite keep more pages in memory, and in the log."""

    def insert_rows(
        self, executor: Executor, table: Table, columns: Sequence[str], rows: Rows
    ) -> None:
        """With a larger cache and log, which the connection then keeps."""
        executor.run(f"PRAGMA cache_size = -{CACHE}")
        executor.run(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
        if executor.is_observed:
            super().insert_rows(executor, table, columns, rows)
            return
        statement = insert_columns(table, tuple(columns))
        bound = executor.bound_rows(statement, [f"{name}_" for name in columns], rows)
        text = executor.text(statement)
        # Of thousands of rows, this takes less time than statements with many rows.
        with executor.cursor(text) as cursor:
            cursor.executemany(text, bound)
